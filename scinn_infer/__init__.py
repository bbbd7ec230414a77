"""scINN, the light side: apply a model file to new single-cell batches.

>>> import scinn_infer
>>> model = scinn_infer.load("models/tiny.onnx")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scinn_infer._version import __version__
from scinn_infer.anndata import impute
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.genes import GeneMatch
from scinn_infer.model import Model, load

if TYPE_CHECKING:
    from scinn_infer.transformer import ScinnTransformer

__all__ = ["GeneMatch", "Model", "ScinnError", "ScinnTransformer", "ScinnWarning", "__version__", "impute", "load"]


def __getattr__(name: str) -> Any:
    """Load scikit-learn, if it is there, only for what is made of it."""
    if name != "ScinnTransformer":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from scinn_infer.transformer import ScinnTransformer

    return ScinnTransformer
