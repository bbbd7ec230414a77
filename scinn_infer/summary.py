"""A batch in numbers, over the genes that a model knows, and the same numbers for what the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.contract import Spread

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.checks import Matrix
    from scinn_infer.contract import ModelInfo
    from scinn_infer.genes import GeneMatch

    Vector = npt.NDArray[np.float64]

DEPTH_FACTOR = 3.0
"""How far outside of the middle 90 % of the training cells the batch's median depth may lie. The network is told
relative expression, so depth as such matters little; but at a third of it, more is unseen than it ever learnt on."""

PROFILE_CORRELATION = 0.65
"""Correlation of the batch's mean expression per gene with the training data's under which the tissue is probably
another, or genes are named wrongly. Of the public data of ``scinn_train.datasets``, batches of one tissue reach 0.78 to
0.99, other tissues of the same species 0.26 to 0.60 (once 0.75, where the two share cell types)."""

PROFILE_GENES = 20
"""A correlation over fewer genes says little."""

PROFILE_DEPTH = 1e4
"""Depth to which mean profiles are brought before the logarithm is taken: the field's habit."""


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
            depth=spread_of(depth),
            genes_per_cell=spread_of(genes_per_cell),
            zero_fraction=1 - float(genes_per_cell.mean()) / self._total.size,
            gene_mean=self._total / depth.size,
        )


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


def profile_correlation(one: Vector, other: Vector) -> float | None:
    """Return how two mean profiles (genes,) correlate as ln(1 + mean per 10,000); None if it says little."""
    if one.size < PROFILE_GENES:
        return None
    one, other = _log_profile(one), _log_profile(other)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def tell_profile(correlation: float | None) -> str:
    """Return what is to be said of how two mean profiles correlate; empty if nothing."""
    if correlation is None or correlation >= PROFILE_CORRELATION:
        return ""
    return (
        f"The mean expression per gene correlates with the training data's by {correlation:.2f} only. Check that the "
        "batch is of the same tissue and species, and that its genes have the right names."
    )


def lies_far(value: float, usual: Spread, *, factor: float) -> bool:
    """Tell whether a number lies outside of what the middle 90 % of the training cells have, by more than a factor."""
    return not usual.q05 / factor <= value <= usual.q95 * factor


def spread_of(values: npt.NDArray[np.number]) -> Spread:
    """Return the five-number summary of a quantity."""
    return Spread(*(float(value) for value in np.quantile(values, (0, 0.05, 0.5, 0.95, 1))))


def _log_profile(gene_mean: Vector) -> Vector:
    total = gene_mean.sum()
    return np.log1p(gene_mean * (PROFILE_DEPTH / total)) if total > 0 else gene_mean


def _scaled(spread: Spread, factor: float) -> Spread:
    values = spread.minimum, spread.q05, spread.median, spread.q95, spread.maximum
    return Spread(*(value * factor for value in values))


def _share(values: Vector, there: npt.NDArray[np.bool_]) -> float:
    total = float(values.sum())
    return float(values[there].sum()) / total if total > 0 else float(there.mean())
