"""scINN as a scikit-learn transformer that is trained: the two-module system behind ``fit`` and ``transform``."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

import scinn_infer
from scinn_infer.checks import check_unit
from scinn_infer.errors import ScinnError
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.sklearn_base import (
    BaseEstimator,
    OneToOneFeatureMixin,
    TransformerMixin,
    check_values,
    column_names,
    generated_names,
    read_matrix,
)
from scinn_infer.wholefile import whole_file
from scinn_train.config import Config, check_config
from scinn_train.fitting import fit
from scinn_train.hidden_genes import deviance_explained

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy.typing as npt

AUTO = "auto"
"""A parameter's value that stands for what the preset, or the configuration, says."""


class ScinnImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fit scINN on some cells, and impute these or others.

    ``fit`` trains both modules and makes the model file; ``transform`` applies that file, and gives what
    :meth:`scinn_infer.Model.impute` gives. Input and output are in the same unit and at each cell's own depth:
    normalisation and logarithm come after this step, not before it.

    Parameters
    ----------
    preset
        Name of a configuration, see :meth:`Config.preset`.
    config
        A whole configuration, in place of the preset. The parameters below that are given take precedence over it.
    unit
        Unit of the expression: ``"counts"``, ``"tpm"`` or ``"fpkm"``; None: the configuration's, ``"counts"`` unless it
        says otherwise.
    policy
        ``"keep"``: non-zeros are kept bit for bit and zeros are filled; ``"denoise"``: every entry of the model's genes
        is the model's. It is of ``transform`` alone: another one needs no other fit.
    clusters
        Number of clusters; None chooses it from the data, unless the configuration gives it.
    capture_efficiency
        Share of a cell's molecules that are taken to have been counted; None fills zeros with what is expected as it
        is; ``"auto"``: the configuration's.
    random_state
        Seed of every random step; a ``RandomState`` to draw one from at every fit; None for a new one at every fit, or
        that of ``config`` where one is given.
    threads
        CPU threads to train and to impute with; None: the configuration's, or all that the process may use. Give 1
        where several fits run side by side, as in ``GridSearchCV(n_jobs=...)``.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` to train on; None: the configuration's, ``"auto"`` unless it says otherwise.
    genes
        Names of the columns of X. If not given they are those of a data frame, otherwise ``x0``, ``x1``, ….
    unit_checked
        Whether X is known to be in its unit. Otherwise, values that look like logarithms are refused.
    verbose
        Whether to show progress bars on a terminal.

    Attributes
    ----------
    model_
        The trained :class:`scinn_infer.Model`.
    genes_
        The model's genes: those seen in enough cells of the fit (model genes,). The others pass through ``transform``
        untouched.
    clusters_
        Module-1 cluster of each cell of the fit, 0 the largest; -1 for a cell without any expression (cells,).
    latent_
        Module-1 latent of each cell of the fit; NaN for a cell without any expression (cells × latents).
    history_
        One entry for each epoch of module 2: the loss by its named terms, on training and on held-out cells.
    n_features_in_
        Number of columns.
    feature_names_in_
        Names of the columns of a data frame (columns,).

    Examples
    --------
    >>> imputer = ScinnImputer(random_state=0).fit(adata.to_df())  # doctest: +SKIP
    >>> imputed = imputer.transform(adata.to_df())  # doctest: +SKIP
    >>> imputer.export("tissue.onnx")  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        preset: str = "default",
        config: Config | None = None,
        unit: str | None = None,
        policy: str = KEEP,
        clusters: int | None = None,
        capture_efficiency: float | str | None = AUTO,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
        device: str | None = None,
        genes: Sequence[str] | None = None,
        unit_checked: bool = False,
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.config = config
        self.unit = unit
        self.policy = policy
        self.clusters = clusters
        self.capture_efficiency = capture_efficiency
        self.random_state = random_state
        self.threads = threads
        self.device = device
        self.genes = genes
        self.unit_checked = unit_checked
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> ScinnImputer:  # noqa: ARG002 - scikit-learn passes it
        """Train a model on some cells.

        Parameters
        ----------
        X
            Non-negative expression in ``unit`` (cells × genes), neither log-transformed nor scaled: a numpy array,
            scipy sparse matrix or data frame.
        y
            Not used.

        Raises
        ------
        ScinnError
            If a parameter makes no sense, or X cannot be trained on.
        """
        find_policy(self.policy)
        config = self._config()
        matrix = read_matrix(self, X, reset=True, fewest_cells=2, fewest_genes=2)
        names = column_names(X, self.genes, columns=matrix.shape[1]) or generated_names(matrix.shape[1])
        check_values(self, matrix, names)
        result = fit(
            matrix,
            names,
            config=config,
            source="X",
            unit_checked=self.unit_checked,
            progress=bool(self.verbose),
        )
        self._names = names
        self._content = result.to_bytes()
        self.model_ = scinn_infer.load(self._content, threads=config.threads)
        self.genes_ = np.asarray(result.genes, dtype=object)
        self.clusters_ = result.clusters
        self.latent_ = result.latent
        self.history_ = result.history
        return self

    def transform(self, X: Any) -> npt.NDArray[np.floating[Any]]:
        """Impute some cells, those of the fit or others of their tissue.

        Parameters
        ----------
        X
            Cells in the unit and with the columns of the fit (cells × genes).

        Returns
        -------
        numpy.ndarray
            What :meth:`scinn_infer.Model.impute` returns (cells × genes): dense, float64 where X is, otherwise float32.

        Raises
        ------
        ScinnError
            As :meth:`scinn_infer.Model.impute`, and if the columns are not those of the fit.
        """
        matrix = self._read(X)
        return self.model_.impute(matrix, self._names, policy=self.policy, unit_checked=self.unit_checked)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002 - scikit-learn passes it
        """Return how well the model predicts genes that are hidden from it; higher is better.

        A tenth of the genes at a time is hidden, always the same ones together, and the score is the share of the
        deviance of these entries from the genes' training means that the model removes
        (``scinn_train.hidden_genes``): 1 at best, 0 for a model worth no more than the means. The same figure
        of the model's own held-out cells, with entries hidden one by one, is
        ``model_.info.quality["masked_deviance_explained"]``. It tells configurations apart, not policies.

        Parameters
        ----------
        X
            Cells in the unit and with the columns of the fit (cells × genes).
        y
            Not used.

        Raises
        ------
        ScinnError
            As :meth:`transform`.
        """
        matrix = self._read(X)
        if not self.unit_checked:
            check_unit(matrix, unit=self.model_.info.unit, source="X")
        return deviance_explained(self.model_, matrix, self._names)

    def export(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model file, for ``scinn_infer`` and any other reader of ONNX.

        Parameters
        ----------
        path
            Where to write it.
        overwrite
            Whether an existing file may be replaced.

        Raises
        ------
        ScinnError
            If the file exists or cannot be written.
        """
        check_is_fitted(self)
        with whole_file(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(self._content)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> npt.NDArray[np.object_]:
        """Return the names of the result's columns: the genes, as they came in (genes,).

        Parameters
        ----------
        input_features
            Other names to return; those of a data frame that was fitted cannot be replaced.
        """
        check_is_fitted(self)
        if input_features is None:
            return np.asarray(self._names, dtype=object)
        return super().get_feature_names_out(input_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float32", "float64"]
        return tags

    def _read(self, X: Any) -> Any:
        check_is_fitted(self)
        matrix = read_matrix(self, X, reset=False)
        check_values(self, matrix, self._names)
        return matrix

    def _config(self) -> Config:
        """Return the configuration that the parameters amount to."""
        given = {
            "unit": self.unit,
            "clusters": self.clusters,
            "seed": self._seed(),
            "threads": self.threads,
            "device": self.device,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        config = replace(self._base(), **changes)
        efficiency: Any = self.capture_efficiency
        if efficiency == AUTO:
            return config
        if not (efficiency is None or isinstance(efficiency, Real)):
            msg = f"capture_efficiency is {efficiency!r}; it must be a number, None or {AUTO!r}."
            raise ScinnError(msg)
        efficiency = None if efficiency is None else float(efficiency)
        return replace(config, module2=replace(config.module2, capture_efficiency=efficiency))

    def _base(self) -> Config:
        if self.config is None:
            return Config.preset(self.preset)
        if self.preset != "default":
            msg = f"config and the preset {self.preset!r} exclude each other: give one of them."
            raise ScinnError(msg)
        return check_config(self.config)

    def _seed(self) -> int | None:
        """Return the seed of this fit; None for that of the configuration."""
        given: Any = self.random_state
        if given is None and self.config is not None:
            return None
        if isinstance(given, Integral):
            return int(given)
        try:
            return int(check_random_state(given).randint(2**31 - 1))
        except ValueError as error:
            msg = f"random_state is {given!r}; it must be an integer, a RandomState or None."
            raise ScinnError(msg) from error
