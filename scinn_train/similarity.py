"""Module 1, step 5: similarity of cells, never as a matrix of all pairs.

The similarity of two cells is the Pearson correlation of their latents (paper, section on module 1), averaged over the
latent ensemble. Each latent of each cell is centred and scaled to unit length once; the similarity of any pair is then
a dot product, made when a minibatch asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]
    Rows = npt.NDArray[np.intp]

EXACT_BELOW = 20_000
"""Up to this number of cells neighbours are exact; above, from pynndescent's approximate index."""

_BLOCK = 1024


class Similarity:
    """Pearson correlation between cells, averaged over one or more latents.

    Parameters
    ----------
    latents
        One (cells × latents) array for each member of the ensemble.
    """

    def __init__(self, latents: Sequence[Array]) -> None:
        self.directions: Array = np.concatenate([standardise(latent) for latent in latents], axis=1) / np.sqrt(
            np.float32(len(latents))
        )

    def between(self, rows: Rows, columns: Rows) -> Array:
        """Return the similarity of each of one set of cells with each of another, (rows × columns), in [-1, 1]."""
        return np.clip(self.directions[rows] @ self.directions[columns].T, -1, 1)

    def neighbours(self, count: int, *, seed: int = 0) -> Rows:
        """Return the cells most similar to each cell, the nearest first, itself left out (cells × count)."""
        cells = self.directions.shape[0]
        count = min(count, cells - 1)
        if cells > EXACT_BELOW:
            return _approximate_neighbours(self.directions, count, seed)
        nearest = np.empty((cells, count), dtype=np.intp)
        for start in range(0, cells, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, cells))
            similarity = self.directions[rows] @ self.directions.T
            similarity[np.arange(len(rows)), rows] = -np.inf
            top = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
            order = np.argsort(-np.take_along_axis(similarity, top, axis=1), axis=1, kind="stable")
            nearest[rows] = np.take_along_axis(top, order, axis=1)
        return nearest


def standardise(latent: Array) -> Array:
    """Centre each cell's latents and scale them to unit length: dot products are then Pearson correlations."""
    centred = latent - latent.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)


def _approximate_neighbours(directions: Array, count: int, seed: int) -> Rows:
    from pynndescent import NNDescent

    index = NNDescent(directions, metric="euclidean", n_neighbors=count + 1, random_state=seed, n_jobs=1)
    nearest, _ = index.neighbor_graph
    # A cell is its own nearest neighbour, except among exact duplicates: take it out wherever it stands.
    others = nearest != np.arange(len(nearest))[:, None]
    others[others.all(axis=1), -1] = False
    return nearest[others].reshape(len(nearest), count).astype(np.intp)
