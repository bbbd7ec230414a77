"""scINN, the light side: apply a model file to new single-cell batches."""

from __future__ import annotations

from scinn_infer._version import __version__
from scinn_infer.errors import ScinnError

__all__ = ["ScinnError", "__version__"]
