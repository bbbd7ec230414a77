"""Zeros: how many each gene has against its mean, and what the values are that take their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import ColumnDataSource

from scinn_infer.report.page import Figure, Panel
from scinn_infer.report.sample import NEAR_ZERO
from scinn_infer.report.style import AFTER, BEFORE, SOFT, add_hover, add_legend, new_plot

if TYPE_CHECKING:
    from typing import Any

    from scinn_infer.report.sample import CellSample

SHOWN = 2000
BINS = np.linspace(-3, 5, 97)
"""Of log10 of a value."""


def against_mean(sample: CellSample) -> Figure:
    """Draw each gene's share of entries near zero against its mean, before and after."""
    order = np.argsort(sample.before.mean, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), SHOWN)).round().astype(int))]
    source = ColumnDataSource({"gene": [sample.genes[gene] for gene in shown]})
    panels: list[Panel] = []
    first: Any = None
    for name, side, colour in (
        ("raw", sample.before, BEFORE),
        (sample.after_name, sample.after, AFTER),
    ):
        source.data[f"{name}_mean"] = np.maximum(side.mean[shown], 1e-4).astype(np.float32)
        source.data[f"{name}_share"] = side.near_zero[shown].astype(np.float32)
        ranges = {} if first is None else {"x_range": first.x_range, "y_range": first.y_range}
        plot = new_plot(
            x=f"mean, {sample.unit}",
            y=f"entries below {NEAR_ZERO}",
            x_axis_type="log",
            **({"y_range": (-0.04, 1.04)} | ranges),
        )
        first = first or plot
        drawn = plot.scatter(
            f"{name}_mean", f"{name}_share", source=source, size=4, color=colour, alpha=0.45, line_color=None
        )
        add_hover(
            plot,
            [drawn],
            [("gene", "@gene"), ("mean", f"@{name}_mean{{0.000}}"), ("near zero", f"@{name}_share{{0 %}}")],
        )
        items = [("genes", [drawn])]
        if sample.unit == "counts":
            means = np.geomspace(1e-4, max(float(side.mean.max()), 1), 200)
            items.append(
                ("Poisson counts of that mean", [plot.line(means, np.exp(-means), color=SOFT, line_dash="dashed")])
            )
        add_legend(plot, items)
        panels.append(Panel(name.capitalize(), plot))
    shares = [float(side.near_zero.mean()) for side in (sample.before, sample.after)]
    shown_of = "" if len(shown) == len(order) else f" ({len(shown):,} of {len(order):,} genes are drawn)"
    return Figure(
        panels,
        caption=(
            f"Each dot is a gene{shown_of}: the share of its entries that are less than {NEAR_ZERO} {sample.unit}, "
            "against its mean. Before, genes lie along a falling curve: what is rare is missed most. Good: after, the "
            "genes in the middle of the curve sink, and those on the far left stay where they are; a gene that nobody "
            "expresses is not to appear everywhere."
        ),
        finding=f"{shares[0]:.0%} of all entries are near zero before, {shares[1]:.0%} after.",
    )


def values(sample: CellSample, *, kept: bool) -> Figure:
    """Draw how the values are distributed: observed ones, and those that the model gives."""
    before, after = sample.before.values, sample.after.values
    observed = before > 0
    drawn = {"observed, not zero": before[observed]}
    drawn |= {"zeros, filled": after[~observed]} if kept else {"denoised, at all entries": after.ravel()}
    plot = new_plot(x=f"value, {sample.unit}", y="entries, of 100 of their kind", height=300, x_axis_type="log")
    items = []
    for (name, values_), colour in zip(drawn.items(), (BEFORE, AFTER), strict=True):
        counts, _ = np.histogram(np.log10(np.maximum(values_, 1e-3)), BINS)
        share = 100 * counts / max(counts.sum(), 1)
        middles = 10 ** ((BINS[:-1] + BINS[1:]) / 2)
        inside = np.flatnonzero(share > 0)
        if not inside.size:
            continue
        span = slice(max(inside[0] - 1, 0), inside[-1] + 2)
        renderers = [
            plot.varea(x=middles[span], y1=0, y2=share[span], color=colour, alpha=0.15),
            plot.line(middles[span], share[span], color=colour, line_width=2),
        ]
        items.append((name, renderers))
    add_legend(plot, items)
    return Figure(
        [Panel("How large the values are", plot)],
        caption=(
            "Values at each cell's own depth, on a logarithmic scale; below 0.001 is drawn at 0.001. Good: filled "
            "zeros lie mostly below the observed values, with a long tail to the left, where genes are not expected at "
            "all. Filled values as high as the observed ones would say that nothing is ever off."
            if kept
            else "Values at each cell's own depth, on a logarithmic scale; below 0.001 is drawn at 0.001. Good: a hump "
            "near the observed values and a long tail to the left, where genes are not expected at all."
        ),
        finding=_medians(drawn, sample.unit),
        columns=1,
    )


def _medians(drawn: dict[str, Any], unit: str) -> str:
    told = [f"{name}: median {np.median(values):.3g}" for name, values in drawn.items() if values.size]
    return f"{'; '.join(told).capitalize()} {unit}." if told else ""
