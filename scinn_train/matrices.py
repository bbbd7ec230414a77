"""The matrices that scores are made of, as numpy or scipy has them, and refused where nothing can be said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from scinn_infer.checks import stored_values
from scinn_infer.errors import ScinnError

Matrix = Any
"""A numpy array, a scipy sparse matrix or array, or a pandas data frame."""


def as_matrix(X: Matrix, *, name: str) -> Any:
    """Return a matrix of numbers as a numpy array, or in scipy's form where it is sparse.

    Parameters
    ----------
    X
        The matrix (cells × genes, or × components).
    name
        How messages, at their beginning, name it.

    Raises
    ------
    ScinnError
        If it is not two-dimensional, or does not hold numbers.
    """
    matrix = X if sparse.issparse(X) else np.asarray(X)
    if matrix.ndim != 2:
        msg = f"{name} has {matrix.ndim} dimension(s). Give a matrix with a row for each cell."
        raise ScinnError(msg)
    if matrix.dtype.kind == "O":  # a data frame with columns of more than one type
        try:
            return matrix.astype(np.float64)
        except (TypeError, ValueError) as error:
            msg = f"{name} holds what is not a number ({error}). Give the columns with numbers alone."
            raise ScinnError(msg) from error
    if matrix.dtype.kind not in "buif":
        msg = f"{name} holds values of type {matrix.dtype}, which are no real numbers. Give numbers."
        raise ScinnError(msg)
    return matrix


def finite_matrix(X: Matrix, *, name: str) -> Any:
    """Return the same, and refuse missing and infinite values, of which a score would say nothing.

    Negative values pass: logarithms and components have them.

    Raises
    ------
    ScinnError
        If it is no matrix of numbers, or such a value is there; the message names its place.
    """
    matrix = as_matrix(X, name=name)
    if np.isfinite(stored_values(matrix)).all():
        return matrix
    entries = sparse.coo_array(matrix.astype(np.float64))  # scipy has no float16
    wrong = np.flatnonzero(~np.isfinite(entries.data))
    row, column = (int(places[wrong[0]]) + 1 for places in (entries.row, entries.col))
    msg = (
        f"{name} holds {entries.data[wrong[0]]:g} in row {row:,}, column {column:,} ({wrong.size:,} such value(s) in "
        "all): nothing can be said of what is missing or infinite. Look at how the matrix was made."
    )
    raise ScinnError(msg)
