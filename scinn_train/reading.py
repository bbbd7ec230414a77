"""Where a training matrix comes from, a file, an array or an AnnData, and its rows, once from first to last."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.anndata import matrix_of
from scinn_infer.checks import check_unmasked
from scinn_infer.errors import ScinnError
from scinn_infer.gene_table import GeneTable
from scinn_infer.genes import look_like_ids
from scinn_infer.inputs.matrix import GENE_IDS
from scinn_infer.inputs.opening import open_matrix
from scinn_infer.lazy import as_lazy
from scinn_infer.storage import StoredRows

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from scinn_infer.storage import Rows

ROWS_AT_ONCE = 1024
"""Cells that are read together; the chunks of a dask array are what they are."""

_KNOWN_BEFORE = ("csr", "csc")  # storages that say how many entries they have before a pass through them


@dataclass(frozen=True)
class ReferenceMatrix:
    """A training matrix as it is given, and what its genes and cells are called.

    Attributes
    ----------
    X
        The matrix (cells × genes): an array, a scipy sparse matrix, what an AnnData refers to in a file or in dask, or
        an open :class:`scinn_infer.inputs.ExpressionMatrix`.
    genes
        Names of the genes.
    cells
        Names of the cells, where known.
    gene_ids
        Ensembl ids of the genes, where known.
    source
        How messages name the matrix.
    notes
        What was found in the file besides and is left out, each a sentence.
    """

    X: Any
    genes: Sequence[str]
    cells: Sequence[str] | None
    gene_ids: Sequence[str] | None
    source: str
    notes: tuple[str, ...] = ()


@contextmanager
def open_reference(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    transpose: bool = False,
    gene_column: str | None = None,
    gene_ids: str | None = None,
) -> Iterator[ReferenceMatrix]:
    """Open the training matrix of a file or folder, in any format that :func:`scinn_infer.inputs.open_matrix` tells.

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

    Raises
    ------
    ScinnError
        If it cannot be read; the message says why.
    """
    with open_matrix(path, layer=layer, transpose=transpose, gene_column=gene_column) as matrix:
        ids = _gene_ids(matrix.gene_table, gene_ids)
        yield ReferenceMatrix(matrix, matrix.genes, matrix.cell_names, ids, matrix.source, tuple(matrix.notes))


def from_anndata(adata: Any, *, layer: str | None, gene_column: str | None, source: str) -> ReferenceMatrix:
    """Return the matrix of an AnnData object, in memory or backed by a file, with the names that the object knows.

    Raises
    ------
    ScinnError
        If there is no such layer, or no such column of names.
    """
    names = GeneTable(read=lambda: adata.var, source=source, option="gene_column={!r}", column=gene_column).names()
    ids = known_gene_ids(adata.var, names_from_column=gene_column is not None)
    return ReferenceMatrix(matrix_of(adata, layer), names, list(adata.obs_names), ids, source)


@dataclass(frozen=True)
class RowBlocks:
    """A matrix (cells × genes) that is gone through once.

    Attributes
    ----------
    shape, dtype
        Of the matrix.
    stored
        Number of stored entries, where it is known before.
    blocks
        Some cells at a time, from first to last (cells × genes), as they are stored.
    """

    shape: tuple[int, int]
    dtype: Any
    stored: int | None
    blocks: Iterator[Rows]


@contextmanager
def in_blocks(X: Any, *, source: str) -> Iterator[RowBlocks]:
    """Give the rows of a matrix wherever it is; see :class:`ReferenceMatrix`.

    Raises
    ------
    ScinnError
        If it is not two-dimensional, or lies in a file that is damaged.
    """
    if not hasattr(X, "shape") or len(X.shape) != 2:
        found = f"of shape {X.shape}" if hasattr(X, "shape") else f"of type {type(X).__name__}"
        msg = f"{source} is {found}. Give a numpy array or scipy sparse matrix, cells × genes."
        raise ScinnError(msg)
    check_unmasked(X, source=source)
    if isinstance(X, StoredRows):
        matrix: Any = X
        stored = matrix.stored if matrix.storage in _KNOWN_BEFORE else None
        yield RowBlocks(matrix.shape, matrix.dtype, stored, matrix.chunks(ROWS_AT_ONCE))
    elif (lazy := as_lazy(X, source=source)) is not None:
        with closing(lazy):
            yield RowBlocks(lazy.shape, lazy.dtype, None, lazy.chunks())
    else:
        rows, stored = (_as_csr(X), int(X.nnz)) if sparse.issparse(X) else (np.asarray(X), None)
        starts = range(0, rows.shape[0], ROWS_AT_ONCE)
        yield RowBlocks(rows.shape, rows.dtype, stored, (rows[start : start + ROWS_AT_ONCE] for start in starts))


def _as_csr(X: Any) -> Any:
    """Return a sparse matrix by rows. What adds up entries on the way must not do so in a small integer type."""
    small = X.format == "coo" and X.dtype.kind in "bui"
    return (X.astype(np.int64) if small else X).tocsr()


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
