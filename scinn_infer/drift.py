"""Is a batch of the tissue that a model knows: a verdict from how many of its cells are unlike the training data.

Another library or donor of the same tissue is never quite like the training data either. So the question is not whether
more cells are unlike than among the held-out training cells, but whether more are than is ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.summary import (
    DEPTH_FACTOR,
    PROFILE_CORRELATION,
    lies_far,
    profile_correlation,
    spread_of,
    tell_profile,
    training_summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from scinn_infer.contract import ModelInfo, Spread
    from scinn_infer.genes import GeneMatch
    from scinn_infer.summary import BatchSummary

UNLIKE = 0.95
"""Drift above which a cell counts as unlike the training data; of held-out training cells 5 % are above it."""

TOLERATED = 0.25
"""Share of unlike cells up to which a batch may be an ordinary one. Of the data that it was chosen on
(``docs/drift.md``), held-out cells of the tissue reach 0.03 to 0.12, and other tissues and species mostly 0.75
or more."""

SURE = 0.95
"""Probability from which a batch is said not to be of the tissue."""

LEAST_HELD_OUT = 19
"""With fewer held-out cells no drift is above 0.95."""

NAMES_CORRELATION = 0.15
"""Correlation of the mean profiles under which not even what all cells express agrees: the genes' names are wrong."""

PROFILE_CELLS = 50
"""Over fewer cells a mean profile says little of a tissue."""

EVEN_DEPTH = 0.05
"""Range of the depth, over its median, under which a batch seems to be normalised to one depth."""


class BatchProfile:
    """What tells a batch from the training data, added up while its cells stream by: a few numbers for each cell.

    Parameters
    ----------
    genes
        Number of the model's genes.
    """

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.unlike = 0
        self._gene_sum = np.zeros(genes)
        self._depths: list[npt.NDArray[np.float32]] = []  # a small number for each cell: the one thing that grows
        self._told = 0

    def add(
        self, gene_sum: npt.NDArray[np.float32], depth: npt.NDArray[np.float32], drift: npt.NDArray[np.float32] | None
    ) -> None:
        """Add cells: their expression summed by gene (model genes,) and by cell, and their drift, where known (cells,).

        Cells without any expression do not count.
        """
        self.cells += int(np.count_nonzero(depth))
        self._gene_sum += gene_sum
        self._depths.append(depth[depth > 0])
        if drift is not None:
            self.unlike += int((drift > UNLIKE).sum())  # false where it is missing

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was added up of the whole, by name, to be kept in a file."""
        return {"counts": np.array([self.cells, self.unlike]), "gene_sum": self._gene_sum}

    def new_depths(self) -> npt.NDArray[np.float32]:
        """Return the depths of the cells that were added since the last call, to be kept as well (cells,)."""
        new = np.concatenate([np.empty(0, np.float32), *self._depths[self._told :]])
        self._depths[self._told :] = [new]  # one array takes less than many
        self._told = len(self._depths)
        return new

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[Any]], depths: Iterable[npt.NDArray[np.float32]]
    ) -> BatchProfile:
        """Return a profile that goes on where another was, of which these are the arrays and the depths."""
        profile = cls(arrays["gene_sum"].size)
        profile.cells, profile.unlike = (int(count) for count in arrays["counts"])
        profile._gene_sum, profile._depths = arrays["gene_sum"], [*depths]
        profile._told = len(profile._depths)
        return profile

    @property
    def gene_mean(self) -> npt.NDArray[np.float64]:
        """Mean of each of the model's genes over the cells (model genes,)."""
        return self._gene_sum / max(self.cells, 1)

    @property
    def depth(self) -> Spread:
        """Sum over the model's genes per cell."""
        return spread_of(np.concatenate(self._depths))


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far a batch is from the tissue that a model knows.

    Attributes
    ----------
    cells
        Number of cells with any expression in the model's genes.
    unlike
        How many of them are unlike the training data: their drift is above 0.95.
    probability
        How sure it is that the batch is not of the tissue: the probability, given these cells and every share being as
        likely beforehand, that of all cells like them more than a quarter would be unlike.
    cause
        What it most likely is, if it is not of the tissue: ``"gene names"``, ``"tissue or species"``, ``"unit"``,
        ``"depth"``, or ``"cell types or technology"`` where none of these shows.
    explanation
        The same in words, with the numbers that tell.
    correlation
        How the mean expression per gene correlates with the training data's; None where that says nothing.
    """

    cells: int
    unlike: int
    probability: float
    cause: str
    explanation: str
    correlation: float | None = None

    @property
    def share(self) -> float:
        """Share of the cells that are unlike the training data; 0.05 among held-out training cells."""
        return self.unlike / self.cells

    @property
    def different(self) -> bool:
        """Whether the batch is said not to be of the tissue."""
        return self.probability >= SURE

    def sentence(self, info: ModelInfo, source: str) -> str:
        """Return the verdict on a batch in one sentence; empty where the batch looks like the tissue."""
        if not self.different:
            return ""
        sure = "more than 99.9%" if self.probability > 0.9995 else f"{self.probability:.1%}"
        return (
            f"{source} does not look like {_tissue(info)}: {self.share:.0%} of its {self.cells:,} cells are unlike the "
            f"training data, where {1 - UNLIKE:.0%} would be ({sure} sure); most likely {self.explanation}."
        )

    def document(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "cells": self.cells,
            "unlike": self.unlike,
            "share": self.share,
            "usual_share": round(1 - UNLIKE, 6),
            "tolerated_share": TOLERATED,
            "probability": self.probability,
            "different": self.different,
            "cause": self.cause if self.different else None,
        }


def judge(profile: BatchProfile, info: ModelInfo, match: GeneMatch) -> Drift | None:
    """Judge a batch whose cells have all been added up.

    Parameters
    ----------
    profile
        Its cells, added up.
    info
        What the model says about itself.
    match
        How the batch's genes match the model's.

    Returns
    -------
    Drift or None
        None where the model file has no reference of enough held-out cells, or the batch no cell with any expression.
    """
    if not can_judge(info) or not profile.cells:
        return None
    training = training_summary(info, match)
    correlation = profile_correlation(profile.gene_mean[match.measured > 0], training.gene_mean)
    cause, explanation = _explain(profile.depth, training, correlation)
    return Drift(
        cells=profile.cells,
        unlike=profile.unlike,
        probability=probability_of_more(profile.unlike, profile.cells),
        cause=cause,
        explanation=explanation,
        correlation=correlation,
    )


def find_doubt(profile: BatchProfile, info: ModelInfo, match: GeneMatch, *, source: str) -> str:
    """Return in one sentence why a batch does not look like the tissue that a model knows; empty where it does.

    Where the drift tells nothing, because the file has no reference, or genes are missing, or the training cells were
    shallow, the mean expression per gene still may.

    Parameters
    ----------
    profile, info, match
        As for :func:`judge`.
    source
        How the sentence, at its beginning, names the batch.
    """
    drift = judge(profile, info, match)
    if drift and drift.different:
        return drift.sentence(info, source)
    if profile.cells < PROFILE_CELLS:
        return ""
    told = tell_profile(
        profile_correlation(profile.gene_mean[match.measured > 0], training_summary(info, match).gene_mean)
    )
    return f"{source}: {told}" if told else ""


def can_judge(info: ModelInfo) -> bool:
    """Tell whether a model file has what a verdict takes."""
    return info.cell_reference is not None and info.cell_reference.held_out_cells >= LEAST_HELD_OUT


def probability_of_more(unlike: int, cells: int, *, tolerated: float = TOLERATED) -> float:
    """Return the probability that the share behind ``unlike`` of ``cells`` is above what is tolerated.

    The share's distribution is Beta(1 + unlike, 1 + cells - unlike): before a cell is seen, every share is as likely.
    """
    from scipy.special import betainc  # takes longer to import than all of this package

    return float(betainc(1 + cells - unlike, 1 + unlike, 1 - tolerated))


def _explain(depth: Spread, training: BatchSummary, correlation: float | None) -> tuple[str, str]:
    """Return what a batch that is not of the tissue most likely is, and the same in words."""
    usual = training.depth
    if correlation is not None and correlation < PROFILE_CORRELATION:
        told = f"the mean expression per gene correlates with the training data's by {correlation:.2f} only"
        if correlation < NAMES_CORRELATION:
            return "gene names", f"its genes have wrong names, since {told}"
        return "tissue or species", f"it is of another tissue or species, since {told}"
    if _range(depth) < EVEN_DEPTH < _range(usual) / 4:
        return (
            "unit",
            f"it is normalised, since its cells add up to {depth.median:,.0f} each: pass the values as counted",
        )
    if lies_far(depth.median, usual, factor=DEPTH_FACTOR):
        told = f"a cell adds up to {depth.median:,.0f}, where 90% of the training cells have {usual.q05:,.0f} to "
        return "depth", f"it is of another depth or unit, since {told}{usual.q95:,.0f}"
    agreement = "" if correlation is None else f", since the mean expression per gene agrees ({correlation:.2f})"
    return (
        "cell types or technology",
        f"it has cell types that the training data lacks, or is of another technology{agreement}",
    )


def _range(depth: Spread) -> float:
    return (depth.q95 - depth.q05) / depth.median if depth.median > 0 else 0.0


def _tissue(info: ModelInfo) -> str:
    known = " ".join(filter(None, (info.species, info.tissue)))
    return f"{known} ({info.unit})" if known else f"the tissue that the model knows ({info.unit})"
