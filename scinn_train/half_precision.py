"""Weights in half the space: the large matrices of a model file as float16, everything else as float32.

The numbers are stored in float16 and computed with in float32, so only the rounding of the weights is lost: eleven
binary digits of each are kept. The vectors, gene means and biases among them, are a small part of the file and stay as
they are, because an error of the mean of a gene is not averaged out by anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.graph import NetworkWeights

    Array = npt.NDArray[np.float32]

FLOAT32, FLOAT16 = "float32", "float16"
STORAGES = (FLOAT32, FLOAT16)
"""How the large matrices of a model file can be stored."""


def check_storage(storage: str) -> None:
    """Refuse an unknown way of storing weights.

    Raises
    ------
    ScinnError
        If it is none of ``STORAGES``.
    """
    if storage not in STORAGES:
        msg = f"weights is {storage!r}; choose from {', '.join(STORAGES)}."
        raise ScinnError(msg)


def rounded(weights: NetworkWeights) -> NetworkWeights:
    """Return the weights that a file with float16 matrices computes with.

    A file holds the components and the embedding with the genes' scale folded in, so that is what is rounded.

    Raises
    ------
    ScinnError
        If a weight is too large for float16.
    """
    scale = weights.log_scale[:, None]
    return replace(
        weights,
        components=_unfolded(_half(weights.components * scale), scale),
        decoder_weight=_half(weights.decoder_weight),
        embedding_weight=_unfolded(_half(weights.embedding_weight * scale), scale),
    )


def _half(matrix: Array) -> Array:
    if np.abs(matrix).max(initial=0) > np.finfo(np.float16).max:
        msg = "a weight of this model is too large for float16. Export it with weights='float32'."
        raise ScinnError(msg)
    return matrix.astype(np.float16).astype(np.float32)


def _unfolded(matrix: Array, scale: Array) -> Array:
    """Take the scale off again. Folding it in once more differs by a float32 rounding, which float16 does not see."""
    return np.divide(matrix, scale, out=np.zeros_like(matrix), where=scale != 0)
