"""Module 2: the two sub-networks.

The imputation sub-network f_I predicts what each gene's expression is expected to be (``scinn_train.capture`` says what
follows from that for a zero).
The quality-assessment sub-network f_P is simple by design: clusters and similarity must be readable from the filled-in
matrix itself, not from the cleverness of their reader (paper, section on module 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

from scinn_train import capture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from scinn_train.scale import NetworkScale

    Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Imputation:
    """What the imputation sub-network says of a minibatch.

    Attributes
    ----------
    log_expression
        The input as ln(1 + normalised expression) (cells × genes).
    log_rate
        Logarithm of the expected normalised expression (cells × genes).
    """

    log_expression: torch.Tensor
    log_rate: torch.Tensor

    @cached_property
    def log_expected(self) -> torch.Tensor:
        """ln(1 + expected normalised expression) (cells × genes): softplus, since ln(1 + exp(a)) is just that."""
        return nn.functional.softplus(self.log_rate)

    @cached_property
    def log_inverse(self) -> torch.Tensor:
        """ln(1 + 1 / expected normalised expression) (cells × genes), precise where log_expected - log_rate is not."""
        return nn.functional.softplus(-self.log_rate)

    def log_imputed(self, size: torch.Tensor, captured: capture.Capture) -> torch.Tensor:
        """Return the imputed matrix as ln(1 + normalised expression): zeros filled, everything else as it was.

        Parameters
        ----------
        size
            Size factors of the cells (cells × 1): zeros are filled at each cell's own depth.
        captured
            How the data was counted, on which ``scinn_train.capture.fill`` depends.
        """
        if captured == capture.Capture():
            filled = self.log_expected
        else:
            filled = torch.log1p(capture.fill(self.log_rate.exp(), size, captured) / size)
        return torch.where(self.log_expression == 0, filled, self.log_expression)


class ImputationNetwork(nn.Module):
    """f_I: genes → components → hidden (layer norm) → bottleneck → logarithm of every gene's expected expression.

    Residual in two senses: the filled-in matrix is the input plus a value at the zeros, and that value is learnt as a
    departure from the gene's mean expression, at which the decoder starts.

    Parameters
    ----------
    scale
        What the network knows of the training cells: gene means and standard deviations.
    directions
        Principal components that the first layer projects onto (genes × components).
    fixed
        Whether they stay as they are; otherwise they are where the first layer begins.
    hidden, bottleneck
        Widths of the two hidden layers.
    """

    log_mean: torch.Tensor
    log_scale: torch.Tensor
    gene_log_rate: torch.Tensor

    def __init__(self, scale: NetworkScale, directions: Array, *, fixed: bool, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.register_buffer("log_mean", torch.from_numpy(scale.log_mean))
        self.register_buffer("log_scale", torch.from_numpy(scale.log_scale))
        self.register_buffer("gene_log_rate", torch.from_numpy(scale.log_rate))
        self.components = nn.Parameter(torch.from_numpy(directions), requires_grad=not fixed)
        self.encoder = nn.Linear(directions.shape[1], hidden)
        # Keeps a sum over thousands of genes from saturating the tanh, however deep the cell or many the missing genes.
        self.norm = nn.LayerNorm(hidden)
        self.hidden = nn.Linear(hidden, bottleneck)
        self.decoder = nn.Linear(bottleneck, len(scale.log_mean))
        self.apply(initialise)
        with torch.no_grad():
            self.decoder.weight.mul_(0.1)  # begin near the gene means
            self.decoder.bias.copy_(self.gene_log_rate)

    def forward(self, normalised: torch.Tensor, seen: torch.Tensor) -> Imputation:
        """Predict the expected expression.

        Parameters
        ----------
        normalised
            Linear normalised expression (cells × genes).
        seen
            1 where the network may look, 0 where an entry or a gene is unknown; (cells × genes) or (genes,).
        """
        log_expression = torch.log1p(normalised)
        # An unknown entry stands at its gene's mean, which is zero once standardised.
        standardised = (log_expression - self.log_mean) * self.log_scale * seen
        hidden = torch.tanh(self.norm(self.encoder(standardised @ self.components)))
        return Imputation(log_expression, self.decoder(torch.tanh(self.hidden(hidden))))


class QualityNetwork(nn.Module):
    """f_P: filled-in log expression, standardised → embedding → clusters. Two linear maps and nothing between them."""

    log_mean: torch.Tensor
    log_scale: torch.Tensor

    def __init__(self, scale: NetworkScale, *, embedding: int, clusters: int) -> None:
        super().__init__()
        self.register_buffer("log_mean", torch.from_numpy(scale.log_mean))
        self.register_buffer("log_scale", torch.from_numpy(scale.log_scale))
        self.embedding = nn.Linear(len(scale.log_mean), embedding)
        self.clusters = nn.Linear(embedding, clusters)
        self.apply(initialise)

    def forward(self, log_imputed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embedding (cells × d) and the cluster probabilities (cells × clusters)."""
        embedding = self.embedding((log_imputed - self.log_mean) * self.log_scale)
        return embedding, torch.softmax(self.clusters(embedding), dim=1)


def initialise(layer: nn.Module) -> None:
    """Start a linear layer from Glorot-uniform weights and a bias of zero."""
    if isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
