"""A simulated tissue with known true expression, for the demo and for tests where no real data is at hand.

Counts are gamma–Poisson, as unique molecular identifiers (UMI) are. What a cell is (its type, its programmes) and how
it was measured (its batch, its depth) set the expected count of each gene, which is the truth; gamma noise of the
cell's own and a Poisson draw make the count. Every zero comes from that sampling alone: behind most of them there is a
small expected count, not none.
"""

from __future__ import annotations

import math
import operator
from dataclasses import asdict, dataclass
from numbers import Real
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import scipy.sparse as sp

from scinn_infer.arguments import check_count
from scinn_infer.errors import ScinnError
from scinn_infer.hdf5_write import open_to_write
from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    import os

    import anndata
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

TRUTH_LAYER = "truth"
"""The layer with the expected count behind each entry of ``X``."""

# A gamma of this shape has the left-skewed logarithm that gene means have in droplet data (Baron pancreas); a few
# genes (hormones, haemoglobins, ribosomal proteins) lie far above it and take a large part of every cell's depth.
GENE_MEAN_SHAPE = 0.45
OUTLIER_SHARE, OUTLIER_FOLD, OUTLIER_SPREAD = 0.015, 40.0, 1.0

MOST_EXPECTED = 1e18
"""The mean of a Poisson draw whose counts are still integers that numpy has."""

BURST_NOISE = 2.0
"""How much more rare transcripts vary: a gene's noise is ``SimulationConfig.noise`` × (1 + this / √ its mean count)."""


@dataclass(frozen=True)
class GeneSet:
    """Genes that change together: their share of all genes, the median fold change, the spread of its logarithm."""

    share: float
    fold: float
    spread: float


LINEAGE_MARKERS = GeneSet(share=0.1, fold=4.0, spread=0.9)
TYPE_MARKERS = GeneSet(share=0.022, fold=3.5, spread=0.9)
PROGRAMME_GENES = GeneSet(share=0.05, fold=1.5, spread=0.3)

LINEAGE_NAMES = ascii_uppercase


@dataclass(frozen=True)
class SimulationConfig:
    """What the simulated tissue is like.

    Attributes
    ----------
    cells_per_batch
        Number of cells of each batch.
    genes
        Number of genes.
    types_per_lineage
        Number of cell types in each lineage. Types of one lineage share its marker genes and differ in few others.
    rarity
        Each type is this many times as frequent as the next more frequent one (1: all equally frequent).
    programmes
        Number of programmes (cell cycle, stress, …): genes that rise and fall together, continuously, in all types.
    depth
        Median counts per cell in the first batch.
    depth_spread
        Standard deviation of the natural logarithm of the depth: 0.5 makes the 95 % quantile five times the 5 % one.
    batch_depth
        Depth of each further batch relative to the one before it.
    batch_effect
        Standard deviation of the natural logarithm of each gene's factor in each batch after the first.
    noise
        Squared coefficient of variation of the gamma noise in a highly expressed gene; rare transcripts vary more.
    seed
        Seed of the random generator; the same configuration always gives the same tissue.

    Raises
    ------
    ScinnError
        If a value is none that a tissue can have.
    """

    cells_per_batch: tuple[int, ...] = (1200, 600)
    genes: int = 3000
    types_per_lineage: tuple[int, ...] = (4, 3, 2)
    rarity: float = 0.8
    programmes: int = 4
    depth: float = 900.0
    depth_spread: float = 0.5
    batch_depth: float = 0.8
    batch_effect: float = 0.25
    noise: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        # Numpy's integers and lists become Python's, so that configurations can be compared and stored with a tissue.
        for name in ("cells_per_batch", "types_per_lineage"):
            object.__setattr__(self, name, _whole_numbers(name, getattr(self, name)))
        for name, least in {"genes": 1, "programmes": 0, "seed": 0}.items():
            object.__setattr__(self, name, _whole_number(name, getattr(self, name), least=least))
        for name in ("rarity", "depth", "batch_depth", "noise"):
            _check_finite(name, getattr(self, name), zero=False)
        for name in ("depth_spread", "batch_effect"):
            _check_finite(name, getattr(self, name), zero=True)
        if len(self.types_per_lineage) > len(LINEAGE_NAMES):
            _refuse("types_per_lineage", self.types_per_lineage, f"{len(LINEAGE_NAMES)} numbers at most")


def simulate_tissue(config: SimulationConfig | None = None) -> anndata.AnnData:
    """Simulate one tissue, measured in several batches.

    Parameters
    ----------
    config
        Size and character of the tissue; the defaults resemble droplet UMI data.

    Returns
    -------
    ``X`` (cells × genes): raw counts, CSR float32. ``layers["truth"]`` (cells × genes): the expected counts, float32:
    the mean of the gamma–Poisson draw behind each entry of ``X``, at the cell's own depth and with its batch's effects.
    ``obs``: ``label`` (cell type), ``lineage`` and ``batch``, categorical. ``var``: ``marker_of`` (the lineages and
    types that a gene marks), and the flags ``marker`` and ``programme``. ``uns``: ``unit`` and ``simulation``, the
    configuration.

    Raises
    ------
    ScinnError
        If the configuration leads to more counts than can be drawn.
    """
    config = config or SimulationConfig()
    random = np.random.default_rng(config.seed)
    batch = np.repeat(np.arange(len(config.cells_per_batch)), config.cells_per_batch)
    cell_type = _draw_types(random, config, cells=batch.size)
    common = _Tissue.draw(random, config)
    log_expression = common.log_expression(random, cell_type)
    log_expression += _batch_effects(random, config)[batch]
    counts, truth = _draw_counts(random, config, log_expression, batch)

    tissue = _to_anndata(counts, truth)
    tissue.obs = _describe_cells(config, batch, cell_type)
    tissue.var = _describe_genes(config, common)
    tissue.uns["unit"] = "counts"
    # h5ad holds arrays, not tuples.
    tissue.uns["simulation"] = {
        name: np.array(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()
    }
    return tissue


def write_simulated(
    path: str | os.PathLike[str], config: SimulationConfig, *, cells_at_once: int = 2000, overwrite: bool = False
) -> None:
    """Simulate a tissue of any size and write its counts as an ``.h5ad``, in memory bounded by some of its cells.

    It is a tissue of the kind that :func:`simulate_tissue` makes, but not the same one: each chunk of cells has random
    numbers of its own. The truth is not written.

    Parameters
    ----------
    path
        The file to write; it appears whole or not at all.
    config
        Size and character of the tissue.
    cells_at_once
        Cells that are drawn together; another number makes other cells.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    ScinnError
        If the file exists (without ``overwrite``) or cannot be written, ``cells_at_once`` is no whole number from 1 on,
        or the configuration leads to more counts than can be drawn.
    """
    from anndata import AnnData
    from anndata.io import sparse_dataset, write_elem

    cells_at_once = check_count(cells_at_once, "cells_at_once")
    with whole_file(path, overwrite=overwrite) as temporary, open_to_write(temporary, "w") as (file, written):
        random = np.random.default_rng(config.seed)
        batch = np.repeat(np.arange(len(config.cells_per_batch)), config.cells_per_batch)
        cell_type = _draw_types(random, config, cells=batch.size)
        tissue = _Tissue.draw(random, config)
        effects = _batch_effects(random, config)
        obs, var = _describe_cells(config, batch, cell_type), _describe_genes(config, tissue)
        write_elem(file, "/", AnnData(obs=obs, var=var, uns={"unit": "counts"}))
        write_elem(file, "X", sp.csr_matrix((0, config.genes), dtype=np.float32))
        X = sparse_dataset(file["X"])
        for number, start in enumerate(range(0, batch.size, cells_at_once)):
            chunk = slice(start, start + cells_at_once)
            own = np.random.default_rng([config.seed, number])
            log_expression = tissue.log_expression(own, cell_type[chunk]) + effects[batch[chunk]]
            counts, _ = _draw_counts(own, config, log_expression, batch[chunk])
            X.append(sp.csr_matrix(counts, dtype=np.float32))
            written.check()  # so that a disk that is full is told now, not after all the cells that have no room


@dataclass(frozen=True)
class _Tissue:
    """What all cells of a tissue have in common: logarithms of expression and of fold changes."""

    gene_mean: Floats
    lineage_fold: Floats
    type_fold: Floats
    programme_fold: Floats
    lineage: Integers

    @classmethod
    def draw(cls, random: np.random.Generator, config: SimulationConfig) -> _Tissue:
        lineage = np.repeat(np.arange(len(config.types_per_lineage)), config.types_per_lineage)
        lineage_fold = _log_folds(random, config, LINEAGE_MARKERS, groups=len(config.types_per_lineage))
        type_fold = _log_folds(random, config, TYPE_MARKERS, groups=lineage.size)
        programme_fold = _log_folds(random, config, PROGRAMME_GENES, groups=config.programmes)
        return cls(_log_gene_means(random, config), lineage_fold, type_fold, programme_fold, lineage)

    def log_expression(self, random: np.random.Generator, cell_type: Integers) -> Floats:
        """Log of each gene's expression in each cell (cells × genes), its programmes drawn."""
        log_expression = self.gene_mean + (self.lineage_fold[self.lineage] + self.type_fold)[cell_type]
        log_expression += random.normal(size=(cell_type.size, len(self.programme_fold))) @ self.programme_fold
        return log_expression


def _draw_counts(
    random: np.random.Generator, config: SimulationConfig, log_expression: Floats, batch: Integers
) -> tuple[Integers, Floats]:
    """Draw counts of some cells, and return them with the expected ones behind them (cells × genes)."""
    expression = np.exp(log_expression)
    truth = expression * (_depths(random, config, batch) / expression.sum(axis=1))[:, None]
    expected = truth * _expression_noise(random, config, truth.mean(axis=0), cells=batch.size)
    if not (expected <= MOST_EXPECTED).all():
        msg = (
            "the configuration leads to more counts in an entry than can be drawn. Lower depth, depth_spread, "
            "batch_depth, batch_effect or noise."
        )
        raise ScinnError(msg)
    return random.poisson(expected), truth


def _draw_types(random: np.random.Generator, config: SimulationConfig, *, cells: int) -> Integers:
    """Type of each cell (cells,); which types are rare is left to chance, not to the lineage."""
    abundance = random.permutation(config.rarity ** np.arange(sum(config.types_per_lineage)))
    return random.choice(abundance.size, size=cells, p=abundance / abundance.sum())


def _log_gene_means(random: np.random.Generator, config: SimulationConfig) -> Floats:
    """Log of each gene's mean expression (genes,), relative to the others."""
    log_mean = np.log(random.gamma(GENE_MEAN_SHAPE, size=config.genes))
    outlier = random.random(config.genes) < OUTLIER_SHARE
    return log_mean + outlier * random.normal(np.log(OUTLIER_FOLD), OUTLIER_SPREAD, size=config.genes)


def _log_folds(random: np.random.Generator, config: SimulationConfig, genes: GeneSet, *, groups: int) -> Floats:
    """Log fold change of each gene in each group (groups × genes): not zero in a random set of genes of each."""
    chosen = random.random((groups, config.genes)) < genes.share
    return chosen * random.normal(np.log(genes.fold), genes.spread, size=chosen.shape)


def _batch_effects(random: np.random.Generator, config: SimulationConfig) -> Floats:
    """Log factor of each gene in each batch (batches × genes); the first batch is the one to compare with."""
    effects = random.normal(scale=config.batch_effect, size=(len(config.cells_per_batch), config.genes))
    effects[0] = 0.0
    return effects


def _depths(random: np.random.Generator, config: SimulationConfig, batch: Integers) -> Floats:
    """Depth of each cell (cells,): log-normal around the median of its batch."""
    median = config.depth * np.power(config.batch_depth, batch)
    return median * random.lognormal(sigma=config.depth_spread, size=batch.size)


def _expression_noise(random: np.random.Generator, config: SimulationConfig, mean: Floats, *, cells: int) -> Floats:
    """Gamma factor of each entry (cells × genes), 1 on average, whose variance falls with the gene's mean (genes,)."""
    variance = config.noise * (1 + BURST_NOISE / np.sqrt(mean))
    return random.gamma(1 / variance, size=(cells, mean.size)) * variance


def _type_names(config: SimulationConfig) -> list[str]:
    """Name the types after their lineage: A1, A2, …, B1, …."""
    lineages = zip(LINEAGE_NAMES, config.types_per_lineage, strict=False)
    return [f"{lineage}{number}" for lineage, types in lineages for number in range(1, types + 1)]


def _to_anndata(counts: Integers, truth: Floats) -> anndata.AnnData:
    from anndata import AnnData

    return AnnData(sp.csr_matrix(counts, dtype=np.float32), layers={TRUTH_LAYER: truth.astype(np.float32)})


def _describe_cells(config: SimulationConfig, batch: Integers, cell_type: Integers) -> pd.DataFrame:
    import pandas as pd

    labels = [_type_names(config)[number] for number in cell_type]
    batches = [f"batch{number + 1}" for number in batch]
    return pd.DataFrame(
        {
            "label": pd.Categorical(labels),
            "lineage": pd.Categorical([label[0] for label in labels]),
            "batch": pd.Categorical(batches),
        },
        index=[f"{name}_cell{number:05d}" for number, name in enumerate(batches, start=1)],
    )


def _describe_genes(config: SimulationConfig, tissue: _Tissue) -> pd.DataFrame:
    import pandas as pd

    groups = np.array([*LINEAGE_NAMES[: len(config.types_per_lineage)], *_type_names(config)])
    marks = np.vstack([tissue.lineage_fold, tissue.type_fold]).T != 0
    return pd.DataFrame(
        {
            "marker": marks.any(axis=1),
            "marker_of": pd.Categorical([", ".join(groups[row]) for row in marks]),
            "programme": (tissue.programme_fold != 0).any(axis=0),
        },
        index=[f"GENE{number:05d}" for number in range(1, config.genes + 1)],
    )


def _whole_numbers(name: str, values: Any) -> tuple[int, ...]:
    try:
        numbers = tuple(map(operator.index, values))
    except TypeError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        _refuse(name, values, "one or more whole numbers from 1 on, such as (1200, 600)")
    return numbers


def _whole_number(name: str, value: Any, *, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        _refuse(name, value, f"a whole number from {least} on")
    return number


def _check_finite(name: str, value: Any, *, zero: bool) -> None:
    number = float(value) if isinstance(value, Real) else math.nan
    if not (math.isfinite(number) and (number > 0 or (zero and number == 0))):
        _refuse(name, value, f"a finite number {'from 0 on' if zero else 'above 0'}")


def _refuse(name: str, value: Any, wanted: str) -> NoReturn:
    msg = f"SimulationConfig: {name} is {value!r}; it has to be {wanted}."
    raise ScinnError(msg)
