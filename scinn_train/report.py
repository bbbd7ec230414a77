"""What ``evaluate`` and ``demo`` tell about their scores: tables for people, plain data for JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from scinn_infer.commands.console import print_table
from scinn_train.transforms import HEADLINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scinn_train.evaluate import Comparison, Score
    from scinn_train.truth import TruthCorrelation


def print_comparison(comparison: Comparison) -> None:
    """Print the cell-type scores of raw and imputed data side by side: the median over the seeds, and the range."""
    raw, imputed, best = comparison.raw.scores, comparison.imputed.scores, comparison.best_scale_of_raw
    print_table(("cell types", "raw", "imputed"), [[(name, str(raw[name]), str(imputed[name])) for name in raw]])
    if best != HEADLINE:
        click.echo(f"The raw data has its best ARI on another scale ({best}): {comparison.raw_ari[best]}")


def print_truth(correlations: Mapping[str, TruthCorrelation]) -> None:
    """Print the correlations with a known truth, a row for each kind of data."""
    rows = [
        (name, *("–" if math.isnan(value) else f"{value:.3f}" for value in asdict(correlation).values()))
        for name, correlation in correlations.items()
    ]
    print_table(("correlation with the truth", "cell by cell", "gene by gene", "at the zeros"), [rows])


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return all cell-type scores, those of each seed among them, in a form that JSON has."""
    return {
        "scale": HEADLINE,
        "raw": {name: _score(score) for name, score in comparison.raw.scores.items()},
        "imputed": {name: _score(score) for name, score in comparison.imputed.scores.items()},
        "raw_ari_by_scale": {scale: _score(score) for scale, score in comparison.raw_ari.items()},
    }


def truth_record(correlations: Mapping[str, TruthCorrelation]) -> dict[str, Any]:
    """Return the correlations with the truth in a form that JSON has."""
    return {
        name: {key: None if math.isnan(value) else value for key, value in asdict(correlation).items()}
        for name, correlation in correlations.items()
    }


def _score(score: Score) -> dict[str, Any]:
    return {"median": score.median, "lowest": score.lowest, "highest": score.highest, "values": list(score.values)}
