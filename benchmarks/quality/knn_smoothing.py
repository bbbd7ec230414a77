"""kNN-smoothing (Wagner, Yan and Yanai, bioRxiv 2018), written from the paper's description.

The counts of each cell and of the k cells most like it are added up. Which cells are alike is found in steps: with one
neighbour first, and then, from the smoothed counts and so with less noise, with about twice as many each time. Cells
are compared by the first principal components of their counts, brought to the median depth and stabilised in variance
by the Freeman–Tukey transform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from quality.tasks import UnavailableError
from scinn_train.normalise import Normalisation, depth

if TYPE_CHECKING:
    import numpy.typing as npt

    from quality.data import Dataset

    Array = npt.NDArray[np.float32]

NEIGHBOURS = 15
COMPONENTS = 10


def impute(cells: Dataset, *, seed: int) -> Array:  # noqa: ARG001 - nothing is drawn
    """Return the smoothed counts, sums over cells (cells × genes).

    Raises
    ------
    UnavailableError
        If the values are no counts: sums of them, and the transform for counts, would mean nothing.
    """
    if cells.unit != "counts":
        msg = f"kNN-smoothing adds counts up; {cells.name} has {cells.unit.upper()}."
        raise UnavailableError(msg)
    return smooth(sparse.csr_array(cells.X), neighbours=NEIGHBOURS).toarray()


def smooth(counts: sparse.csr_array, *, neighbours: int) -> sparse.csr_array:
    """Return the counts of each cell and its nearest neighbours added up (cells × genes)."""
    neighbours = min(neighbours, counts.shape[0] - 1)
    smoothed, step = counts, 1
    while True:
        count = min(2**step - 1, neighbours)
        smoothed = _with_nearest(_components(smoothed), count) @ counts
        if count == neighbours:
            return smoothed
        step += 1


def _components(counts: sparse.csr_array) -> Array:
    """Return the principal components of the stabilised counts (cells × components)."""
    normalised = Normalisation.from_depths(depth(counts), unit="counts").normalise(counts).toarray()
    stabilised = np.sqrt(normalised) + np.sqrt(normalised + 1)
    return PCA(min(COMPONENTS, *counts.shape), svd_solver="randomized", random_state=0).fit_transform(stabilised)


def _with_nearest(components: Array, count: int) -> sparse.csr_array:
    """Return the matrix that adds up each cell and its nearest others (cells × cells)."""
    others = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(components).kneighbors_graph()
    return sparse.csr_array(others + sparse.eye_array(len(components)), dtype=np.float32)
