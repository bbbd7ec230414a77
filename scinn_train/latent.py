"""Module 1, step 2: the latent ensemble.

Stacked Bayesian autoencoders (scDHA, Tran et al., Nat Commun 2021, Methods): an encoder to the mean and variance of a
few latents, and two decoders, each of which must reconstruct the cell from a noisy sample of its own. Three networks
with seeds of their own, and three snapshots an epoch apart from each, give nine latents.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from scinn_infer.errors import ScinnError
from scinn_infer.progress import track
from scinn_train import minibatch
from scinn_train.expression import Expression
from scinn_train.networks import initialise
from scinn_train.randomness import derive, torch_seed

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.checkpoint import Checkpoint
    from scinn_train.config import Module1Config

    Array = npt.NDArray[np.float32]

_NOISE = 0.25  # standard deviation of the latent noise, in units of sqrt(variance)
_LEAST_VARIANCE = 1e-30
_DENSE_ROWS = 512  # cells made dense at a time when encoding


class StackedBayesianAutoencoder(nn.Module):
    """Encoder genes → 64 → mean and variance of the latents; two decoders latents → 64 → genes."""

    def __init__(self, genes: int, *, latents: int, hidden: int, normalise: bool) -> None:
        super().__init__()
        first = nn.BatchNorm1d(hidden, momentum=0.01, eps=1e-3) if normalise else nn.SELU()
        self.encoder = nn.Sequential(nn.Linear(genes, hidden), first)
        self.mean = nn.Linear(hidden, latents)
        self.variance = nn.Linear(hidden, latents)
        self.decoders = nn.ModuleList(
            nn.Sequential(nn.Linear(latents, hidden), nn.SELU(), nn.Linear(hidden, genes)) for _ in range(2)
        )
        self.apply(initialise)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Return mean and variance (cells × latents) and the two reconstructions (cells × genes)."""
        hidden = self.encoder(x)
        # Of a latent that takes no part a softmax may round to zero, whose logarithm and root have no gradient.
        mean, variance = self.mean(hidden), torch.softmax(self.variance(hidden), dim=1).clamp_min(_LEAST_VARIANCE)
        reconstructions = []
        for decoder in self.decoders:
            noise = torch.randn(mean.shape[1]).to(mean.device)  # one vector, shared by the batch
            reconstructions.append(decoder(mean + variance.sqrt() * _NOISE * noise))
        return mean, variance, reconstructions

    def latent(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of the latents (cells × latents)."""
        return self.mean(self.encoder(x))


def latent_ensemble(
    X: Expression,
    *,
    config: Module1Config,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    progress: bool = False,
) -> list[Array]:
    """Return the latents of every cell, one (cells × latents) array for each member of the ensemble.

    Parameters
    ----------
    X
        Log expression of the filtered genes, each cell scaled to [0, 1] (cells × genes).
    checkpoint
        Where the latents of each network are kept.
    progress
        Whether to show a progress bar.
    """

    def latents_of(network: int) -> list[Array]:
        random = np.random.default_rng(derive(seed, "latent", network))
        sample = X.rows(np.sort(random.permutation(X.shape[0])[: config.sample_size(X.shape[0])]))
        name = f"latent network {network + 1} of {config.networks}"
        with torch_seed(derive(seed, "latent weights", network)):
            snapshots = _train(
                Expression.held(sample),
                large=X.shape[0] >= config.large,
                config=config,
                random=random,
                device=device,
                name=name,
                progress=progress,
            )
        return _encode(X, snapshots, device)

    return [
        latent
        for network in range(config.networks)
        for latent in checkpoint.remember(f"latent network {network + 1}", partial(latents_of, network))
    ]


def _train(
    sample: Expression,
    *,
    large: bool,
    config: Module1Config,
    random: np.random.Generator,
    device: torch.device,
    name: str,
    progress: bool,
) -> list[StackedBayesianAutoencoder]:
    """Train one network, and return it as it was after each of the last epochs."""
    cells, genes = sample.shape
    model = StackedBayesianAutoencoder(
        genes, latents=25 if large else 15, hidden=64, normalise=cells > config.batch_norm_above
    ).to(device)
    rate, decay, weight = (1e-3, 1e-2, 50.0) if large else (5e-4, 1e-3, 100.0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, eps=1e-7)
    snapshots: list[StackedBayesianAutoencoder] = []
    epochs = config.warmup_epochs + config.latent_epochs + config.snapshots
    for epoch in track(range(epochs), description=name, total=epochs, unit="epochs", enabled=progress):
        for rows in minibatch.shuffled(cells, config.batch_size(cells), random):
            batch = minibatch.dense(sample, rows, device)
            loss = _loss(model, batch, warm_up=epoch < config.warmup_epochs, weight=weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if epoch >= epochs - config.snapshots:
            snapshots.append(copy.deepcopy(model).eval())
    return snapshots


@torch.no_grad()
def _encode(X: Expression, networks: list[StackedBayesianAutoencoder], device: torch.device) -> list[Array]:
    """Return each network's latents of every cell (cells × latents); the cells are gone through once for all."""
    latents = [np.empty((X.shape[0], network.mean.out_features), dtype=np.float32) for network in networks]
    for rows in minibatch.in_order(X.shape[0], _DENSE_ROWS):
        cells = minibatch.dense(X, rows, device)
        for network, latent in zip(networks, latents, strict=True):
            latent[rows] = network.latent(cells).cpu().numpy()
    if not all(np.isfinite(latent).all() for latent in latents):
        msg = "the training of module 1 diverged: a latent is no longer a number. Check the unit and the values."
        raise ScinnError(msg)
    return latents


def _loss(model: StackedBayesianAutoencoder, batch: torch.Tensor, *, warm_up: bool, weight: float) -> torch.Tensor:
    mean, variance, reconstructions = model(batch)
    if warm_up:
        return torch.stack([nn.functional.l1_loss(x, batch) for x in reconstructions]).sum()
    divergence = -0.5 * (1 + variance.log() - mean.square() - variance).mean()  # a mean over the latents, not a sum
    return torch.stack([weight * nn.functional.mse_loss(x, batch) + divergence for x in reconstructions]).sum()
