"""What files of the earlier formats do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scinn_infer.contract import COLUMN_OUTPUTS, OUTPUT_DENOISED, OUTPUTS

if TYPE_CHECKING:
    from scinn_infer.contract import ModelInfo

_SINCE = {OUTPUT_DENOISED: 2, **dict.fromkeys(COLUMN_OUTPUTS.values(), 3)}


def outputs_of(info: ModelInfo) -> tuple[str, ...]:
    """Return the names of the outputs that a model file of its format has."""
    return tuple(name for name in OUTPUTS if info.format >= _SINCE.get(name, 1))


def takes_columns(info: ModelInfo) -> bool:
    """Return whether a model file of its format computes single columns by themselves."""
    return set(COLUMN_OUTPUTS.values()) <= set(outputs_of(info))
