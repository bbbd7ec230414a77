"""A batch in numbers, over the genes that a model knows, and the same numbers for what the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.contract import Spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from scinn_infer.checks import Matrix
    from scinn_infer.contract import ModelInfo
    from scinn_infer.genes import GeneMatch

    Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BatchSummary:
    """A batch in numbers, over those of its genes that the model knows.

    Attributes
    ----------
    cells
        Number of cells.
    empty_cells
        Number of cells without any expression in these genes.
    depth
        Sum per cell over these genes, in the batch's unit.
    genes_per_cell
        Number of these genes with a non-zero entry per cell.
    zero_fraction
        Share of zero entries in the (cells × these genes) matrix.
    gene_mean
        Mean of each of these genes over the cells, in the batch's unit, in the model's order (genes,).
    """

    cells: int
    empty_cells: int
    depth: Spread
    genes_per_cell: Spread
    zero_fraction: float
    gene_mean: Vector


class Tally:
    """Sums a batch up as its rows come by; besides the chunk, memory holds two numbers for each cell.

    Parameters
    ----------
    match
        How the batch's genes match the model's.
    """

    def __init__(self, match: GeneMatch) -> None:
        self._selection = _selection(match)
        self._depths: list[Vector] = []
        self._seen: list[npt.NDArray[np.integer[Any]]] = []
        self._total = np.zeros(match.matched)

    def add(self, chunk: Matrix) -> None:
        """Take in some rows of the batch (cells × genes)."""
        known = sparse.csr_array(sparse.csr_array(chunk).astype(np.float64) @ self._selection)
        known.eliminate_zeros()
        self._depths.append(known.sum(axis=1))
        self._seen.append(np.diff(known.indptr))
        self._total += known.sum(axis=0)

    def summary(self) -> BatchSummary:
        """Return the numbers of all rows that were taken in, at least one."""
        depth, genes_per_cell = np.concatenate(self._depths), np.concatenate(self._seen)
        return BatchSummary(
            cells=depth.size,
            empty_cells=int((depth == 0).sum()),
            depth=_spread(depth),
            genes_per_cell=_spread(genes_per_cell),
            zero_fraction=1 - float(genes_per_cell.mean()) / self._total.size,
            gene_mean=self._total / depth.size,
        )


def summarise(chunks: Iterable[Matrix], match: GeneMatch) -> BatchSummary:
    """Summarise a batch in one pass.

    Parameters
    ----------
    chunks
        All rows of the batch (cells × genes), at least one.
    match
        How the batch's genes match the model's.
    """
    tally = Tally(match)
    for chunk in chunks:
        tally.add(chunk)
    return tally.summary()


def training_summary(info: ModelInfo, match: GeneMatch) -> BatchSummary:
    """Summarise what a model was trained on, in those of its genes that a batch has.

    The file holds the numbers for all of the model's genes. They are scaled to the genes that the batch has: the depth
    by their share of the mean expression, the genes per cell by their share of what a Poisson count of that mean shows.
    """
    data = info.training_data
    there = match.measured > 0
    mean = np.array(data.gene_mean)
    shown = -np.expm1(-mean)
    seen_share = _share(shown, there)
    zeros = 1 - (1 - data.zero_fraction) * seen_share * there.size / there.sum()
    return BatchSummary(
        cells=data.cells,
        empty_cells=0,
        depth=_scaled(data.depth, _share(mean, there)),
        genes_per_cell=_scaled(data.genes_per_cell, seen_share),
        zero_fraction=float(np.clip(zeros, 0, 1)),
        gene_mean=mean[there],
    )


def _selection(match: GeneMatch) -> sparse.csr_array:
    """Return what selects the model's genes in its order, and sums copies (genes × matched genes), as a product."""
    known = np.flatnonzero(match.columns >= 0)
    _, position = np.unique(match.columns[known], return_inverse=True)
    return sparse.csr_array((np.ones(known.size), (known, position)), shape=(match.columns.size, match.matched))


def _spread(values: npt.NDArray[np.number]) -> Spread:
    return Spread(*(float(value) for value in np.quantile(values, (0, 0.05, 0.5, 0.95, 1))))


def _scaled(spread: Spread, factor: float) -> Spread:
    values = spread.minimum, spread.q05, spread.median, spread.q95, spread.maximum
    return Spread(*(value * factor for value in values))


def _share(values: Vector, there: npt.NDArray[np.bool_]) -> float:
    total = float(values.sum())
    return float(values[there].sum()) / total if total > 0 else float(there.mean())
