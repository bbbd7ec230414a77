"""Module 2: training the imputation sub-network together with the quality-assessment sub-network."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scinn_infer.errors import ScinnError
from scinn_infer.progress import busy, track
from scinn_train import losses, minibatch
from scinn_train.components import principal_directions
from scinn_train.expression import Expression
from scinn_train.neighbourhood import mean_expression
from scinn_train.networks import ImputationNetwork, QualityNetwork
from scinn_train.randomness import derive, torch_seed

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.capture import Capture
    from scinn_train.checkpoint import Checkpoint
    from scinn_train.config import Module2Config
    from scinn_train.minibatch import Rows
    from scinn_train.module1 import CellMap
    from scinn_train.scale import NetworkScale

    Array = npt.NDArray[np.float32]
    Terms = dict[str, torch.Tensor]

_CHECKPOINT = "imputation network"
_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_LARGEST_GRADIENT = 1.0
_KEPT_ENTRIES = 60_000_000  # up to so many (cells × genes) all neighbourhoods are averaged once: half a GB, if dense


@dataclass(frozen=True)
class Epoch:
    """One line of the training history: the weighted sum and each named term, on training and on held-out cells.

    Attributes
    ----------
    step
        Minibatches seen so far.
    training, held_out
        Loss by term (unweighted), and ``"total"``, their weighted sum.
    """

    step: int
    training: dict[str, float]
    held_out: dict[str, float]


@dataclass(frozen=True)
class TrainedNetworks:
    """The two trained sub-networks, their history, and the cells that they were judged on."""

    imputation: ImputationNetwork
    quality: QualityNetwork
    history: list[Epoch]
    best: int
    held_out: Rows


class TrainingSet:
    """The training cells, and what module 1 says of them: where minibatches come from.

    Parameters
    ----------
    normalised
        Linear normalised expression (cells × genes).
    size_factors
        What each cell was divided by (cells,).
    cell_map
        Clusters and similarity of the same cells.
    capture
        How the data was counted.
    kept
        The cells that are trained on. Only they are neighbours: held-out cells must not teach, even through others.
    """

    def __init__(
        self,
        normalised: Expression,
        size_factors: Array,
        cell_map: CellMap,
        *,
        capture: Capture,
        kept: Rows,
        neighbours: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.normalised = normalised
        self.size_factors = torch.from_numpy(size_factors)[:, None]
        self.cell_map = cell_map
        self.capture = capture
        index_seed = derive(seed, "neighbours") % 2**31
        self.neighbours = cell_map.similarity.neighbours(neighbours, among=kept, seed=index_seed)
        few = normalised.shape[0] * normalised.shape[1] <= _KEPT_ENTRIES
        self.neighbourhoods = Expression.held(mean_expression(normalised, self.neighbours)) if few else None
        self.one_hot = torch.eye(int(cell_map.clusters.max()) + 1)
        self.device = device

    def expression(self, rows: Rows) -> torch.Tensor:
        """Return the cells' own normalised expression (rows × genes)."""
        return minibatch.dense(self.normalised, rows, self.device)

    def size(self, rows: Rows) -> torch.Tensor:
        """Return the cells' size factors (rows × 1)."""
        return self.size_factors[rows].to(self.device)

    def neighbourhood(self, rows: Rows) -> torch.Tensor:
        """Return the mean normalised expression of each cell's module-1 neighbourhood (rows × genes)."""
        if self.neighbourhoods is not None:
            return minibatch.dense(self.neighbourhoods, rows, self.device)
        return minibatch.as_tensor(mean_expression(self.normalised, self.neighbours[rows]), self.device)

    def assignment(self, rows: Rows) -> torch.Tensor:
        """Return the cells' module-1 clusters, one-hot (rows × clusters)."""
        return self.one_hot[self.cell_map.clusters[rows]].to(self.device)

    def similarity(self, rows: Rows) -> torch.Tensor:
        """Return the module-1 similarity between the cells (rows × rows)."""
        return torch.from_numpy(self.cell_map.similarity.between(rows, rows)).to(self.device)


def train(
    normalised: Expression,
    size_factors: Array,
    cell_map: CellMap,
    scale: NetworkScale,
    *,
    capture: Capture,
    config: Module2Config,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    progress: bool = False,
) -> TrainedNetworks:
    """Train both sub-networks until the held-out cells stop improving, and return them as they were at their best.

    Parameters
    ----------
    normalised
        Linear normalised expression (cells × genes).
    size_factors
        What each cell was divided by (cells,).
    cell_map
        What module 1 found.
    scale
        Constants of the imputation network.
    capture
        How the data was counted.
    checkpoint
        Where the state of the training is kept from time to time, and taken up from.

    Raises
    ------
    ScinnError
        If the loss stops being a number.
    """
    cells = normalised.shape[0]
    random = np.random.default_rng(derive(seed, "minibatches"))
    held_out, kept = np.split(random.permutation(cells), [max(1, round(cells * config.held_out))])
    with busy("neighbourhoods, principal components", enabled=progress):
        data = TrainingSet(
            normalised,
            size_factors,
            cell_map,
            capture=capture,
            kept=kept,
            neighbours=config.neighbours,
            seed=seed,
            device=device,
        )
        directions = principal_directions(
            normalised.with_cells(np.sort(kept)), scale.log_scale, count=config.components, random=random
        )
    history: list[Epoch] = []
    with torch_seed(derive(seed, "imputation network")):
        imputation, quality = _networks(scale, directions, config=config, clusters=data.one_hot.shape[0], device=device)
        best = _State(imputation, quality)
        optimiser, schedule = _optimiser(imputation, quality, config=config, steps=config.steps(len(kept)))
        epochs = -(-config.steps(len(kept)) // -(-len(kept) // config.batch(len(kept))))
        parts = {"imputation": imputation, "quality": quality, "optimiser": optimiser, "schedule": schedule}
        if (reached := checkpoint.read(_CHECKPOINT)) is not None:
            history = _take_up(reached, parts, best, random)
        remaining = range(len(history), epochs)
        for _ in track(
            remaining, description="imputation network", total=len(remaining), unit="epochs", enabled=progress
        ):
            if len(history) - 1 - best.epoch >= config.patience:
                break
            training: list[dict[str, float]] = []
            for rows in minibatch.shuffled(len(kept), config.batch(len(kept)), random):
                terms = _terms(imputation, quality, data, kept[rows], config=config, random=random)
                optimiser.zero_grad()
                terms["total"].backward()
                torch.nn.utils.clip_grad_norm_(_trained(imputation, quality), _LARGEST_GRADIENT)
                optimiser.step()
                schedule.step()
                training.append(_numbers(terms))
            judged = _judge(imputation, quality, data, np.sort(held_out), config=config, seed=seed)
            history.append(Epoch(_steps(history) + len(training), _mean(training), judged))
            best.offer(judged["total"], len(history) - 1)
            checkpoint.write_in_time(_CHECKPOINT, lambda: _state(parts, best, random, history))
        checkpoint.write(_CHECKPOINT, _state(parts, best, random, history))
    best.restore()
    return TrainedNetworks(imputation, quality, history, best.epoch, np.sort(held_out))


def _state(parts: dict[str, Any], best: _State, random: np.random.Generator, history: list[Epoch]) -> dict[str, Any]:
    """Return all that the training goes on from, as a checkpoint can hold it."""
    return {name: part.state_dict() for name, part in parts.items()} | {
        "best": {"loss": best.loss, "epoch": best.epoch, "saved": best.saved},
        "history": [asdict(epoch) for epoch in history],
        "random": random.bit_generator.state,
        "torch random": torch.get_rng_state(),
    }


def _take_up(reached: dict[str, Any], parts: dict[str, Any], best: _State, random: np.random.Generator) -> list[Epoch]:
    """Put everything back to where it was, and return the history up to there."""
    for name, part in parts.items():
        part.load_state_dict(reached[name])
    for name, value in reached["best"].items():
        setattr(best, name, value)
    random.bit_generator.state = reached["random"]
    torch.set_rng_state(reached["torch random"])
    return [Epoch(**epoch) for epoch in reached["history"]]


def _networks(
    scale: NetworkScale, directions: Array, *, config: Module2Config, clusters: int, device: torch.device
) -> tuple[ImputationNetwork, QualityNetwork]:
    imputation = ImputationNetwork(
        scale, directions, fixed=config.fixed_components, hidden=config.hidden, bottleneck=config.bottleneck
    )
    quality = QualityNetwork(scale, embedding=config.embedding, clusters=clusters)
    return imputation.to(device), quality.to(device)


def _trained(*networks: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]


def _optimiser(
    imputation: ImputationNetwork, quality: QualityNetwork, *, config: Module2Config, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.AdamW(
        _trained(imputation, quality), lr=config.learning_rate, weight_decay=config.weight_decay
    )

    def rate(step: int) -> float:
        done = min(step / steps, 1.0)
        return min(1.0, (step + 1) / (_WARM_UP * steps)) * max(0.02, 0.5 * (1 + math.cos(math.pi * done)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, rate)


def _terms(
    imputation: ImputationNetwork,
    quality: QualityNetwork,
    data: TrainingSet,
    rows: Rows,
    *,
    config: Module2Config,
    random: np.random.Generator,
) -> Terms:
    """Compute the named loss terms of one minibatch, and ``total``, their weighted sum."""
    expression = data.expression(rows)
    seen = _seen(expression, config=config, random=random)
    predicted = imputation(expression, seen)
    weights = config.weights
    terms: Terms = {}
    if weights.clusters or weights.similarity:
        embedding, probability = quality(predicted.log_imputed(data.size(rows), data.capture))
        _check_converging(bool(probability.isfinite().all()))  # of anything else torch computes no cross-entropy
        if weights.clusters:
            terms["clusters"] = losses.clusters(probability, data.assignment(rows))
        if weights.similarity:
            terms["similarity"] = losses.similarity(embedding, data.similarity(rows))
    if weights.neighbourhood:
        terms["neighbourhood"] = losses.neighbourhood(predicted, data.neighbourhood(rows))
    if weights.masked:
        terms["masked"] = losses.masked(predicted, expression, seen)
    total = torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()
    return {"total": total, **terms}


def _seen(expression: torch.Tensor, *, config: Module2Config, random: np.random.Generator) -> torch.Tensor:
    """Choose what the network may look at: entries are hidden at random, and in half of the minibatches whole genes."""
    seen = (torch.rand(expression.shape) >= config.entry_dropout).float()  # drawn on the CPU, the same for any device
    if random.random() < 0.5:
        missing = random.uniform(0, config.gene_dropout)
        seen *= (torch.rand(expression.shape[1]) >= missing).float()
    return seen.to(expression.device)


def _judge(
    imputation: ImputationNetwork,
    quality: QualityNetwork,
    data: TrainingSet,
    held_out: Rows,
    *,
    config: Module2Config,
    seed: int,
) -> dict[str, float]:
    """Compute the loss on the held-out cells, with the same entries hidden at every call."""
    random = np.random.default_rng(derive(seed, "judging"))
    batches = np.array_split(held_out, -(-len(held_out) // config.batch_size))  # of one size, so that cells count alike
    with torch.no_grad(), torch_seed(derive(seed, "judging")):
        terms = _mean(
            [_numbers(_terms(imputation, quality, data, rows, config=config, random=random)) for rows in batches]
        )
    _check_converging(math.isfinite(terms["total"]))
    return terms


def _check_converging(finite: bool) -> None:
    if not finite:
        msg = "the training diverged: the loss is no longer a number. Try a smaller learning rate, and check the unit."
        raise ScinnError(msg)


def _steps(history: list[Epoch]) -> int:
    return history[-1].step if history else 0


def _numbers(terms: Terms) -> dict[str, float]:
    """Return the terms as plain numbers.

    A tensor that is kept, small as it is, keeps the C library from giving back the large blocks that were freed around
    it: over thousands of minibatches that is gigabytes.
    """
    return {name: value.item() for name, value in terms.items()}


def _mean(batches: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(torch.tensor([terms[name] for terms in batches]).mean()) for name in batches[0]}


class _State:
    """The networks as they were when the held-out loss was lowest."""

    def __init__(self, *networks: torch.nn.Module) -> None:
        self.networks = networks
        self.loss = math.inf
        self.epoch = 0
        self.saved = [copy.deepcopy(network.state_dict()) for network in networks]

    def offer(self, loss: float, epoch: int) -> None:
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.saved = [copy.deepcopy(network.state_dict()) for network in self.networks]

    def restore(self) -> None:
        for network, state in zip(self.networks, self.saved, strict=True):
            network.load_state_dict(state)
            network.eval()
