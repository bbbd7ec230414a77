"""What a model is worth, measured on cells held out of its training, and stored in its file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from scinn_train import losses, minibatch
from scinn_train.cell_reference import describe_cells
from scinn_train.randomness import derive

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.cell_reference import CellReference
    from scinn_train.capture import Capture
    from scinn_train.config import Module2Config
    from scinn_train.expression import Expression
    from scinn_train.minibatch import Rows
    from scinn_train.training import TrainedNetworks

    Array = npt.NDArray[np.float32]

_MOST_CELLS = 2000  # enough for three digits, whatever the size of the data
_MOST_REFERENCE_CELLS = 10_000
_HIDDEN = 0.1  # share of the entries that are hidden and predicted
_KEPT_ENTRIES = 50_000  # enough to draw them


@dataclass(frozen=True)
class Recovery:
    """Entries of held-out cells that were hidden from the network, and what it expected there.

    Attributes
    ----------
    observed, expected, gene_mean
        What was there, what the network expects, and what the gene's mean is, as ln(1 + normalised expression)
        (entries,).
    scores
        ``held_out_cells``; ``masked_correlation``: Pearson correlation of ``expected`` with ``observed`` over all
        hidden entries, beside ``gene_mean_correlation``, the same for the genes' means; and
        ``masked_deviance_explained``: the share of the gene means' deviance that the network removes. What so few
        entries, or entries that are all alike, do not tell is left out.
    """

    observed: Array
    expected: Array
    gene_mean: Array
    scores: dict[str, float]


def recover(
    networks: TrainedNetworks,
    normalised: Expression,
    *,
    config: Module2Config,
    seed: int,
    device: torch.device,
) -> Recovery:
    """Hide a tenth of the entries of the held-out cells, zeros included, and predict them.

    Parameters
    ----------
    normalised
        Linear normalised expression of all training cells (cells × genes).

    Returns
    -------
        The scores of all hidden entries, and 50,000 of these at most, evenly spaced.
    """
    random = np.random.default_rng(derive(seed, "quality"))
    observed: list[torch.Tensor] = []
    expected: list[torch.Tensor] = []
    baseline: list[torch.Tensor] = []
    cells = networks.held_out
    if len(cells) > _MOST_CELLS:  # from all over the data, which may be in the order of donors or types
        cells = np.sort(random.permutation(cells)[:_MOST_CELLS])
    for rows in minibatch.in_order(len(cells), config.batch_size):
        expression = minibatch.dense(normalised, cells[rows], device)
        hidden = torch.from_numpy(_choose_hidden(expression.shape, random)).to(device)
        with torch.no_grad():
            predicted = networks.imputation(expression, (~hidden).float())
        gene_mean = replace(predicted, log_rate=networks.imputation.gene_log_rate.expand_as(predicted.log_rate))
        observed.append(predicted.log_expression[hidden])
        for imputation, into in ((predicted, expected), (gene_mean, baseline)):
            into.append(torch.stack([imputation.log_expected, losses.deviance(imputation, expression)])[:, hidden])
    values, expectation, mean = torch.cat(observed), torch.cat(expected, dim=1), torch.cat(baseline, dim=1)
    measured = {
        "held_out_cells": float(len(cells)),
        "masked_correlation": _correlation(expectation[0], values),
        "gene_mean_correlation": _correlation(mean[0], values),
        "masked_deviance_explained": float(1 - expectation[1].sum() / mean[1].sum()),
    }
    scores = {name: round(value, 4) for name, value in measured.items() if np.isfinite(value)}
    step = max(1, -(-len(values) // _KEPT_ENTRIES))
    kept = [entries[::step].cpu().numpy().copy() for entries in (values, expectation[0], mean[0])]
    return Recovery(kept[0], kept[1], kept[2], scores)


def describe_held_out(
    networks: TrainedNetworks,
    normalised: Expression,
    size_factors: npt.NDArray[np.float32],
    clusters: npt.NDArray[np.intp],
    *,
    capture: Capture,
    config: Module2Config,
    seed: int,
    device: torch.device,
) -> CellReference | None:
    """Describe the cells as the quality network sees them, those held out among them, for new cells to be held against.

    Parameters
    ----------
    normalised
        Linear normalised expression of all training cells (cells × genes).
    size_factors
        What each of them was divided by (cells,).
    clusters
        Their module-1 clusters (cells,).
    capture
        How the data was counted.
    """
    if not (config.weights.clusters or config.weights.similarity):
        return None  # the quality network has learnt nothing
    random = np.random.default_rng(derive(seed, "reference"))
    trained = np.setdiff1d(np.arange(normalised.shape[0]), networks.held_out)
    trained = np.sort(random.permutation(trained)[:_MOST_REFERENCE_CELLS])
    held_out = np.sort(random.permutation(networks.held_out)[:_MOST_REFERENCE_CELLS])

    def look(cells: Rows) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        embeddings = np.empty((len(cells), networks.quality.embedding.out_features), dtype=np.float32)
        probabilities = np.empty((len(cells), networks.quality.clusters.out_features), dtype=np.float32)
        for rows in minibatch.in_order(len(cells), config.batch_size):
            expression = minibatch.dense(normalised, cells[rows], device)
            size = torch.from_numpy(size_factors[cells[rows]])[:, None].to(device)
            with torch.no_grad():
                predicted = networks.imputation(expression, torch.ones(expression.shape[1], device=device))
                embedding, probability = networks.quality(predicted.log_imputed(size, capture))
            embeddings[rows], probabilities[rows] = embedding.cpu().numpy(), probability.cpu().numpy()
        return embeddings, probabilities

    embedding, probability = look(held_out)
    return describe_cells(
        look(trained)[0],
        clusters[trained],
        embedding,
        probability=probability,
        held_out_clusters=clusters[held_out],
    )


def _choose_hidden(shape: Sequence[int], random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose entries at random, and one of each cell where these few hold none."""
    hidden = random.random(shape) < _HIDDEN
    if not hidden.any():
        hidden[np.arange(shape[0]), random.integers(shape[1], size=shape[0])] = True
    return hidden


def _correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the Pearson correlation; not a number where it is of fewer than two, or of what is all the same."""
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1]) if len(first) > 1 else float("nan")
