"""What an input holds, in anndata's layout, into an HDF5 file or a zarr store; its matrices some rows at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.inputs.opening import open_anndata
from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.inputs.zarr_store import matrix_storage
from scinn_infer.outputs.csr import CHUNK_VALUES, create, encode, write_csr
from scinn_infer.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.storage import Rows, Storage

ROWS_AT_A_TIME = 384
MATRICES = ("csr_matrix", "csc_matrix", "array")
"""What is copied by rows; csc becomes csr by that."""

GENE_TABLES = ("var", "varm", "varp")
"""What has a row for each gene."""


def fill(
    root: Any, matrix: ExpressionMatrix, *, temporary_folder: Path, genes: npt.NDArray[np.intp] | None = None
) -> None:
    """Write everything that the input holds into the empty root of a file or store.

    Of some genes only, ``raw`` stays whole, as anndata leaves it.

    Parameters
    ----------
    root
        Where it goes: an h5py file or a zarr group.
    matrix
        The input (cells × genes).
    temporary_folder
        Where matrices that are stored by columns are re-ordered.
    genes
        Which genes are written, in this order; all if not given.
    """
    encode(root, "anndata", "0.1.0")
    if recognise(matrix.path) in {Format.H5AD, Format.ZARR}:
        with open_anndata(matrix.path) as source:
            _copy_all(source, root, path=matrix.path, folder=temporary_folder, genes=genes)
    else:
        _write_new(root, matrix, genes)


def _write_new(root: Any, matrix: ExpressionMatrix, genes: npt.NDArray[np.intp] | None) -> None:
    import pandas as pd
    from anndata.io import write_elem

    write_elem(root, "obs", pd.DataFrame(index=matrix.cells))
    columns = {name: np.array(values, dtype=object) for name, values in matrix.var_columns().items()}
    var = pd.DataFrame(columns, index=matrix.var_names)
    write_elem(root, "var", var if genes is None else var.iloc[genes])
    for group in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
        write_elem(root, group, {})
    chunks = _chosen(matrix.chunks(ROWS_AT_A_TIME), genes)
    write_csr(root, "X", chunks, shape=_narrowed(matrix.shape, genes), dtype=matrix.dtype)


def _chosen(chunks: Iterable[Rows], genes: npt.NDArray[np.intp] | None) -> Iterator[Rows]:
    """Yield the columns of some genes."""
    for chunk in chunks:
        yield chunk if genes is None else chunk[:, genes]


def _narrowed(shape: tuple[int, int], genes: npt.NDArray[np.intp] | None) -> tuple[int, int]:
    return shape if genes is None else (shape[0], genes.size)


def _copy_all(source: Any, target: Any, *, path: Path, folder: Path, genes: npt.NDArray[np.intp] | None) -> None:
    with naming_damage(str(path)):
        elements = {name: source[name] for name in sorted(source)}  # zarr lists in no stated order
    for name, element in elements.items():
        if name == "raw" and not hasattr(element, "keys"):  # None, which a store says and a file leaves out
            continue
        if name in {"layers", "raw"}:
            group = target.create_group(name)
            encode(group, element.attrs.get("encoding-type", "dict"), "0.1.0")
            for inner in sorted(element):
                chosen = genes if name == "layers" else None
                _copy(element, group, inner, path=path, folder=folder, genes=chosen)
        elif genes is not None and name in GENE_TABLES:
            _copy_of_genes(source, target, name, genes)
        else:
            _copy(source, target, name, path=path, folder=folder, genes=genes if name == "X" else None)


def _copy_of_genes(source: Any, target: Any, name: str, genes: npt.NDArray[np.intp]) -> None:
    """Copy what is known of each gene, or of each pair of genes, for some of them."""
    from anndata.io import read_elem, write_elem

    element = read_elem(source[name])
    if name == "var":
        write_elem(target, name, element.iloc[genes])
        return
    chosen = {inner: _rows_of(element[inner], genes) for inner in sorted(element)}
    write_elem(target, name, {inner: part[:, genes] if name == "varp" else part for inner, part in chosen.items()})


def _rows_of(part: Any, genes: npt.NDArray[np.intp]) -> Any:
    if hasattr(part, "iloc"):
        return part.iloc[genes]
    return (part.tocsr() if hasattr(part, "tocsr") else part)[genes]


def _copy(
    source: Any, target: Any, name: str, *, path: Path, folder: Path, genes: npt.NDArray[np.intp] | None = None
) -> None:
    """Copy a matrix by rows, and anything else, which is small, as one."""
    from anndata.io import read_elem, write_elem

    with naming_damage(f"{path}: {name}"):
        element = source[name]
        is_matrix = element.attrs.get("encoding-type") in MATRICES and len(getattr(element, "shape", (0, 0))) == 2
        by_rows = is_matrix and name not in {"var", "obs"}
        whole = None if by_rows else _in_order(read_elem(element))
    if not by_rows:
        write_elem(target, name, whole)
        return
    storage = _storage(element, source=f"{path}: {name}", folder=folder)
    rows: Any = _chosen(_rows(storage, f"{path}: {name}"), genes)
    shape = _narrowed(storage.shape, genes)
    try:
        if storage.storage == "dense":
            write_dense(target, name, rows, shape=shape, dtype=storage.dtype)
        else:
            write_csr(target, name, rows, shape=shape, dtype=storage.dtype)
    finally:
        storage.close()


def _in_order(value: Any) -> Any:
    """Sort what is nested by name."""
    return {name: _in_order(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


def _storage(element: Any, *, source: str, folder: Path) -> Storage:
    open_ = open_storage if hasattr(element, "id") else matrix_storage
    with naming_damage(source):
        return open_(element, source=source, temporary_folder=folder)


def _rows(storage: Storage, source: str) -> Iterator[Rows]:
    for start in range(0, storage.shape[0], ROWS_AT_A_TIME):
        with naming_damage(source):
            rows = storage.rows(start, min(start + ROWS_AT_A_TIME, storage.shape[0]))
        yield rows


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
    array = create_dense(group, name, shape=shape, dtype=dtype)
    start = 0
    for chunk in chunks:
        array[start : start + len(chunk)] = chunk
        start += len(chunk)
    if start != shape[0]:
        msg = f"{start} rows of {name!r} were written, not {shape[0]}."
        raise RuntimeError(msg)


def create_dense(group: Any, name: str, *, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Make an empty dense matrix or column, stored some rows at a time; return its array."""
    array = create(group, name, shape, dtype, (rows_of_chunk(shape), *(max(width, 1) for width in shape[1:])))
    encode(array, "array", "0.2.0")
    return array


def rows_of_chunk(shape: tuple[int, ...]) -> int:
    """Return how many rows of a dense matrix or column are stored as one piece."""
    return max(1, min(CHUNK_VALUES // max(math.prod(shape[1:]), 1), shape[0]))
