"""The ``.h5`` files of 10x Genomics' Cell Ranger, version 2 (a group for each genome) and 3 (``matrix``).

They hold genes × cells by columns (CSC), which are the rows of cells × genes (CSR): they are read in place.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.h5ad import import_io
from scinn_infer.inputs.matrix import GENE_IDS, GENE_SYMBOLS, FileMatrix
from scinn_infer.inputs.names import as_text
from scinn_infer.storage import open_csr

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    import numpy.typing as npt

    from scinn_infer.storage import Rows, Storage

GENE_EXPRESSION = "Gene Expression"
"""The feature type that is read."""

FEATURE_TYPES = "feature_types"

_COLUMNS_2 = {GENE_IDS: "genes", GENE_SYMBOLS: "gene_names"}
_COLUMNS_3 = {GENE_IDS: "id", GENE_SYMBOLS: "name", FEATURE_TYPES: "feature_type", "genome": "genome"}
"""Names of the columns in ``var``, as scanpy gives them, and in the file."""


def open_tenx_h5(path: Path) -> FileMatrix:
    """Open the gene expression of a Cell Ranger ``.h5`` file (cells × genes); genes are named by their symbols.

    Raises
    ------
    ScinnError
        If it is damaged, holds several genomes in groups of their own, or no gene expression.
    """
    file = import_io("reading").File(path, "r")
    try:
        with naming_damage(str(path)):
            return _open(file, path)
    except BaseException:
        file.close()
        raise


def _open(file: h5py.File, path: Path) -> FileMatrix:
    name = _only_group(file, path)
    group, source = file[name], f"{path}: {name}"
    genes, cells = (int(length) for length in group["shape"][:])
    storage = open_csr(group, (cells, genes), source=source)
    table, names = (group["features"], _COLUMNS_3) if "features" in group else (group, _COLUMNS_2)
    columns = {column: as_text(table[name][:]) for column, name in names.items() if name in table}
    storage, columns, notes = only_genes(storage, columns, source=source)
    return FileMatrix(
        path,
        source=source,
        storage=storage,
        genes=columns[GENE_SYMBOLS],
        cells=as_text(group["barcodes"][:]),
        columns=columns,
        notes=notes,
        close=file.close,
    )


def _only_group(file: h5py.File, path: Path) -> str:
    names = [name for name, group in file.items() if hasattr(group, "keys") and "barcodes" in group]
    if len(names) > 1:
        msg = (
            f"{path} holds the genomes {', '.join(names)}, and a model knows genes of one. Write the one you want to a "
            f'file of its own: scanpy.read_10x_h5("{path.name}", genome="{names[0]}").write_h5ad("{names[0]}.h5ad")'
        )
        raise ScinnError(msg)
    return names[0]


def only_genes(
    storage: Storage, columns: dict[str, list[str]], *, source: str
) -> tuple[Storage, dict[str, list[str]], tuple[str, ...]]:
    """Return what is gene expression of a matrix (cells × features), and what is to be said of the rest.

    Parameters
    ----------
    storage
        The matrix.
    columns
        What is known of the features; where their types are not, all are genes.
    source
        How messages name the matrix.

    Raises
    ------
    ScinnError
        If there is no gene expression.
    """
    types = columns.get(FEATURE_TYPES)
    if types is None or not types:
        return storage, columns, ()
    keep = np.flatnonzero(np.array(types) == GENE_EXPRESSION)
    others = ", ".join(f"{count:,} of {kind}" for kind, count in Counter(types).items() if kind != GENE_EXPRESSION)
    if not keep.size:
        msg = f"{source} holds no {GENE_EXPRESSION}, but {others}. Give the file with the genes."
        raise ScinnError(msg)
    if keep.size == len(types):
        return storage, columns, ()
    note = f"{source} holds other features besides {keep.size:,} genes: {others}. They are left out."
    kept = {name: [values[position] for position in keep] for name, values in columns.items()}
    return _SomeColumns(storage, keep), kept, (note,)


class _SomeColumns:
    """Some of a matrix's columns."""

    def __init__(self, storage: Storage, keep: npt.NDArray[np.intp]) -> None:
        self._all, self._keep = storage, keep
        self.shape = (storage.shape[0], keep.size)
        self.dtype: np.dtype[Any] = storage.dtype
        self.storage = storage.storage

    @property
    def stored(self) -> int:
        """Number of stored entries, at most."""
        return self._all.stored

    def rows(self, start: int, stop: int) -> Rows:
        return self._all.rows(start, stop)[:, self._keep]

    def close(self) -> None:
        self._all.close()
