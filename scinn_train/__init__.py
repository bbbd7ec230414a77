"""scINN, the training side: fit the two-module system on one dataset and export the imputation sub-network.

>>> import scinn_train
>>> result = scinn_train.fit(X, genes, config=scinn_train.Config(seed=0))  # doctest: +SKIP
>>> result.export("tissue.onnx")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scinn_infer import ScinnError, __version__
from scinn_train.config import Config, LossWeights, Module1Config, Module2Config

if TYPE_CHECKING:
    from scinn_train.estimator import ScinnImputer
    from scinn_train.fitting import fit
    from scinn_train.result import Result

__all__ = [
    "Config",
    "LossWeights",
    "Module1Config",
    "Module2Config",
    "Result",
    "ScinnError",
    "ScinnImputer",
    "__version__",
    "fit",
]

_WITH_TORCH = {"Result": "result", "ScinnImputer": "estimator", "fit": "fitting"}


def __getattr__(name: str) -> Any:
    """Load torch only when something is fitted: the catalogue and the command line's help need none."""
    if name not in _WITH_TORCH:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        module = import_module(f"scinn_train.{_WITH_TORCH[name]}")
    except ModuleNotFoundError as error:
        msg = f'training needs the package {error.name!r}, which is not installed: pip install "scinn[train]"'
        raise ScinnError(msg) from error
    return getattr(module, name)
