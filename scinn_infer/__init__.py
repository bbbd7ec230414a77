"""scINN, the light side: apply a model file to new single-cell batches.

>>> import scinn_infer
>>> model = scinn_infer.load("models/tiny.onnx")
"""

from __future__ import annotations

from scinn_infer._version import __version__
from scinn_infer.anndata import impute
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.genes import GeneMatch
from scinn_infer.model import Model, load

__all__ = ["GeneMatch", "Model", "ScinnError", "ScinnWarning", "__version__", "impute", "load"]
