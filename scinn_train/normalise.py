"""Depth normalisation and the logarithm: the scale on which both modules work.

Depth-normalising first matters more than anything that follows (``docs/method.md``): on raw logarithms the clusters of
a plain PCA mostly follow the depth of the cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Normalisation:
    """How a cell is brought to the common depth.

    Attributes
    ----------
    target_depth
        Depth of every cell after normalisation: the median depth of the training cells. None for units that are
        normalised already (TPM, FPKM): these stay as they are.
    """

    target_depth: float | None

    @classmethod
    def from_depths(cls, depths: npt.NDArray[np.float64], *, unit: str) -> Normalisation:
        """Choose the target depth from the depths of the training cells (cells,), which must all have some."""
        return cls(target_depth=float(np.median(depths)) if unit == "counts" else None)

    def size_factors(self, depths: npt.NDArray[np.float64]) -> Array:
        """Return each cell's depth over the target depth, shape (cells,); one for a cell without expression."""
        if self.target_depth is None:
            return np.ones(len(depths), dtype=np.float32)
        factors = depths / self.target_depth
        return np.where(factors > 0, factors, 1.0).astype(np.float32)

    def normalise(self, X: sparse.csr_array) -> sparse.csr_array:
        """Return the linear normalised expression (cells × genes); zeros stay zero."""
        return scale_rows(X, 1 / self.size_factors(depth(X)))


def depth(X: sparse.csr_array) -> npt.NDArray[np.float64]:
    """Return the sum over genes of each cell, shape (cells,)."""
    return np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()


def column_sums(X: sparse.csr_array) -> npt.NDArray[np.float64]:
    """Return the sum over some cells of each gene, shape (genes,)."""
    return np.asarray(X.sum(axis=0, dtype=np.float64)).ravel()


def cells_with(X: sparse.csr_array) -> npt.NDArray[np.int64]:
    """Return how many of some cells, which have no stored zeros, show each gene, shape (genes,)."""
    return np.bincount(X.indices, minlength=X.shape[1])


def log1p(X: sparse.csr_array) -> sparse.csr_array:
    """Return ln(1 + x) of every entry (cells × genes)."""
    return replace_data(X, np.log1p(X.data))


def to_unit_range(X: sparse.csr_array) -> sparse.csr_array:
    """Scale each cell, which must have some expression, to [0, 1]."""
    return scale_rows(X, 1 / X.max(axis=1).toarray().ravel())


def scale_rows(X: sparse.csr_array, factors: npt.NDArray[np.floating]) -> sparse.csr_array:
    """Multiply each cell (row) by its factor."""
    return replace_data(X, X.data * np.repeat(factors, np.diff(X.indptr)))


def replace_data(X: sparse.csr_array, data: npt.NDArray[np.floating]) -> sparse.csr_array:
    """Return a matrix with the same zeros as X and other values at the stored entries; the index arrays are shared."""
    return sparse.csr_array((data.astype(np.float32, copy=False), X.indices, X.indptr), shape=X.shape)
