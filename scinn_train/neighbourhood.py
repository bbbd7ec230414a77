"""The expression of each cell's module-1 neighbourhood: what the imputation network learns to predict from one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.expression import Expression

    Neighbours = npt.NDArray[np.intp]


def mean_expression(X: Expression, neighbours: Neighbours) -> sparse.csr_array:
    """Return the mean expression over the neighbours of some cells (rows × genes, sparse).

    Of linear expression, not of logarithms: the mean of logarithms understates what a dropout hides. The cell itself is
    not among its neighbours, so that what is learnt is not its own noise.

    Parameters
    ----------
    X
        Linear normalised expression of all cells (cells × genes).
    neighbours
        Indices of each cell's neighbours (rows × neighbours).
    """
    needed, places = np.unique(neighbours, return_inverse=True)
    return averaging(places.reshape(neighbours.shape), cells=len(needed)) @ X.rows(needed)


def averaging(neighbours: Neighbours, *, cells: int) -> sparse.csr_array:
    """Return the matrix that takes cells to the mean over each row's neighbours (rows × cells, sparse)."""
    rows, count = neighbours.shape
    weights = np.full(neighbours.size, 1 / count, dtype=np.float32)
    starts = np.arange(0, neighbours.size + 1, count, dtype=np.int32)  # narrow: a product takes the wider of two
    return sparse.csr_array((weights, neighbours.ravel().astype(np.int32), starts), shape=(rows, cells))
