"""The section on each cell: how sure the model is of its cluster, and how far it lies from the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.cell_quality import NO_CLUSTER
from scinn_infer.drift import UNLIKE
from scinn_infer.report.page import Figure, Finding, Panel, Section, Table
from scinn_infer.report.style import AFTER, BEFORE, new_plot

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.cell_quality import CellQuality

BINS = 50
SURE = 0.5
"""Confidence under which a cluster is a guess."""

MANY = 0.2
"""Share of cells from which doubtful ones deserve a look."""

TITLE = "Cell by cell"
NO_CLUSTER_NAME = "none: no expression"


def section(quality: CellQuality | None) -> Section | None:
    """Draw what is known of the cells; None where nothing is."""
    if quality is None:
        return None
    panels = [_histogram("Confidence", quality.confidence, "confidence in the cluster", SURE)]
    told = [f"{_share(quality.confidence < SURE)} of the cells have a confidence below {SURE}."]
    if quality.drift is not None:
        label = "share of the held-out training cells that lie nearer"
        panels.append(_histogram("Drift", quality.drift, label, UNLIKE))
        told.append(
            f"{_share(quality.drift > UNLIKE)} of the cells have a drift above {UNLIKE}; of the tissue's own, "
            f"{_percent(1 - UNLIKE)} would."
        )
    caption = (
        "All cells of the batch. Good: confidence near 1, and drift spread evenly from 0 to 1. Cells of high drift, or "
        "of no clear cluster, are of a kind that the model has not seen: their filled values are guesses."
    )
    figure = Figure(panels, caption=caption, finding=" ".join(told))
    return Section(TITLE, [figure, _clusters(quality.cluster, quality.confidence, quality.drift)])


def findings(quality: CellQuality | None) -> list[Finding]:
    """Return what of it belongs at the top of a page."""
    if quality is None:
        return []
    unsure = float(np.mean(quality.confidence < SURE))
    found = [Finding(f"The model is unsure of the cluster of {_percent(unsure)} of the cells.", unsure <= MANY)]
    if quality.drift is not None:
        unlike = float(np.mean(quality.drift > UNLIKE))
        found.append(Finding(f"{_percent(unlike)} of the cells are unlike the training data.", unlike <= MANY))
    return found


def _histogram(title: str, values: npt.NDArray[Any], label: str, line: float) -> Panel:
    counts, edges = np.histogram(values[np.isfinite(values)], BINS, range=(0, 1))
    plot = new_plot(x=label, y="cells", height=240)
    plot.quad(top=counts, bottom=0, left=edges[:-1], right=edges[1:], color=BEFORE, line_color="#ffffff")
    plot.line([line, line], [0, max(int(counts.max()), 1)], color=AFTER, line_dash="dashed", line_width=2)
    plot.y_range.start = 0
    return Panel(title, plot)


def _clusters(cluster: npt.NDArray[Any], confidence: npt.NDArray[Any], drift: npt.NDArray[Any] | None) -> Table:
    header = ["cluster", "cells", "share"]
    known = [(name, values) for name, values in (("confidence", confidence), ("drift", drift)) if values is not None]
    rows = []
    for group in np.unique(cluster):
        there = cluster == group
        row = [NO_CLUSTER_NAME if group == NO_CLUSTER else str(group), f"{there.sum():,}", _share(there)]
        rows.append(row + [_median(values[there]) for _, values in known])
    return Table([*header, *(f"{name}, median" for name, _ in known)], rows, caption="Cells in each training cluster.")


def _median(values: npt.NDArray[Any]) -> str:
    """Return a median as text; of cells without expression nothing is known."""
    return "–" if np.isnan(values).any() else f"{float(np.median(values)):.2f}"


def _share(where: npt.NDArray[np.bool_]) -> str:
    return _percent(float(np.mean(where)))


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"
