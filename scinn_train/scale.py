"""What the networks know of the training cells: depths, means and standard deviations of the genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scinn_train.capture import molecule_value
from scinn_train.normalise import cells_with, column_sums, log1p

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.expression import Expression

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
    molecule
        What one captured molecule shows as (``scinn_train.capture``).
    """

    depth_share: Array
    log_mean: Array
    log_scale: Array
    log_rate: Array
    molecule: float

    @classmethod
    def from_cells(cls, normalised: Expression) -> NetworkScale:
        """Measure the training cells' linear normalised expression (cells × genes); every gene has some."""
        sums, seen = np.zeros((3, normalised.genes)), np.zeros(normalised.genes)
        for rows in normalised.chunks():
            log = log1p(rows)
            sums += np.stack([column_sums(rows), column_sums(log), column_sums(log.power(2))])
            seen += cells_with(rows)
        mean, log_mean, log_square = sums / normalised.shape[0]
        deviation = np.sqrt(np.maximum(log_square - log_mean**2, _SMALLEST_DEVIATION**2))
        return cls(
            depth_share=(mean / mean.sum()).astype(np.float32),
            log_mean=log_mean.astype(np.float32),
            log_scale=(1 / deviation).astype(np.float32),
            log_rate=np.log(mean).astype(np.float32),
            molecule=molecule_value(mean, seen / normalised.shape[0]),
        )
