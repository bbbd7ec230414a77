"""The scales on which raw and imputed expression are compared.

The scale matters more for a comparison than either side of it (``docs/method.md``), so both sides are always brought to
the same one, and it is always named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_train.normalise import depth, replace_data, scale_rows

if TYPE_CHECKING:
    from collections.abc import Callable

Matrix = Any
"""A numpy array or a scipy sparse matrix or array."""

SCANPY_DEPTH = 10_000.0


def log_depth(X: Matrix) -> Matrix:
    """Bring every cell to a depth of 10,000 and return ln(1 + x), float32 (cells × genes): scanpy's habit.

    Parameters
    ----------
    X
        Raw or imputed expression in any linear unit (cells × genes). A cell without expression stays zero.
    """
    return _elementwise(np.log1p, _to_depth(_float32(X), SCANPY_DEPTH))


def log2_median_depth(X: Matrix) -> Matrix:
    """Bring every cell to the median depth of the cells that have any and return log2(1 + x), float32 (cells × genes).

    Parameters
    ----------
    X
        Raw or imputed expression in any linear unit (cells × genes). A cell without expression stays zero.
    """
    X = _float32(X)
    depths = depth(X)
    return _elementwise(_log2_1p, _to_depth(X, float(np.median(depths[depths > 0])) if depths.any() else 0.0))


def log2_as_is(X: Matrix) -> Matrix:
    """Return log2(1 + x) at each cell's own depth, float32 (cells × genes).

    Parameters
    ----------
    X
        Raw or imputed expression in any linear unit (cells × genes).
    """
    return _elementwise(_log2_1p, _float32(X))


HEADLINE = "depth 10,000, ln(1 + x)"
"""The transform that figures are reported on where only one is."""

TRANSFORMS: dict[str, Callable[[Matrix], Matrix]] = {
    HEADLINE: log_depth,
    "median depth, log2(1 + x)": log2_median_depth,
    "own depth, log2(1 + x)": log2_as_is,
}
"""What a scale is called, and the function that brings expression (cells × genes) to it. Sparse stays sparse."""


def _float32(X: Matrix) -> Matrix:
    return np.asarray(X, dtype=np.float32) if isinstance(X, np.ndarray) else sparse.csr_array(X, dtype=np.float32)


def _to_depth(X: Matrix, target: float) -> Matrix:
    depths = depth(X)
    factors = np.divide(target, depths, out=np.zeros_like(depths), where=depths > 0).astype(np.float32)
    return X * factors[:, None] if isinstance(X, np.ndarray) else scale_rows(X, factors)


def _elementwise(function: Callable[[Any], Any], X: Matrix) -> Matrix:
    """Apply a function that leaves zero as it is."""
    return function(X) if isinstance(X, np.ndarray) else replace_data(X, function(X.data))


def _log2_1p(values: Any) -> Any:
    return np.log1p(values) / np.float32(np.log(2))
