"""How well entries that were hidden are predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper

from scinn_infer.report.page import Figure, Finding, Panel, Section, Table
from scinn_infer.report.style import AFTER, BEFORE, SEQUENTIAL, SOFT, add_colour_bar, add_hover, add_legend, new_plot

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.quality import Recovery

SQUARES = 50
QUANTILES = 16
LABEL = "ln(1 + normalised expression)"


def section(recovery: Recovery) -> Section:
    """Draw what was predicted against what was there, beside the genes' means."""
    scores = recovery.scores
    table = Table(
        ("", "scINN", "gene mean"),
        [
            (
                "correlation with what was hidden",
                _shown(scores.get("masked_correlation"), ".3f"),
                _shown(scores.get("gene_mean_correlation"), ".3f"),
            ),
            ("explained of the gene mean's deviance", _shown(scores.get("masked_deviance_explained"), ".1%"), "0 %"),
        ],
        caption=f"All hidden entries of {scores['held_out_cells']:,.0f} held-out cells.",
    )
    figure = Figure(
        [
            Panel("Each hidden entry", _density(recovery)),
            Panel("Is what is predicted right on average?", _calibration(recovery)),
        ],
        caption=(
            "A tenth of the entries of cells that were held out of the training, zeros among them, was hidden and "
            "predicted. Left: how many entries there are of each pair of values. Right: entries in groups by what is "
            "predicted, against their observed mean. Good: the correlation beats that of the gene's mean, and the dots "
            "on the right follow the dashed line."
        ),
        finding=finding(recovery).sentence,
    )
    return Section("Recovery of hidden entries", [table, figure])


def finding(recovery: Recovery) -> Finding:
    """Return what of it belongs at the top of a page."""
    scores = [recovery.scores.get(f"masked_{name}") for name in ("correlation", "deviance_explained")]
    ours, explained, mean = *scores, recovery.scores.get("gene_mean_correlation")
    if ours is None or explained is None or mean is None:
        return Finding("Too few entries could be hidden, or too much alike, to tell how well they are predicted.")
    return Finding(
        f"Hidden entries of held-out cells are predicted with a correlation of {ours:.3f}, the gene's mean alone "
        f"reaches {mean:.3f}; {explained:.1%} of the mean's deviance is explained.",
        ours > mean and explained > 0,
    )


def _shown(score: float | None, form: str) -> str:
    return "not known" if score is None else f"{score:{form}}"


def _density(recovery: Recovery) -> Any:
    top = max(float(recovery.observed.max()), float(recovery.expected.max()), 1e-3)
    counts, _, _ = np.histogram2d(recovery.expected, recovery.observed, bins=SQUARES, range=[[0, top], [0, top]])
    logs = np.log10(np.where(counts > 0, counts, np.nan)).astype(np.float32)
    mapper = LinearColorMapper(
        palette=SEQUENTIAL, low=0, high=max(float(np.nanmax(logs)), 0.1), nan_color="rgba(0, 0, 0, 0)"
    )
    plot = new_plot(x=f"observed, {LABEL}", y=f"predicted, {LABEL}", height=380)
    drawn = plot.image([logs], x=0, y=0, dw=top, dh=top, color_mapper=mapper)
    plot.line([0, top], [0, top], color=SOFT, line_dash="dashed")
    add_hover(plot, [drawn], [("observed", "$x{0.00}"), ("predicted", "$y{0.00}"), ("log10 of entries", "@image{0.0}")])
    add_colour_bar(plot, mapper, "log10 of entries")
    return plot


def _calibration(recovery: Recovery) -> Any:
    plot = new_plot(
        x="predicted, normalised expression", y="observed mean", height=380, x_axis_type="log", y_axis_type="log"
    )
    observed = np.expm1(recovery.observed)
    items, spans = [], []
    for name, predicted, colour in (("scINN", recovery.expected, AFTER), ("gene mean", recovery.gene_mean, BEFORE)):
        x, y = _grouped(np.expm1(predicted), observed)
        source = ColumnDataSource({"x": x, "y": y})
        dots = plot.scatter("x", "y", source=source, size=8, color=colour, alpha=0.85)
        line = plot.line("x", "y", source=source, color=colour, line_width=1.5)
        add_hover(plot, [dots], [(name, "@x{0.000}"), ("observed", "@y{0.000}")])
        items.append((name, [dots, line]))
        spans.append(x)
    ends = np.concatenate(spans)
    if ends.size:
        plot.line([ends.min(), ends.max()], [ends.min(), ends.max()], color=SOFT, line_dash="dashed")
    add_legend(plot, items)
    return plot


def _grouped(
    predicted: npt.NDArray[np.float32], observed: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean of both in groups of as many entries each, by what is predicted; a logarithm leaves zeros out."""
    order = np.argsort(predicted, kind="stable")
    groups = [group for group in np.array_split(order, QUANTILES) if group.size]
    x = np.array([predicted[group].mean(dtype=np.float64) for group in groups])
    y = np.array([observed[group].mean(dtype=np.float64) for group in groups])
    shown = (x > 0) & (y > 0)
    return x[shown], y[shown]
