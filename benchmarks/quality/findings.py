"""What the records say: one table of all scores, their medians and ranges over the seeds, and gains over raw data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from quality import data
from quality.ablations import TWO_DEPTHS, VARIANTS
from quality.ceiling import CEILINGS
from quality.clusters import OTHER_SCALES
from quality.methods import METHODS
from quality.never_seen import COMPARED
from quality.tasks import RESULTS, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from quality.tasks import Record

PEERS = "peers.json"
"""Beside the records: scores of methods that need R or an old TensorFlow, measured once, elsewhere."""
ELSEWHERE = " †"
"""Behind the name of such a method."""

BASELINES = ("raw", "gene mean", "neighbourhood mean")
OURS = ("scINN", "scINN paper")
CONTROLS = ("MAGIC + capture",)
"""What another method expects, with the level and the weights that scINN gives to its own expectation."""
POLICIES = ("keep", "denoise")
DATASETS = data.TUNING + data.CONFIRMATION
CLUSTER_SCORES = ("ARI", "NMI", "Jaccard")
RECOVERY_SCORES = ("genewise", "cellwise", "rmse")
MOLECULAR_SCORES = ("mse", "mse of expected log", "poisson")
SCORES = (*CLUSTER_SCORES, "silhouette", *RECOVERY_SCORES, *MOLECULAR_SCORES)
"""In the order of the tables."""
ABLATION_SCORES = ("genewise", "cellwise", "ARI")
SHARE_TO_KEEP = 0.95
SMALL_GAIN = 0.01
"""Of a gain that is smaller no share is told."""
LOWER_IS_BETTER = ("rmse", *MOLECULAR_SCORES)

FEWEST_SEEDS = 3
"""Of a variant of the ablations, to tell a change from chance."""

_FIELDS = ("experiment", "dataset", "method", "variant", "split", "seed", "policy", "code")


@dataclass(frozen=True)
class Findings:
    """All records of a run, or of a part of one.

    Attributes
    ----------
    values
        One row for each score of each record: experiment, dataset, method, variant, split, seed, policy, score, value.
        And ``code``, a digest of the code that was measured. Grouped rows come in the order of the tables.
    failures
        Records of what could not be measured: the same fields, and the error.
    """

    values: pd.DataFrame
    failures: pd.DataFrame

    def of(self, experiment: str, score: str | Sequence[str] | None = None, **equal: Any) -> pd.DataFrame:
        """Return the scores of one experiment, of those rows only that have the given fields."""
        found = self.values[self.values.experiment == experiment]
        if score is not None:
            found = found[found.score.isin([score] if isinstance(score, str) else score)]
        for field, wanted in equal.items():
            found = found[found[field] == wanted]
        return found

    def has(self, experiment: str) -> bool:
        """Return whether this experiment has any score that was measured here."""
        found = self.of(experiment)
        return bool((~is_elsewhere(found.method)).any())

    def seeds(self, experiment: str | None = None) -> str:
        """Return the number of training seeds of scINN, as text: a range if it is not the same everywhere."""
        found = self.values[self.values.method == "scINN"]
        found = found if experiment is None else found[found.experiment == experiment]
        counts = found.groupby(["experiment", "dataset", "variant", "split"], observed=True).seed.nunique()
        if counts.empty:
            return "no seeds"
        few, many = counts.min(), counts.max()
        return f"{few} to {many} seeds" if few < many else f"{many} seed{'s' if many > 1 else ''}"


def load(folder: Path = RESULTS) -> Findings:
    """Return everything that a folder of records holds."""
    records = [entry for path in sorted(folder.glob("*.jsonl")) for entry in read(path)]
    rows = [
        {**{field: entry.get(field, "") for field in _FIELDS}, "score": score, "value": value}
        for entry in [*records, *(peers()["records"] if folder == RESULTS else ())]
        for score, value in entry.get("scores", {}).items()
    ]
    values = pd.DataFrame(rows, columns=[*_FIELDS, "score", "value"])
    for field, order in (
        ("method", (*METHODS, *CEILINGS)),
        ("dataset", DATASETS),
        ("policy", POLICIES),
        ("score", SCORES),
    ):
        values[field] = pd.Categorical(values[field], _in_order(values[field], order), ordered=True)
    failures = pd.DataFrame([entry for entry in records if "error" in entry], columns=[*_FIELDS, "error"])
    return Findings(values, failures)


def peers() -> Record:
    """Return what was measured elsewhere: its records, and which methods did not come to an end."""
    document = json.loads((RESULTS / PEERS).read_text(encoding="utf-8"))
    for entry in document["records"]:
        entry["method"] += ELSEWHERE
    return document


def is_elsewhere(method: pd.Series) -> pd.Series:
    """Return of which rows the method was measured elsewhere."""
    return method.astype(str).str.endswith(ELSEWHERE)


def summary(values: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return median, lowest and highest value over the seeds, indexed by the given fields."""
    grouped = values.groupby(list(by), observed=True).value
    return grouped.agg(median="median", low="min", high="max")


def medians(values: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the seeds: rows are method and policy, columns datasets."""
    return summary(values, ("method", "policy", "dataset"))["median"].unstack("dataset")


def cluster_medians(findings: Findings, score: str) -> pd.DataFrame:
    """Return the medians of one cluster score or of the silhouette, on the headline scale."""
    return medians(findings.of("landscapes" if score == "silhouette" else "clusters", score))


def gain_over_raw(table: pd.DataFrame) -> pd.DataFrame:
    """Return each row of a table of medians less that of raw data; missing where that was not measured."""
    return table - raw_row(table)


def raw_row(table: pd.DataFrame) -> pd.Series:
    """Return the medians of raw data."""
    return table.loc[("raw", "keep")] if ("raw", "keep") in table.index else pd.Series(float("nan"), table.columns)


def best_raw(findings: Findings, score: str) -> pd.Series:
    """Return the best median of raw data on any of the three scales, for each dataset."""
    names = [score, *(score + suffix for suffix in OTHER_SCALES.values())]
    found = summary(findings.of("clusters", names, method="raw"), ("dataset", "score"))["median"]
    return found.groupby("dataset", observed=True).max()


def competitors(methods: Iterable[str]) -> list[str]:
    """Return those methods that are not ours, not even in part, and no baseline."""
    return [name for name in dict.fromkeys(methods) if name not in BASELINES + OURS + CONTROLS]


def never_seen_gains(findings: Findings) -> pd.DataFrame:
    """Return what each way of imputing held-out cells gains over raw data, as medians of the gain seed by seed.

    Returns
    -------
        Rows are policy, score, dataset and held-out part; columns method and variant. Gains are positive where the
        score became better, also where less is better.
    """
    found = findings.of("never_seen")
    table = found.pivot_table(
        "value", ["policy", "score", "dataset", "split", "seed"], ["method", "variant"], observed=True
    )
    ways = [(method, variant) for method, variants in COMPARED.items() for variant in variants]
    table = table.set_axis(pd.MultiIndex.from_tuples(list(table.columns)), axis=1).reindex(columns=ways)
    raw = found[found.method == "raw"].set_index(["score", "dataset", "split", "seed"]).value
    before = raw.reindex(table.index.droplevel("policy")).to_numpy()
    sign = pd.Series(table.index.get_level_values("score")).isin(LOWER_IS_BETTER).map({True: -1, False: 1}).to_numpy()
    gains = table.sub(before, axis=0).mul(sign, axis=0)
    return gains.groupby(["policy", "score", "dataset", "split"], observed=True).median()


def share_of_gain(held_out: pd.Series, seen: pd.Series) -> pd.Series:
    """Return which share of the gain of seen cells held-out cells have; missing where those hardly gain."""
    return held_out / seen.where(seen >= SMALL_GAIN)


def gain_to_keep(seen: pd.Series) -> pd.Series:
    """Return the least gain of held-out cells that meets the target, from that of cells that were trained on.

    It is 95 % of it. Where those lose, held-out cells must not lose more.
    """
    return seen.where(seen <= 0, SHARE_TO_KEEP * seen)


def ablation_changes(found: Findings, policy: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return what each variant of scINN changes, and the spread that it is to be held against.

    Returns
    -------
        The median over the seeds of the difference to the default with the same seed (variants × datasets and scores);
        and the range of the default over all seeds that it was measured with, in other experiments too (datasets and
        scores), which is infinite where there are too few for a range to tell anything.
    """
    values = found.of("ablations", ABLATION_SCORES, policy=policy)
    values = values[~values.dataset.isin(TWO_DEPTHS)]
    table = values.pivot_table("value", ["variant", "seed"], ["dataset", "score"], observed=True)
    if "" not in table.index.get_level_values("variant"):
        return pd.DataFrame(), pd.Series()
    table = table[sorted(table.columns, key=lambda key: (DATASETS.index(key[0]), ABLATION_SCORES.index(key[1])))]
    table.columns = pd.MultiIndex.from_tuples(list(table.columns))
    default = table.loc[""]
    before = default.reindex(table.index.get_level_values("seed")).to_numpy()
    differences = (table - before).drop("", level="variant").groupby(level="variant")
    changes = differences.median()
    changes = changes.reindex(_in_order(changes.index, VARIANTS)).dropna(how="all")
    enough = differences.count().max() >= FEWEST_SEEDS
    ranges = _range_of_default(found, policy).reindex(changes.columns)
    return changes, ranges.where(enough.reindex(changes.columns), float("inf"))


def _range_of_default(found: Findings, policy: str) -> pd.Series:
    """Return highest less lowest score of scINN as it is over all seeds, indexed by dataset and score."""
    values = found.values
    values = values[values.experiment.isin(("ablations", "clusters", "recovery")) & (values.variant == "")]
    values = values[(values.method == "scINN") & (values.policy == policy)]
    extremes = summary(values, ("dataset", "score"))
    ranges = extremes.high - extremes.low
    ranges.index = pd.MultiIndex.from_tuples(list(ranges.index))
    return ranges


def _in_order(found: Iterable[str], order: Iterable[str]) -> list[str]:
    """Return what there is in a known order, and behind it what that does not know."""
    names = list(dict.fromkeys(found))
    return [*order, *(name for name in names if name not in order)]
