"""One element of anndata's layout, from a file or store into another, some rows at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.inputs.zarr_store import matrix_storage, stored_array
from scinn_infer.outputs.csr import CHUNK_VALUES, create, encode, write_csr
from scinn_infer.storage import open_storage, unpacked_once
from scinn_infer.stream import reblock
from scinn_infer.unchanged import watched_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.storage import Rows, Storage

ROWS_AT_A_TIME = 384

SPARSE = ("csr_matrix", "csc_matrix")
"""What is copied by rows; csc becomes csr by that."""

GROUPS = {
    ("dict", "0.1.0"),
    ("dataframe", "0.2.0"),
    ("categorical", "0.2.0"),
    ("nullable-integer", "0.1.0"),
    ("nullable-boolean", "0.1.0"),
    ("nullable-string-array", "0.1.0"),
}
"""What is no more than the elements in it and what its attributes say, in the versions that are known."""

ATTRIBUTES = ("encoding-type", "encoding-version", "_index", "column-order", "ordered", "na-value")
"""What the attributes of these say."""

VALUES_OF_A_TEXT = 16
"""How many numbers take about the memory of a text."""


@dataclass(frozen=True, kw_only=True)
class Copying:
    """What an element is copied from.

    Attributes
    ----------
    path
        The file or store, for messages.
    folder
        Where matrices that are stored by columns are re-ordered.
    """

    path: Path
    folder: Path

    def place(self, group: Any, name: str = "") -> str:
        """Return how messages name a group or array, or one in a group."""
        return f"{self.path}: {f'{group.name}/{name}'.strip('/')}"


def copy_element(
    source: Any, target: Any, name: str, copying: Copying, *, genes: npt.NDArray[np.intp] | None = None
) -> None:
    """Copy an element, and what is in it: matrices and columns by rows, and anything else, which is small, as one.

    Parameters
    ----------
    source, target
        The groups that it is in, and that it becomes part of.
    name
        Its name in both.
    copying
        What it is copied from.
    genes
        Which columns are copied of a matrix, in this order; all if not given.
    """
    with naming_damage(copying.place(source, name)):
        element = source[name]
        kind, version = (str(element.attrs.get(f"encoding-{what}", "")) for what in ("type", "version"))
        copy: Callable[..., None] = _copy_whole
        if kind in SPARSE and _is_numeric(element["data"].dtype):
            copy = _copy_sparse
        elif (kind, version) in GROUPS:
            copy = _copy_group
        elif not hasattr(element, "keys") and _is_in_rows(element, kind):
            copy = _copy_array
    copy(element, target, name, copying, genes)


def _is_in_rows(array: Any, kind: str) -> bool:
    """Tell whether an array holds rows of numbers, or texts; files before anndata 0.8 do not say of what kind it is."""
    if not array.shape or not math.prod(array.shape):
        return False
    return len(array.shape) == 1 if kind == "string-array" else kind in {"array", ""} and _is_numeric(array.dtype)


def _is_numeric(dtype: Any) -> bool:
    return np.dtype(dtype).kind in "biuf" and np.dtype(dtype).itemsize <= 8


def _copy_whole(element: Any, target: Any, name: str, copying: Copying, genes: npt.NDArray[np.intp] | None) -> None:
    from anndata.io import read_elem, write_elem

    with naming_damage(copying.place(element)):
        whole = _in_order(read_elem(element))
    write_elem(target, name, whole if genes is None else whole[:, genes])


def _in_order(value: Any) -> Any:
    """Sort what is nested by name."""
    return {name: _in_order(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


def _copy_group(element: Any, target: Any, name: str, copying: Copying, _: npt.NDArray[np.intp] | None) -> None:
    with naming_damage(copying.place(element)):
        says = {key: _plain(element.attrs[key]) for key in ATTRIBUTES if key in element.attrs}
        is_table = "column-order" in says  # which may have names with slashes in them
        inner = dict.fromkeys([says["_index"], *says["column-order"]]) if is_table else sorted(element)
    group = target.create_group(name)
    for key, value in says.items():
        group.attrs[key] = value if hasattr(group, "create_array") or not isinstance(value, list) else _texts(value)
    for each in inner:
        copy_element(element, group, each, copying)


def _plain(value: Any) -> Any:
    """Return what an attribute says, as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def _texts(values: list[str]) -> npt.NDArray[Any]:
    """Return texts as an attribute of HDF5, also where there are none."""
    import h5py

    return np.array(values, dtype=h5py.string_dtype())


def _copy_array(element: Any, target: Any, name: str, copying: Copying, genes: npt.NDArray[np.intp] | None) -> None:
    """Copy an array of numbers (rows × …), or of texts; one that is no larger than a chunk as anndata writes it."""
    from anndata.io import write_elem

    is_text = not _is_numeric(element.dtype)
    shape = tuple(int(length) for length in element.shape)
    if genes is not None:
        shape = (shape[0], genes.size)
    source = copying.place(element)
    read = _reader(element, source, is_text=is_text)
    pieces: Any = chosen(_pieces(read, tuple(element.shape), source, is_text=is_text), genes)
    rows = rows_of_chunk((shape[0], VALUES_OF_A_TEXT) if is_text else shape)
    if shape[0] <= rows:
        write_elem(target, name, np.concatenate(list(pieces)))
    elif is_text:
        _fill_rows(_create_texts(target, name, shape[0], rows), pieces, name)
    else:
        write_dense(target, name, reblock(pieces, rows), shape=shape, dtype=np.dtype(element.dtype).newbyteorder("="))


def _reader(element: Any, source: str, *, is_text: bool) -> Callable[[int, int], npt.NDArray[Any]]:
    """Return what reads rows of an array, each chunk of it once."""
    in_hdf5 = hasattr(element, "id")
    with naming_damage(source):
        stored = unpacked_once(element, source) if in_hdf5 else stored_array(element, source)

    def read(start: int, stop: int) -> npt.NDArray[Any]:
        rows = stored[start:stop]
        if not is_text:
            return np.asarray(rows)
        return np.array([text.decode() if isinstance(text, bytes) else str(text) for text in rows], dtype=object)

    return watched_rows(read, element.file, source=source) if in_hdf5 else read


def _pieces(
    read: Callable[[int, int], npt.NDArray[Any]], shape: tuple[int, ...], source: str, *, is_text: bool
) -> Iterator[npt.NDArray[Any]]:
    step = rows_of_chunk((shape[0], VALUES_OF_A_TEXT) if is_text else shape)
    for start in range(0, shape[0], step):
        with naming_damage(source):
            piece = read(start, min(start + step, shape[0]))
        yield piece


def _copy_sparse(element: Any, target: Any, name: str, copying: Copying, genes: npt.NDArray[np.intp] | None) -> None:
    source = copying.place(element)
    open_ = open_storage if hasattr(element, "id") else matrix_storage
    with naming_damage(source):
        storage = open_(element, source=source, temporary_folder=copying.folder)
        stored = np.dtype(element["data"].dtype)
    dtype = stored.newbyteorder("=") if stored.kind == "b" else storage.dtype
    try:
        rows = (chunk.astype(dtype, copy=False) for chunk in chosen(_rows(storage, source), genes))
        write_csr(target, name, rows, shape=narrowed(storage.shape, genes), dtype=dtype)
    finally:
        storage.close()


def _rows(storage: Storage, source: str) -> Iterator[Rows]:
    for start in range(0, storage.shape[0], ROWS_AT_A_TIME):
        with naming_damage(source):
            rows = storage.rows(start, min(start + ROWS_AT_A_TIME, storage.shape[0]))
        yield rows


def chosen(chunks: Iterable[Rows], genes: npt.NDArray[np.intp] | None) -> Iterator[Rows]:
    """Yield the columns of some genes."""
    for chunk in chunks:
        yield chunk if genes is None else chunk[:, genes]


def narrowed(shape: tuple[int, int], genes: npt.NDArray[np.intp] | None) -> tuple[int, int]:
    """Return the shape of a matrix with some genes only."""
    return shape if genes is None else (shape[0], genes.size)


def write_dense(
    group: Any, name: str, chunks: Iterable[npt.NDArray[Any]], *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Write a dense matrix (rows × columns), or a column (rows,), of which some rows come at a time.

    Parameters
    ----------
    group, name
        Where it goes.
    chunks
        The rows in order.
    shape, dtype
        Its shape, and the type in which its values are stored.
    """
    _fill_rows(create_dense(group, name, shape=shape, dtype=dtype), chunks, name)


def _fill_rows(array: Any, chunks: Iterable[npt.NDArray[Any]], name: str) -> None:
    start = 0
    for chunk in chunks:
        array[start : start + len(chunk)] = chunk
        start += len(chunk)
    if start != array.shape[0]:
        msg = f"{start} rows of {name!r} were written, not {array.shape[0]}."
        raise RuntimeError(msg)


def create_dense(group: Any, name: str, *, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Make an empty dense matrix or column, stored some rows at a time; return its array."""
    array = create(group, name, shape, dtype, (rows_of_chunk(shape), *(max(width, 1) for width in shape[1:])))
    encode(array, "array", "0.2.0")
    return array


def _create_texts(group: Any, name: str, count: int, rows: int) -> Any:
    """Make an empty column of texts, so many rows of which are stored together; return its array."""
    dtype: Any = str
    if not hasattr(group, "create_array"):
        import h5py

        dtype = h5py.string_dtype()
    array = create(group, name, (count,), dtype, (rows,))
    encode(array, "string-array", "0.2.0")
    return array


def rows_of_chunk(shape: tuple[int, ...]) -> int:
    """Return how many rows of a dense matrix or column are stored as one piece."""
    return max(1, min(CHUNK_VALUES // max(math.prod(shape[1:]), 1), shape[0]))
