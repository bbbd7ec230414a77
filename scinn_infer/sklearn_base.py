"""What an estimator of scikit-learn is made of: its own classes where it is installed, the least of them where not.

Not imported by ``import scinn_infer``, which stays light: it loads scikit-learn.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.checks import check_chunk, stored_values
from scinn_infer.errors import ScinnError
from scinn_infer.genes import gene_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.checks import Matrix

try:
    from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import validate_data
except ImportError:  # it is not there, or older than 1.6
    validate_data = None

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """An estimator was used before it was fitted."""

    class BaseEstimator:  # type: ignore[no-redef]
        """Parameters by name: those of ``__init__``, which does nothing but store them."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - no parameter has parameters
            """Return the parameters by their names."""
            return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

        def set_params(self, **params: Any) -> Any:
            """Set parameters, and return the estimator."""
            known = self.get_params()
            for name, value in params.items():
                if name not in known:
                    msg = f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}."
                    raise ScinnError(msg)
                setattr(self, name, value)
            return self

    class TransformerMixin:  # type: ignore[no-redef]
        """``fit_transform`` of whatever has both."""

        def fit_transform(self, X: Any, y: Any = None) -> Any:
            """Fit to some cells and transform them."""
            return self.fit(X, y).transform(X)  # type: ignore[attr-defined]

    class OneToOneFeatureMixin:  # type: ignore[no-redef]
        """Columns go out under the names that they came in with."""

        def get_feature_names_out(self, input_features: Sequence[str]) -> npt.NDArray[np.object_]:
            """Return the names that are given, where they can be those of the columns."""
            own = list(getattr(self, "feature_names_in_", input_features))
            if list(input_features) != own or len(own) != self.n_features_in_:  # type: ignore[attr-defined]
                msg = "input_features are not the names of the columns that were fitted. Leave them out."
                raise ScinnError(msg)
            return np.asarray(own, dtype=object)


__all__ = ["BaseEstimator", "NotFittedError", "OneToOneFeatureMixin", "TransformerMixin"]


def read_matrix(estimator: Any, X: Any, *, reset: bool, fewest_cells: int = 1, fewest_genes: int = 1) -> Matrix:
    """Return what an estimator was given as a numpy array or CSR matrix (cells × genes), once its shape is sound.

    Sets ``n_features_in_`` and ``feature_names_in_``, or holds X against them. What scikit-learn refuses is refused in
    its words, as a ``ScinnError``.

    Parameters
    ----------
    X
        A numpy array, a scipy sparse matrix, a data frame, or anything that scikit-learn makes an array of.
    reset
        Whether X is what the estimator is fitted to.
    fewest_cells, fewest_genes
        Below these X is refused.

    Raises
    ------
    ScinnError
        If X is no such matrix, is too small, or does not have the columns of the fit.
    """
    if hasattr(X, "var_names"):
        msg = (
            "X is an AnnData, and scikit-learn works on matrices: pass adata.X and genes=adata.var_names, or "
            "adata.to_df()."
        )
        raise ScinnError(msg)
    if validate_data is None:
        return _read_alone(estimator, X, reset=reset)
    try:
        return validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            ensure_all_finite=False,  # our own refusal names the cell and the gene
            ensure_min_samples=fewest_cells,
            ensure_min_features=fewest_genes,
        )
    except ValueError as error:
        raise ScinnError(str(error)) from error


def column_names(X: Any, genes: Sequence[str] | None, *, columns: int) -> list[str] | None:
    """Return the names of a matrix's columns: those that are given, or a data frame's own; None where it has none.

    Raises
    ------
    ScinnError
        If there are more or fewer of them than columns, or the data frame has others than are given.
    """
    own = getattr(X, "columns", None)
    found = None if own is None or not all(isinstance(name, str) for name in own) else list(own)
    if genes is None:
        return found
    given = gene_names(genes)
    if len(given) != columns:
        msg = f"genes has {len(given):,} names, X has {columns:,} columns. Give one name for each column."
        raise ScinnError(msg)
    if found is not None and found != given:
        differing = next(pair for pair in zip(found, given, strict=True) if pair[0] != pair[1])
        msg = (
            f"X is a data frame whose column {differing[0]!r} is {differing[1]!r} in genes. Leave genes out, or give "
            "the names in the order of the columns."
        )
        raise ScinnError(msg)
    return given


def generated_names(columns: int) -> list[str]:
    """Return the names that scikit-learn gives to columns without any: x0, x1, ….."""
    return [f"x{column}" for column in range(columns)]


def check_values(estimator: Any, X: Matrix, genes: Sequence[str]) -> None:
    """Refuse negative, missing and infinite values; negative ones with the words that scikit-learn has for them.

    Raises
    ------
    ScinnError
        If there is such a value, naming the first.
    """
    try:
        check_chunk(X, genes=genes, source="X")
    except ScinnError as error:
        values = stored_values(X)
        if values.dtype.kind not in "if" or not (values < 0).any():
            raise
        msg = f"Negative values in data passed to {type(estimator).__name__}. {error}"
        raise ScinnError(msg) from error


def _read_alone(estimator: Any, X: Any, *, reset: bool) -> Matrix:
    """Do without scikit-learn what is needed of it."""
    names = column_names(X, None, columns=0)
    matrix = X.to_numpy() if hasattr(X, "to_numpy") else X
    if getattr(matrix, "ndim", 0) != 2:
        msg = f"X is of type {type(X).__name__}; pass a numpy array, scipy sparse matrix or data frame, cells × genes."
        raise ScinnError(msg)
    if reset:
        estimator.n_features_in_ = matrix.shape[1]
        vars(estimator).pop("feature_names_in_", None)
        if names is not None:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
    elif matrix.shape[1] != estimator.n_features_in_:
        msg = (
            f"X has {matrix.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
        raise ScinnError(msg)
    elif names is not None and names != list(getattr(estimator, "feature_names_in_", names)):
        msg = "The feature names should match those that were passed during fit. Fit again, or order the columns so."
        raise ScinnError(msg)
    return matrix
