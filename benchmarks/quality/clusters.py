"""Experiment 1: how well k-means tells the known cell types apart (the paper's figures 2 to 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quality import data, fits
from quality.methods import METHODS
from quality.tasks import CACHE, record, save, tasks_of
from scinn_train.evaluate import RESTARTS, encode_types, kmeans_scores, principal_components
from scinn_train.transforms import HEADLINE, TRANSFORMS

if TYPE_CHECKING:
    import numpy.typing as npt

    from quality.data import Dataset
    from quality.methods import Method
    from quality.tasks import Options, Record, Task

    Floats = npt.NDArray[np.floating[Any]]

QUICK_RESTARTS = 2

# The scales beside the headline, which raw data is also scored on: what each score's name has behind it there.
OTHER_SCALES = {"median depth, log2(1 + x)": " log2 median", "own depth, log2(1 + x)": " log2 own"}


def tasks(options: Options) -> list[Task]:
    """Return one task for each dataset with known types, method and seed."""
    return tasks_of("clusters", options, datasets=data.CLUSTER_SETS, methods=METHODS)


def run(task: Task) -> list[Record]:
    """Score one method on one dataset; raw data on the other scales as well."""
    dataset, method = data.load(task.dataset, quick=task.quick), METHODS[task.method]
    restarts = QUICK_RESTARTS if task.quick else RESTARTS
    found = []
    for policy, pcs in components(dataset, method, seed=task.seed).items():
        scores = cluster_scores(pcs, dataset.labels, seed=task.seed, restarts=restarts)
        for scale, suffix in OTHER_SCALES.items() if task.method == "raw" else ():
            others = principal_components(TRANSFORMS[scale](dataset.X))
            other_scores = cluster_scores(others, dataset.labels, seed=task.seed, restarts=restarts)
            scores |= {name + suffix: value for name, value in other_scores.items()}
        found.append(record(task, policy, scores))
    return found


def cluster_scores(
    components: Floats, labels: npt.ArrayLike, *, seed: int, restarts: int = RESTARTS
) -> dict[str, float]:
    """Return ARI, NMI and Jaccard index of k-means, with as many clusters as there are types, against the types."""
    types = encode_types(labels, cells=len(components))
    scores = kmeans_scores(components, types, seeds=(seed,), restarts=restarts)
    return {name: score.median for name, score in scores.items()}


def components(dataset: Dataset, method: Method, *, seed: int) -> dict[str, Floats]:
    """Return the principal components on the headline scale for each policy (cells × components).

    They are kept in the cache: the landscapes need the same, and a method can take minutes.
    """
    seed = seed if method.seeded else 0
    path = CACHE / "components" / f"{dataset.name}-{method.name}-{fits.digest(dataset, seed, method.code)}.npz"
    if not path.exists():
        imputed = method.run(dataset, dataset, seed=seed)
        found = {policy: principal_components(TRANSFORMS[HEADLINE](X)) for policy, X in imputed.policies.items()}
        save(path, found)
    with np.load(path) as stored:
        return dict(stored)
