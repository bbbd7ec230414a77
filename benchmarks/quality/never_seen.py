"""Experiment 4: cells that no model has seen: whole batches, or three in ten of the cells.

All scores of the experiments before, on the held-out cells alone. The variant says from what they were imputed:

``"held out"``
    A model of the other cells.
``"seen"``
    All cells together: a model that was trained on the held-out cells as well, or MAGIC run on everything.
``"alone"``
    The held-out cells only, for what can learn from no others.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from quality import data
from quality.clusters import QUICK_RESTARTS, cluster_scores
from quality.landscapes import landscape
from quality.methods import METHODS, Imputed
from quality.molecular_cv import TRAINED_SHARE, molecular_scores
from quality.recovery import recovery_scores
from quality.tasks import Task, record
from scinn_train.evaluate import RESTARTS, principal_components
from scinn_train.transforms import HEADLINE, TRANSFORMS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from quality.data import Dataset
    from quality.methods import Matrix
    from quality.tasks import Options, Record

    Booleans = npt.NDArray[np.bool_]

HELD_OUT, SEEN, ALONE = "held out", "seen", "alone"
COMPARED = {
    "raw": (ALONE,),
    "gene mean": (HELD_OUT, SEEN),
    "scINN": (HELD_OUT, SEEN),
    "MAGIC": (ALONE, SEEN),
}
"""The methods, and from what each imputes."""


def tasks(options: Options) -> list[Task]:
    """Return one task for each dataset, part that is held out, method, what it imputes from, and seed."""
    return [
        Task("never_seen", dataset, method, seed, split=split, variant=variant, quick=options.quick)
        for dataset in options.choose_datasets(data.TUNING + data.CONFIRMATION)
        for split in data.splits(dataset)
        for method in options.choose_methods(COMPARED)
        for variant in COMPARED[method]
        for seed in options.seeds
    ]


def run(task: Task) -> list[Record]:
    """Impute the held-out cells in one way and give them every score that their dataset allows."""
    dataset = data.load(task.dataset, quick=task.quick)
    held = data.held_out(dataset, task.split, task.seed)
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for policy, X in impute_held_out(dataset, held, task).policies.items():
        scores[policy] |= expression_scores(X, data.rows(dataset, held), task)
    if dataset.umi:
        trained_on, tested_on = data.thinned(dataset, TRAINED_SHARE, task.seed)
        for policy, X in impute_held_out(trained_on, held, task).policies.items():
            scores[policy] |= molecular_scores(X, tested_on[held])
    return [record(task, policy, found) for policy, found in scores.items()]


def impute_held_out(dataset: Dataset, held: Booleans, task: Task) -> Imputed:
    """Return the held-out cells as the task's method imputes them, from the cells that its variant names."""
    impute, new = METHODS[task.method].run, data.rows(dataset, held)
    if task.variant == HELD_OUT:
        return impute(data.rows(dataset, ~held), new, seed=task.seed)
    if task.variant == ALONE:
        return impute(new, new, seed=task.seed)
    everything = impute(dataset, dataset, seed=task.seed)
    return Imputed(kept=everything.kept[held], everywhere=everything.everywhere[held])


def expression_scores(X: Matrix, cells: Dataset, task: Task) -> dict[str, float]:
    """Return the scores of clusters and picture where types are known, and of recovery where the truth is."""
    scores: dict[str, float] = {}
    if cells.labels is not None:
        pcs = principal_components(TRANSFORMS[HEADLINE](X))
        restarts = QUICK_RESTARTS if task.quick else RESTARTS
        scores |= cluster_scores(pcs, cells.labels, seed=task.seed, restarts=restarts)
        scores |= landscape(pcs, cells.labels, seed=task.seed)[1]
    if cells.reference is not None:
        scores |= recovery_scores(X, cells.reference, observed=cells.X)
    return scores
