"""Chosen genes by group: which are the most telling, and how they look before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper

from scinn_infer.report.page import Figure, Panel
from scinn_infer.report.sample import NEAR_ZERO
from scinn_infer.report.style import SEQUENTIAL, add_colour_bar, add_hover, name_ticks, new_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.report.groups import Groups
    from scinn_infer.report.sample import CellSample, Side

SHOWN = 8
SMALLEST_DEVIATION = 0.25
FEWEST_CELLS = 3
SMALLEST_DOT, LARGEST_DOT = 3.0, 17.0


def specific_genes(sample: CellSample, groups: Groups, *, each: int = 1) -> list[list[str]]:
    """Return the genes that are most specific to each group in the raw data (groups × each).

    The score is a gene's mean difference from the cells outside, over its spread, on the scale ln(1 + x) at a depth of
    10,000. A group of fewer than three cells has none.
    """
    profiles = sample.before.profiles
    spread = profiles.std(axis=0) + SMALLEST_DEVIATION
    means, names = groups.means(profiles), sample.kept_genes
    overall = profiles.mean(axis=0)
    chosen: list[list[str]] = []
    for size, mean in zip(groups.sizes, means, strict=True):
        others = len(profiles) - size
        if size < FEWEST_CELLS or others == 0:
            chosen.append([])
            continue
        outside = (overall * len(profiles) - mean * size) / others
        score = (mean - outside) / spread
        best = np.argsort(-score, kind="stable")[:each]
        chosen.append([names[gene] for gene in best if score[gene] > 0])
    return chosen


def choose_specific(sample: CellSample, groups: Groups, *, count: int = SHOWN) -> list[str]:
    """Return the most specific genes: one of each group in turn, the largest groups first."""
    ranked = specific_genes(sample, groups, each=count)
    largest_first = np.argsort(-groups.sizes, kind="stable")
    turns = [ranked[group][turn] for turn in range(count) for group in largest_first if turn < len(ranked[group])]
    return list(dict.fromkeys(turns))[:count] or sample.kept_genes[:count]


def by_group(sample: CellSample, groups: Groups, genes: Sequence[str]) -> Figure:
    """Draw genes against groups, a dot for each: its size says how many cells show the gene, its colour how much."""
    columns = [sample.kept_genes.index(gene) for gene in genes]
    values = [groups.means(side.profiles[:, columns]) for side in (sample.before, sample.after)]
    mapper = LinearColorMapper(palette=SEQUENTIAL, low=0, high=max(float(max(map(np.max, values))), 1e-6))
    panels = [
        Panel(f"{name.capitalize()}", _dots(side, mean, columns, genes, groups, mapper))
        for name, side, mean in zip(("raw", sample.after_name), (sample.before, sample.after), values, strict=True)
    ]
    return Figure(
        panels,
        caption=(
            f"Mean of each gene in each {groups.title}, ln(1 + x) at a depth of 10,000 (colour), and the share of its "
            f"cells with {NEAR_ZERO} {sample.unit} or more (size of the dot). Good: the pattern on the left becomes "
            "clearer on the right. A row that is bright on the right alone was not in the data."
        ),
        finding=_contrast(values, genes),
    )


def _dots(
    side: Side,
    mean: npt.NDArray[np.float32],
    columns: list[int],
    genes: Sequence[str],
    groups: Groups,
    mapper: LinearColorMapper,
) -> object:
    share = groups.means((side.values[:, columns] >= NEAR_ZERO).astype(np.float32))
    row, column = np.indices(mean.shape)
    source = ColumnDataSource(
        {
            "x": row.ravel(),
            "y": len(genes) - 1 - column.ravel(),
            "mean": mean.ravel(),
            "share": share.ravel(),
            "size": SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * np.sqrt(share.ravel()),
            "gene": [genes[place] for place in column.ravel().tolist()],
            "group": [groups.names[place] for place in row.ravel()],
        }
    )
    plot = new_plot(
        x=groups.title,
        y="",
        height=130 + 26 * len(genes),
        tools="reset,save",
        x_range=(-0.6, len(groups.names) - 0.4),
        y_range=(-0.6, len(genes) - 0.4),
    )
    drawn = plot.scatter(
        "x",
        "y",
        size="size",
        source=source,
        line_color="#8a94a0",
        line_width=0.6,
        fill_color={"field": "mean", "transform": mapper},
    )
    name_ticks(plot.xaxis[0], [float(place) for place in range(len(groups.names))], list(groups.names))
    name_ticks(plot.yaxis[0], [float(place) for place in reversed(range(len(genes)))], list(genes))
    if max(map(len, groups.names)) > 2:
        plot.xaxis.major_label_orientation = np.pi / 4
        plot.height += 4 * max(map(len, groups.names))
    add_hover(
        plot, [drawn], [("gene", "@gene"), (groups.title, "@group"), ("mean", "@mean{0.00}"), ("cells", "@share{0 %}")]
    )
    add_colour_bar(plot, mapper, "ln(1 + x)")
    return plot


def _contrast(values: Sequence[npt.NDArray[np.float32]], genes: Sequence[str]) -> str:
    """Say how the difference between the highest and the other groups changes, at the median of the genes."""
    if values[0].shape[0] < 2:
        return ""
    contrasts = [np.median(mean.max(axis=0) - np.median(mean, axis=0)) for mean in values]
    return (
        f"Between the group that expresses a gene most and the middle one there are {contrasts[0]:.2f} before and "
        f"{contrasts[1]:.2f} after, at the median of these {len(genes)} genes."
    )
