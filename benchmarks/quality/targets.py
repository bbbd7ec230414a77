"""What was to be reached, set before anything was tuned, and whether the records reach it: nothing is typed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import record

from quality import data, findings
from quality.false_signal import ABSENT, ABSENT_LEVEL, FALSE_DISCOVERY_RATE
from quality.findings import CLUSTER_SCORES, Findings
from quality.never_seen import HELD_OUT, SEEN
from quality.tables import LEAST_LOSS, number, percent

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_GAIN = 0.08
PICTURES_ABOVE_RAW = 0.9
RECOVERY = {
    ("saver_downsample_baron", "keep"): (0.42, 0.72),
    ("saver_downsample_zeisel", "keep"): (0.42, 0.69),
    ("saver_downsample_baron", "denoise"): (0.40, 0.71),
    ("saver_downsample_zeisel", "denoise"): (0.45, 0.69),
}
"""Gene-wise and cell-wise correlation."""
MOST_CORRELATION = 0.02
MOLECULAR_RIVALS = ("MAGIC", "scVI", "scVI, variable genes")

FALSE_POSITIVES = {
    ("all genes shuffled", "correlation after"): "correlation of shuffled genes",
    ("some genes shuffled", "shuffled genes called"): "shuffled genes called",
    ("", "share above"): "values of absent genes above the level",
}
"""What counts as a false positive: variant and score of the false-signal experiment."""


HALVES = {
    "halves imputed apart": "one type, in halves imputed by models of their own",
    "halves imputed by one model": "one type, in halves imputed by one model",
}
"""Variants of the false-signal experiment, and what they look at."""


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes
    ----------
    what, aim, measured
        What is looked at, what was to be reached, and what was.
    reached
        None if it cannot be said, for want of records.
    """

    what: str
    aim: str
    measured: str = "not measured"
    reached: bool | None = None


def table(found: Findings) -> str:
    """Return all targets beside what was measured."""
    verdict = {True: "**reached**", False: "not reached", None: "open"}
    targets = [target for judge in JUDGES for target in judge(found)]
    lines = [(target.what, target.aim, target.measured, verdict[target.reached]) for target in targets]
    return record.table(("", "target", "measured", ""), lines)


def clusters(found: Findings) -> list[Target]:
    """Judge ARI, NMI and Jaccard of the default output on the headline scale."""
    return [target for score in CLUSTER_SCORES for target in _cluster_score(found, score)]


def _cluster_score(found: Findings, score: str) -> list[Target]:
    aims = (
        f"no dataset below raw by more than {LEAST_LOSS}",
        f"mean gain over raw ≥ {LEAST_GAIN}",
        "mean above that of every other method on the same datasets",
        "mean above the best raw figures of three scales",
    )
    medians = findings.cluster_medians(found, score)
    if not _has(medians, ("scINN", "keep"), ("raw", "keep")):
        return [Target(score, aim) for aim in aims]
    own = medians.loc[("scINN", "keep")].dropna()
    gain = findings.gain_over_raw(medians).loc[("scINN", "keep")].dropna()
    below = [f"{name} {number(value, signed=True)}" for name, value in gain.items() if value < -LEAST_LOSS]
    best = findings.best_raw(found, score).reindex(own.index).mean()
    measured = (
        (", ".join(below) or f"lowest {number(gain.min(), signed=True)} ({gain.idxmin()})", not below),
        (f"{number(gain.mean(), signed=True)} on {len(gain)} datasets", gain.mean() >= LEAST_GAIN),
        _against_others(medians, own),
        (f"{number(own.mean())} against {number(best)}", own.mean() > best),
    )
    return [
        Target(score, aim, text, None if reached is None else bool(reached))
        for aim, (text, reached) in zip(aims, measured, strict=True)
    ]


def _against_others(medians: pd.DataFrame, own: pd.Series) -> tuple[str, bool | None]:
    """Hold the default output against each other method, with whichever policy suits that method better."""
    margins = {}
    for name in findings.competitors(medians.index.get_level_values("method")):
        rows = medians.loc[name].reindex(columns=own.index)
        by_policy = {policy: own[row.notna()].mean() - row.mean() for policy, row in rows.iterrows()}
        margins[name] = min(by_policy.values())
    if not margins:
        return "not measured", None
    closest = sorted(margins, key=margins.__getitem__)
    above = [f"{name} by {number(-margins[name])}" for name in closest if margins[name] <= 0]
    if above:
        return f"higher: {', '.join(above)}", False
    return f"closest: {closest[0]}, {number(margins[closest[0]])} below", True


def pictures(found: Findings) -> list[Target]:
    """Judge the silhouette of the UMAP picture of the default output."""
    what, aim = "silhouette of the UMAP picture", "above raw on ≥ 9 of 10 datasets"
    medians = findings.cluster_medians(found, "silhouette")
    if not _has(medians, ("scINN", "keep"), ("raw", "keep")):
        return [Target(what, aim)]
    gain = findings.gain_over_raw(medians).loc[("scINN", "keep")].dropna()
    above = int((gain > 0).sum())
    return [Target(what, aim, f"above on {above} of {len(gain)}", above / len(gain) >= PICTURES_ABOVE_RAW)]


def recovery(found: Findings) -> list[Target]:
    """Judge recovered expression under both policies."""
    genewise, cellwise = (findings.medians(found.of("recovery", score)) for score in ("genewise", "cellwise"))
    targets = []
    for (dataset, policy), aims in RECOVERY.items():
        what, aim = f"{dataset}, `{policy}`, gene-wise / cell-wise", f"≥ {aims[0]:.2f} / {aims[1]:.2f}"
        if dataset not in genewise or not _has(genewise[[dataset]].dropna(), ("scINN", policy)):
            targets.append(Target(what, aim))
            continue
        own = [table.loc[("scINN", policy), dataset] for table in (genewise, cellwise)]
        rivals = [
            f"{name} {' / '.join(number(table.loc[key, dataset]) for table in (genewise, cellwise))}"
            for name, key in (("raw", ("raw", "keep")), ("MAGIC", ("MAGIC", policy)))
            if _has(genewise, key)
        ]
        text = f"{' / '.join(map(number, own))} ({', '.join(rivals)})"
        targets.append(Target(what, aim, text, all(value >= least for value, least in zip(own, aims, strict=True))))
    return targets


def molecular_cv(found: Findings) -> list[Target]:
    """Judge molecular cross-validation by the plain error, and by what was found to be the fairer one."""
    targets = []
    for score, policy in (("mse", "keep"), ("mse", "denoise"), ("mse of expected log", "denoise")):
        what, aim = f"molecular cross-validation, {score}, `{policy}`", "below MAGIC and scVI on every UMI dataset"
        aim = aim if score == "mse" else "beside it, no target: the same"
        medians = findings.medians(found.of("molecular_cv", score))
        rivals = [key for name in MOLECULAR_RIVALS if _has(medians, key := (name, policy))]
        if not rivals or not _has(medians, ("scINN", policy)):
            targets.append(Target(what, aim))
            continue
        own = medians.loc[("scINN", policy)].dropna()
        lowest = medians.loc[rivals].min().reindex(own.index).dropna()
        below = own.reindex(lowest.index) < lowest
        against = {name: int(medians.loc[(name, policy)].reindex(own.index).count()) for name, _ in rivals}
        text = f"below {_and(against, of=len(own))} on {below.sum()} of {len(below)}"
        everywhere = all(against.get(name) == len(own) for name in ("MAGIC", "scVI"))
        targets.append(Target(what, aim, text, bool(below.all()) if everywhere or not below.all() else None))
    return targets


def _and(counts: dict[str, int], *, of: int) -> str:
    """Name methods, with the number of datasets that they have been run on if it is not that of all."""
    return " and ".join(name if count == of else f"{name} ({count} of {of} datasets)" for name, count in counts.items())


def never_seen(found: Findings) -> list[Target]:
    """Judge whether held-out cells gain what seen cells gain, over all scores, datasets and parts."""
    what, aim = "held-out cells", "≥ 95 % of the gain of a model trained on them, on every score"
    if not found.has("never_seen"):
        return [Target(what, aim)]
    gains = findings.never_seen_gains(found)
    if not {("scINN", HELD_OUT), ("scINN", SEEN)} <= set(gains.columns):
        return [Target(what, aim)]
    targets = []
    for policy, part in gains.groupby(level="policy", observed=True):
        both = part["scINN"][[HELD_OUT, SEEN]].dropna()
        kept = both[HELD_OUT] >= findings.gain_to_keep(both[SEEN])
        share = findings.share_of_gain(both[HELD_OUT], both[SEEN]).dropna().median()
        text = f"in {kept.sum()} of {len(kept)} cases; median share {percent(share)}"
        targets.append(Target(f"{what}, `{policy}`", aim, text, bool(kept.all())))
    return targets


def false_signal(found: Findings) -> list[Target]:
    """Judge each test for signal that is not there, of the default output."""
    return [
        _shuffled(found),
        _random_halves(found),
        *(_halves_apart(found, variant, what) for variant, what in HALVES.items()),
        *(_absent(found, dataset) for dataset in ABSENT),
        _markers(found),
        _variance(found),
        *_fewest_false_positives(found),
    ]


def _shuffled(found: Findings) -> Target:
    aim = f"median absolute correlation within {MOST_CORRELATION} of before"
    before, after = (_false(found, "all genes shuffled", f"correlation {when}") for when in ("before", "after"))
    return _worst("genes shuffled independently", aim, after - before, lambda change: change.abs() <= MOST_CORRELATION)


def _random_halves(found: Findings) -> Target:
    what = "one type split at random"
    aim = (
        f"genes called in ≤ {FALSE_DISCOVERY_RATE:.0%} of the splits, or in no more than of raw data; "
        "hardly a test: the halves are drawn after the imputation"
    )
    own, raw = (_false(found, "", "splits with any", method=name) for name in ("scINN", "raw"))
    names = own.index.intersection(raw.index)
    if names.empty:
        return Target(what, aim)
    text = ", ".join(f"{name} {number(own[name])} (raw {number(raw[name])})" for name in names)
    return Target(what, aim, text, bool((own <= raw.clip(lower=FALSE_DISCOVERY_RATE))[names].all()))


def _halves_apart(found: Findings, variant: str, what: str) -> Target:
    aim = f"≤ {FALSE_DISCOVERY_RATE:.0%} of the genes called"
    return _worst(what, aim, _false(found, variant, "genes called"), lambda share: share <= FALSE_DISCOVERY_RATE)


def _absent(found: Findings, dataset: str) -> Target:
    aim = f"each gene's mean ≤ {ABSENT_LEVEL} of 10,000"
    levels = {panel.name: _false(found, "", f"{panel.name}: level").get(dataset) for panel in ABSENT[dataset]}
    levels = pd.Series(levels, dtype=float).dropna()
    return _worst(f"genes known to be absent, {dataset}", aim, levels, lambda level: level <= ABSENT_LEVEL)


def _markers(found: Findings) -> Target:
    what, aim = "known markers of the pancreas types", "AUROC higher than before"
    before, after = (_false(found, "", name) for name in ("marker AUROC before", "marker AUROC"))
    if after.empty:
        return Target(what, aim)
    text = ", ".join(f"{number(before[name])} → {number(after[name])} ({name})" for name in after.index)
    return Target(what, aim, text, bool((after > before).all()))


def _variance(found: Findings) -> Target:
    what, aim = "variance beyond counting", "agreement (Spearman) at least MAGIC's; no level was set"
    own, magic = (_false(found, "", "variance agreement", method=name) for name in ("scINN", "MAGIC"))
    names = own.index.intersection(magic.index)
    if names.empty:
        return Target(what, aim)
    text = ", ".join(f"{name} {number(own[name])} (MAGIC {number(magic[name])})" for name in names)
    return Target(what, aim, text, bool((own >= magic)[names].all()))


def _fewest_false_positives(found: Findings) -> list[Target]:
    """Hold each policy of scINN against the same policy of every method but raw, test by test."""
    targets = []
    for policy in findings.POLICIES:
        fewer = {}
        measured = 0
        for (variant, score), name in FALSE_POSITIVES.items():
            values = found.of("false_signal", variant=variant, policy=policy)
            values = values[values.score.str.endswith(score)]
            means = (
                findings.summary(values, ("method", "dataset", "score"))["median"]
                .groupby("method", observed=True)
                .mean()
            )
            if "scINN" in means and len(means) > 1:
                measured += 1
                others = means.drop(["raw", "scINN"], errors="ignore")
                if better := [method for method in others.index if others[method] < means["scINN"]]:
                    fewer[name] = f"{name}: {', '.join(better)}"
        what, aim = f"false positives, `{policy}`", "no method but raw has fewer"
        text = "fewer have – " + "; ".join(fewer.values()) if fewer else f"none has, in {measured} tests"
        targets.append(Target(what, aim, text, not fewer) if measured else Target(what, aim))
    return targets


def preset(found: Findings) -> list[Target]:
    """Judge whether what was chosen on one half of the datasets holds on the other."""
    what, aim = "one preset for all datasets", f"mean ARI gain ≥ {LEAST_GAIN} on the confirmation half as well"
    medians = findings.cluster_medians(found, "ARI")
    if not _has(medians, ("scINN", "keep"), ("raw", "keep")):
        return [Target(what, aim)]
    gain = findings.gain_over_raw(medians).loc[("scINN", "keep")].dropna()
    tuning, confirmation = (gain.reindex(gain.index.intersection(half)) for half in (data.TUNING, data.CONFIRMATION))
    ranges = findings.summary(found.of("clusters", "ARI", method="scINN", policy="keep"), ("dataset",))
    text = (
        f"{number(tuning.mean(), signed=True)} on {len(tuning)} datasets for tuning, "
        f"{number(confirmation.mean(), signed=True)} on {len(confirmation)} for confirmation; "
        f"range over the seeds {number((ranges.high - ranges.low).median())} in the median dataset"
    )
    return [Target(what, aim, text, bool(confirmation.mean() >= LEAST_GAIN))]


JUDGES = (clusters, pictures, recovery, molecular_cv, never_seen, false_signal, preset)


def _has(table: pd.DataFrame, *keys: tuple[str, str]) -> bool:
    return all(key in table.index for key in keys)


def _false(found: Findings, variant: str, score: str, *, method: str = "scINN", policy: str = "keep") -> pd.Series:
    """Return the medians of one score of the false-signal experiment (datasets)."""
    values = found.of("false_signal", score, variant=variant, method=method, policy=policy)
    return findings.summary(values, ("dataset",))["median"]


def _worst(what: str, aim: str, values: pd.Series, meets: Callable[[pd.Series], Any]) -> Target:
    """Judge all values, and print each."""
    if values.empty:
        return Target(what, aim)
    text = ", ".join(f"{number(value)} ({name})" for name, value in values.items())
    return Target(what, aim, text, bool(meets(values).all()))
