"""The section on each cell: how sure the model is of its cluster, and how far it lies from the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.report.page import Figure, Finding, Panel, Section, Table
from scinn_infer.report.style import AFTER, BEFORE, new_plot

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.report.cell_quality import CellQuality

BINS = 50
SURE = 0.5
"""Confidence under which a cluster is a guess."""

MANY = 0.2
"""Share of cells from which doubtful ones deserve a look."""

TITLE = "Cell by cell"


def section(quality: CellQuality) -> Section | None:
    """Draw what is known of the cells; None where nothing is."""
    panels, told = [], []
    if quality.confidence is not None:
        panels.append(_histogram("Confidence", quality.confidence, "confidence in the cluster", SURE))
        told.append(f"{_share(quality.confidence < SURE)} of the cells have a confidence below {SURE}.")
    if quality.drift is not None:
        panels.append(_histogram("Drift", quality.drift, "distance from the training data", quality.drifted))
        if quality.drifted is not None:
            told.append(
                f"{_share(quality.drift > quality.drifted)} of the cells lie further away than {quality.drifted:g}."
            )
    blocks: list[Figure | Table] = []
    if panels:
        blocks.append(
            Figure(
                panels,
                caption=(
                    "All cells of the batch. Good: confidence near 1 and drift near that of the training data. Cells "
                    "far away, or of no clear cluster, are of a kind that the model has not seen: their filled values "
                    "are guesses."
                ),
                finding=" ".join(told),
            )
        )
    if quality.cluster is not None:
        blocks.append(_clusters(quality.cluster, quality.confidence, quality.drift))
    return Section(TITLE, blocks) if blocks else None


def findings(quality: CellQuality) -> list[Finding]:
    """Return what of it belongs at the top of a page."""
    found = []
    if quality.confidence is not None:
        share = float(np.mean(quality.confidence < SURE))
        found.append(Finding(f"The model is unsure of the cluster of {_percent(share)} of the cells.", share <= MANY))
    if quality.drift is not None and quality.drifted is not None:
        share = float(np.mean(quality.drift > quality.drifted))
        found.append(Finding(f"{_percent(share)} of the cells lie far from the training data.", share <= MANY))
    return found


def _histogram(title: str, values: npt.NDArray[Any], label: str, line: float | None) -> Panel:
    counts, edges = np.histogram(values[np.isfinite(values)], BINS)
    plot = new_plot(x=label, y="cells", height=240)
    plot.quad(top=counts, bottom=0, left=edges[:-1], right=edges[1:], color=BEFORE, line_color="#ffffff")
    if line is not None:
        plot.line([line, line], [0, max(int(counts.max()), 1)], color=AFTER, line_dash="dashed", line_width=2)
    plot.y_range.start = 0
    return Panel(title, plot)


def _clusters(cluster: npt.NDArray[Any], confidence: npt.NDArray[Any] | None, drift: npt.NDArray[Any] | None) -> Table:
    header = ["cluster", "cells", "share"]
    known = [(name, values) for name, values in (("confidence", confidence), ("drift", drift)) if values is not None]
    rows = []
    for group in np.unique(cluster):
        there = cluster == group
        row = [str(group), f"{there.sum():,}", _share(there)]
        rows.append(row + [f"{float(np.nanmedian(values[there])):.2f}" for _, values in known])
    return Table([*header, *(f"{name}, median" for name, _ in known)], rows, caption="Cells in each training cluster.")


def _share(where: npt.NDArray[np.bool_]) -> str:
    return _percent(float(np.mean(where)))


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"
