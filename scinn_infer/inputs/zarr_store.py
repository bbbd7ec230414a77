"""Zarr stores that anndata wrote, of zarr format 2 or 3: a folder, or a ``.zip`` of one."""

from __future__ import annotations

import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.h5ad import find_matrix, import_io, index_length
from scinn_infer.held_rows import HeldRows
from scinn_infer.inputs.matrix import FileMatrix
from scinn_infer.inputs.names import as_text
from scinn_infer.inputs.zarr_chunks import StoredChunks, check_compressed, refuse_missing
from scinn_infer.storage import open_storage
from scinn_infer.stored_names import StoredNames
from scinn_infer.wholefile import ZARR_MARKS

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import numpy.typing as npt
    import pandas as pd

    from scinn_infer.storage import Storage

SPARSE = ("csr_matrix", "csc_matrix")


def import_zarr(doing: str) -> ModuleType:
    """Return zarr, which like anndata comes with an extra.

    Raises
    ------
    ScinnError
        If it is not installed, or older than version 3.
    """
    import_io(doing)
    try:
        import zarr
    except ImportError as error:
        msg = f'{doing} zarr stores needs zarr: pip install "scinn[anndata]"'
        raise ScinnError(msg) from error
    if int(zarr.__version__.partition(".")[0]) < 3:
        msg = f'{doing} zarr stores needs zarr 3; {zarr.__version__} is installed: pip install "zarr>=3"'
        raise ScinnError(msg)
    return zarr


def open_zarr(path: Path, *, layer: str | None, temporary_folder: Path) -> FileMatrix:
    """Open ``X`` or a layer (cells × genes) of a zarr store.

    Raises
    ------
    ScinnError
        If zarr is not installed, the store is not anndata's, is damaged, or has no such matrix.
    """
    source = f"{path}: X" if layer is None else f"{path}: layer {layer!r}"
    root, close = open_root(path)
    try:
        with naming_damage(source):
            element = find_matrix(root, path, layer)
            storage = matrix_storage(element, source=source, temporary_folder=temporary_folder)
            for axis in ("obs", "var"):
                _check_names(root[axis], f"{path}: the names in {axis}")
            var = _read(root["var"])
            return FileMatrix(
                path,
                source=source,
                storage=storage,
                genes=as_text(var.index),
                cells=_cell_names(root["obs"], path),
                columns=_words(var),
                var=var,
                notes=_notes(element, source),
                close=close,
            )
    except BaseException:
        close()
        raise


def open_root(path: Path) -> tuple[Any, Any]:
    """Return the root of a zarr store, open for reading, and what closes it.

    Raises
    ------
    ScinnError
        If zarr is not installed, or it is no store of anndata's.
    """
    zarr = import_zarr("reading")
    with naming_damage(str(path)):
        if path.is_dir():
            store = zarr.storage.LocalStore(path, read_only=True)
            inside = ""
        else:
            store, inside = zarr.storage.ZipStore(path, mode="r"), folder_inside(path)
        root = zarr.open(store, path=inside, mode="r", use_consolidated=False)
        missing = [axis for axis in ("obs", "var") if not hasattr(root, "keys") or axis not in root]
    if missing:
        store.close()
        msg = f"{path} is a zarr store, but not anndata's: it has no {' and no '.join(missing)}. Write it with "
        msg += "anndata.AnnData.write_zarr."
        raise ScinnError(msg)
    return root, store.close


def folder_inside(path: Path) -> str:
    """Return the folder within a ``.zip`` file that is the store; nothing if the whole file is."""
    with zipfile.ZipFile(path) as archive:
        marks = [name for name in archive.namelist() if name.rpartition("/")[2] in ZARR_MARKS]
    return min(marks, key=lambda name: name.count("/")).rpartition("/")[0]


def matrix_storage(element: Any, *, source: str, temporary_folder: Path) -> Storage:
    """Return the storage of a matrix in a zarr store, as :func:`scinn_infer.storage.open_storage` does."""
    return open_storage(_buffered(element, source), source=source, temporary_folder=temporary_folder)


def stored_array(array: Any, source: str) -> Any:
    """Return what reads an array of a zarr store along its first axis, and unpacks each chunk once on the way."""
    return _Buffered(array, source)


def _read(element: Any) -> Any:
    from anndata.io import read_elem

    return read_elem(element)


def _words(var: pd.DataFrame) -> dict[str, list[str]]:
    """Return what is known of the genes in words, column by column."""
    words = var.select_dtypes(exclude="number")
    return {str(name): as_text(words[name]) for name in words}


def _cell_names(obs: Any, path: Path) -> StoredNames:
    """Return the names of the cells, of which a chunk at a time is read once one is looked at."""
    what = f"{path}: the names in obs"
    index = obs[obs.attrs["_index"]]
    is_array = not hasattr(index, "keys")  # otherwise some may be missing, or they are stored as categories
    stored = cache(lambda: _Buffered(index, what) if is_array else _read(index))

    def read(start: int, stop: int) -> list[str]:
        with naming_damage(what):
            return as_text(stored()[start:stop])

    return StoredNames(index_length(obs), read)


def _check_names(table: Any, what: str) -> None:
    """Refuse names of cells or genes of which chunks are missing: zarr reads them as empty texts."""
    index = table[table.attrs["_index"]]
    if hasattr(index, "keys") and "values" in index:  # names of which some may be missing have a mask beside them
        index = index["values"]
    if not hasattr(index, "keys") and (missing := (chunks := StoredChunks(index, what)).missing):
        refuse_missing(what, len(missing), chunks.count)


def _notes(element: Any, source: str) -> list[str]:
    """Return what is to be said of a dense matrix with chunks that are not there: perhaps they held zeros only."""
    if hasattr(element, "keys") or not (missing := (chunks := StoredChunks(element, source)).missing):
        return []
    note = (
        f"{source} is stored dense, and {len(missing):,} of its {chunks.count:,} chunks are not there: they are taken "
        "for zeros, which zarr need not store. If files were lost, copy the store again."
    )
    return [note]


def _buffered(element: Any, source: str) -> Any:
    if not hasattr(element, "keys"):
        return _Buffered(element, source)
    return _Group(element, source) if element.attrs.get("encoding-type") in SPARSE else element


class _Group:
    """The arrays of a sparse matrix."""

    def __init__(self, group: Any, source: str) -> None:
        self.attrs = group.attrs
        self._arrays = {name: _Buffered(group[name], source) for name in ("data", "indices", "indptr")}
        minor = int(self.attrs["shape"][1 if self.attrs["encoding-type"] == "csr_matrix" else 0])
        chunks = {name: array.chunks for name, array in self._arrays.items()}
        check_compressed(self._arrays, chunks, minor=minor, source=source)

    def __getitem__(self, name: str) -> _Buffered:
        return self._arrays[name]


class _Buffered:
    """An array that is read along its first axis; the chunk at the end is kept, so that it is unpacked once."""

    def __init__(self, array: Any, source: str) -> None:
        self._array = array
        self.attrs, self.shape, self.dtype = array.attrs, array.shape, np.dtype(array.dtype)
        self.chunks = StoredChunks(array, source)
        self._held = HeldRows(self._read, shape=self.shape, dtype=self.dtype, chunk=array.chunks[0])

    def __getitem__(self, key: int | slice) -> npt.NDArray[Any]:
        if isinstance(key, int):
            return np.asarray(self._array[key])
        return self._held.rows(*key.indices(self.shape[0])[:2])

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        rows = self._array[start:stop]
        self.chunks.check(start, stop)
        return np.asarray(rows)
