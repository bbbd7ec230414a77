"""Pictures of the cells before and after: principal components, and the cells in them by group and by gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import CDSView, ColumnDataSource, GroupFilter, LinearColorMapper
from scipy.sparse.linalg import svds

from scinn_infer.report.page import Figure, Panel
from scinn_infer.report.palette import COLOURS, MARKERS
from scinn_infer.report.style import SEQUENTIAL, add_hover, add_legend, new_plot, without_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.report.groups import Groups
    from scinn_infer.report.sample import CellSample

    Array = npt.NDArray[np.float32]

COMPONENTS = 10
FEWEST_CELLS = 5
"""Fewer make no picture."""

TOP_SHARE = 99.5
"""Percentile at which a colour scale ends, so that one cell does not take all of it."""


@dataclass(frozen=True)
class Pictures:
    """The same cells drawn twice.

    Attributes
    ----------
    before, after
        Coordinates (cells × 2).
    axis
        What the two coordinates are: ``"PC"`` or ``"UMAP"``.
    """

    before: Array
    after: Array
    axis: str


def principal_components(profiles: Array, *, count: int = COMPONENTS) -> Array:
    """Return the principal components of the cells (cells × components); the same numbers for the same cells."""
    centred = profiles - profiles.mean(axis=0)
    count = min(count, *(size - 1 for size in centred.shape))
    if count < 2 or not centred.any():
        return np.zeros((len(profiles), 2), dtype=np.float32)
    start = np.random.default_rng(0).normal(size=min(centred.shape))  # a fixed start, so that the result is fixed too
    left, sizes, right = svds(centred.astype(np.float64), k=count, v0=start)
    order = np.argsort(-sizes)
    signs = np.sign(right[np.arange(count), np.abs(right).argmax(axis=1)])[order]
    return (left[:, order] * sizes[order] * np.where(signs == 0, 1, signs)).astype(np.float32)


def component_pictures(before: Array, after: Array) -> Pictures:
    """Draw the first two components, those after turned so that they point the way that those before do."""
    turned = after[:, :2].copy()
    for axis in range(2):
        if float(before[:, axis] @ turned[:, axis]) < 0:
            turned[:, axis] *= -1
    return Pictures(before[:, :2], turned, "PC")


def cell_source(sample: CellSample, pictures: Pictures, groupings: Sequence[Groups]) -> ColumnDataSource:
    """Return the data that all pictures of a page share: a cell that is found in one is found in all."""
    data: dict[str, Any] = {"cell": list(sample.names)}
    for side in ("before", "after"):
        data[f"{side}_x"], data[f"{side}_y"] = getattr(pictures, side).T.astype(np.float32)
    for number, groups in enumerate(groupings):
        data[f"group{number}"] = [groups.names[code] for code in groups.codes]
    return ColumnDataSource(data)


def by_group(
    source: ColumnDataSource, pictures: Pictures, groupings: Sequence[Groups], number: int, *, after_name: str
) -> list[Panel]:
    """Draw the cells before and after by one of the groupings; hiding a group in one plot hides it in the other."""
    groups = groupings[number]
    tooltips = [("cell", "@cell"), *((other.title, f"@group{place}") for place, other in enumerate(groupings))]
    sides = {"before": "raw", "after": after_name}
    plots, drawn_in = [], []
    for side in sides:
        plot = _cell_plot(pictures, height=330)
        drawn = [
            plot.scatter(
                f"{side}_x",
                f"{side}_y",
                source=source,
                view=CDSView(filter=GroupFilter(column_name=f"group{number}", group=group)),
                size=_dot_size(len(groups.codes)),
                color=COLOURS[place % len(COLOURS)],
                marker=MARKERS[place // len(COLOURS) % len(MARKERS)],
                line_color=None if place < len(COLOURS) else COLOURS[place % len(COLOURS)],
                alpha=0.75,
            )
            for place, group in enumerate(groups.names)
        ]
        add_hover(plot, drawn, tooltips)
        plots.append(plot)
        drawn_in.append(drawn)
    # Each entry stands for its group in both plots. A link between the two would need a script of the page's own.
    items = [(group, list(pair)) for group, *pair in zip(groups.names, *drawn_in, strict=True)]
    for plot in plots:
        add_legend(plot, items)
    titles = [f"{name.capitalize()}, by {groups.title}" for name in sides.values()]
    return [Panel(title, plot) for title, plot in zip(titles, plots, strict=True)]


def by_gene(source: ColumnDataSource, pictures: Pictures, sample: CellSample, genes: Sequence[str]) -> Figure:
    """Draw the cells after, twice for each gene: by its value before, and by its value after, on one scale."""
    names = sample.kept_genes
    before, after = sample.before.profiles, sample.after.profiles
    panels = []
    for number, gene in enumerate(genes):
        column = names.index(gene)
        values = {"before": before[:, column], "after": after[:, column]}
        top = max(float(np.percentile(np.concatenate(list(values.values())), TOP_SHARE)), 1e-6)
        mapper = LinearColorMapper(palette=SEQUENTIAL, low=0, high=top)
        for side, name in (("before", "raw"), ("after", sample.after_name)):
            key = f"gene{number}_{side}"
            source.data[key] = values[side].astype(np.float32)
            plot = _cell_plot(pictures, height=220)
            drawn = plot.scatter(
                "after_x",
                "after_y",
                source=source,
                size=_dot_size(len(sample.rows)),
                fill_color={"field": key, "transform": mapper},
                line_color=None,
            )
            plot.axis.axis_label = None
            add_hover(plot, [drawn], [("cell", "@cell"), ("ln(1 + x)", f"@{key}{{0.00}}")])
            panels.append(Panel(f"{gene}: {name}", plot))
    return Figure(
        panels,
        caption=(
            "The same picture of the cells for each gene: coloured by what was observed, and by the values after. Dark "
            "is zero, yellow is much; each gene has one scale. Good: the gene fills in where its cells are and stays "
            "dark elsewhere. A gene that turns yellow everywhere, or in cells that never show it, is not to be trusted."
        ),
        columns=4,
    )


def _cell_plot(pictures: Pictures, *, height: int) -> Any:
    plot = new_plot(x=f"{pictures.axis} 1", y=f"{pictures.axis} 2", height=height)
    without_axes(plot)
    return plot


def _dot_size(cells: int) -> float:
    return float(np.clip(160 / np.sqrt(max(cells, 1)), 4, 9))
