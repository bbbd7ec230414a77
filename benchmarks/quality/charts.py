"""The figures of docs/benchmarks.md: one function for each, all drawn from the records without pyplot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from quality import ablations as tried
from quality import data, findings, tables
from quality.findings import POLICIES, Findings, is_elsewhere
from quality.never_seen import ALONE, HELD_OUT, SEEN
from quality.pictures import landscapes
from scinn_train.figures import STYLE, save_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

WIDTH = 9.0
MOST_COLUMNS = 5
DPI = 120
PALE = "#f3f3f3"
LEAST_SHOWN = 0.15
"""A lower gene-wise correlation, as of a gene mean everywhere, would squeeze all others together."""
WORDS = {"keep": "observed values kept", "denoise": "denoised"}


@dataclass(frozen=True)
class Look:
    """Colour, marker and size of a method: no two share both colour and marker."""

    colour: str
    marker: str
    size: float = 6.0


LOOKS = {
    "scINN": Look("#0072B2", "o", 9),
    "scINN paper": Look("#332288", "h", 7),
    "neighbourhood mean": Look("#56B4E9", "p", 7),
    "MAGIC": Look("#D55E00", "D", 6),
    "MAGIC + capture": Look("#D55E00", "*", 9),
    "kNN-smoothing": Look("#009E73", "s", 6),
    "ALRA": Look("#CC79A7", "^", 7),
    "scVI": Look("#E69F00", "v", 7),
    "scVI, variable genes": Look("#E69F00", "P", 7),
    "raw": Look("#000000", "X", 8),
    "gene mean": Look("#999999", "o", 5),
}
OTHERS = ("<", ">", "d", "8", "H")
"""Markers of what was measured elsewhere, all grey."""

NEVER_SEEN_PANELS = (("ARI", "keep"), ("silhouette", "keep"), ("cellwise", "keep"), ("mse of expected log", "denoise"))
HELD_OUT_MARKS = {
    ("scINN", HELD_OUT): "scINN, cells never seen",
    ("scINN", SEEN): "scINN, trained on these cells too",
    ("MAGIC", ALONE): "MAGIC on these cells alone",
    ("MAGIC", SEEN): "MAGIC on all cells",
}
"""Method and variant of the never-seen experiment, and what the legend says."""


def draw(found: Findings, folder: Path, *, pictures: Path) -> None:
    """Draw every figure for which there are records, or pictures of the cells, as ``bench-NAME.png``."""
    with rc_context(STYLE):
        figures = {
            "clusters": clusters(found),
            "landscapes": landscapes(found, pictures),
            "recovery": recovery(found),
            "never-seen": never_seen(found),
            "ablations": ablations(found),
        }
        for name, figure in figures.items():
            if figure is not None:
                save_png(figure, folder / f"bench-{name}.png", overwrite=True)


def clusters(found: Findings) -> Figure | None:
    """Draw the gain in ARI over raw data: a row for each dataset, a mark for each method."""
    medians = findings.cluster_medians(found, "ARI")
    if ("raw", "keep") not in medians.index:
        return None
    gains = findings.gain_over_raw(medians)
    gains = gains[~is_elsewhere(gains.index.get_level_values("method"))].drop(index="raw", level="method")
    names = list(gains.columns)
    raw = medians.loc[("raw", "keep")]
    best = findings.best_raw(found, "ARI") - raw
    spread = findings.summary(found.of("clusters", "ARI", method="scINN"), ("policy", "dataset"))
    figure = Figure(figsize=(WIDTH, 1.7 + 0.5 * len(names)), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 2, sharey=True, sharex=True)
    for axis, policy in zip(axes, POLICIES, strict=True):
        part = gains[gains.index.get_level_values("policy") == policy].droplevel("policy")
        part = part.drop(index="gene mean", errors="ignore")
        _rows(axis, names, "ARI gained over raw data")
        axis.set_title(WORDS[policy], loc="left")
        for place, (method, row) in enumerate(part.iterrows()):
            height = np.arange(len(names)) + 0.7 * ((place + 0.5) / len(part) - 0.5)
            axis.plot(row, height, linestyle="", **_mark(method))
            if method == "scINN":
                ends = (spread.loc[policy][end].reindex(names) - raw for end in ("low", "high"))
                axis.hlines(height, *ends, color=_mark(method)["color"], linewidth=1.2)
        axis.plot(best.reindex(names), range(len(names)), "|", color="black", markersize=14, label="raw, best scale")
    _legend(figure, axes, note="line: range of scINN over the seeds")
    return figure


def recovery(found: Findings) -> Figure | None:
    """Draw gene-wise against cell-wise correlation with the truth, both policies of a method joined by a line."""
    if not found.has("recovery"):
        return None
    scores = [findings.medians(found.of("recovery", score)) for score in ("genewise", "cellwise")]
    names = list(scores[0].columns)
    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(names)))
    for axis, dataset in zip(axes, names, strict=True):
        axis.set_title(tables.dataset_name(dataset), loc="left")
        axis.set_xlabel("gene-wise correlation")
        _clean(axis)
        for method in dict.fromkeys(scores[0].index.get_level_values("method")):
            points = np.array([score.loc[method][dataset].reindex(POLICIES) for score in scores])
            points[:, points[0] < LEAST_SHOWN] = np.nan
            look = _mark(method)
            axis.plot(*points, "-", color=look["color"], linewidth=0.8, alpha=0.5)
            axis.plot(*points[:, 0], linestyle="", **look)
            axis.plot(*points[:, 1], linestyle="", **{**look, "markerfacecolor": "white", "label": None})
    axes[0].set_ylabel("cell-wise correlation")
    _legend(figure, axes, note="full: observed values kept;  hollow: denoised")
    return figure


def never_seen(found: Findings) -> Figure | None:
    """Draw the gain over raw data of held-out cells and of seen ones: a row for each dataset and part."""
    if not found.has("never_seen"):
        return None
    gains = findings.never_seen_gains(found)[list(HELD_OUT_MARKS)].dropna(how="all").reset_index()
    panels = {key: gains[(gains.score == key[0]) & (gains.policy == key[1])] for key in NEVER_SEEN_PANELS}
    panels = {key: table.set_index(["dataset", "split"]) for key, table in panels.items() if len(table)}
    if not panels:
        return None
    cases = sorted(set().union(*(table.index for table in panels.values())), key=_place)
    names = [name if part == data.RANDOM else f"{name} {part}" for name, part in cases]
    figure = Figure(figsize=(WIDTH, 1.7 + 0.32 * len(names)), dpi=DPI, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axis, ((score, policy), table) in zip(axes, panels.items(), strict=True):
        _rows(axis, names, "gain over raw")
        axis.set_title(f"{tables.SHORT.get(score, score)}\n{WORDS[policy]}", loc="left", fontsize=9)
        _held_out(axis, table.reindex(cases))
    _legend(figure, axes, note="hollow: these cells were seen with all others")
    return figure


def _place(case: tuple[str, str]) -> tuple[int, str]:
    return findings.DATASETS.index(case[0]), case[1]


def _held_out(axis: Axes, table: pd.DataFrame) -> None:
    heights = np.arange(len(table))
    for method, shift in (("scINN", -0.16), ("MAGIC", 0.16)):
        marks = {key: words for key, words in HELD_OUT_MARKS.items() if key[0] == method}
        look = _mark(method, 0.75)
        axis.hlines(heights + shift, *(table[key] for key in marks), color=look["color"], linewidth=1)
        for key, label in marks.items():
            fill = "white" if key[1] == SEEN else look["color"]
            axis.plot(table[key], heights + shift, linestyle="", **{**look, "label": label, "markerfacecolor": fill})


def ablations(found: Findings) -> Figure | None:
    """Draw what each change does to each score; full marks exceed the default's range over the seeds, hollow do not."""
    changes, ranges = findings.ablation_changes(found, "keep")
    if changes.empty:
        return None
    names = [tried.in_words(name) for name in changes.index]
    scores = [score for score in findings.ABLATION_SCORES if score in changes.columns.get_level_values(1)]
    looks = dict(
        zip(dict.fromkeys(changes.columns.get_level_values(0)), list(LOOKS.values())[:1] + _CLEAR, strict=False)
    )
    figure = Figure(figsize=(WIDTH, 1.7 + 0.24 * len(names)), dpi=DPI, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(scores), sharey=True))
    for axis, score in zip(axes, scores, strict=True):
        _rows(axis, names, "difference to the default")
        axis.set_title("ARI" if score == "ARI" else f"{tables.SHORT[score]} correlation", loc="left")
        for dataset, look in looks.items():
            if (dataset, score) in changes:
                _changes(axis, changes[dataset, score], ranges[dataset, score], look, tables.dataset_name(dataset))
        _say_why_empty(axis, changes.xs(score, axis="columns", level=1))
    _legend(figure, axes, note="full: beyond the default's range over the seeds;  hollow: within it")
    return figure


def _say_why_empty(axis: Axes, changes: pd.DataFrame) -> None:
    """Write into a row without any mark why there is none, where that is known."""
    place = axis.get_yaxis_transform()
    for row, (name, values) in enumerate(changes.iterrows()):
        if values.isna().all() and name in tried.VARIANTS:
            words = tried.VARIANTS[str(name)].unless
            axis.text(0.03, row, words, transform=place, va="center", fontsize=8, style="italic", color="#777777")


_CLEAR = [LOOKS[name] for name in ("MAGIC", "kNN-smoothing", "ALRA", "scVI")]


def _changes(axis: Axes, change: pd.Series, spread: float, look: Look, label: str) -> None:
    heights = np.arange(len(change))
    for beyond, fill in ((change.abs() > spread, look.colour), (change.abs() <= spread, "white")):
        axis.plot(
            change.where(beyond),
            heights,
            look.marker,
            color=look.colour,
            markerfacecolor=fill,
            markersize=0.75 * look.size,
            label=label if fill != "white" else None,
        )


def _rows(axis: Axes, names: Sequence[str], xlabel: str) -> None:
    """Lay out one row for each name, from the top, and a line at no difference."""
    for row in range(0, len(names), 2):
        axis.axhspan(row - 0.5, row + 0.5, color=PALE, zorder=0, linewidth=0)
    axis.axvline(0, color="#999999", linewidth=0.8)
    axis.set_yticks(range(len(names)), [tables.dataset_name(name) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel(xlabel)
    axis.tick_params(axis="y", length=0)
    _clean(axis)


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)


def _mark(method: str, scale: float = 1.0) -> dict[str, object]:
    """Return how a method's mark is drawn."""
    look = LOOKS.get(method)
    if look is None:
        others = sorted({entry["method"] for entry in findings.peers()["records"]})
        look = Look("#777777", OTHERS[others.index(method) % len(OTHERS)] if method in others else ".", 7)
    return {
        "marker": look.marker,
        "color": look.colour,
        "markersize": scale * look.size,
        "label": method,
        "zorder": 4 if method == "scINN" else 3,
    }


def _legend(figure: Figure, axes: Sequence[Axes], *, note: str = "") -> None:
    """Put one legend for all panels below them."""
    entries: dict[str, Line2D] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    columns = -(-len(entries) // -(-len(entries) // MOST_COLUMNS))
    legend = figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=columns,
        fontsize=9,
        title=note or None,
        title_fontsize=9,
    )
    legend.get_title().set_color("#555555")
