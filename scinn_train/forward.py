"""The exported network computed by torch, in double precision unless asked: what the model file is proven against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import layer_norm

from scinn_infer import contract
from scinn_train import capture
from scinn_train.graph import NORM_EPSILON, TINY

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from scinn_train.graph import NetworkWeights


def forward(
    weights: NetworkWeights,
    expression: torch.Tensor,
    measured: torch.Tensor,
    columns: npt.NDArray[np.int64] | None = None,
    *,
    dtype: torch.dtype = torch.float64,
) -> dict[str, torch.Tensor]:
    """Return every output of the contract for a block of cells.

    Parameters
    ----------
    expression
        In the model's unit (cells × genes); zero at genes that are not measured.
    measured
        1 for each gene that the batch has, 0 for each that it lacks (genes,).
    columns
        Which genes the outputs of single columns are of (columns,); the first if not given, as the file has it.
    dtype
        The precision: single precision tells how far that alone comes from the truth.
    """

    def weight(array: npt.NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(array).to(dtype)

    x, m = expression.to(dtype), measured.to(dtype)
    size = _size_factor(weights, x, m)
    divisor = size.clamp(min=TINY)
    standardised = (torch.log1p(x / divisor) - weight(weights.log_mean)) * weight(weights.log_scale) * m
    projected = standardised @ weight(weights.components)
    hidden = projected @ weight(weights.encoder_weight) + weight(weights.encoder_bias)
    norm_weight, norm_bias = weight(weights.norm_weight), weight(weights.norm_bias)
    hidden = torch.tanh(layer_norm(hidden, hidden.shape[1:], norm_weight, norm_bias, NORM_EPSILON))
    hidden = torch.tanh(hidden @ weight(weights.hidden_weight) + weight(weights.hidden_bias))
    rate = torch.exp(hidden @ weight(weights.decoder_weight) + weight(weights.decoder_bias))
    imputed = torch.where(x == 0, capture.fill(rate, size, weights.capture), x)
    centred = (torch.log1p(imputed / divisor) - weight(weights.log_mean)) * weight(weights.log_scale)
    embedding = centred @ weight(weights.embedding_weight) + weight(weights.embedding_bias)
    probability = torch.softmax(embedding @ weight(weights.cluster_weight) + weight(weights.cluster_bias), dim=1)
    some = torch.from_numpy(columns) if columns is not None else torch.tensor([0])
    denoised = capture.denoise(x, rate, size, weights.capture)
    return {
        contract.OUTPUT_IMPUTED: imputed,
        contract.OUTPUT_EXPECTED: rate * size,
        contract.OUTPUT_DENOISED: denoised,
        contract.OUTPUT_CLUSTER_PROBABILITY: probability,
        contract.OUTPUT_EMBEDDING: embedding,
        contract.OUTPUT_IMPUTED_COLUMNS: imputed[:, some],
        contract.OUTPUT_DENOISED_COLUMNS: denoised[:, some],
    }


def _size_factor(weights: NetworkWeights, x: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    depth = x.sum(dim=1, keepdim=True)
    if weights.target_depth is None:
        return (depth > 0).to(x.dtype)
    share = torch.from_numpy(weights.depth_share).to(x.dtype)
    return depth / ((share * m).sum() * weights.target_depth).clamp(min=TINY)
