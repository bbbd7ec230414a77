"""Markdown tables of what the records say, one function for each table of docs/benchmarks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import record

from quality import data, findings
from quality.ablations import TWO_DEPTHS, in_words
from quality.clusters import OTHER_SCALES
from quality.false_signal import ABSENT
from quality.findings import CLUSTER_SCORES, LOWER_IS_BETTER, Findings, is_elsewhere, summary
from quality.never_seen import ALONE, HELD_OUT, SEEN
from scinn_train.transforms import HEADLINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOTHING = "–"
TUNED = " *"
"""Behind the name of a dataset of the tuning half."""
LEAST_LOSS = 0.02
"""A dataset is below raw if its median is by more than this."""

ABSENT_SCORES = ("level", "share above")
COUNTS = ("markers", "markers worse")
"""Scores that are numbers of something."""
SHORT = {"genewise": "gene-wise", "cellwise": "cell-wise", "rmse": "RMSE"}
WAYS = {("raw", ALONE): "raw", ("scINN", HELD_OUT): "held out", ("scINN", SEEN): "seen"} | {
    ("gene mean", HELD_OUT): "gene mean",
    ("MAGIC", ALONE): "MAGIC alone",
    ("MAGIC", SEEN): "MAGIC on everything",
}
"""Method and variant of the never-seen experiment, in the order of its columns."""


def number(value: float, *, signed: bool = False, digits: int = 3) -> str:
    """Return a figure as text, with a real minus."""
    if pd.isna(value):
        return NOTHING
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(value: float) -> str:
    """Return a share as text."""
    return NOTHING if pd.isna(value) else f"{value:.0%}".replace("-", "−")


def spread(median: float, low: float, high: float, score: str = "") -> str:
    """Return a median with its range, without where there is none."""
    middle, *ends = (number(value, digits=0 if score in COUNTS else 3) for value in (median, low, high))
    dash = " to " if low < 0 else "–"
    return middle if set(ends) == {middle} else f"{middle} ({dash.join(ends)})"


def dataset_name(name: str) -> str:
    """Return the name of a dataset, marked if it belongs to the tuning half."""
    return name + TUNED if name in data.TUNING else name


def texts(
    values: pd.DataFrame,
    *,
    rows: Sequence[str] = ("method", "policy"),
    columns: Sequence[str] = ("dataset",),
    best: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return medians and ranges as text.

    Parameters
    ----------
    values
        Rows of ``Findings.values``.
    rows, columns
        The fields that rows and columns of the table stand for.
    best
        For each score whether the largest (``"max"``) or the smallest (``"min"``) of a column is printed in bold; not
        counting what was measured elsewhere. Scores that are not named have none.
    """
    if values.empty:
        return pd.DataFrame()
    keys = list(dict.fromkeys([*rows, *columns, "score"]))
    found = summary(values, keys).reset_index()
    found["text"] = [spread(*row) for row in found[["median", "low", "high", "score"]].itertuples(index=False)]
    measured = ~is_elsewhere(found.method) if "method" in found else pd.Series(data=True, index=found.index)
    shown = found["median"].round(3)
    for score, choose in (best or {}).items():
        here = measured & (found.score == score)
        columns_of = [found[field] for field in columns]
        extreme = shown.where(here).groupby(columns_of, observed=True).transform(choose)
        found.loc[here & (shown == extreme), "text"] = "**" + found.text + "**"
    return found.set_index([*rows, *columns]).text.unstack(list(columns)).fillna(NOTHING)


def markdown(table: pd.DataFrame, headings: Sequence[str]) -> str:
    """Return a table of texts in Markdown; the first headings are those of the row labels, datasets get their mark."""
    if table.empty:
        return ""
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else dataset_name(str(name)) for name in table.columns]
    lines = []
    for label, row in zip(table.index, table.itertuples(index=False), strict=True):
        labels = label if isinstance(label, tuple) else (label,)
        lines.append([*(dataset_name(str(part)) for part in labels), *map(str, row)])
    return record.table([*headings, *names], lines)


def by_method(values: pd.DataFrame, score: str) -> str:
    """Return one score of all methods: methods below each other, datasets side by side."""
    found = values[values.score == score]
    return markdown(texts(found, best={score: _best(score)}), ("method", "policy"))


def clusters_in_short(found: Findings) -> str:
    """Return the mean of the medians over the datasets, the gain over raw by halves, and how often a method loses."""
    tables = {score: findings.cluster_medians(found, score) for score in CLUSTER_SCORES}
    gains = {score: findings.gain_over_raw(table) for score, table in tables.items()}
    lines = []
    for key, row in tables["ARI"].iterrows():
        ari = gains["ARI"].loc[key]
        halves = [ari.reindex(half).mean() for half in (data.TUNING, data.CONFIRMATION)]
        others = [gains[score].loc[key].mean() if key in gains[score].index else None for score in CLUSTER_SCORES[1:]]
        changes = [NOTHING if key[0] == "raw" else number(gain, signed=True) for gain in (ari.mean(), *halves, *others)]
        lines.append([*key, str(row.count()), number(row.mean()), *changes, str((ari < -LEAST_LOSS).sum())])
    heading = ("method", "policy", "datasets", "mean ARI", "gain over raw", "tuning half", "confirmation half")
    return record.table((*heading, "gain in NMI", "gain in Jaccard", "datasets below raw"), lines)


def raw_scales(found: Findings) -> str:
    """Return the ARI of raw data on each of the three scales."""
    scales = {"ARI": HEADLINE, **{f"ARI{suffix}": scale for scale, suffix in OTHER_SCALES.items()}}
    values = found.of("clusters", list(scales), method="raw")
    values = values.assign(score=pd.Categorical(values.score, scales, ordered=True))
    table = texts(values, rows=("dataset",), columns=("score",)).rename(columns=scales)
    best = findings.best_raw(found, "ARI")
    table["best of the three"] = [number(best[name]) for name in table.index]
    return markdown(table, ("dataset",))


def ceiling(found: Findings) -> str:
    """Return the ARI of raw data, of scINN, and of zeros that are filled with the mean of the true type."""
    ours = found.of("clusters", "ARI", policy="keep")
    values = pd.concat([ours[ours.method.isin(["raw", "scINN"])], found.of("ceiling", "ARI")])
    table = texts(values, rows=("method",))
    table["mean"] = findings.medians(values).mean(axis=1).droplevel("policy").map(number)
    return markdown(table, ("",))


def recovery(found: Findings, policy: str) -> str:
    """Return how close every method comes to the truth under one policy; raw data is in both tables."""
    values = found.of("recovery")
    values = values[(values.policy == policy) | (values.method == "raw")]
    if values.empty:
        return ""
    values = values.assign(score=pd.Categorical(values.score.map(SHORT), SHORT.values(), ordered=True))
    best = {name: _best(score) for score, name in SHORT.items()}
    table = texts(values, rows=("method",), columns=("dataset", "score"), best=best)
    table.columns = pd.MultiIndex.from_tuples([(dataset_name(name), score) for name, score in table.columns])
    return markdown(table, ("method",))


def to_gene_mean(found: Findings) -> str:
    """Return the mean difference of each method to the gene mean, over the datasets of molecular cross-validation."""
    values = found.of("molecular_cv")
    if not ((values.method == "gene mean") & (values.policy == "denoise")).any():
        return ""
    table = summary(values, ("method", "policy", "score", "dataset"))["median"].unstack("dataset")
    scores = list(dict.fromkeys(values.score))
    baseline = table.loc["gene mean"].xs("denoise")
    keys = list(dict.fromkeys((method, policy) for method, policy, _ in table.index))
    differences = {key: table.loc[key] - baseline for key in keys}
    lines = [
        [
            *key,
            str(int(part.count(axis=1).max())),
            *(number(part.mean(axis=1).get(score), signed=True, digits=4) for score in scores),
        ]
        for key, part in differences.items()
    ]
    return record.table(("method", "policy", "datasets", *scores), lines)


def never_seen_in_short(found: Findings) -> str:
    """Return for each score how much of the gain over raw is left on cells that were not trained on."""
    gains = findings.never_seen_gains(found)
    heading = ["score", "policy", "cases", *(f"gain, {name}" for name in list(WAYS.values())[1:])]
    lines = []
    for (policy, score), part in gains.groupby(level=["policy", "score"], observed=True):
        both = part.dropna(subset=[("scINN", HELD_OUT), ("scINN", SEEN)], how="any")
        if len(both):
            means = both.reindex(columns=list(WAYS)[1:]).mean()
            share = findings.share_of_gain(*(pd.Series(means["scINN", way]) for way in (HELD_OUT, SEEN)))
            kept = both["scINN", HELD_OUT] >= findings.gain_to_keep(both["scINN", SEEN])
            shown = [number(gain, signed=True) for gain in means]
            lines.append([SHORT.get(score, score), policy, str(len(both)), *shown, percent(share[0]), f"{kept.sum()}"])
    return record.table([*heading, "share kept", "cases that keep 95 %"], lines) if lines else ""


def never_seen(found: Findings, policy: str, score: str) -> str:
    """Return one score of the held-out cells, however they were imputed, and the share of the gain that is kept."""
    values = found.of("never_seen", score)
    values = values[(values.policy == policy) | (values.method == "raw")]
    if values[values.method == "scINN"].empty:
        return ""
    way = [WAYS.get(key) for key in zip(values.method, values.variant, strict=True)]
    values = values.assign(way=pd.Categorical(way, WAYS.values(), ordered=True)).dropna(subset="way")
    table = texts(values, rows=("dataset", "split"), columns=("way",))
    gains = findings.never_seen_gains(found).loc[policy].loc[score]
    if ("scINN", HELD_OUT) in gains and ("scINN", SEEN) in gains:
        share = findings.share_of_gain(gains["scINN", HELD_OUT], gains["scINN", SEEN])
        table["share kept"] = [percent(share.get(key)) for key in table.index]
    return markdown(table, ("dataset", "held out"))


def false_signal(found: Findings, variant: str, scores: Mapping[str, str]) -> str:
    """Return some scores of one kind of cells, the scores of each dataset side by side.

    Parameters
    ----------
    found
        All records.
    variant
        What was done to the cells.
    scores
        Names of the scores, and for each whether more (``"max"``) or less (``"min"``) is better, or neither (``""``).
    """
    values = found.of("false_signal", list(scores), variant=variant)
    values = values.assign(score=pd.Categorical(values.score, scores, ordered=True))
    best = {score: choose for score, choose in scores.items() if choose}
    table = texts(values, columns=("dataset", "score"), best=best)
    return markdown(table.reindex(columns=sorted(table.columns, key=lambda key: _place(key, scores))), _ROW)


def absent(found: Findings) -> str:
    """Return what is seen of genes that are known to be absent: methods side by side."""
    scores = [f"{panel.name}: {kind}" for panels in ABSENT.values() for panel in panels for kind in ABSENT_SCORES]
    values = found.of("false_signal", scores)
    values = values.assign(score=pd.Categorical(values.score, scores, ordered=True))
    return markdown(texts(values, rows=("dataset", "score"), columns=("method", "policy")), ("dataset", "genes"))


def ablations(found: Findings, policy: str) -> str:
    """Return what each change does to each score; in bold what is more than the default's range over the seeds."""
    changes, ranges = findings.ablation_changes(found, policy)
    if changes.empty:
        return ""
    shown = changes.map(lambda change: number(change, signed=True))
    shown = shown.mask(changes.abs().gt(ranges, axis="columns"), "**" + shown + "**")
    known = ranges.replace(float("inf"), float("nan"))
    lines = [["range of the default over the seeds", *map(number, known)]]
    lines += [
        [in_words(str(variant)), *row] for variant, row in zip(shown.index, shown.itertuples(index=False), strict=True)
    ]
    names = [f"{dataset_name(dataset)} {SHORT.get(score, score)}" for dataset, score in shown.columns]
    return record.table(("variant", *names), lines)


def two_depths(found: Findings) -> str:
    """Return the scores of models that were trained on other cells, as shallow as those imputed or deep."""
    values = found.of("ablations")
    values = values[values.dataset.isin(TWO_DEPTHS)]
    values = values.assign(score=pd.Categorical(values.score.map(SHORT), SHORT.values(), ordered=True))
    return markdown(texts(values, rows=("variant", "policy"), columns=("score",)), ("variant", "policy"))


def failures(found: Findings) -> str:
    """Return what could not be measured, and why: one line for each method and reason."""
    if found.failures.empty:
        return ""
    told = found.failures.groupby(["method", "error"], sort=True)
    lines = [
        [method, ", ".join(sorted(set(rows.experiment))), ", ".join(dict.fromkeys(rows.dataset)), error]
        for (method, error), rows in told
    ]
    return record.table(("method", "experiments", "datasets", "why"), lines)


_ROW = ("method", "policy")


def _best(score: str) -> str:
    return "min" if score in LOWER_IS_BETTER else "max"


def _place(key: tuple[str, str], scores: Mapping[str, str]) -> tuple[int, int]:
    return findings.DATASETS.index(key[0]), list(scores).index(key[1])
