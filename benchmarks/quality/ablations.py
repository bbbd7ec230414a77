"""Experiment 6: what each part of scINN is worth, and what worse training data costs.

Each variant is the default preset with one change, to the configuration or to the cells that it is trained on. Those
that change module 2 alone share module 1, which takes most of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quality import data, fits
from quality.clusters import QUICK_RESTARTS, cluster_scores
from quality.data import Dataset
from quality.recovery import recovery_scores
from quality.tasks import Task, record
from scinn_infer.policies import POLICIES
from scinn_train import Config
from scinn_train.config import LossWeights
from scinn_train.evaluate import RESTARTS, principal_components
from scinn_train.transforms import HEADLINE, TRANSFORMS

if TYPE_CHECKING:
    from quality.tasks import Options, Record

Change = Callable[[Config], Config]
Divide = Callable[[Dataset, int], tuple[Dataset, Dataset]]

EXPERIMENT = "ablations"
METHOD = "scINN"
DATASETS = ("saver_downsample_zeisel", "saver_downsample_baron", "yan", "pollen299", "klein_1000x900")
COUNTS = tuple(name for name in DATASETS if name != "yan")
MANY_GENES = ("yan", "pollen299")
"""Those with more than 5,000 genes; the gene filter lets fewer through as they are."""
TWO_DEPTHS = ("pollen_fluidigm_hilo",)

DEFAULT = Config.preset("default")
SETTINGS = {
    "components": "principal components",
    "fixed_components": "principal components trained as well",
    "hidden": "first hidden layer",
    "bottleneck": "second hidden layer",
    "neighbours": "neighbours of a cell",
}
"""Settings of module 2 that are tried, a number at its half and its double, a choice the other way; what a reader is
told: what a number is of, and what the other way is."""
TERMS = {
    "clusters": "cluster loss",
    "similarity": "similarity loss",
    "neighbourhood": "neighbourhood loss",
    "masked": "loss of hidden entries",
}
"""Terms of module 2's loss, as a reader is told."""


def same(config: Config) -> Config:
    """Change nothing."""
    return config


def everything(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:  # noqa: ARG001 - nothing is drawn
    """Train on the cells that are then imputed."""
    return dataset, dataset


def half_of_the_cells(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Train on half of the cells, and impute all."""
    return data.rows(dataset, _halves(dataset, seed)[0]), dataset


def half_of_the_depth(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Train on half of the counts of every cell, and impute the cells with all of theirs."""
    return data.thinned(dataset, 0.5, seed)[0], dataset


def other_cells(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Train on half of the cells, and impute the other half."""
    one, other = _halves(dataset, seed)
    return data.rows(dataset, one), data.rows(dataset, other)


def other_cells_in_depth(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Train on half of the cells as they were sequenced deeply, and impute the other half."""
    trained_on, imputed = other_cells(dataset, seed)
    return replace(trained_on, X=trained_on.reference), imputed


def _halves(dataset: Dataset, seed: int) -> list[np.ndarray]:
    return np.array_split(np.random.default_rng(seed).permutation(dataset.X.shape[0]), 2)


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes
    ----------
    name
        What records call it; empty for the default itself, whose spread over the seeds every change is held against.
    words
        What a reader is told, if that is not the name.
    change
        What it does to the configuration.
    clusters
        Factor on the number of clusters that the default chooses; None leaves the choice as it is.
    divide
        Returns the cells to train on and those to impute.
    datasets
        On which datasets it makes sense.
    unless
        Why it makes none on the others.
    """

    name: str
    change: Change = same
    clusters: float | None = None
    divide: Divide = everything
    datasets: tuple[str, ...] = DATASETS
    words: str = ""
    unless: str = ""


def module1(**changes: Any) -> Change:
    """Return the change of some settings of module 1."""
    return lambda config: replace(config, module1=replace(config.module1, **changes))


def module2(**changes: Any) -> Change:
    """Return the change of some settings of module 2."""
    return lambda config: replace(config, module2=replace(config.module2, **changes))


def loss_terms() -> list[Variant]:
    """Return each term of the default's loss off, at a quarter and at four times its weight."""
    weights = DEFAULT.module2.weights
    present = [field.name for field in fields(LossWeights) if getattr(weights, field.name)]
    return [
        Variant(
            f"{term} term {label}",
            module2(weights=replace(weights, **{term: factor * getattr(weights, term)})),
            words=f"{TERMS[term]} {label}" if factor else f"no {TERMS[term]}",
        )
        for term in present
        for label, factor in (("off", 0), ("× ¼", 0.25), ("× 4", 4))
    ]


def settings() -> list[Variant]:
    """Return each of the settings of module 2, changed."""
    variants = []
    for name, words in SETTINGS.items():
        value = getattr(DEFAULT.module2, name)
        if isinstance(value, bool):
            variants.append(Variant(f"not {name}" if value else name, module2(**{name: not value}), words=words))
        else:
            variants += [
                Variant(
                    f"{name} × {label}", module2(**{name: max(1, round(factor * value))}), words=f"{words} × {label}"
                )
                for label, factor in (("½", 0.5), ("2", 2))
            ]
    return variants


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("", datasets=DATASETS + TWO_DEPTHS),
        *loss_terms(),
        *settings(),
        Variant("no capture efficiency", module2(capture_efficiency=None), datasets=COUNTS + TWO_DEPTHS),
        Variant("capture efficiency 0.1", module2(capture_efficiency=0.1), datasets=COUNTS),
        Variant("capture efficiency 0.2", module2(capture_efficiency=0.2), datasets=COUNTS),
        Variant("k × ½", clusters=0.5, words="number of clusters × ½"),
        Variant("k × 1½", clusters=1.5, words="number of clusters × 1½"),
        Variant(
            "no gene filter",
            module1(filtered_genes=10**9),
            datasets=MANY_GENES,
            unless="too few genes to be filtered",
        ),
        Variant("ensemble of one latent", module1(networks=1, snapshots=1), words="one latent in place of nine"),
        Variant(
            "similarity of the best latent of nine",
            module1(whole_ensemble=False),
            words="similarity of the best latent alone",
        ),
        Variant("trained on 50 % of the cells", divide=half_of_the_cells),
        Variant("trained on 50 % of the depth", divide=half_of_the_depth, datasets=COUNTS),
        # No two of the datasets are the same tissue by two chemistries. What comes nearest are cells that were
        # sequenced twice, at some 40 times the depth: a model of other cells, like those that it imputes or deep.
        Variant("trained on other cells", divide=other_cells, datasets=TWO_DEPTHS),
        Variant("trained on other cells, sequenced deeply", divide=other_cells_in_depth, datasets=TWO_DEPTHS),
    )
}
"""Every variant by name. Depth and a residual path are not among them: f_I has two hidden layers, of which the widths
are tried, and is residual by what it is, a value at the zeros of its input that starts at the gene's mean."""


def in_words(name: str) -> str:
    """Return what a reader is told of a variant that records call by a name."""
    known = VARIANTS.get(name)
    return (known and known.words) or name


QUICK = ("", "neighbourhood term off", "k × 1½", "trained on 50 % of the cells")


def tasks(options: Options) -> list[Task]:
    """Return one task for each dataset, seed and variant."""
    if not options.choose_methods((METHOD,)):
        return []
    return [
        Task(EXPERIMENT, dataset, METHOD, seed, variant=variant.name, quick=options.quick)
        for dataset in options.choose_datasets(DATASETS + TWO_DEPTHS)
        for seed in options.seeds
        for variant in VARIANTS.values()
        if dataset in variant.datasets and (variant.name in QUICK or not options.quick)
    ]


def run(task: Task) -> list[Record]:
    """Fit one variant, and score what it imputes under both policies."""
    variant = VARIANTS[task.variant]
    trained_on, cells = variant.divide(data.load(task.dataset, quick=task.quick), task.seed)
    config = fits.config(trained_on, seed=task.seed)
    if variant.clusters:
        chosen = fits.cell_map(trained_on, config).clusters.max() + 1
        config = replace(config, clusters=max(2, round(variant.clusters * chosen)))
    model = fits.fit(trained_on, variant.change(config))
    return [record(task, policy, scores(fits.apply(model, cells, policy), cells, task)) for policy in POLICIES]


def scores(X: Any, cells: Dataset, task: Task) -> dict[str, float]:
    """Score imputed cells: against their reference where there is one, and by their types elsewhere."""
    if cells.reference is not None:
        return recovery_scores(X, cells.reference, observed=cells.X)
    restarts = QUICK_RESTARTS if task.quick else RESTARTS
    return cluster_scores(
        principal_components(TRANSFORMS[HEADLINE](X)), cells.labels, seed=task.seed, restarts=restarts
    )
