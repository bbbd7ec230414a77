"""What a model is worth, measured on cells held out of its training, and stored in its file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from scinn_train import losses, minibatch
from scinn_train.randomness import derive

if TYPE_CHECKING:
    from scipy import sparse

    from scinn_train.config import Module2Config
    from scinn_train.training import TrainedNetworks

_MOST_CELLS = 2000  # enough for three digits, whatever the size of the data
_HIDDEN = 0.1  # share of the entries that are hidden and predicted


def measure(
    networks: TrainedNetworks,
    normalised: sparse.csr_array,
    *,
    config: Module2Config,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """Hide a tenth of the entries of the held-out cells, zeros included, and predict them.

    Parameters
    ----------
    normalised
        Linear normalised expression of all training cells (cells × genes).

    Returns
    -------
        ``held_out_cells``; ``masked_correlation``: Pearson correlation of ln(1 + expected) with ln(1 + observed) over
        all hidden entries, beside ``gene_mean_correlation``, the same for the genes' means; and
        ``masked_deviance_explained``: the share of the gene means' deviance that the network removes.
    """
    random = np.random.default_rng(derive(seed, "quality"))
    observed: list[torch.Tensor] = []
    expected: list[torch.Tensor] = []
    baseline: list[torch.Tensor] = []
    cells = networks.held_out[:_MOST_CELLS]
    for rows in minibatch.in_order(len(cells), config.batch_size):
        expression = minibatch.dense(normalised, cells[rows], device)
        hidden = torch.from_numpy(random.random(expression.shape) < _HIDDEN).to(device)
        with torch.no_grad():
            predicted = networks.imputation(expression, (~hidden).float())
        gene_mean = replace(predicted, log_rate=networks.imputation.gene_log_rate.expand_as(predicted.log_rate))
        observed.append(predicted.log_expression[hidden])
        for imputation, into in ((predicted, expected), (gene_mean, baseline)):
            into.append(torch.stack([imputation.log_expected, losses.deviance(imputation, expression)])[:, hidden])
    values, expectation, mean = torch.cat(observed), torch.cat(expected, dim=1), torch.cat(baseline, dim=1)
    explained = 1 - expectation[1].sum() / mean[1].sum()
    return {
        "held_out_cells": float(len(cells)),
        "masked_correlation": _correlation(expectation[0], values),
        "gene_mean_correlation": _correlation(mean[0], values),
        "masked_deviance_explained": _rounded(float(explained)),
    }


def _correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    return _rounded(float(torch.corrcoef(torch.stack([first, second]))[0, 1]))


def _rounded(value: float) -> float:
    return round(value, 4) if np.isfinite(value) else 0.0
