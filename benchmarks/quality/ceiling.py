"""What knowing the types would give: every zero is filled with the mean of the cell's type, which no method can know.

It tells how much there is to be gained for k-means from filling zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quality import data
from quality.clusters import QUICK_RESTARTS, cluster_scores, components
from quality.methods import Imputed, Method, captured, filled
from quality.tasks import record, tasks_of
from scinn_train.evaluate import RESTARTS
from scinn_train.normalise import depth, scale_rows

if TYPE_CHECKING:
    from quality.data import Dataset
    from quality.tasks import Options, Record, Task


def type_mean(train: Dataset, cells: Dataset, *, seed: int) -> Imputed:  # noqa: ARG001 - nothing is learnt or drawn
    """Expect in every cell what an average cell of its type has, at the cell's depth."""
    depths = depth(cells.X)
    shares = scale_rows(cells.X, np.divide(1, depths, out=np.zeros_like(depths), where=depths > 0))
    everywhere = np.empty(cells.X.shape, dtype=np.float32)
    for name in np.unique(cells.labels):
        members = cells.labels == name
        everywhere[members] = np.outer(depths[members], shares[members].mean(axis=0))
    return Imputed(kept=filled(cells.X, everywhere), everywhere=everywhere)


CEILINGS = {
    ceiling.name: ceiling
    for ceiling in (
        Method("type mean", "share of the depth", type_mean, seeded=False),
        Method("type mean + capture", "share of the depth", captured(type_mean), seeded=False),
    )
}
"""By name: with the mean as it is, and at the level that scINN gives to its own expectation."""


def tasks(options: Options) -> list[Task]:
    """Return one task for each dataset with known types, way to fill, and seed of k-means."""
    return tasks_of("ceiling", options, datasets=data.CLUSTER_SETS, methods=CEILINGS)


def run(task: Task) -> list[Record]:
    """Score the filled zeros; replaced altogether, the cells of a type would be the same, and nothing left to find."""
    dataset = data.load(task.dataset, quick=task.quick)
    found = components(dataset, CEILINGS[task.method], seed=task.seed)
    restarts = QUICK_RESTARTS if task.quick else RESTARTS
    return [record(task, "keep", cluster_scores(found["keep"], dataset.labels, seed=task.seed, restarts=restarts))]
