"""What files of the earlier formats do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scinn_infer.contract import OUTPUT_DENOISED, OUTPUTS

if TYPE_CHECKING:
    from scinn_infer.contract import ModelInfo

_SINCE = {OUTPUT_DENOISED: 2}


def outputs_of(info: ModelInfo) -> tuple[str, ...]:
    """Return the names of the outputs that a model file of its format has."""
    return tuple(name for name in OUTPUTS if info.format >= _SINCE.get(name, 1))
