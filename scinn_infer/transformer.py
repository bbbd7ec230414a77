"""A model file as a scikit-learn transformer.

The class inherits from scikit-learn's own base classes, so that ``set_output``, ``clone`` and tags are scikit-learn's;
``scinn_infer.ScinnTransformer`` is therefore made when it is first asked for, not by ``import scinn_infer``. Where
scikit-learn is not installed it is the same class upon bases of a few lines (``scinn_infer/sklearn_base.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_infer.genes import REFUSE
from scinn_infer.model import Model, load
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.sklearn_base import (
    BaseEstimator,
    NotFittedError,
    OneToOneFeatureMixin,
    TransformerMixin,
    check_values,
    column_names,
    generated_names,
    read_matrix,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.checks import Matrix
    from scinn_infer.genes import GeneMatch


class ScinnTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Impute with a trained model, as a step of a scikit-learn pipeline.

    Nothing is learnt from the cells: ``fit`` only looks whether the model fits their genes, and ``transform`` works
    without it. Input and output are in the model's unit and at each cell's own depth.

    Works without scikit-learn as well, ``set_output`` apart; with it (1.6 or later) it is one of its estimators.

    Parameters
    ----------
    model
        What :func:`scinn_infer.load` takes, such as the path of a model file, or a loaded model.
    policy
        ``"keep"``: non-zeros are kept bit for bit and zeros are filled; ``"denoise"``: every entry of the genes that
        the model knows is the model's.
    genes
        Names of the columns of X. If not given they are those of a data frame, or, where X has as many columns as the
        model has genes, the model's genes in their order. A model that was trained on columns without names knows them
        as ``x0``, ``x1``, …, and so are they called here.
    duplicates
        Whether columns that name the same gene of the model are refused or summed: ``"refuse"`` or ``"sum"``, as for
        :meth:`scinn_infer.Model.impute`.
    threads
        Threads to compute with, for a model that is not loaded yet; as many as this process may use if not given.
    batch_size
        Number of cells to take at a time; it does not change the values.
    unit_checked
        Whether X is known to be in the model's unit. Otherwise, values that look like logarithms are refused.

    Attributes
    ----------
    model_
        The loaded model.
    match_
        How the columns match the model's genes.
    n_features_in_
        Number of columns.
    feature_names_in_
        Names of the columns of a data frame (columns,).

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> make_pipeline(ScinnTransformer("tissue.onnx"), ...)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | Model,
        *,
        policy: str = KEEP,
        genes: Sequence[str] | None = None,
        duplicates: str = REFUSE,
        threads: int | None = None,
        batch_size: int | None = None,
        unit_checked: bool = False,
    ) -> None:
        self.model = model
        self.policy = policy
        self.genes = genes
        self.duplicates = duplicates
        self.threads = threads
        self.batch_size = batch_size
        self.unit_checked = unit_checked

    def fit(self, X: Any, y: Any = None) -> ScinnTransformer:  # noqa: ARG002 - scikit-learn passes it
        """Load the model and hold the genes of some cells against it.

        Parameters
        ----------
        X
            Cells of the kind that are to be transformed (cells × genes).
        y
            Not used.

        Raises
        ------
        ScinnError
            If the model cannot be loaded, there is no such policy, or too few of the model's genes are among the
            columns.
        """
        matrix = read_matrix(self, X, reset=True)
        find_policy(self.policy)
        model = self.model if isinstance(self.model, Model) else load(self.model, threads=self.threads)
        names, match = _match(model, X, self.genes, columns=matrix.shape[1], duplicates=self.duplicates)
        check_values(self, matrix, names)
        self._names = names
        self.model_ = model
        self.match_ = match
        return self

    def transform(self, X: Any) -> npt.NDArray[np.floating[Any]]:
        """Impute some cells.

        Parameters
        ----------
        X
            Cells in the model's unit (cells × genes): a numpy array, scipy sparse matrix or data frame.

        Returns
        -------
        numpy.ndarray
            What :meth:`scinn_infer.Model.impute` returns (cells × genes): dense, float64 where X is, otherwise float32.

        Raises
        ------
        ScinnError
            As :meth:`scinn_infer.Model.impute`, and if the columns are not those of the fit.
        """
        if not hasattr(self, "model_"):  # a copy is fitted, since transform must not change the estimator
            copy = type(self)(**self.get_params(deep=False)).fit(X)
            return copy._impute(read_matrix(copy, X, reset=False))
        return self._impute(read_matrix(self, X, reset=False))

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> npt.NDArray[np.object_]:
        """Return the names of the result's columns: the genes (genes,).

        Parameters
        ----------
        input_features
            Other names to return; those of a data frame that was fitted cannot be replaced.
        """
        if not hasattr(self, "model_"):
            msg = "This ScinnTransformer is not fitted yet: its columns have no names before fit."
            raise NotFittedError(msg)
        if input_features is None:
            return np.asarray(self._names, dtype=object)
        return super().get_feature_names_out(input_features)

    def _impute(self, matrix: Matrix) -> npt.NDArray[np.floating[Any]]:
        check_values(self, matrix, self._names)
        return self.model_.impute(
            matrix,
            self._names,
            policy=self.policy,
            duplicates=self.duplicates,
            batch_size=self.batch_size,
            unit_checked=self.unit_checked,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float32", "float64"]
        return tags


def _match(
    model: Model, X: Any, genes: Sequence[str] | None, *, columns: int, duplicates: str
) -> tuple[list[str], GeneMatch]:
    """Return the names of the columns, and how they match the model's genes.

    Raises
    ------
    ScinnError
        If the model cannot be applied to them.
    """
    names = column_names(X, genes, columns=columns)
    named = names is not None
    if names is None:
        names = list(model.genes) if columns == len(model.genes) else generated_names(columns)
    match = model.match(names, source="X", duplicates=duplicates)
    if match.problem and not named:
        msg = (
            f"{model.source} has {len(model.genes):,} genes, and X has {columns} feature(s) without names: name the "
            "columns with genes=, or pass a data frame whose columns are named."
        )
        raise ScinnError(msg)
    if match.problem:
        raise ScinnError(match.problem)
    return names, match
