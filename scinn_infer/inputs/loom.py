"""Loom files: HDF5 with a dense matrix genes × cells, which is read across its chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.h5ad import import_io
from scinn_infer.held_rows import HeldRows
from scinn_infer.inputs.matrix import GENE_IDS, FileMatrix
from scinn_infer.inputs.names import as_text, look_like_genes
from scinn_infer.inputs.spool import Spooled
from scinn_infer.storage import check_filters, unpacked_together, working_dtype
from scinn_infer.unchanged import watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import h5py
    import numpy.typing as npt

    from scinn_infer.inputs.spool import Entry
    from scinn_infer.storage import Storage

GENE_NAMES, CELL_NAMES = ("Gene", "var_names"), ("CellID", "obs_names")
"""Attributes with names, as the format has them and as anndata writes them."""

ACCESSION = "Accession"
"""Where the format keeps Ensembl ids."""

WIDEST_CHUNK = 1024
"""Cells of a chunk up to which the matrix is read in place; wider ones would be unpacked again and again."""

ENTRIES_AT_A_TIME = 1 << 20


def open_loom(path: Path, *, layer: str | None, temporary_folder: Path) -> FileMatrix:
    """Open the main matrix or a layer of a loom file (cells × genes).

    Raises
    ------
    ScinnError
        If it is damaged, has no such layer, or no names.
    """
    file = import_io("reading").File(path, "r")
    try:
        with naming_damage(str(path)):
            return _open(file, path, layer, temporary_folder)
    except BaseException:
        file.close()
        raise


def _open(file: h5py.File, path: Path, layer: str | None, folder: Path) -> FileMatrix:
    layers = list(file["layers"]) if "layers" in file else []
    if layer is not None and layer not in layers:
        listed = f"It has the layers: {', '.join(layers)}." if layers else "It has no layers."
        msg = f"{path} has no layer {layer!r}. {listed}"
        raise ScinnError(msg)
    source = f"{path}: matrix" if layer is None else f"{path}: layer {layer!r}"
    dataset = file["matrix"] if layer is None else file["layers"][layer]
    columns = _texts(file["row_attrs"])
    genes = _names(columns, GENE_NAMES, f"{path}: row_attrs")
    if look_like_genes(columns.get(ACCESSION, [])):
        columns.setdefault(GENE_IDS, columns[ACCESSION])
    return FileMatrix(
        path,
        source=source,
        storage=_storage(dataset, source, folder),
        genes=genes,
        cells=_names(_texts(file["col_attrs"]), CELL_NAMES, f"{path}: col_attrs"),
        columns=columns,
        close=file.close,
    )


def _texts(group: h5py.Group) -> dict[str, list[str]]:
    """Return the attributes of genes or cells that are text."""
    return {
        name: as_text(values[:])
        for name, values in group.items()
        if getattr(values, "ndim", 0) == 1 and values.dtype.kind in "SO"
    }


def _names(there: dict[str, list[str]], candidates: tuple[str, ...], source: str) -> list[str]:
    for name in candidates:
        if name in there:
            return there[name]
    listed = ", ".join(there) or "nothing in words"
    msg = f"{source} has no {' and no '.join(candidates)}, but {listed}. Store the names under {candidates[0]}."
    raise ScinnError(msg)


def _storage(dataset: h5py.Dataset, source: str, folder: Path) -> Storage:
    if getattr(dataset, "ndim", 0) != 2:
        msg = f"{source} is no matrix. Write the file again."
        raise ScinnError(msg)
    check_filters(dataset, source)
    storage: Storage = _Across(dataset, source)
    if dataset.chunks is not None and dataset.chunks[1] > WIDEST_CHUNK:
        shape, dtype = storage.shape, storage.dtype
        storage = Spooled(lambda: _by_gene(dataset), shape=shape, dtype=dtype, storage="by gene", folder=folder)
    return watched(storage, dataset.file, source=source)


class _Across:
    """Cells × genes of a dataset of genes × cells."""

    storage = "dense"

    def __init__(self, dataset: h5py.Dataset, source: str) -> None:
        self.shape = (int(dataset.shape[1]), int(dataset.shape[0]))
        self.dtype = working_dtype(dataset.dtype, source)
        self.stored = self.shape[0] * self.shape[1]
        together = unpacked_together(dataset, axis=1)
        self._held = HeldRows(
            lambda *cells: dataset[:, slice(*cells)].T, shape=self.shape, dtype=dataset.dtype, chunk=together
        )

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        return np.ascontiguousarray(self._held.rows(start, stop), dtype=self.dtype)

    def close(self) -> None:
        pass


def _by_gene(dataset: h5py.Dataset) -> Iterator[Entry]:
    genes = max(1, ENTRIES_AT_A_TIME // dataset.shape[1])
    for start in range(0, dataset.shape[0], genes):
        block = dataset[start : start + genes]
        gene, cell = np.nonzero(block)
        yield cell, gene + start, block[gene, cell]
