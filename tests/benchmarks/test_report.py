"""The report says what the records say: its verdicts on records that are made up so that the answer is known."""

import json

import numpy as np
import pytest
from quality import findings, report, targets

ARI = {"yan": 0.6, "goolam": 0.5, "pollen299": 0.7}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the report of some records without its figures, and return its text."""
    monkeypatch.setattr(report.charts, "draw", lambda *_, **__: None)

    def text(*records):
        store(tmp_path / "records", records)
        report.write(records=tmp_path / "records", cache=tmp_path, docs=tmp_path / "docs", readme=None)
        return (tmp_path / "docs" / "benchmarks.md").read_text(encoding="utf-8")

    return text


@pytest.fixture
def judge(tmp_path):
    """Return the targets of some records by what they look at and what was to be reached."""

    def judged(*records):
        store(tmp_path / "records", records)
        found = findings.load(tmp_path / "records")
        return {(target.what, target.aim): target for judge in targets.JUDGES for target in judge(found)}

    return judged


def test_a_report_of_nothing_reaches_nothing(write, judge):
    assert "reached**" not in write()
    assert {target.reached for target in judge().values()} == {None}


def test_a_report_of_a_few_records_has_their_figures_and_what_failed(write):
    text = write(*clusters(gain=0.1), *recovery(), {**entry("clusters", "yan", "scVI"), "error": "It models counts."})
    assert "0.700" in text  # raw 0.6 on yan, and 0.1 more
    assert "It models counts." in text
    verdicts = [line for line in text.splitlines() if "saver_downsample_baron" in line and "≥ 0.4" in line]
    assert ["**reached**" in line for line in verdicts] == [True, True]
    assert all("0.430 / 0.730" in line for line in verdicts)


def test_a_target_that_is_missed_is_said_to_be_missed(write):
    text = write(*clusters(gain=0.01), *recovery((0.41, 0.73)))
    gain, recovered = (next(line for line in text.splitlines() if aim in line) for aim in ("≥ 0.08", "≥ 0.42 / 0.72"))
    for line in (gain, recovered):
        assert "not reached" in line
        assert "**reached**" not in line
    assert "+0.010" in gain


@pytest.mark.parametrize(("gain", "reached"), [(0.1, True), (0.06, False), (-0.03, False)])
def test_the_gain_over_raw_is_judged_by_its_mean(judge, gain, reached):
    assert judge(*clusters(gain))["ARI", "mean gain over raw ≥ 0.08"].reached is reached


def test_one_dataset_below_raw_is_enough_to_miss_the_target(judge):
    records = clusters(gain=0.2)
    worse = [
        {**record, "scores": {"ARI": 0.47}} for record in records if (record["dataset"], record["method"]) == GOOLAM
    ]
    others = [record for record in records if (record["dataset"], record["method"]) != GOOLAM]
    target = judge(*others, *worse)["ARI", "no dataset below raw by more than 0.02"]
    assert target.reached is False
    assert "goolam" in target.measured


def test_a_competitor_that_is_better_is_named(judge):
    aim = "mean above that of every other method on the same datasets"
    behind, ahead = (
        [entry("clusters", name, "MAGIC", policy, ARI=ari + gain) for name, ari in ARI.items()]
        for policy, gain in (("keep", 0), ("denoise", 0.3))
    )
    assert judge(*clusters(gain=0.1), *behind)["ARI", aim].reached is True
    target = judge(*clusters(gain=0.1), *behind, *ahead)["ARI", aim]
    assert target.reached is False
    assert "MAGIC" in target.measured


@pytest.mark.parametrize(
    ("genewise", "cellwise", "reached"), [(0.43, 0.73, True), (0.41, 0.73, False), (0.43, 0.71, False)]
)
def test_both_correlations_must_be_reached(judge, genewise, cellwise, reached):
    found = judge(*recovery((genewise, cellwise)))
    target = found["saver_downsample_baron, `keep`, gene-wise / cell-wise", "≥ 0.42 / 0.72"]
    assert target.reached is reached
    assert f"{genewise:.3f}" in target.measured


def test_a_figure_is_the_median_over_the_seeds(tmp_path):
    scores = [0.1, 0.9, 0.7]
    store(tmp_path, [entry("clusters", "yan", "scINN", seed=seed, ARI=score) for seed, score in enumerate(scores)])
    medians = findings.cluster_medians(findings.load(tmp_path), "ARI")
    assert medians.loc[("scINN", "keep"), "yan"] == np.median(scores)


def test_a_gain_is_what_became_better_also_where_less_is_better(tmp_path):
    found = {("raw", "alone"): 2.0, ("scINN", "held out"): 1.5, ("scINN", "seen"): 1.0}
    records = [
        entry("never_seen", "yan", method, variant=variant, mse=value, ARI=-value)
        for (method, variant), value in found.items()
    ]
    store(tmp_path, records)
    gains = findings.never_seen_gains(findings.load(tmp_path)).loc["keep"]
    for score in ("mse", "ARI"):
        assert gains.loc[score]["scINN", "held out"].tolist() == [0.5]
        assert gains.loc[score]["scINN", "seen"].tolist() == [1.0]


GOOLAM = ("goolam", "scINN")


def clusters(gain):
    """Return raw ARI of three datasets and that of scINN, more by some gain."""
    raw = [entry("clusters", name, "raw", ARI=ari) for name, ari in ARI.items()]
    return raw + [entry("clusters", name, "scINN", ARI=ari + gain) for name, ari in ARI.items()]


def recovery(scores=(0.43, 0.73)):
    names = ("genewise", "cellwise")
    return [
        entry("recovery", "saver_downsample_baron", method, policy, **dict(zip(names, found, strict=True)))
        for method, policy, found in (
            ("raw", "keep", (0.38, 0.60)),
            ("scINN", "keep", scores),
            ("scINN", "denoise", scores),
        )
    ]


def entry(experiment, dataset, method, policy="keep", *, seed=0, split="all", variant="", **scores):
    fields = {"experiment": experiment, "dataset": dataset, "method": method, "variant": variant}
    return {**fields, "split": split, "seed": seed, "policy": policy, "scores": scores, "seconds": 1.0}


def store(folder, records):
    """Write records as the runner does, a file for each experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in {record["experiment"] for record in records}:
        lines = [json.dumps(record) for record in records if record["experiment"] == name]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
