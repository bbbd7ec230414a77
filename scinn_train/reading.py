"""Read a reference from a file: the expression as one sparse matrix, and what the genes are called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scipy import sparse

from scinn_infer.genes import look_like_ids
from scinn_infer.inputs.matrix import GENE_IDS
from scinn_infer.inputs.opening import open_matrix
from scinn_infer.progress import track

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from scinn_infer.gene_table import GeneTable

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
        Ensembl ids of the genes, if the file has them, in a column ``gene_ids`` of ``var`` for one.
    source
        How messages name the matrix.
    """

    X: sparse.csr_array
    genes: list[str]
    cells: list[str]
    gene_ids: list[str] | None
    source: str


def read_reference(
    path: Path,
    *,
    layer: str | None = None,
    transpose: bool = False,
    gene_column: str | None = None,
    gene_ids: str | None = None,
    progress: bool = False,
) -> ReferenceFile:
    """Read the training matrix of a file or folder, in any format that :func:`scinn_infer.inputs.open_matrix` tells.

    Parameters
    ----------
    path
        The file or folder.
    layer
        The layer to read; ``X`` if None.
    transpose
        Whether the rows of a table (``.csv``, ``.tsv``) are the genes, not the cells.
    gene_column
        Column of ``var`` with the names of the genes; its index if None.
    gene_ids
        Column of ``var`` with their Ensembl ids. If None, ``gene_ids`` where there is such a column; otherwise the
        index, where the names come from a column and the index holds ids.
    progress
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ScinnError
        If it cannot be read; the message says why.
    """
    with open_matrix(path, layer=layer, transpose=transpose, gene_column=gene_column) as matrix:
        genes, ids = matrix.genes, _gene_ids(matrix.gene_table, gene_ids)
        read = track(
            matrix.chunks(_ROWS_AT_ONCE),
            description="reading",
            total=matrix.shape[0],
            size=lambda rows: rows.shape[0],
            enabled=progress,
        )
        chunks = [sparse.csr_array(rows) for rows in read]
        X = sparse.csr_array(sparse.vstack(chunks, format="csr"))
        return ReferenceFile(X, genes, matrix.cells, ids, matrix.source)


def _gene_ids(table: GeneTable, column: str | None) -> list[str] | None:
    if column is not None:
        return replace(table, column=column, option="--gene-ids {}").names()
    var = table.read()
    return known_gene_ids(var, names_from_column=table.column is not None)


def known_gene_ids(var: pd.DataFrame, *, names_from_column: bool) -> list[str] | None:
    """Return the Ensembl ids that ``var`` (genes × columns) holds for the genes, as far as nobody said where; or None.

    Parameters
    ----------
    var
        The table.
    names_from_column
        Whether the names of the genes come from another column: the index may hold the ids then.
    """
    if GENE_IDS in var.columns:
        return [str(value) for value in var[GENE_IDS]]
    index = [str(name) for name in var.index]
    return index if names_from_column and look_like_ids(index) else None
