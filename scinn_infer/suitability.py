"""Would a model fit a new batch: it is held against what the model was trained on, before anything is computed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scinn_infer.batch import Batch, check_sample, tell_empty_cells
from scinn_infer.cell_quality import QualityRecorder
from scinn_infer.checks import check_chunk, check_exact
from scinn_infer.drift import can_judge, judge
from scinn_infer.errors import RoomError, ScinnError, ScinnWarning
from scinn_infer.genes import REFUSE, match_genes
from scinn_infer.progress import busy, track
from scinn_infer.summary import (
    DEPTH_FACTOR,
    Tally,
    lies_far,
    profile_correlation,
    tell_profile,
    training_summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scinn_infer.contract import Spread
    from scinn_infer.drift import Drift
    from scinn_infer.genes import GeneMatch
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.model import Model
    from scinn_infer.storage import Rows
    from scinn_infer.summary import BatchSummary

CHUNK = 512
"""Cells that are looked at together."""

GENES_FACTOR = 2.0
"""How far the median number of genes seen in a cell may lie outside of the middle 90 % of the training cells; it grows
more slowly than the depth."""

ZERO_FRACTION_DIFFERENCE = 0.2
"""How far the share of zeros may lie from that of the training data."""

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
    drift
        How many cells are unlike the training data, and what that says of the batch; None for a batch that is refused,
        or where the model file has no cell reference.
    """

    match: GeneMatch
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    batch: BatchSummary | None = None
    training: BatchSummary | None = None
    profile_correlation: float | None = None
    drift: Drift | None = None

    @property
    def verdict(self) -> str:
        """``"fits"``, ``"usable with warnings"`` or ``"refused"``."""
        if self.refusals:
            return "refused"
        return "usable with warnings" if self.warnings else "fits"


def examine(
    model: Model,
    matrix: ExpressionMatrix,
    *,
    duplicates: str = REFUSE,
    unit_checked: bool = False,
    progress: bool = False,
) -> Suitability:
    """Hold a batch against a model: its genes, its unit, its values, and its numbers against the training data's.

    Parameters
    ----------
    model
        The model; it looks at each cell, and imputes none.
    matrix
        The batch; all of its cells are read.
    duplicates
        Whether columns that name the same gene of the model are refused or summed: ``"refuse"`` or ``"sum"``.
    unit_checked
        Whether the batch is known to be in the model's unit: it is not refused then where it looks like logarithms.
    progress
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ScinnError
        If there is no room to re-order the batch, which is no verdict on it.
    """
    info = model.info
    match = match_genes(
        info,
        matrix.genes,
        source=matrix.source,
        duplicates=duplicates,
        table=matrix.gene_table,
        cell_names=matrix.cell_names,
    )
    known = Batch(
        genes=matrix.genes,
        match=match,
        unit=info.unit,
        source=matrix.source,
        cell_names=matrix.cell_names,
        unit_checked=unit_checked,
    )
    with busy("looking at some cells", enabled=progress):  # of a matrix stored by columns, this re-orders all
        refusals, cautions = _look_at_sample(matrix, known)
    if match.problem:
        refusals.insert(0, match.problem)
    if match.warning:
        cautions.insert(0, match.warning)
    if refusals:
        return Suitability(match=match, refusals=tuple(refusals), warnings=tuple(cautions))
    try:
        batch, drift = _look_at_all(model, matrix, known, progress=progress)
        empty = tell_empty_cells(batch.empty_cells, cells=batch.cells, source=matrix.source)
    except RoomError:  # it is no fault of the batch
        raise
    except ScinnError as error:
        return Suitability(match=match, refusals=(str(error),), warnings=tuple(cautions))
    training = training_summary(info, match)
    correlation = profile_correlation(batch.gene_mean, training.gene_mean)
    if drift and drift.different:
        cautions.append(drift.sentence(info, matrix.source))
    cautions += differences(batch, training, correlation, told=drift.cause if drift and drift.different else "")
    if batch.empty_cells > EMPTY_SHARE * batch.cells:
        cautions.append(empty)
    return Suitability(
        match=match,
        warnings=tuple(cautions),
        batch=batch,
        training=training,
        profile_correlation=correlation,
        drift=drift,
    )


def _look_at_all(
    model: Model, matrix: ExpressionMatrix, known: Batch, *, progress: bool
) -> tuple[BatchSummary, Drift | None]:
    """Sum a batch up and have the model look at each cell, where that tells something, in one pass."""
    tally = Tally(known.match)
    chunks = track(
        _tallied(matrix, tally),
        description="checking",
        total=matrix.shape[0],
        size=lambda rows: rows.shape[0],
        enabled=progress,
    )
    if not can_judge(model.info):
        for _ in chunks:
            pass
        return tally.summary(), None
    recorder = QualityRecorder(model.info)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScinnWarning)  # what there is to warn of is told from the summary
        model.record(chunks, replace(known, unit_checked=True), recorder)
    return tally.summary(), judge(recorder.profile, model.info, known.match)


def differences(
    batch: BatchSummary, training: BatchSummary, correlation: float | None, *, told: str = ""
) -> Iterator[str]:
    """Yield in what a batch lies far from the training data, each a sentence.

    Parameters
    ----------
    batch, training
        The two in numbers, over the genes that both have.
    correlation
        That of their mean profiles.
    told
        Cause that the verdict on the drift has told already; nothing is said of it again.
    """
    if told not in ("depth", "unit"):
        yield from _far("depth", batch.depth.median, training.depth, factor=DEPTH_FACTOR)
    yield from _far(
        "number of genes in a cell", batch.genes_per_cell.median, training.genes_per_cell, factor=GENES_FACTOR
    )
    yield from _zeros(batch, training)
    if told not in ("tissue or species", "gene names"):
        yield from filter(None, [tell_profile(correlation)])


def _look_at_sample(matrix: ExpressionMatrix, known: Batch) -> tuple[list[str], list[str]]:
    """Return what is wrong with some cells, and what deserves a look."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ScinnWarning)
        try:
            check_sample(matrix.sample(), known)
        except RoomError:
            raise
        except ScinnError as error:
            return [str(error)], []
    return [], [str(caution.message) for caution in caught if issubclass(caution.category, ScinnWarning)]


def _tallied(matrix: ExpressionMatrix, tally: Tally) -> Iterator[Rows]:
    """Yield all cells, once their values are found to be sound and are summed up."""
    start = 0
    for rows in matrix.chunks(CHUNK):
        check_chunk(rows, genes=matrix.genes, first_cell=start, cell_names=matrix.cell_names, source=matrix.source)
        check_exact(rows, source=matrix.source)
        tally.add(rows)
        yield rows
        start += rows.shape[0]


def _far(what: str, value: float, usual: Spread, *, factor: float) -> Iterator[str]:
    if lies_far(value, usual, factor=factor):
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
