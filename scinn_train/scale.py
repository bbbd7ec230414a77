"""What the networks know of the training cells: depths, means and standard deviations of the genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scinn_train.normalise import log1p

if TYPE_CHECKING:
    import numpy.typing as npt
    from scipy import sparse

    Array = npt.NDArray[np.float32]

_SMALLEST_DEVIATION = 0.05  # a gene that hardly varies would otherwise shout


@dataclass(frozen=True)
class NetworkScale:
    """Constants of the imputation network, from the training cells.

    Attributes
    ----------
    depth_share
        Each gene's share of the normalised expression (genes,), summing to 1.
    log_mean, log_scale
        Mean of ln(1 + normalised expression), and one over its standard deviation (genes,).
    log_rate
        Logarithm of the mean normalised expression (genes,).
    """

    depth_share: Array
    log_mean: Array
    log_scale: Array
    log_rate: Array

    @classmethod
    def from_cells(cls, normalised: sparse.csr_array) -> NetworkScale:
        """Measure the training cells' linear normalised expression (cells × genes); every gene has some."""
        mean = _mean(normalised)
        log = log1p(normalised)
        log_mean = _mean(log)
        deviation = np.sqrt(np.maximum(_mean(log.power(2)) - log_mean**2, _SMALLEST_DEVIATION**2))
        return cls(
            depth_share=(mean / mean.sum()).astype(np.float32),
            log_mean=log_mean.astype(np.float32),
            log_scale=(1 / deviation).astype(np.float32),
            log_rate=np.log(mean).astype(np.float32),
        )


def _mean(X: sparse.csr_array) -> npt.NDArray[np.float64]:
    return np.asarray(X.sum(axis=0, dtype=np.float64)).ravel() / X.shape[0]
