"""Module 1, step 1: the gene filter.

A one-hidden-layer linear autoencoder with non-negative encoder weights reconstructs the cells; a gene whose weights
vary over the hidden units takes part in telling cells apart, one whose weights are all alike does not
(scDHA, Tran et al., Nat Commun 2021, Methods).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from scinn_infer.progress import track
from scinn_train import minibatch
from scinn_train.expression import Expression
from scinn_train.networks import initialise
from scinn_train.randomness import derive, torch_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from scinn_train.config import Module1Config


def gene_scores(
    X: Expression, *, config: Module1Config, seed: int, device: torch.device, progress: bool = False
) -> npt.NDArray[np.float32]:
    """Score each gene by how much it helps to tell the cells apart.

    Parameters
    ----------
    X
        Log expression, each cell scaled to [0, 1] (cells × genes).

    Returns
    -------
        Scores in [0, 1] (genes,): standard deviation of the encoder weights over the hidden units, min–max scaled,
        averaged over repeats.
    """
    cells, genes = X.shape
    scores = np.zeros(genes, dtype=np.float32)
    for repeat in range(config.filter_repeats):
        random = np.random.default_rng(derive(seed, "gene filter", repeat))
        sample = random.permutation(cells)[: config.sample_size(cells)]
        epochs = track(
            range(config.filter_epochs),
            description=f"gene filter {repeat + 1} of {config.filter_repeats}",
            total=config.filter_epochs,
            unit="epochs",
            enabled=progress,
        )
        with torch_seed(derive(seed, "gene filter weights", repeat)):
            weight = _encoder_weight(
                Expression.held(X.rows(sample)), epochs, config=config, random=random, device=device
            )
        scores += _min_max(weight.std(axis=0)) / config.filter_repeats
    return scores


def select_genes(scores: npt.NDArray[np.float32], *, count: int) -> npt.NDArray[np.intp]:
    """Return the columns of the ``count`` genes with the highest scores, in column order."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def _encoder_weight(
    X: Expression,
    epochs: Iterable[int],
    *,
    config: Module1Config,
    random: np.random.Generator,
    device: torch.device,
) -> npt.NDArray[np.float32]:
    cells, genes = X.shape
    encoder, decoder = nn.Linear(genes, config.filter_hidden), nn.Linear(config.filter_hidden, genes)
    for layer in (encoder, decoder):
        initialise(layer)
        layer.to(device)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-6, eps=1e-7)
    for _ in epochs:
        for rows in minibatch.shuffled(cells, config.batch_size(cells), random):
            batch = minibatch.dense(X, rows, device)
            loss = nn.functional.mse_loss(decoder(encoder(batch)), batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            _make_non_negative(encoder)
    return encoder.weight.detach().cpu().numpy()


def _make_non_negative(layer: nn.Linear) -> None:
    with torch.no_grad():
        layer.weight.clamp_(min=0)


def _min_max(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)
