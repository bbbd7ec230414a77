"""Read one matrix of an ``.h5ad`` file by rows, in memory bounded by the rows that are asked for."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.gene_table import GeneTable
from scinn_infer.storage import StoredRows, open_storage
from scinn_infer.stored_names import StoredNames

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import ModuleType

    import h5py
    import pandas as pd


OTHER_FORMATS = {
    "matrix": " It looks like a 10x Genomics file: convert it with scanpy.read_10x_h5(old).write_h5ad(new)",
    "row_attrs": " It looks like a loom file: convert it with anndata.io.read_loom(old).write_h5ad(new)",
}
"""What other HDF5 files of the field have at their top, and what to do with them."""


class H5adMatrix(StoredRows):
    """``X`` or a layer (cells × genes) of an ``.h5ad`` file, in the unit and the precision in which it is stored.

    A context manager; only the rows that are asked for are read, and of a compressed matrix those in the same chunks,
    which are held, up to 256 MB of an array. CSR and dense matrices are read in place. A CSC matrix is re-ordered
    through a temporary file when its first rows are asked for.

    Parameters
    ----------
    path
        The file, as anndata 0.7 or later writes it.
    layer
        Name of the layer; ``X`` if not given.
    gene_column
        Column of ``var`` with the names of the genes; its index if not given.
    temporary_folder
        Where a CSC matrix is re-ordered; the system's folder for temporary files if not given.

    Attributes
    ----------
    source
        How messages name the matrix: the file and the layer.
    gene_table
        What ``var`` calls the genes.
    shape
        Number of cells and genes.
    dtype
        Type of the values that ``rows`` returns, in native byte order.
    storage
        ``"csr"``, ``"csc"`` or ``"dense"``.
    stored
        Number of stored entries; cells × genes where dense.

    Raises
    ------
    ScinnError
        If h5py or anndata are not installed, the file is not an h5ad, the matrix is not there, is empty, or does not
        fit the file's cells and genes; once the genes are looked at, if there is no such column of names.

    Examples
    --------
    >>> with H5adMatrix("new.h5ad", layer="counts") as matrix:  # doctest: +SKIP
    ...     depth = [chunk.sum(axis=1) for chunk in matrix.chunks(256)]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        layer: str | None = None,
        gene_column: str | None = None,
        temporary_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.notes: tuple[str, ...] = ()
        self.source = f"{self.path}: X" if layer is None else f"{self.path}: layer {layer!r}"
        self.gene_table = GeneTable(
            read=lambda: self._var, source=str(self.path), option="--gene-column {}", column=gene_column
        )
        self._file = _open(self.path)
        try:
            with naming_damage(self.source):
                _check_tables(self._file, self.path)
                element = find_matrix(self._file, self.path, layer)
                folder = Path(temporary_folder or tempfile.gettempdir())
                self._storage = open_storage(element, source=self.source, temporary_folder=folder)
                self._check_shape()
        except BaseException:
            self._file.close()
            raise
        self.shape = self._storage.shape
        self.dtype = self._storage.dtype
        self.storage = self._storage.storage
        self.stored = self._storage.stored

    def close(self) -> None:
        """Close the file, and drop the temporary one."""
        self._storage.close()
        self._file.close()

    @cached_property
    def genes(self) -> list[str]:
        """Names of the genes, from the index of ``var`` or the column that was named."""
        return self.var_names if self.gene_table.column is None else self.gene_table.names()

    @cached_property
    def var_names(self) -> list[str]:
        """Names of the genes in the index of ``var``."""
        return self._names("var")

    @cached_property
    def cells(self) -> list[str]:
        """Names of the cells, from the index of ``obs``."""
        return self._names("obs")

    def var_columns(self) -> dict[str, list[str]]:
        """Return what ``var`` holds in words, column by column: other names of the genes, for one."""
        words = self._var.select_dtypes(exclude="number")
        return {str(name): [str(value) for value in words[name]] for name in words}

    @property
    def cell_names(self) -> Sequence[str]:
        """The same for messages: read only when one is looked at, since they may be many."""
        return StoredNames(self.shape[0], lambda start, stop: self.cells[start:stop])

    @cached_property
    def _var(self) -> pd.DataFrame:
        from anndata.io import read_elem

        with naming_damage(f"{self.path}: var"):
            return read_elem(self._file["var"])

    def _names(self, axis: str) -> list[str]:
        from anndata.io import read_elem

        with naming_damage(f"{self.path}: the names in {axis}"):
            names = read_elem(_index(self._file[axis]))
            return [name.decode() if isinstance(name, bytes) else str(name) for name in names]

    def _check_shape(self) -> None:
        expected = index_length(self._file["obs"]), index_length(self._file["var"])
        shape = self._storage.shape
        if shape != expected:
            msg = (
                f"{self.source} is {shape[0]:,} × {shape[1]:,}, but the file lists {expected[0]:,} cells and "
                f"{expected[1]:,} genes: it is damaged. Copy or write it again."
            )
            raise ScinnError(msg)
        if 0 in shape:
            msg = f"{self.source} is empty: {shape[0]:,} cells × {shape[1]:,} genes."
            raise ScinnError(msg)


def import_io(doing: str) -> ModuleType:
    """Return h5py, which like anndata comes with an extra.

    Raises
    ------
    ScinnError
        If one of them is not installed.
    """
    try:
        import anndata  # noqa: F401 - only whether it is there
        import h5py
    except ImportError as error:
        msg = f'{doing} .h5ad files needs {error.name}: pip install "scinn[anndata]"'
        raise ScinnError(msg) from error
    return h5py


def _open(path: Path) -> h5py.File:
    h5py = import_io("reading")
    if not path.is_file():
        problem = "is a folder; an .h5ad is one file" if path.is_dir() else "is not there"
        msg = f"{path} {problem}. Check the name."
        raise ScinnError(msg)
    if path.stat().st_size == 0:
        msg = f"{path} is empty (0 bytes). Copy or download it again."
        raise ScinnError(msg)
    with naming_damage(str(path)), path.open("rb"):  # says more about missing permission than HDF5 does
        pass
    if not h5py.is_hdf5(path):
        msg = f"{path} is not an HDF5 file, so no .h5ad whatever its name. Convert it with anndata.AnnData.write_h5ad."
        raise ScinnError(msg)
    with naming_damage(str(path)):
        try:
            return h5py.File(path, "r")
        except BlockingIOError as error:  # HDF5 locks what it writes to
            raise _locked(path) from error


def check_unlocked(path: Path) -> None:
    """Refuse to replace a file that another program writes to: what it writes from now on would be lost.

    Raises
    ------
    ScinnError
        If HDF5 says that it is locked.
    """
    h5py = import_io("writing")
    if path.is_file() and h5py.is_hdf5(path):
        try:
            h5py.File(path, "r").close()
        except BlockingIOError as error:
            raise _locked(path) from error
        except OSError:
            pass  # damaged, which does not matter: it is to be replaced


def _locked(path: Path) -> ScinnError:
    return ScinnError(f"{path} is open for writing in another program. Close it there, or wait until it is written.")


def _check_tables(file: h5py.File, path: Path) -> None:
    missing = [axis for axis in ("obs", "var") if axis not in file]
    if missing:
        hint = next((hint for name, hint in OTHER_FORMATS.items() if name in file), "")
        msg = f"{path} is an HDF5 file, but no .h5ad: it has no {' and no '.join(missing)}.{hint}"
        raise ScinnError(msg)
    if not all("_index" in file[axis].attrs for axis in ("obs", "var")):
        msg = f"{path} is in the layout of anndata before 0.7. Rewrite it: anndata.read_h5ad(old).write_h5ad(new)"
        raise ScinnError(msg)


def find_matrix(file: h5py.File, path: Path, layer: str | None) -> h5py.Group | h5py.Dataset:
    """Return ``X`` or a layer of a file or store in anndata's layout.

    Raises
    ------
    ScinnError
        If it is not there; the message lists the layers that are.
    """
    layers = list(file["layers"]) if "layers" in file else []
    listed = f"It has the layers: {', '.join(layers)}." if layers else "It has no layers."
    if layer is None and "X" not in file:
        msg = f"{path} has no X. {listed}" + (" Name one with --layer." if layers else "")
        raise ScinnError(msg)
    if layer is not None and layer not in layers:
        msg = f"{path} has no layer {layer!r}. {listed}"
        raise ScinnError(msg)
    return file["X"] if layer is None else file["layers"][layer]


def _index(table: h5py.Group) -> h5py.Group | h5py.Dataset:
    return table[table.attrs["_index"]]


def index_length(table: h5py.Group) -> int:
    """Return how many names an index has; one that holds missing values or categories is a group of arrays."""
    index = _index(table)
    for part in ("values", "codes"):
        if not hasattr(index, "shape") and part in index:
            index = index[part]
    return int(index.shape[0])
