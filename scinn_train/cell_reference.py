"""What a model file has to know of cells held out of its training, so that it can judge new ones.

The clusters' centres and the spread around them are measured on the cells that the networks were trained on, the
distances and the calibration on those that were held out: a new cell is as new to the networks as these are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from scinn_infer.cell_reference import LARGEST_TEMPERATURE, CellReference

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.floating]
    Clusters = npt.NDArray[np.intp]

FEWEST_CELLS = 5
"""A cluster of fewer training cells has no centre that could be trusted."""

FEWEST_TO_CALIBRATE = 19

_SHRINKAGE = 0.05  # of the covariance towards equal spread in all directions, so that none counts without bound
_DIGITS = 5  # more would be rounding errors of a sum
_MOST_DISTANCES = 400
_LEAST_PROBABILITY = 1e-30


def describe_cells(
    trained: Array, clusters: Clusters, held_out: Array, *, probability: Array, held_out_clusters: Clusters
) -> CellReference | None:
    """Describe cells by their embeddings; None where no cluster has five training cells, or no cell is held out.

    Parameters
    ----------
    trained, clusters
        Embeddings of the cells that were trained on (cells × d), and their module-1 clusters (cells,).
    held_out, probability, held_out_clusters
        Embeddings (cells × d) and cluster probabilities (cells × clusters) of those held out, and their module-1
        clusters (cells,).
    """
    numbers, sizes = np.unique(clusters, return_counts=True)
    kept = numbers[sizes >= FEWEST_CELLS]
    if not kept.size or not len(held_out):
        return None
    centres = np.stack([trained[clusters == number].mean(axis=0, dtype=np.float64) for number in kept])
    among = np.isin(clusters, kept)
    whitening = _whitening(trained[among] - centres[np.searchsorted(kept, clusters[among])])
    reference = CellReference(
        whitening=_rounded_rows(whitening),
        centres=_rounded_rows(centres @ whitening),
        distances=(),
        held_out_cells=len(held_out),
        temperature=temperature(probability, held_out_clusters),
    )
    return replace(reference, distances=_distances(reference.distance(held_out)))


def temperature(probability: Array, clusters: Clusters) -> float:
    """Return what to divide the logarithms of probabilities by, so that they come true as often as they say.

    It makes the clusters that were found the most likely; 1 where there are too few cells to tell.

    Parameters
    ----------
    probability
        Cluster probabilities of cells that were not trained on (cells × clusters).
    clusters
        The clusters that they are in (cells,).
    """
    if len(clusters) < FEWEST_TO_CALIBRATE:
        return 1.0
    logarithm = np.log(np.maximum(probability.astype(np.float64), _LEAST_PROBABILITY))

    def negative_log_likelihood(log_temperature: float) -> float:
        calibrated = log_softmax(logarithm / np.exp(log_temperature), axis=1)
        return -float(calibrated[np.arange(len(clusters)), clusters].mean())

    # A calibration is never to make the network surer than it is.
    found = minimize_scalar(negative_log_likelihood, bounds=(0.0, np.log(LARGEST_TEMPERATURE)), method="bounded")
    return _rounded(float(np.exp(found.x)))


def _whitening(residuals: Array) -> Array:
    """Return the matrix that takes residuals (cells × d) to unit spread in every direction, whatever their number."""
    covariance = residuals.T @ residuals / len(residuals)
    average = float(np.trace(covariance)) / len(covariance) or 1.0
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * average * np.eye(len(covariance))
    whitening: Array = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    return whitening


def _distances(distances: Array) -> tuple[float, ...]:
    if len(distances) > _MOST_DISTANCES:
        distances = np.quantile(distances, (np.arange(_MOST_DISTANCES) + 0.5) / _MOST_DISTANCES)
    return tuple(_rounded(float(value)) for value in np.sort(distances))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _rounded_rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(_rounded, row)) for row in matrix.tolist())
