"""Read a reference from a file: the expression as one sparse matrix, and what the genes are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import sparse

from scinn_infer.h5ad import H5adMatrix

if TYPE_CHECKING:
    from pathlib import Path

GENE_ID_COLUMN = "gene_ids"
"""Column of ``var`` in which scanpy and 10x Genomics' readers put Ensembl ids."""

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ReferenceFile:
    """What was read.

    Attributes
    ----------
    X
        Expression as it is stored (cells × genes), CSR.
    genes, cells
        Names of the genes and of the cells.
    gene_ids
        Ensembl ids of the genes, if ``var`` has a column ``gene_ids``.
    source
        How messages name the matrix.
    """

    X: sparse.csr_array
    genes: list[str]
    cells: list[str]
    gene_ids: list[str] | None
    source: str


def read_reference(path: Path, *, layer: str | None = None) -> ReferenceFile:
    """Read the training matrix of an ``.h5ad`` file.

    Parameters
    ----------
    path
        The file.
    layer
        The layer to read; ``X`` if None.

    Raises
    ------
    ScinnError
        If it cannot be read; the message says why.
    """
    with H5adMatrix(path, layer=layer) as matrix:
        chunks = [sparse.csr_array(rows) for rows in matrix.chunks(_ROWS_AT_ONCE)]
        X = sparse.csr_array(sparse.vstack(chunks, format="csr"))
        return ReferenceFile(X, matrix.genes, matrix.cells, _gene_ids(path), matrix.source)


def _gene_ids(path: Path) -> list[str] | None:
    import h5py
    from anndata.io import read_elem

    with h5py.File(path) as file:
        if GENE_ID_COLUMN not in file["var"]:
            return None
        values = read_elem(file["var"][GENE_ID_COLUMN])
    return [str(value) for value in values]
