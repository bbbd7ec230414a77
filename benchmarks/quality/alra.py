"""ALRA (Linderman et al., Nat Commun 2022), written from the paper's description: a thresholded low-rank approximation.

The log-normalised matrix is approximated by one of low rank. Biological zeros come out as small values on both sides of
zero, so in each gene everything up to the size of the most negative value is set to zero again. What is left is brought
to the mean and standard deviation of the gene's observed non-zeros, and what was observed is kept where zero came out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.extmath import randomized_svd

from scinn_train.transforms import log_depth

if TYPE_CHECKING:
    import numpy.typing as npt

    from quality.data import Dataset

    Array = npt.NDArray[np.floating]

MOST_RANK = 100
NOISE_SHARE = 0.2
"""The last singular values, from the 80th of 100 on, that are taken for noise; the last fifth where there are fewer."""
GAP = 6.0
"""Standard deviations by which a gap between singular values must exceed the gaps in the noise."""


def impute(cells: Dataset, *, seed: int) -> npt.NDArray[np.float32]:
    """Return ALRA's values for all entries, linear and depth-normalised (cells × genes)."""
    observed = log_depth(cells.X).toarray()
    rank = choose_rank(observed, seed=seed)
    return np.expm1(complete(observed, rank=rank, seed=seed)).astype(np.float32)


def choose_rank(observed: Array, *, seed: int) -> int:
    """Return the last rank after which the singular values fall by clearly more than they do in the noise."""
    most = min(MOST_RANK, min(observed.shape) - 1)
    singular_values = randomized_svd(observed, most, n_iter=2, random_state=seed)[1]
    gaps = -np.diff(singular_values)
    noise = gaps[-max(2, round(NOISE_SHARE * most)) :]
    clear = np.flatnonzero(gaps > noise.mean() + GAP * noise.std(ddof=1))
    return int(clear[-1]) + 1 if clear.size else 1


def complete(observed: Array, *, rank: int, seed: int) -> Array:
    """Return the approximation of the given rank, thresholded and rescaled gene by gene (cells × genes)."""
    left, singular_values, right = randomized_svd(observed, rank, n_iter=10, random_state=seed)
    low_rank = (left * singular_values) @ right
    low_rank[low_rank <= np.abs(low_rank.min(axis=0))] = 0
    scaled = np.where(low_rank > 0, _like_observed(low_rank, observed), 0)
    return np.where(scaled > 0, scaled, observed)


def _like_observed(values: Array, observed: Array) -> Array:
    """Shift and stretch each gene so that its non-zeros have the mean and deviation that were observed."""
    mean, deviation = _nonzero_moments(values)
    target_mean, target_deviation = _nonzero_moments(observed)
    possible = (deviation > 0) & np.isfinite(deviation) & np.isfinite(target_deviation)
    stretch = np.divide(target_deviation, deviation, out=np.ones_like(deviation), where=possible)
    shift = np.where(possible, target_mean - mean * stretch, 0)
    return values * stretch + shift


def _nonzero_moments(values: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of each gene's non-zeros (genes,); not finite where there are too few."""
    count = np.count_nonzero(values, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = values.sum(axis=0, dtype=np.float64) / count
        variance = np.where(values != 0, (values - mean) ** 2, 0).sum(axis=0) / (count - 1)
        return mean, np.sqrt(variance)
