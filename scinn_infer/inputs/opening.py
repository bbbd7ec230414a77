"""Open a batch, whatever format it is in."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.h5ad import H5adMatrix, import_io
from scinn_infer.inputs.delimited import open_delimited
from scinn_infer.inputs.loom import open_loom
from scinn_infer.inputs.mtx import names_beside, open_mtx
from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.inputs.tenx_h5 import open_tenx_h5
from scinn_infer.inputs.zarr_store import open_root, open_zarr
from scinn_infer.unchanged import Unchanged, UnchangedFolder, Unwatched

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from scinn_infer.inputs.matrix import ExpressionMatrix, FileMatrix
    from scinn_infer.unchanged import Lasting


def open_matrix(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    transpose: bool = False,
    gene_column: str | None = None,
    temporary_folder: str | os.PathLike[str] | None = None,
) -> ExpressionMatrix:
    """Open the expression in a file or folder, to be read by cells in bounded memory.

    The format is told by the content: an ``.h5ad`` file; a zarr store that anndata wrote, a folder or a ``.zip``; what
    10x Genomics' Cell Ranger writes, ``.h5`` or a folder with ``matrix.mtx``; a loom file; a table as ``.csv`` or
    ``.tsv``. Text may be compressed with gzip. Of 10x Genomics' files genes are named by their symbols; their ids are
    in ``var_columns()["gene_ids"]``.

    Parameters
    ----------
    path
        The file or folder.
    layer
        Name of a layer of an ``.h5ad``, zarr or loom file; its ``X`` (main matrix) if not given.
    transpose
        Whether the rows of a table are the genes, not the cells.
    gene_column
        Column of ``var_columns()`` with the names of the genes; the index of ``var`` if not given.
    temporary_folder
        Where a matrix that is not stored by cells is re-ordered; the system's folder for temporary files if not given.

    Returns
    -------
    ExpressionMatrix
        The matrix (cells × genes), a context manager, in the unit and the precision in which it is stored; text is read
        as float32.

    Raises
    ------
    ScinnError
        If the format is none of these, a package for it is not installed, or the file is damaged; if there is no such
        layer, or ``transpose`` is given for another format than a table.

    Examples
    --------
    >>> with open_matrix("filtered_feature_bc_matrix.h5") as matrix:  # doctest: +SKIP
    ...     depth = [chunk.sum(axis=1) for chunk in matrix.chunks(256)]
    """
    path, folder = Path(path), Path(temporary_folder or tempfile.gettempdir())
    kind = recognise(path)
    if transpose and kind is not Format.TEXT:
        msg = f"{path} is {kind.value}, which says itself what its rows are: leave --transpose (transpose=True) out."
        raise ScinnError(msg)
    if layer is not None and kind in {Format.TENX_H5, Format.MTX, Format.TEXT}:
        msg = f"{path} is {kind.value}, which has one matrix and no layers: leave --layer (layer={layer!r}) out."
        raise ScinnError(msg)
    if kind is Format.H5AD:
        return H5adMatrix(path, layer=layer, gene_column=gene_column, temporary_folder=folder)
    matrix = _open_other(kind, path, layer=layer, transpose=transpose, folder=folder)
    try:
        return matrix.name_genes_by(gene_column)
    except BaseException:
        matrix.close()
        raise


def _open_other(kind: Format, path: Path, *, layer: str | None, transpose: bool, folder: Path) -> FileMatrix:
    match kind:
        case Format.ZARR:
            return open_zarr(path, layer=layer, temporary_folder=folder)
        case Format.LOOM:
            return open_loom(path, layer=layer, temporary_folder=folder)
        case Format.TENX_H5:
            return open_tenx_h5(path)
        case Format.MTX:
            return open_mtx(path, temporary_folder=folder)
    return open_delimited(path, transpose=transpose, temporary_folder=folder)


def files_of(path: Path) -> list[Path]:
    """Return what an input consists of and an output must not be.

    That is a file, with those beside it that name its cells and genes, or a folder and what lies directly in it.

    Raises
    ------
    ScinnError
        If there is a file that is in no format that is read, or a folder that may not be looked into.
    """
    with naming_damage(str(path)):
        if path.is_dir():
            return [path, *sorted(path.iterdir())]
        return [path, *(names_beside(path) if path.is_file() and recognise(path) is Format.MTX else [])]


def as_it_is(path: Path) -> Lasting:
    """Return what tells, once an input is opened, whether it is still the same under its name.

    Raises
    ------
    ScinnError
        If it is in no format that is read, or may not be looked at.
    """
    with naming_damage(str(path)):
        if path.is_file():
            return Unchanged(path, source=str(path))
        return UnchangedFolder(path) if recognise(path) is Format.ZARR else Unwatched()


@contextmanager
def open_anndata(path: Path) -> Iterator[Any]:
    """Give the root of an ``.h5ad`` file or a zarr store, to read."""
    if recognise(path) is Format.H5AD:
        with import_io("reading").File(path, "r") as file:
            yield file
        return
    root, close = open_root(path)
    try:
        yield root
    finally:
        close()
