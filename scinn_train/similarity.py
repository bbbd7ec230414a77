"""Module 1, step 5: similarity of cells, never as a matrix of all pairs.

The similarity of two cells is the Pearson correlation of their latents (paper, section on module 1), averaged over the
latent ensemble. Each latent of each cell is centred and scaled to unit length once; the similarity of any pair is then
a dot product, made when a minibatch asks for it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

    def neighbours(self, count: int, *, among: Rows | None = None, seed: int = 0) -> Rows:
        """Return the cells most similar to each cell, the nearest first, itself left out (cells × count).

        Parameters
        ----------
        count
            Neighbours of each cell; fewer where there are not so many others.
        among
            The cells that may be neighbours (candidates,); all of them if None.
        seed
            Seed of the approximate index.
        """
        cells = self.directions.shape[0]
        among = np.arange(cells) if among is None else np.sort(among)
        count = min(count, len(among) - 1)
        if cells > EXACT_BELOW:
            return _approximate_neighbours(self.directions, among, count, seed)
        itself = np.full(cells, -1)
        itself[among] = np.arange(len(among))
        nearest, _ = nearest_by_pearson(self.directions, self.directions[among], count, itself=itself)
        return among[nearest]


def standardise(latent: Array) -> Array:
    """Centre each cell's latents and scale them to unit length: dot products are then Pearson correlations."""
    centred = latent - latent.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)


def nearest_by_pearson(
    queries: Array, references: Array, count: int, *, itself: Rows | None = None
) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Return each query's nearest references and their Pearson distances, the nearest first (queries × count).

    Parameters
    ----------
    queries, references
        Standardised latents (cells × latents).
    count
        How many to return for each.
    itself
        Where each query is among the references, to be left out; -1 where it is not (queries,). None leaves out none.
    """
    nearest = np.empty((len(queries), count), dtype=np.intp)
    distance = np.empty((len(queries), count))
    for start in range(0, len(queries), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(queries)))
        block = 1.0 - queries[rows] @ references.T
        if itself is not None:
            known = np.flatnonzero(itself[rows] >= 0)
            block[known, itself[rows][known]] = np.inf
        top = np.argpartition(block, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(block, top, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        nearest[rows] = np.take_along_axis(top, order, axis=1)
        distance[rows] = np.maximum(np.take_along_axis(near, order, axis=1), 0.0)
    return nearest, distance


def _approximate_neighbours(directions: Array, among: Rows, count: int, seed: int) -> Rows:
    from pynndescent import NNDescent

    with _same_threads():
        index = NNDescent(directions[among], metric="euclidean", n_neighbors=2 * count, random_state=seed, n_jobs=1)
        found, _ = index.query(directions, k=count + 1)
    nearest = among[found]
    # A candidate is mostly its own nearest neighbour: take it out wherever it stands, from any other cell the furthest.
    others = nearest != np.arange(len(nearest))[:, None]
    others[others.all(axis=1), -1] = False
    return nearest[others].reshape(len(nearest), count).astype(np.intp)


@contextmanager
def _same_threads() -> Iterator[None]:
    """Give torch back its number of threads: numba's pool, when it starts, sets it to that of the processors."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
