"""What a model file knows of cells held out of its training, so that a new cell can be held against them.

A cell's distance is that of its embedding to the nearest training cluster, in units of how cells spread around their
cluster's centre (Mahalanobis, one covariance for all clusters). Its drift is the share of the held-out cells that are
nearer to theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Row = tuple[float, ...]

LARGEST_TEMPERATURE = 100.0
"""Beyond, probabilities would be equal whatever the cell."""


@dataclass(frozen=True)
class CellReference:
    """Training clusters in the embedding, and how far held-out cells lie from them.

    Attributes
    ----------
    whitening
        Matrix that takes an embedding to where the cells of a cluster spread by one in every direction (d × d).
    centres
        The clusters' centres there (clusters × d).
    distances
        Distances of held-out cells to the nearest centre, ascending: all of them, or as many quantiles, evenly spaced.
    held_out_cells
        Number of held-out cells behind them.
    temperature
        What the logarithms of the cluster probabilities are divided by, so that the largest of the probabilities, once
        they sum to 1 again, is how often held-out cells were in that cluster.
    """

    whitening: tuple[Row, ...]
    centres: tuple[Row, ...]
    distances: Row
    held_out_cells: int
    temperature: float = 1.0

    def distance(self, embedding: npt.NDArray[np.float32]) -> Array:
        """Return how far cells (cells × d) lie from the nearest centre (cells,)."""
        whitened = _product(embedding.astype(np.float64), np.array(self.whitening))
        squares = ((whitened[:, None, :] - np.array(self.centres)[None]) ** 2).sum(axis=2)
        nearest: Array = np.sqrt(squares.min(axis=1))
        return nearest

    def drift(self, distance: Array) -> npt.NDArray[np.float32]:
        """Return the share of the held-out cells that lie nearer than each of some distances, in (0, 1).

        Below the nearest and above the farthest held-out cell nothing is known: of n cells the share is kept within
        1 / (n + 1) and n / (n + 1).
        """
        steps = len(self.distances)
        share = np.searchsorted(self.distances, distance, side="left") / steps
        edge = 1 / (self.held_out_cells + 1)
        return np.clip(share, edge, 1 - edge).astype(np.float32)

    def confidence(self, probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the largest cluster probability of each cell, calibrated (cells × clusters) → (cells,)."""
        logarithm = np.log(np.maximum(probability.astype(np.float64), np.finfo(np.float32).tiny)) / self.temperature
        share = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
        return (1 / share.sum(axis=1)).astype(np.float32)


def parse(fields: Any, *, clusters: int) -> CellReference | None:
    """Read a reference from a model file's metadata; None where the file has none.

    Raises
    ------
    TypeError, ValueError, KeyError
        If it is no such reference.
    """
    if fields is None:
        return None
    whitening, centres = _numbers(fields["whitening"], 2), _numbers(fields["centres"], 2)
    distances, scalars = (
        _numbers(fields["distances"], 1),
        _numbers([fields["held_out_cells"], fields["temperature"]], 1),
    )
    held_out, temperature = int(scalars[0]), float(scalars[1])
    width = whitening.shape[0]
    if whitening.shape != (width, width) or centres.shape[1] != width or not 1 <= centres.shape[0] <= clusters:
        msg = "the shapes of the cell reference contradict each other"
        raise ValueError(msg)
    if distances.min() < 0 or (np.diff(distances) < 0).any() or held_out < distances.size:
        msg = "the distances of the cell reference are not ascending, or more than the held-out cells"
        raise ValueError(msg)
    if not 1 / LARGEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE:
        msg = f"the temperature {temperature} is out of range"
        raise ValueError(msg)
    return CellReference(
        whitening=_rows(whitening),
        centres=_rows(centres),
        distances=tuple(distances.tolist()),
        held_out_cells=held_out,
        temperature=temperature,
    )


def _product(one: Array, other: Array) -> Array:
    """Multiply matrices so that a row's result depends on the row alone; BLAS treats rows that are left over apart."""
    result: Array = np.einsum("ij,jk->ik", one, other, optimize=False)
    return result


def _numbers(value: Any, dimensions: int) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "if" or array.ndim != dimensions or not array.size or not np.isfinite(array).all():
        msg = "the cell reference holds something else than finite numbers in rows of one length"
        raise TypeError(msg)
    return array.astype(np.float64)


def _rows(matrix: Array) -> tuple[Row, ...]:
    return tuple(tuple(row) for row in matrix.tolist())
