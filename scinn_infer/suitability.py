"""Would a model fit a new batch: it is held against what the model was trained on, before anything is computed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.batch import Batch, check_sample, tell_empty_cells
from scinn_infer.checks import check_chunk, check_exact
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.genes import REFUSE, match_genes
from scinn_infer.progress import busy, track
from scinn_infer.summary import summarise, training_summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from scinn_infer.contract import ModelInfo, Spread
    from scinn_infer.genes import GeneMatch
    from scinn_infer.h5ad import H5adMatrix
    from scinn_infer.storage import Rows
    from scinn_infer.summary import BatchSummary

CHUNK = 512
"""Cells that are looked at together."""

DEPTH_FACTOR = 3.0
"""How far outside of the middle 90 % of the training cells the batch's median depth may lie. The network is told
relative expression, so depth as such matters little; but at a third of it, more is unseen than it ever learnt on."""

GENES_FACTOR = 2.0
"""The same for the median number of genes seen in a cell, which grows more slowly than the depth."""

ZERO_FRACTION_DIFFERENCE = 0.2
"""How far the share of zeros may lie from that of the training data."""

PROFILE_CORRELATION = 0.65
"""Correlation of the batch's mean expression per gene with the training data's under which the tissue is probably
another, or genes are named wrongly. Of the public data of ``scinn_train.datasets``, batches of one tissue reach 0.78 to
0.99, other tissues of the same species 0.26 to 0.60 (once 0.75, where the two share cell types)."""

PROFILE_GENES = 20
"""A correlation over fewer genes says little."""

PROFILE_DEPTH = 1e4
"""Depth to which mean profiles are brought before the logarithm is taken: the field's habit."""

EMPTY_SHARE = 0.05
"""Share of cells without any of the model's genes from which they are more than a few bad droplets."""


@dataclass(frozen=True, kw_only=True)
class Suitability:
    """Whether a model fits a batch, and why.

    Attributes
    ----------
    match
        What of the batch's genes the model knows.
    refusals
        Why the batch cannot be used, each a sentence.
    warnings
        What deserves a look although it can be used, each a sentence.
    batch, training
        The batch and the training data in numbers, over the genes that both have; None for a batch that is refused.
    profile_correlation
        How the mean expression per gene of the two correlates; None where that says nothing.
    """

    match: GeneMatch
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    batch: BatchSummary | None = None
    training: BatchSummary | None = None
    profile_correlation: float | None = None

    @property
    def verdict(self) -> str:
        """``"fits"``, ``"usable with warnings"`` or ``"refused"``."""
        if self.refusals:
            return "refused"
        return "usable with warnings" if self.warnings else "fits"


def examine(info: ModelInfo, matrix: H5adMatrix, *, duplicates: str = REFUSE, progress: bool = False) -> Suitability:
    """Hold a batch against a model: its genes, its unit, its values, and its numbers against the training data's.

    Parameters
    ----------
    info
        What the model says about itself.
    matrix
        The batch; all of its cells are read.
    duplicates
        Whether columns that name the same gene of the model are refused or summed: ``"refuse"`` or ``"sum"``.
    progress
        Whether to show a progress bar on a terminal.
    """
    match = match_genes(info, matrix.genes, source=matrix.source, duplicates=duplicates, table=matrix.gene_table)
    known = Batch(genes=matrix.genes, match=match, unit=info.unit, source=matrix.source, cell_names=matrix.cell_names)
    with busy("looking at some cells", enabled=progress):  # of a matrix stored by columns, this re-orders all
        refusals, cautions = _look_at_sample(matrix, known)
    if match.problem:
        refusals.insert(0, match.problem)
    if match.warning:
        cautions.insert(0, match.warning)
    if refusals:
        return Suitability(match=match, refusals=tuple(refusals), warnings=tuple(cautions))
    chunks = track(
        _checked(matrix),
        description="checking",
        total=matrix.shape[0],
        size=lambda rows: rows.shape[0],
        enabled=progress,
    )
    try:
        batch = summarise(chunks, match)
        empty = tell_empty_cells(batch.empty_cells, cells=batch.cells, source=matrix.source)
    except ScinnError as error:
        return Suitability(match=match, refusals=(str(error),), warnings=tuple(cautions))
    training = training_summary(info, match)
    correlation = profile_correlation(batch, training)
    cautions += differences(batch, training, correlation)
    if batch.empty_cells > EMPTY_SHARE * batch.cells:
        cautions.append(empty)
    return Suitability(
        match=match, warnings=tuple(cautions), batch=batch, training=training, profile_correlation=correlation
    )


def differences(batch: BatchSummary, training: BatchSummary, correlation: float | None) -> list[str]:
    """Return in what a batch lies far from the training data, each a sentence."""
    return [
        *_far("depth", batch.depth.median, training.depth, factor=DEPTH_FACTOR),
        *_far("number of genes in a cell", batch.genes_per_cell.median, training.genes_per_cell, factor=GENES_FACTOR),
        *_zeros(batch, training),
        *_profile(correlation),
    ]


def profile_correlation(batch: BatchSummary, training: BatchSummary) -> float | None:
    """Return the Pearson correlation of the two mean profiles, as log(1 + mean per 10,000)."""
    if batch.gene_mean.size < PROFILE_GENES:
        return None
    one, other = _log_profile(batch.gene_mean), _log_profile(training.gene_mean)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _log_profile(gene_mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = gene_mean.sum()
    return np.log1p(gene_mean * (PROFILE_DEPTH / total)) if total > 0 else gene_mean


def _look_at_sample(matrix: H5adMatrix, known: Batch) -> tuple[list[str], list[str]]:
    """Return what is wrong with some cells, and what deserves a look."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ScinnWarning)
        try:
            check_sample(matrix.sample(), known)
        except ScinnError as error:
            return [str(error)], []
    return [], [str(caution.message) for caution in caught if issubclass(caution.category, ScinnWarning)]


def _checked(matrix: H5adMatrix) -> Iterator[Rows]:
    start = 0
    for rows in matrix.chunks(CHUNK):
        check_chunk(rows, genes=matrix.genes, first_cell=start, cell_names=matrix.cell_names, source=matrix.source)
        check_exact(rows, source=matrix.source)
        yield rows
        start += rows.shape[0]


def _far(what: str, value: float, usual: Spread, *, factor: float) -> Iterator[str]:
    if not usual.q05 / factor <= value <= usual.q95 * factor:
        yield (
            f"The median {what} is {value:,.0f}; in the training data, 90 % of the cells have {usual.q05:,.0f} to "
            f"{usual.q95:,.0f}. Check the unit and how the cells were selected."
        )


def _zeros(batch: BatchSummary, training: BatchSummary) -> Iterator[str]:
    if abs(batch.zero_fraction - training.zero_fraction) > ZERO_FRACTION_DIFFERENCE:
        yield (
            f"{batch.zero_fraction:.0%} of the entries are zero; in the training data, {training.zero_fraction:.0%}. "
            "Check that the batch is of the same technology and not imputed already."
        )


def _profile(correlation: float | None) -> Iterator[str]:
    if correlation is not None and correlation < PROFILE_CORRELATION:
        yield (
            f"The mean expression per gene correlates with the training data's by {correlation:.2f} only. Check that "
            "the batch is of the same tissue and species, and that its genes have the right names."
        )
