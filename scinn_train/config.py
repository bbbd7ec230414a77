"""Configuration of a fit, as plain data."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, replace
from typing import Any

from scinn_infer.contract import UNITS
from scinn_infer.errors import ScinnError
from scinn_train.bounds import FLAG, TEXT, check_fields, choice, number, or_none, part, whole

DEVICES = ("auto", "cpu", "cuda")
PRESETS = ("default", "paper")
AUTO, MOLECULES, READS = "auto", "molecules", "reads"
COUNTED = (AUTO, MOLECULES, READS)

LEAST_CAPTURE_EFFICIENCY = 0.02
"""Below, a difference of nearly equal numbers in the model file would lose its last digits."""

_MODULE1 = {
    "filtered_genes": whole(1),
    "filter_hidden": whole(2),  # a gene's score is how much its weights differ between them
    "filter_epochs": whole(1),
    "filter_repeats": whole(1),
    "networks": whole(1),
    "snapshots": whole(1),
    "warmup_epochs": whole(0),
    "latent_epochs": whole(0),
    "batch_norm_above": whole(0),
    "smallest_batch": whole(1),
    "most_clusters": whole(2),
    "large": whole(0),
    "whole_ensemble": FLAG,
}


@dataclass(frozen=True, kw_only=True)
class Module1Config:
    """Module 1: gene filter, latent ensemble, clustering, consensus, similarity.

    The defaults are scDHA's (Tran et al., Nat Commun 2021) except where an attribute says otherwise; what else differs
    from it is listed in ``docs/method.md``.

    Attributes
    ----------
    filtered_genes
        Genes that the gene filter lets through to the latent ensemble.
    filter_hidden, filter_epochs, filter_repeats
        Hidden units, epochs and repeats of the gene filter.
    networks, snapshots
        Networks of the latent ensemble, and latents taken from each, an epoch apart.
    warmup_epochs, latent_epochs
        Epochs of mean absolute error, then of squared error and divergence, of each network.
    batch_norm_above
        Above this number of training cells a network uses batch norm, below SELU.
    smallest_batch
        Floor of the minibatch size: cells / 50 is 2 for 90 cells, which costs many times more and changes nothing.
    most_clusters
        The largest number of clusters that the automatic choice considers.
    large
        From this number of cells on, the settings for large data hold.
    whole_ensemble
        Whether similarity is averaged over all latents, or taken from the one that agrees best with the consensus.

    Raises
    ------
    ScinnError
        If a value makes no sense.
    """

    filtered_genes: int = 5000
    filter_hidden: int = 32
    filter_epochs: int = 10
    filter_repeats: int = 3
    networks: int = 3
    snapshots: int = 3
    warmup_epochs: int = 10
    latent_epochs: int = 20
    batch_norm_above: int = 500
    smallest_batch: int = 8
    most_clusters: int = 20
    large: int = 50_000
    whole_ensemble: bool = True

    def __post_init__(self) -> None:
        check_fields(self, _MODULE1)
        _check(
            self.batch_size(self.batch_norm_above + 1) >= 2,
            f"smallest_batch is {self.smallest_batch} and batch_norm_above {self.batch_norm_above}: minibatches of one "
            "cell would go through batch norm, which takes two. Raise one of them.",
        )

    def batch_size(self, cells: int) -> int:
        """Return the minibatch size for training on this many cells."""
        return max(cells // 50, self.smallest_batch)

    def sample_size(self, cells: int) -> int:
        """Return how many of the cells a network of module 1 is trained on."""
        return min(cells, 5000 if cells >= self.large else 2000)


_LOSS = dict.fromkeys(("clusters", "similarity", "neighbourhood", "masked"), number(least=0))


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weight of each named term of module 2's loss (``scinn_train.losses``); a term of weight zero is not computed."""

    clusters: float = 0.02
    similarity: float = 0.02
    neighbourhood: float = 1.0
    masked: float = 0.5

    def __post_init__(self) -> None:
        check_fields(self, _LOSS, prefix="weights.")  # Config has clusters as well
        _check(any(astuple(self)), "every weight of the loss is 0: nothing would be learnt. Give a term one above 0.")


_MODULE2 = {
    "components": whole(1),
    "fixed_components": FLAG,
    "hidden": whole(2),  # layer norm makes the same of any one number
    "bottleneck": whole(1),
    "embedding": whole(2),  # so does a correlation
    "neighbours": whole(1),
    "entry_dropout": number(least=0, below=1),
    "gene_dropout": number(least=0, most=1),
    "batch_size": whole(1),
    "epochs": whole(1),
    "fewest_steps": whole(0),
    "most_steps": whole(1),
    "learning_rate": number(above=0),
    "weight_decay": number(least=0),
    "held_out": number(above=0, most=0.9),  # more may leave a fit of few cells none that has a neighbour
    "patience": whole(1),
    "capture_efficiency": or_none(number(least=LEAST_CAPTURE_EFFICIENCY, below=1)),
    "weights": part(LossWeights),
}


@dataclass(frozen=True, kw_only=True)
class Module2Config:
    """Module 2: the imputation and quality-assessment sub-networks and their training.

    Attributes
    ----------
    components
        Principal components that the imputation network's first layer projects the genes onto.
    fixed_components
        Whether that layer stays as it is; otherwise it is trained from there on.
    hidden, bottleneck
        Widths of the imputation network's two hidden layers.
    embedding
        Width of the quality network's embedding.
    neighbours
        Module-1 neighbours whose mean expression the imputation network learns.
    entry_dropout
        Share of the entries that are hidden from the network in each minibatch, and reconstructed by the masked term.
    gene_dropout
        In half of the minibatches a random share of the genes, at most this, is missing altogether.
    batch_size
        Cells in a minibatch; smaller data gets smaller ones, so that an epoch has eight or more.
    epochs, fewest_steps, most_steps
        Length of the training in epochs, kept between two numbers of minibatches: small data needs more epochs,
        large data fewer.
    learning_rate, weight_decay
        Of AdamW, with a linear warm-up and a cosine decay.
    held_out
        Share of the cells on which the training is judged and stopped, above 0 and at most 0.9: it takes one cell or
        more, whatever the share, and the quality that the file states is measured on them.
    patience
        Evaluations without improvement on the held-out cells before the training stops.
    capture_efficiency
        Share of a cell's molecules that are taken to have been counted (``scinn_train.capture``), from 0.02 to below
        1. It has a meaning for counts of molecules; of reads, TPM and FPKM it says no more than that how they were
        counted is taken into account. None fills zeros with the expected expression as it is, whatever they are.
    weights
        Weights of the loss terms.

    Raises
    ------
    ScinnError
        If a value makes no sense.
    """

    components: int = 20
    fixed_components: bool = True
    hidden: int = 128
    bottleneck: int = 64
    embedding: int = 32
    neighbours: int = 15
    entry_dropout: float = 0.2
    gene_dropout: float = 0.5
    batch_size: int = 128
    epochs: int = 30
    fewest_steps: int = 400
    most_steps: int = 6000
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    held_out: float = 0.1
    patience: int = 10
    capture_efficiency: float | None = 0.15
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        check_fields(self, _MODULE2)

    def batch(self, cells: int) -> int:
        """Return the minibatch size for training on this many cells."""
        return min(self.batch_size, max(8, cells // 8))

    def steps(self, cells: int) -> int:
        """Return the number of minibatches of a whole training on this many cells."""
        per_epoch = -(-cells // self.batch(cells))
        return min(max(self.epochs * per_epoch, self.fewest_steps), self.most_steps)


_CONFIG = {
    "unit": choice(*UNITS),
    "counted": choice(*COUNTED),
    "clusters": or_none(whole(2)),
    "seed": whole(0),
    "min_cells": whole(1),
    "threads": or_none(whole(1)),
    "device": choice(*DEVICES),
    "tissue": TEXT,
    "species": TEXT,
    "licence": TEXT,
    "module1": part(Module1Config),
    "module2": part(Module2Config),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a fit, besides the data.

    Attributes
    ----------
    unit
        Unit of the expression: ``"counts"`` (raw counts; depth-normalised to the median depth), ``"tpm"`` or ``"fpkm"``
        (used as they are).
    counted
        What a count is: ``"molecules"`` (UMIs) or ``"reads"``; ``"auto"`` tells by how often rare genes are zero
        (``scinn_train.capture``). TPM and FPKM are of reads.
    clusters
        Number of clusters; None chooses it from the data.
    seed
        Seed of every random step. The same seed, data and number of threads give the same file.
    min_cells
        The model's genes are those with a non-zero entry in at least this many training cells.
    threads
        CPU threads; None takes what the process may use.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for the GPU when torch sees one.
    tissue, species, licence
        Stored in the model file.
    module1, module2
        The two modules.

    Raises
    ------
    ScinnError
        If a value makes no sense.
    """

    unit: str = "counts"
    counted: str = AUTO
    clusters: int | None = None
    seed: int = 0
    min_cells: int = 3
    threads: int | None = None
    device: str = "auto"
    tissue: str = ""
    species: str = ""
    licence: str = ""
    module1: Module1Config = field(default_factory=Module1Config)
    module2: Module2Config = field(default_factory=Module2Config)

    def __post_init__(self) -> None:
        check_fields(self, _CONFIG)
        _check(
            self.unit == "counts" or self.counted != MOLECULES,
            f"unit {self.unit!r} and counted {MOLECULES!r} exclude each other: TPM and FPKM are of reads. Give one of "
            "them.",
        )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Config:
        """Return a named configuration.

        Parameters
        ----------
        name
            ``"default"``, or ``"paper"``: the published objective alone, BCE(C', C) + MSE(S', S), with the similarity
            of the one best latent. It is there to be compared with: it leaves the imputed values undetermined.
        changes
            Fields to set otherwise.
        """
        _check(name in PRESETS, f"there is no preset {name!r}; there are {', '.join(PRESETS)}.")
        if name == "default":
            return cls(**changes)
        published = LossWeights(clusters=1.0, similarity=1.0, neighbourhood=0.0, masked=0.0)
        paper = cls(
            module1=Module1Config(whole_ensemble=False),
            module2=Module2Config(weights=published, capture_efficiency=None),
        )
        return replace(paper, **changes)


def check_config(config: Any) -> Config:
    """Return a configuration, once it is known to be one.

    Raises
    ------
    ScinnError
        If it is something else.
    """
    _check(isinstance(config, Config), f"config is of type {type(config).__name__}; it must be a scinn_train.Config.")
    return config


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ScinnError(message)
