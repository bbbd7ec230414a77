"""Experiment 3a: how close imputed expression comes to a truth, on cells that were down-sampled or sequenced twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quality import data
from quality.methods import METHODS
from quality.tasks import Task, record
from scinn_train.normalise import depth
from scinn_train.transforms import log2_median_depth
from scinn_train.truth import correlate_with_truth

if TYPE_CHECKING:
    from quality.tasks import Options, Record

Matrix = Any
"""A numpy array or a scipy sparse matrix or array."""


def tasks(options: Options) -> list[Task]:
    """Return one task for each dataset with a reference, method and seed that makes a difference to it."""
    return [
        Task("recovery", dataset, method, seed, quick=options.quick)
        for dataset in options.choose_datasets(data.REFERENCE_SETS)
        for method in options.choose_methods(METHODS)
        for seed in (options.seeds if METHODS[method].seeded else options.seeds[:1])
    ]


def run(task: Task) -> list[Record]:
    """Score one method on one dataset."""
    dataset = data.load(task.dataset, quick=task.quick)
    imputed = METHODS[task.method].run(dataset, dataset, seed=task.seed)
    return [
        record(task, policy, recovery_scores(X, dataset.reference, observed=dataset.X))
        for policy, X in imputed.policies.items()
    ]


def recovery_scores(X: Matrix, reference: Matrix, *, observed: Matrix) -> dict[str, float]:
    """Return the mean correlation with the reference over genes and over cells, and the error, all in log2.

    Parameters
    ----------
    X
        Imputed expression, linear (cells × genes). For the correlations it is brought to its own median depth, and the
        reference to that of its own; for the error, which depends on it, each cell to the depth that it has in the
        reference first.
    reference
        True expression, linear (cells × genes).
    observed
        What was imputed: genes without any count in it are left out of the correlations.
    """
    truth = log2_median_depth(reference).toarray()
    correlation = correlate_with_truth(log2_median_depth(X), truth, observed=observed)
    error = log2_median_depth(_at_depth_of(reference, X)) - truth
    return {
        "genewise": correlation.genewise,
        "cellwise": correlation.cellwise,
        "rmse": float(np.sqrt(np.mean(np.square(error, dtype=np.float64)))),
    }


def _at_depth_of(reference: Matrix, X: Matrix) -> np.ndarray:
    dense = X if isinstance(X, np.ndarray) else X.toarray()
    depths = depth(dense)
    factors = np.divide(depth(reference), depths, out=np.zeros_like(depths), where=depths > 0)
    return dense * factors.astype(np.float32)[:, None]
