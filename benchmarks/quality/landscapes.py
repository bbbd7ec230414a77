"""Experiment 2: how well the known cell types stand apart in a UMAP picture (the paper's figures 5 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quality import data
from quality.clusters import components
from quality.methods import METHODS
from quality.tasks import CACHE, QUICK_RESULTS, record, save, tasks_of
from scinn_train.evaluate import encode_types, silhouette, umap_picture

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from quality.tasks import Options, Record, Task

    Floats = npt.NDArray[np.floating[Any]]

DRAWN_SEED = 0
"""The seed whose pictures are kept, for the figure."""


def tasks(options: Options) -> list[Task]:
    """Return one task for each dataset with known types, method and seed."""
    return tasks_of("landscapes", options, datasets=data.CLUSTER_SETS, methods=METHODS)


def run(task: Task) -> list[Record]:
    """Draw one dataset after one method, and score the picture."""
    dataset = data.load(task.dataset, quick=task.quick)
    found = []
    for policy, pcs in components(dataset, METHODS[task.method], seed=task.seed).items():
        picture, scores = landscape(pcs, dataset.labels, seed=task.seed)
        if task.seed == DRAWN_SEED:
            save(picture_path(task, policy), {"picture": picture, "labels": dataset.labels})
        found.append(record(task, policy, scores))
    return found


def landscape(
    components: Floats, labels: npt.ArrayLike, *, seed: int
) -> tuple[npt.NDArray[np.float32], dict[str, float]]:
    """Return the picture (cells × 2) and the silhouette index of the types in it."""
    picture = umap_picture(components, random_state=seed)
    return picture, {"silhouette": silhouette(picture, encode_types(labels, cells=len(picture)))}


def picture_path(task: Task, policy: str) -> Path:
    """Return where a picture is kept: ``picture`` (cells × 2) and ``labels`` (cells,)."""
    folder = (QUICK_RESULTS if task.quick else CACHE) / "pictures"
    return folder / f"{task.dataset}-{task.method}-{policy}.npz"
