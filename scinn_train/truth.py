"""How close expression is to a known truth: simulated data, or cells whose reads were thinned on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_train.matrices import finite_matrix

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.matrices import Matrix

    Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class TruthCorrelation:
    """Pearson correlations with the truth.

    Attributes
    ----------
    cellwise
        Over the genes of a cell, averaged over the cells.
    genewise
        Over the cells of a gene, averaged over the genes.
    at_zeros
        Over all entries that were not observed; NaN where they are all alike, as in raw data.
    """

    cellwise: float
    genewise: float
    at_zeros: float


def correlate_with_truth(X: Matrix, truth: Matrix, *, observed: Matrix) -> TruthCorrelation:
    """Correlate expression with the truth, on a log scale.

    Parameters
    ----------
    X
        Raw or imputed expression (cells × genes), on one of the scales of ``TRANSFORMS``.
    truth
        True expression (cells × genes), on the same scale.
    observed
        Raw expression (cells × genes): its zeros are where something was to be imputed, and its genes without any
        count are left out, as nobody can tell them apart.

    Raises
    ------
    ScinnError
        If the three matrices differ in shape, one holds missing or infinite values, or nothing is observed.
    """
    values, true = _dense(X, name="the expression"), _dense(truth, name="the truth")
    seen = _dense(observed, name="the observed data") != 0
    if not values.shape == true.shape == seen.shape:
        msg = (
            f"the expression is {values.shape}, the truth {true.shape} and the observed data {seen.shape}: they "
            "differ. Give the same cells and genes."
        )
        raise ScinnError(msg)
    genes = seen.any(axis=0)
    if not genes.any():
        msg = "no gene has a count in any cell: there is nothing to compare with the truth."
        raise ScinnError(msg)
    values, true, zero = values[:, genes], true[:, genes], ~seen[:, genes]
    return TruthCorrelation(
        cellwise=float(_pearson_of_rows(values, true).mean()),
        genewise=float(_pearson_of_rows(values.T, true.T).mean()),
        at_zeros=_pearson(values[zero], true[zero]),
    )


def fill_with_gene_mean(X: Matrix, reference: Matrix) -> npt.NDArray[np.float32]:
    """Fill the zeros with what the average cell of a reference would have: what any imputation has to beat.

    Parameters
    ----------
    X
        Raw expression (cells × genes).
    reference
        Raw expression of the reference (other cells × the same genes), in the same unit.

    Returns
    -------
    Expression in the same unit (cells × genes): the non-zeros as they were; at the zeros, the gene's mean share of a
    reference cell's depth, times the cell's own depth.

    Raises
    ------
    ScinnError
        If the reference has no expression at all or other genes, or one of the two holds missing or infinite values.
    """
    X = _dense(X, name="the expression").astype(np.float32, copy=False)
    reference = _dense(reference, name="the reference").astype(np.float32, copy=False)
    if X.shape[1] != reference.shape[1]:
        msg = f"the reference has {reference.shape[1]:,} genes and the expression {X.shape[1]:,}: give the same genes."
        raise ScinnError(msg)
    depth = reference.sum(axis=1, keepdims=True, dtype=np.float64)
    if not depth.any():
        msg = "the reference has no expression at all, so there is no gene mean."
        raise ScinnError(msg)
    share = np.divide(reference, depth, out=np.zeros(reference.shape), where=depth > 0).sum(axis=0)
    share /= np.count_nonzero(depth)
    filled = X.sum(axis=1, keepdims=True) * share.astype(np.float32)
    return np.asarray(np.where(X == 0, filled, X))


def _dense(X: Matrix, *, name: str) -> Floats:
    matrix = finite_matrix(X, name=name)
    return np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())


def _pearson_of_rows(X: Floats, Y: Floats) -> npt.NDArray[np.float64]:
    """Pearson correlation of each row of X with the same row of Y; 0 for a constant row, which tells nothing."""
    X, Y = (M - M.mean(axis=1, keepdims=True, dtype=np.float64) for M in (X, Y))
    norm = np.sqrt((X**2).sum(axis=1) * (Y**2).sum(axis=1))
    covariance = (X * Y).sum(axis=1)
    return np.asarray(np.divide(covariance, norm, out=np.zeros_like(norm), where=norm > 0))


def _pearson(x: Floats, y: Floats) -> float:
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(_pearson_of_rows(x[None], y[None])[0])
