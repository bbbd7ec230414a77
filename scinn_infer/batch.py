"""A batch as it comes: what is known of it besides its values, and what is looked at before any is computed on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scinn_infer.checks import check_chunk, check_unit, check_unmasked, stored_values
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.genes import REFUSE, gene_names, match_genes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scinn_infer.checks import Matrix
    from scinn_infer.columns import Rows
    from scinn_infer.contract import ModelInfo
    from scinn_infer.gene_table import GeneTable
    from scinn_infer.genes import GeneMatch

SAMPLE_PLACES, SAMPLE_CELLS = 8, 64
"""How many places a sample is taken from, and how many cells from each."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is known of a batch besides its values.

    Attributes
    ----------
    genes
        Names of its columns.
    match
        How they match the model's genes.
    unit
        The unit that the model expects.
    source
        How messages name the batch.
    cell_names
        Names of its rows, where known.
    unit_checked
        Whether the batch is known to be in that unit: its owner says so, or a sample from all over it was found to be.
        If not, its first cells have to tell.
    first_cell
        Position, in the whole of it, of the first cell that is passed; None if the whole is. Of a part nothing is said
        that is true of a whole only, such as that no cell has any expression.
    """

    genes: Sequence[str]
    match: GeneMatch
    unit: str
    source: str
    cell_names: Sequence[str] | None = None
    unit_checked: bool = False
    first_cell: int | None = None


def open_batch(
    info: ModelInfo,
    genes: Sequence[str],
    *,
    source: str,
    cell_names: Sequence[str] | None = None,
    duplicates: str = REFUSE,
    table: GeneTable | None = None,
    unit_checked: bool = False,
) -> Batch:
    """Return what is known of a batch for a model, once its genes are found to fit.

    Parameters
    ----------
    info, genes, source, duplicates, table
        As :func:`scinn_infer.genes.match_genes` takes them.
    cell_names
        Names of the rows, for messages.
    unit_checked
        Whether its owner knows that it is in the model's unit.

    Raises
    ------
    ScinnError
        If too few of the model's genes are there, or one of them twice and copies are not to be summed.

    Warns
    -----
    ScinnWarning
        If more than 20 % of the model's genes are missing, or many are written in another way.
    """
    names = gene_names(genes)
    match = match_genes(info, names, source=source, duplicates=duplicates, table=table, cell_names=cell_names)
    if match.problem:
        raise ScinnError(match.problem)
    if match.warning:
        warnings.warn(match.warning, ScinnWarning, stacklevel=3)
    return Batch(
        genes=names,
        match=match,
        unit=info.unit,
        source=source,
        cell_names=cell_names,
        unit_checked=unit_checked,
    )


def as_rows(X: Matrix, batch: Batch) -> Rows:
    """Return a matrix in a form that can be cut by rows, dense or CSR, once it is sound and as wide as the genes.

    Raises
    ------
    ScinnError
        If it is no such matrix.
    """
    if not isinstance(X, np.ndarray | sparse.sparray | sparse.spmatrix) or X.ndim != 2:
        found = type(X).__name__ + (f" of shape {X.shape}" if hasattr(X, "shape") else "")
        msg = f"{batch.source} is of type {found}; pass a numpy array or scipy sparse matrix, cells × genes."
        raise ScinnError(msg)
    if X.shape[1] != len(batch.genes):
        transposed = X.shape[0] == len(batch.genes)
        advice = "it seems to be transposed: pass X.T" if transposed else "pass one gene name for each column"
        msg = f"{batch.source} is {X.shape[0]:,} × {X.shape[1]:,}, with {len(batch.genes):,} gene names; {advice}."
        raise ScinnError(msg)
    check_unmasked(X, source=batch.source)
    if not X.dtype.isnative:
        X = X.astype(X.dtype.newbyteorder("="))
    if isinstance(X, np.ndarray):
        return np.asarray(X)
    rows = sparse.csr_array(X)
    try:
        rows.check_format(full_check=True)  # scipy would follow a wrong index anywhere in memory
    except ValueError as error:
        msg = f"{batch.source} is damaged: {error}. Read or build it again."
        raise ScinnError(msg) from error
    return rows


def sample_spans(cells: int) -> list[tuple[int, int]]:
    """Return from where to where a sample of so many cells is taken: some places spread over all of them."""
    last = max(cells - SAMPLE_CELLS, 0)
    starts = sorted({last * place // (SAMPLE_PLACES - 1) for place in range(SAMPLE_PLACES)})
    return [(start, min(start + SAMPLE_CELLS, cells)) for start in starts]


def sample_rows(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield a sample of a matrix (cells × genes), with the position of the first of each few cells."""
    for start, stop in sample_spans(rows.shape[0]):
        yield start, rows[start:stop]


def check_sample(sample: Iterable[tuple[int, Rows]], batch: Batch) -> bool:
    """Refuse a batch whose values, in some cells from all over it, cannot be expression in the model's unit.

    The cells are looked at together: some of them may hold none of the large values that tell counts from logarithms.
    Where the unit is known already, only values that no unit has are refused.

    Parameters
    ----------
    sample
        Some cells at a time (cells × genes), with the position of the first of them.
    batch
        What is known of the batch.

    Returns
    -------
    bool
        Whether the unit is known now: not where it was not, and the sample holds no expression at all.

    Raises
    ------
    ScinnError
        If there are negative, missing or infinite values, or logarithms.

    Warns
    -----
    ScinnWarning
        If the values do not look like that unit.
    """
    pieces = []
    for start, rows in sample:
        check_chunk(rows, genes=batch.genes, first_cell=start, cell_names=batch.cell_names, source=batch.source)
        pieces.append(stored_values(rows).ravel())
    if batch.unit_checked:
        return True
    values = np.concatenate(pieces)
    check_unit(values[:, None], unit=batch.unit, source=batch.source)
    return bool(values.any())


def tell_empty_cells(empty: int, *, cells: int, source: str) -> str:
    """Return what is to be said of cells that have no expression in the genes that the model knows; nothing if none.

    Raises
    ------
    ScinnError
        If all cells are like that.
    """
    if empty == cells:
        msg = (
            f"{source} holds nothing but zeros in the genes that the model knows. Check that it is the right matrix, "
            "and that the names are those of its columns."
        )
        raise ScinnError(msg)
    if not empty:
        return ""
    return (
        f"{source}: {empty:,} of {cells:,} cells have no expression in the model's genes; they are kept as they are. "
        "Filter the cells first, as for any analysis."
    )
