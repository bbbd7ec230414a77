"""How alike the cells of a sample are, as heat maps in one order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import LinearColorMapper

from scinn_infer.report.page import Panel
from scinn_infer.report.sample import spaced
from scinn_infer.report.style import SEQUENTIAL, add_colour_bar, add_hover, name_ticks, new_plot

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.report.groups import Groups

    Array = npt.NDArray[np.float32]

CELLS = 160
"""Cells on each side of a heat map."""


def drawn_cells(groups: Groups) -> npt.NDArray[np.intp]:
    """Return the cells of a heat map, group by group and evenly spaced (cells,)."""
    order = groups.order
    return order[spaced(len(order), CELLS)]


def correlation(rows: npt.NDArray[Any]) -> Array:
    """Return the Pearson correlation of each pair of rows (cells × cells); zero for a row without any variance."""
    centred = rows.astype(np.float64) - rows.mean(axis=1, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return np.clip(unit @ unit.T, -1, 1).astype(np.float32)


def panel(title: str, similarity: Array, codes: npt.NDArray[np.intp], names: tuple[str, ...], *, axis: str) -> Panel:
    """Draw the similarity of cells (cells × cells), which stand group by group (cells,)."""
    cells = len(codes)
    off_diagonal = similarity[~np.eye(cells, dtype=bool)]
    low, high = np.percentile(off_diagonal, (2, 99.5)) if off_diagonal.size else (0.0, 1.0)
    mapper = LinearColorMapper(palette=SEQUENTIAL, low=float(low), high=max(float(high), float(low) + 1e-3))
    plot = new_plot(x=axis, y=axis, height=400, tools="box_zoom,reset,save", x_range=(0, cells), y_range=(cells, 0))
    drawn = plot.image([similarity], x=0, y=0, dw=cells, dh=cells, color_mapper=mapper)
    starts = np.searchsorted(codes, np.arange(len(names) + 1))
    inner = [float(start) for start in starts[1:-1] if 0 < start < cells]
    for line in inner:
        plot.line([line, line], [0, cells], color="#ffffff", line_width=0.7)
        plot.line([0, cells], [line, line], color="#ffffff", line_width=0.7)
    there = [group for group in range(len(names)) if starts[group + 1] - starts[group] >= cells / 40]
    places = [float(starts[group] + starts[group + 1]) / 2 for group in there]
    for side in (plot.xaxis[0], plot.yaxis[0]):
        name_ticks(side, places, [names[group] for group in there])
    plot.grid.grid_line_color = None
    add_hover(plot, [drawn], [("similarity", "@image{0.00}")])
    add_colour_bar(plot, mapper, "")
    return Panel(title, plot)


def within_and_between(similarity: Array, codes: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Return the mean similarity of pairs of one group, and of pairs of two; NaN where there are none."""
    same = codes[:, None] == codes
    other = ~same
    np.fill_diagonal(same, val=False)
    within, between = (float(similarity[pairs].mean()) if pairs.any() else float("nan") for pairs in (same, other))
    return within, between
