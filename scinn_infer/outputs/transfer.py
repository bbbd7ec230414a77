"""What an input holds, in anndata's layout, into an HDF5 file or a zarr store; its matrices some rows at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.h5ad import import_io
from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.inputs.zarr_store import matrix_storage, open_root
from scinn_infer.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.storage import Rows, Storage

ROWS_AT_A_TIME = 384
CHUNK_VALUES = 1 << 18
"""Values of a chunk: 1 MB of float32."""

MATRICES = ("csr_matrix", "csc_matrix", "array")
"""What is copied by rows; csc becomes csr by that."""


def fill(root: Any, matrix: ExpressionMatrix, *, temporary_folder: Path) -> None:
    """Write everything that the input holds into the empty root of a file or store.

    Parameters
    ----------
    root
        Where it goes: an h5py file or a zarr group.
    matrix
        The input (cells × genes).
    temporary_folder
        Where matrices that are stored by columns are re-ordered.
    """
    _encode(root, "anndata", "0.1.0")
    if recognise(matrix.path) in {Format.H5AD, Format.ZARR}:
        with _source_root(matrix.path) as source:
            _copy_all(source, root, path=matrix.path, folder=temporary_folder)
    else:
        _write_new(root, matrix)


def _write_new(root: Any, matrix: ExpressionMatrix) -> None:
    import pandas as pd
    from anndata.io import write_elem

    write_elem(root, "obs", pd.DataFrame(index=matrix.cells))
    columns = {name: np.array(values, dtype=object) for name, values in matrix.var_columns().items()}
    write_elem(root, "var", pd.DataFrame(columns, index=matrix.var_names))
    for group in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
        write_elem(root, group, {})
    _write_csr(root, "X", matrix.chunks(ROWS_AT_A_TIME), shape=matrix.shape, dtype=matrix.dtype)


@contextmanager
def _source_root(path: Path) -> Iterator[Any]:
    if recognise(path) is Format.H5AD:
        with import_io("reading").File(path, "r") as file:
            yield file
        return
    root, close = open_root(path)
    try:
        yield root
    finally:
        close()


def _copy_all(source: Any, target: Any, *, path: Path, folder: Path) -> None:
    for name in sorted(source):  # zarr lists in no stated order
        if name == "raw" and not hasattr(source[name], "keys"):  # None, which a store says and a file leaves out
            continue
        if name in {"layers", "raw"}:
            group = target.create_group(name)
            _encode(group, source[name].attrs.get("encoding-type", "dict"), "0.1.0")
            for inner in sorted(source[name]):
                _copy(source[name], group, inner, path=path, folder=folder)
        else:
            _copy(source, target, name, path=path, folder=folder)


def _copy(source: Any, target: Any, name: str, *, path: Path, folder: Path) -> None:
    """Copy a matrix by rows, and anything else, which is small, as one."""
    from anndata.io import read_elem, write_elem

    element = source[name]
    is_matrix = element.attrs.get("encoding-type") in MATRICES and len(getattr(element, "shape", (0, 0))) == 2
    if name in {"var", "obs"} or not is_matrix:
        write_elem(target, name, _in_order(read_elem(element)))
        return
    storage = _storage(element, source=f"{path}: {name}", folder=folder)
    try:
        if storage.storage == "dense":
            write_dense(target, name, _rows(storage), shape=storage.shape, dtype=storage.dtype)
        else:
            _write_csr(target, name, _rows(storage), shape=storage.shape, dtype=storage.dtype)
    finally:
        storage.close()


def _in_order(value: Any) -> Any:
    """Sort what is nested by name."""
    return {name: _in_order(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


def _storage(element: Any, *, source: str, folder: Path) -> Storage:
    is_hdf5 = hasattr(element, "id")
    return (open_storage if is_hdf5 else matrix_storage)(element, source=source, temporary_folder=folder)


def _rows(storage: Storage) -> Iterator[Rows]:
    for start in range(0, storage.shape[0], ROWS_AT_A_TIME):
        yield storage.rows(start, min(start + ROWS_AT_A_TIME, storage.shape[0]))


def write_dense(
    group: Any, name: str, chunks: Iterable[npt.NDArray[Any]], *, shape: tuple[int, int], dtype: np.dtype[Any]
) -> None:
    """Write a dense matrix (rows × columns) of which some rows come at a time.

    Parameters
    ----------
    group, name
        Where it goes.
    chunks
        The rows in order.
    shape, dtype
        The matrix's shape, and the type in which its values are stored.
    """
    array = _create(group, name, shape, dtype, (rows_of_chunk(shape), max(shape[1], 1)))
    _encode(array, "array", "0.2.0")
    start = 0
    for chunk in chunks:
        array[start : start + len(chunk)] = chunk
        start += len(chunk)
    if start != shape[0]:
        msg = f"{start} rows of {name!r} were written, not {shape[0]}."
        raise RuntimeError(msg)


def rows_of_chunk(shape: tuple[int, int]) -> int:
    """Return how many rows of a dense matrix are stored as one piece."""
    return max(1, min(CHUNK_VALUES // max(shape[1], 1), shape[0]))


def _write_csr(group: Any, name: str, chunks: Iterable[Rows], *, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    target = group.create_group(name)
    _encode(target, "csr_matrix", "0.1.0")
    target.attrs["shape"] = list(shape)
    pointers = np.zeros(shape[0] + 1, np.int64)
    arrays = {part: _create(target, part, (0,), kind, (CHUNK_VALUES,)) for part, kind in _parts(dtype)}
    row = stored = 0
    for chunk in chunks:
        rows = sparse.csr_array(chunk)
        pointers[row + 1 : row + 1 + rows.shape[0]] = stored + rows.indptr[1:]
        for part, array in arrays.items():
            array.resize((stored + rows.nnz,))
            array[stored : stored + rows.nnz] = getattr(rows, part)
        row, stored = row + rows.shape[0], stored + rows.nnz
    _create(target, "indptr", pointers.shape, pointers.dtype, (min(len(pointers), CHUNK_VALUES),))[:] = pointers


def _parts(dtype: np.dtype[Any]) -> tuple[tuple[str, np.dtype[Any]], ...]:
    return ("data", dtype), ("indices", np.dtype(np.int32))


def _create(group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...]) -> Any:
    if hasattr(group, "create_array"):  # zarr
        return group.create_array(name, shape=shape, dtype=dtype, chunks=chunks)
    return group.create_dataset(name, shape=shape, dtype=dtype, chunks=chunks, maxshape=(None, *shape[1:]))


def _encode(element: Any, kind: str, version: str) -> None:
    element.attrs["encoding-type"] = kind
    element.attrs["encoding-version"] = version
