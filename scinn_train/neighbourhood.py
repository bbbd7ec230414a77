"""The expression of each cell's module-1 neighbourhood: what the imputation network learns to predict from one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import numpy.typing as npt


def averaging(neighbours: npt.NDArray[np.intp]) -> sparse.csr_array:
    """Return the matrix that takes each cell to the mean over its neighbours (cells × cells, sparse).

    Applied to linear expression, not to logarithms: the mean of logarithms understates what a dropout hides. The cell
    itself is not among its neighbours, so that what is learnt is not its own noise.

    Parameters
    ----------
    neighbours
        Indices of each cell's neighbours (cells × neighbours).
    """
    cells, count = neighbours.shape
    weights = np.full(neighbours.size, 1 / count, dtype=np.float32)
    return sparse.csr_array(
        (weights, neighbours.ravel(), np.arange(0, neighbours.size + 1, count)), shape=(cells, cells)
    )
