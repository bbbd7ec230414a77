"""Whether a method finds what is not there: each test is a function of matrices, and is put to every method alike.

Four kinds of cells are imputed:

- the cells as they are: null differential expression, absent genes, known markers, and the variance of the genes;
- cells whose every gene was shuffled, so that no gene depends on another;
- cells of which a fifth of the genes were shuffled, among others that are real: what an imputation passes on to them
  from their neighbours looks like a difference between types, and is none;
- two halves of the cells, drawn at random and imputed each by itself, as two batches are: what differs between their
  cells of one type is the work of the imputation.

The record of ``raw`` says what each score was before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse, stats

from quality import data
from quality.methods import METHODS, Imputed
from quality.tasks import Task, record
from scinn_train.normalise import depth
from scinn_train.transforms import HEADLINE, SCANPY_DEPTH, TRANSFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from quality.data import Dataset
    from quality.methods import Method
    from quality.tasks import Options, Record

    Booleans = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.floating[Any]]
    Indices = npt.NDArray[np.intp]
    Scores = dict[str, float]

Matrix = Any
"""A numpy array or a scipy sparse matrix or array."""

EXPERIMENT = "false_signal"
COMPARED = ("raw", "gene mean", "scINN", "MAGIC", "kNN-smoothing", "ALRA")

CORRELATED_GENES = 500
"""The correlation of shuffled genes is that of these, of highest variance: others have hardly a value to correlate."""
SHUFFLED_SHARE = 0.2
DEPTH_GROUPS = 10
"""Where few genes are shuffled they move between cells of about one depth only, ranked into this many groups, and the
two types that are compared have as many cells of each group: in cells of another depth a count means another thing, and
a test between types of different depth would rightly say so."""
SPLITS = 200
FALSE_DISCOVERY_RATE = 0.05
LEAST_FOLD = 1.2
FEWEST_CELLS = 3
"""A gene is tested for differential expression if at least this many of the tested cells have it."""
ABSENT_LEVEL = 0.5
"""Of 10,000. Half of a molecule in a cell of depth 10,000: far below what a cell that does express such a gene has, and
several times what strays into other cells by the medium that the cells were in."""
FEWEST_OF_TYPE = 5
WORSE = 0.01
WELL_SEEN = 0.05
"""The variance of a gene is estimated if at least this share of the cells has it."""

_NOTHING = 1e-9  # in place of a mean of zero
_ROUNDING = 1e-5  # relative; a gene that varies by less is constant, but for float32


@dataclass(frozen=True)
class Panel:
    """Genes that some types of cell do not express.

    Attributes
    ----------
    name
        What records call it.
    genes, types
        The genes, and the types that lack them.
    """

    name: str
    genes: tuple[str, ...]
    types: tuple[str, ...]


_ISLET = ("alpha", "beta", "delta", "gamma", "epsilon")
_EXOCRINE = ("acinar", "ductal")
_HAEMOGLOBIN = ("HBA1", "HBA2", "HBB", "HBD", "HBG1", "HBG2", "HBM", "HBQ1", "AHSP")
_SYNAPSE = ("SNAP25", "SYT1", "SYT4", "SYN1", "SYP", "CPLX2", "RIMS2", "CADPS", "NRXN1", "SLC17A6")
_NEURON = ("NEFM", "NEFL", "INA", "PRPH", "STMN2", "GAP43", "DCX", "KIF5A", "CNTN1", "ELAVL4", "RBFOX3", *_SYNAPSE)
_IMMUNE = ("PTPRC", "CD3D", "TRAC", "TPSAB1", "TPSB2", "CPA3", "TYROBP", "AIF1", "C1QA", "C1QB", "C1QC", "CD163")
_Y_CHROMOSOME = (
    "ENSG00000129824",  # RPS4Y1
    "ENSG00000067048",  # DDX3Y
    "ENSG00000198692",  # EIF1AY
    "ENSG00000012817",  # KDM5D
    "ENSG00000183878",  # UTY
    "ENSG00000114374",  # USP9Y
)

ABSENT = {
    "baron_human1": (
        # Made by red blood cells and their precursors alone (AHSP is the chaperone of haemoglobin): what shows has
        # strayed from lysed blood. In all the cells together there are six molecules of haemoglobin and six of AHSP. A
        # gene that is seen in fewer than three cells is no gene of a scINN model, and passes through it as it is.
        Panel("haemoglobin in islet cells", _HAEMOGLOBIN, _ISLET),
        # Synapse, axon and neurofilament. Not tested in islet cells, which share this programme with neurons and have
        # much of these genes: that is what makes them tempting to an imputation. Acini and ducts lack it; up to 4 % of
        # their cells have a molecule of one, from the medium or from an islet cell in the same droplet. Genes that
        # epithelium has of its own (TUBB3, MAP2, ENC1, STX1A), or beta cells in plenty (GAD2), are left out.
        Panel("neuron genes in exocrine epithelium", _NEURON, _EXOCRINE),
        # T cells, mast cells and macrophages are 24 of the 1,937 cells: too few to leave anything in the medium, so
        # that what shows in epithelium is from a droplet with two cells. CD14, CD68, KIT and LAPTM5 are not so strict.
        Panel("immune genes in epithelium", _IMMUNE, _ISLET + _EXOCRINE),
    ),
    # A line from a woman has no Y chromosome, so that the genome itself says that these genes are absent. A549, from a
    # man, has it, and shares the plates: a few per cent of its molecules are read as if they were of other wells. H838,
    # from a man, seems to have lost it, and is not counted on either way. A line from a man has no second X to silence
    # by XIST; of the women's, HCC827 has it.
    "scmix_5cl_celseq2": (
        Panel("Y chromosome in lines from women", _Y_CHROMOSOME, ("H1975", "H2228", "HCC827")),
        Panel("XIST in lines from men", ("ENSG00000229807",), ("A549", "H838")),
    ),
}
"""For each dataset, what is known to be absent, and from where its stray molecules come."""

MARKERS = {
    "baron_human1": {
        "alpha": ("GCG", "TTR", "IRX2", "GC", "LOXL4"),
        "beta": ("INS", "IAPP", "MAFA", "ADCYAP1", "G6PC2"),
        "delta": ("SST", "HHEX", "LEPR", "RBP4"),
        "gamma": ("PPY", "SERTM1", "MEIS2", "CARTPT"),
        "epsilon": ("GHRL", "ACSL1", "SPTSSB"),
        "acinar": ("PRSS1", "CPA1", "CTRB1", "CELA3A", "PNLIP", "REG1A"),
        "ductal": ("KRT19", "KRT7", "CFTR", "SPP1", "MMP7"),
        "quiescent_stellate": ("RGS5", "ADIRF", "FABP4", "NDUFA4L2", "CSRP2"),
        "activated_stellate": ("COL1A1", "COL1A2", "COL6A3", "SFRP2", "LUM", "PDGFRA"),
        "endothelial": ("PECAM1", "VWF", "PLVAP", "FLT1", "KDR", "CD93"),
        "macrophage": ("C1QA", "C1QB", "C1QC", "CD163", "TYROBP", "SDS"),
        "mast": ("TPSAB1", "TPSB2", "CPA3", "KIT"),
        "schwann": ("SOX10", "PLP1", "CDH19", "NGFR", "CRYAB"),
    }
}
"""For each dataset, textbook markers of its types, as the dataset names these; ``t_cell``, of two cells, has none."""


def every_gene_shuffled(dataset: Dataset, seed: int) -> Dataset:
    """Permute each gene's counts over all cells: genes depend on each other by the division by depth alone."""
    return replace(dataset, X=shuffled(dataset.X, np.arange(dataset.X.shape[1]), groups=1, seed=seed))


def some_genes_shuffled(dataset: Dataset, seed: int) -> Dataset:
    """Permute the counts of some genes over cells of about one depth: these genes differ between types no more."""
    return replace(dataset, X=shuffled(dataset.X, genes_to_shuffle(dataset.X, seed), groups=DEPTH_GROUPS, seed=seed))


def shuffled(X: sparse.csr_matrix, genes: Indices, *, groups: int, seed: int) -> sparse.csr_matrix:
    """Permute the values of each of some genes over the cells of one depth group, independently of other genes.

    Parameters
    ----------
    X
        Counts (cells × genes).
    genes
        Columns to permute.
    groups
        Cells are ranked by depth and parted into this many groups of one size.
    """
    random = np.random.default_rng(seed)
    cells = depth_groups(X, groups)
    matrix = X.tocsc()
    moved_to = np.empty(X.shape[0], dtype=matrix.indices.dtype)
    for gene in genes:
        for group in cells:
            moved_to[group] = random.permutation(group)
        entries = slice(*matrix.indptr[gene : gene + 2])
        matrix.indices[entries] = moved_to[matrix.indices[entries]]
    matrix.has_sorted_indices = False
    return sparse.csr_matrix(matrix)


def depth_groups(X: Matrix, groups: int) -> list[Indices]:
    """Rank cells by depth and part them into groups of one size (indices of cells)."""
    return np.array_split(np.argsort(depth(X), kind="stable"), groups)


def matched(X: Matrix, one: Booleans, other: Booleans, seed: int) -> Indices:
    """Choose as many cells of one kind as of another from every depth group, so that depth tells nothing of the kind.

    Parameters
    ----------
    X
        Counts (cells × genes).
    one, other
        The cells of each kind (cells,).
    """
    random = np.random.default_rng(seed)
    chosen = []
    for group in depth_groups(X, DEPTH_GROUPS):
        kinds = [random.permutation(group[kind[group]]) for kind in (one, other)]
        chosen += [kind[: min(map(len, kinds))] for kind in kinds]
    return np.sort(np.concatenate(chosen))


def genes_to_shuffle(X: Matrix, seed: int) -> Indices:
    """Choose a fifth of the well-seen genes: the same before and after they are shuffled."""
    random = np.random.default_rng(seed)
    well_seen = np.flatnonzero(_times_seen(X) >= WELL_SEEN * X.shape[0])
    return np.sort(random.permutation(well_seen)[: round(SHUFFLED_SHARE * len(well_seen))])


def variable_genes(X: Matrix) -> Indices:
    """Return the 500 genes of highest variance on the headline scale."""
    return np.argsort(-_dense(_headline(X)).var(axis=0), kind="stable")[:CORRELATED_GENES]


def gene_correlation(values: Floats) -> float:
    """Return the median absolute Pearson correlation between genes (cells × genes).

    A constant gene, which a shuffled one should come out as, has no correlation with any other.
    """
    centred = values - values.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(np.square(centred).mean(axis=0))
    varies = deviation > _ROUNDING * np.abs(values).max(axis=0)
    unit = centred * np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
    correlation = unit.T @ unit / len(unit)
    return float(np.median(np.abs(correlation[np.triu_indices(values.shape[1], 1)])))


def random_halves(cells: int, seed: int) -> Booleans:
    """Split cells in two at random, many times; true for the first half (splits × cells)."""
    first = np.arange(cells) < cells // 2
    return np.random.default_rng(seed).permuted(np.tile(first, (SPLITS, 1)), axis=1)


def first_half(cells: int, seed: int) -> Booleans:
    """Draw one half of all cells (cells,)."""
    return random_halves(cells, seed)[0]


def called(values: Floats, groups: Booleans) -> Booleans:
    """Test every gene between two groups of cells (Wilcoxon's rank sum, Benjamini–Hochberg at 5 %).

    Parameters
    ----------
    values
        Expression (cells × genes) on any scale that keeps its order.
    groups
        True for the cells of the first group, false for those of the second (splits × cells).

    Returns
    -------
        Which genes are called differentially expressed (splits × genes).
    """
    # As scipy's mannwhitneyu, but ranked once for all splits: the ranks do not depend on who is in which group, and the
    # variance of their sum, ties and all, follows from that of the ranks.
    ranks = stats.rankdata(values, axis=0)
    cells = len(ranks)
    first = groups.sum(axis=1, keepdims=True)
    excess = np.abs(groups @ ranks - first * (cells + 1) / 2) - 0.5
    deviation = np.sqrt(first * (cells - first) / (cells - 1) * ranks.var(axis=0))
    z = np.divide(np.maximum(excess, 0), deviation, out=np.zeros_like(excess), where=deviation > 0)
    return np.asarray(stats.false_discovery_control(2 * stats.norm.sf(z), axis=1) <= FALSE_DISCOVERY_RATE)


def fold(values: Floats, first: Booleans) -> Floats:
    """Return the ratio of each gene's mean linear expression in two groups, the larger over the smaller (genes,).

    Parameters
    ----------
    values
        Expression on the headline scale (cells × genes).
    first
        True for the cells of one group (cells,).
    """
    one, other = (np.expm1(values[group]).mean(axis=0) + _NOTHING for group in (first, ~first))
    return np.maximum(one / other, other / one)


def stray_level(X: Matrix, counts: Matrix, *, cells: Booleans, genes: Sequence[int]) -> tuple[float, float]:
    """Measure genes that some cells are known not to express.

    Parameters
    ----------
    X
        Imputed expression at each cell's own depth (cells × genes).
    counts
        Observed counts, whose sums are the depths (cells × genes).
    cells, genes
        Which cells, and which genes they do not express.

    Returns
    -------
        The level at depth 10,000, averaged over the cells, of the gene that has most; and the share of the values,
        over cells and genes, above 0.5.
    """
    level = _dense(X[cells][:, genes]) * (SCANPY_DEPTH / depth(counts[cells]))[:, None]
    return float(level.mean(axis=0).max()), float((level > ABSENT_LEVEL).mean())


def auroc(values: Floats, inside: Booleans) -> Floats:
    """Return how well each gene tells some cells from all others, as the area under its ROC curve (genes,).

    Parameters
    ----------
    values
        Expression on one scale for all cells (cells × genes).
    inside
        The cells that the genes are to be markers of (cells,).
    """
    first, others = inside.sum(), (~inside).sum()
    rank_sum = stats.rankdata(values, axis=0)[inside].sum(axis=0)
    return np.asarray((rank_sum - first * (first + 1) / 2) / (first * others))


def variance_agreement(X: Matrix, counts: Matrix) -> Scores:
    """Hold the variance of imputed genes against what their counts vary by beyond the counting itself.

    All at depth 10,000, linear. The variance of normalised counts is biological variance plus that of a Poisson, which
    is known from the mean: what is left estimates the first without any imputation.

    Parameters
    ----------
    X
        Imputed expression at each cell's own depth (cells × genes).
    counts
        Observed counts of molecules (cells × genes).

    Returns
    -------
        Over well-seen genes: ``"variance agreement"``, Spearman correlation of the two variances; ``"variation
        agreement"``, of the two squared coefficients of variation, which do not follow from the genes' means;
        ``"variance ratio"``, the median of imputed over biological variance.
    """
    genes = np.flatnonzero(_times_seen(counts) >= WELL_SEEN * counts.shape[0])
    factors = (SCANPY_DEPTH / np.maximum(depth(counts), 1))[:, None]
    observed, imputed = (_dense(matrix[:, genes]) * factors for matrix in (counts, X))
    mean, imputed_mean = observed.mean(axis=0), imputed.mean(axis=0)
    biological = observed.var(axis=0) - (observed * factors).mean(axis=0)
    variance = imputed.var(axis=0)
    variance[variance <= np.square(_ROUNDING * imputed_mean)] = 0
    positive = biological > 0
    return {
        "variance agreement": _spearman(variance, biological),
        "variation agreement": _spearman(variance / np.square(imputed_mean), biological / np.square(mean)),
        "variance ratio": float(np.median(variance[positive] / biological[positive])),
    }


def score_shuffled(X: Matrix, cells: Dataset, seed: int) -> Scores:  # noqa: ARG001 - nothing is drawn
    """Score the imputation of cells whose every gene was shuffled.

    The correlation has no scale: how much of the variance is left says how much of it anybody could see.
    """
    genes = variable_genes(cells.X)
    before, after = (_dense(_headline(matrix)[:, genes]) for matrix in (cells.X, X))
    return {
        "correlation before": gene_correlation(before),
        "correlation after": gene_correlation(after),
        "variance kept": float(np.median(after.var(axis=0) / before.var(axis=0))),
    }


def score_partly_shuffled(X: Matrix, cells: Dataset, seed: int) -> Scores:
    """Score the imputation of cells of which a fifth of the genes were shuffled, by a test between two types.

    Filling zeros adds more to one cell's depth than to another's, and the division by it alone makes a faint difference
    of types in every gene. So the share of genes called is given on the headline scale, as a user would find it; there
    with a least fold change; and divided by the depth that was observed.
    """
    one, other = _largest_types(cells)
    compared = matched(cells.X, cells.labels == one, cells.labels == other, seed)
    genes = _testable(cells.X[compared])
    fake = np.isin(genes, genes_to_shuffle(cells.X, seed))
    first = cells.labels[compared] == one
    values = _dense(_headline(X)[compared][:, genes])
    at_observed_depth = _dense(X[compared][:, genes]) / depth(cells.X[compared])[:, None]
    calls, others = (called(scale, first[None])[0] for scale in (values, at_observed_depth))
    folded = calls & (fold(values, first) >= LEAST_FOLD)
    return {
        "shuffled genes called": float(calls[fake].mean()),
        f"shuffled genes called, fold ≥ {LEAST_FOLD}": float(folded[fake].mean()),
        "shuffled genes called, observed depth": float(others[fake].mean()),
        "other genes called": float(calls[~fake].mean()),
    }


def score_as_it_is(X: Matrix, cells: Dataset, seed: int) -> Scores:
    """Score the imputation of cells that nothing was done to, by every test for which something is known of them."""
    X = _dense(X)
    scores = {**score_random_halves(X, cells, seed), **score_absent(X, cells), **score_markers(X, cells)}
    return {**scores, **variance_agreement(X, cells.X)} if cells.umi else scores


def score_random_halves(X: Matrix, cells: Dataset, seed: int) -> Scores:
    """Test the cells of the largest type, split at random, for differential expression that cannot be."""
    compared = cells.labels == _largest_types(cells)[0]
    genes = _testable(cells.X[compared])
    calls = called(_dense(_headline(X)[compared][:, genes]), random_halves(compared.sum(), seed))
    return {"false discoveries": float(calls.mean()), "splits with any": float(calls.any(axis=1).mean())}


def score_halves_apart(X: Matrix, cells: Dataset, seed: int) -> Scores:
    """Test the cells of the largest type between the halves that were imputed apart: nothing there differs."""
    compared = cells.labels == _largest_types(cells)[0]
    genes = _testable(cells.X[compared])
    first = first_half(len(compared), seed)[compared]
    values = _dense(_headline(X)[compared][:, genes])
    calls = called(values, first[None])[0]
    folded = calls & (fold(values, first) >= LEAST_FOLD)
    return {"genes called": float(calls.mean()), f"genes called, fold ≥ {LEAST_FOLD}": float(folded.mean())}


def score_absent(X: Matrix, cells: Dataset) -> Scores:
    """Measure what is known to be absent."""
    scores: Scores = {}
    for panel in ABSENT.get(cells.name, ()):
        genes = _columns(cells, panel.genes)
        if genes:
            level, share = stray_level(X, cells.X, cells=np.isin(cells.labels, panel.types), genes=genes)
            scores |= {f"{panel.name}: level": level, f"{panel.name}: share above": share}
    return scores


def score_markers(X: Matrix, cells: Dataset) -> Scores:
    """Measure how well known markers tell their types from all others, before and after."""
    before, after = (_headline(matrix) for matrix in (cells.X, X))
    pairs = []
    for name, markers in MARKERS.get(cells.name, {}).items():
        genes, inside = _columns(cells, markers), cells.labels == name
        if genes and inside.sum() >= FEWEST_OF_TYPE:
            pairs.append([auroc(_dense(matrix[:, genes]), inside) for matrix in (before, after)])
    if not pairs:
        return {}
    then, now = np.concatenate(pairs, axis=1)
    return {
        "marker AUROC before": float(then.mean()),
        "marker AUROC": float(now.mean()),
        "markers": float(len(now)),
        "markers worse": float((now < then - WORSE).sum()),
    }


def together(method: Method, cells: Dataset, seed: int) -> Imputed:
    """Impute cells by what is learnt from all of them."""
    return method.run(cells, cells, seed=seed)


def apart(method: Method, cells: Dataset, seed: int) -> Imputed:
    """Impute each half of the cells by what is learnt from that half alone."""
    first = first_half(cells.X.shape[0], seed)
    return _in_two(first, [method.run(half, half, seed=seed) for half in _halves(cells, first)])


def by_one_model(method: Method, cells: Dataset, seed: int) -> Imputed:
    """Impute both halves of the cells, each as a batch of its own, by what is learnt from the first."""
    first = first_half(cells.X.shape[0], seed)
    halves = _halves(cells, first)
    return _in_two(first, [method.run(halves[0], half, seed=seed) for half in halves])


def _halves(cells: Dataset, first: Booleans) -> list[Dataset]:
    return [data.rows(cells, first), data.rows(cells, ~first)]


def _in_two(first: Booleans, halves: Sequence[Imputed]) -> Imputed:
    """Put the cells of two halves back into their order."""
    order = np.argsort(np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)]))
    kept, everywhere = (
        np.concatenate([_dense(getattr(half, name)) for half in halves])[order] for name in ("kept", "everywhere")
    )
    return Imputed(kept=kept, everywhere=everywhere)


@dataclass(frozen=True)
class Test:
    """One kind of cells, and what their imputation is tested for.

    Attributes
    ----------
    datasets
        The datasets, all with counts and types.
    change
        What is done to the cells before they are imputed.
    score
        Scores imputed expression (cells × genes) of the changed cells.
    impute
        Imputes the changed cells.
    methods
        Which methods it is put to.
    """

    datasets: tuple[str, ...]
    change: Callable[[Dataset, int], Dataset]
    score: Callable[[Matrix, Dataset, int], Scores]
    impute: Callable[[Method, Dataset, int], Imputed] = together
    methods: tuple[str, ...] = COMPARED


def as_it_is(dataset: Dataset, seed: int) -> Dataset:  # noqa: ARG001 - nothing is done
    """Leave the cells as they are."""
    return dataset


TESTS = {
    "": Test(("klein_1000x900", "mouse_bladder_2100", "scmix_5cl_celseq2", "baron_human1"), as_it_is, score_as_it_is),
    "all genes shuffled": Test(("klein_1000x900", "baron_human1"), every_gene_shuffled, score_shuffled),
    "some genes shuffled": Test(("klein_1000x900", "baron_human1"), some_genes_shuffled, score_partly_shuffled),
    "halves imputed apart": Test(("klein_1000x900", "baron_human1"), as_it_is, score_halves_apart, apart),
    "halves imputed by one model": Test(
        ("klein_1000x900", "baron_human1"), as_it_is, score_halves_apart, by_one_model, methods=("gene mean", "scINN")
    ),
}
"""The tests by what their tasks have as variant."""


def tasks(options: Options) -> list[Task]:
    """Return a task for each test, dataset, method and seed."""
    return [
        Task(EXPERIMENT, dataset, method, seed, variant=variant, quick=options.quick)
        for variant, test in TESTS.items()
        for dataset in options.choose_datasets(test.datasets)
        for seed in options.seeds
        for method in options.choose_methods(test.methods)
    ]


def run(task: Task) -> list[Record]:
    """Impute the cells of a test by a model that was fitted on them, as a user would, and score the result."""
    test = TESTS[task.variant]
    cells = test.change(data.load(task.dataset, quick=task.quick), task.seed)
    imputed = test.impute(METHODS[task.method], cells, task.seed)
    return [record(task, policy, test.score(X, cells, task.seed)) for policy, X in imputed.policies.items()]


def _headline(X: Matrix) -> Matrix:
    return TRANSFORMS[HEADLINE](X)


def _dense(X: Matrix) -> Floats:
    return X if isinstance(X, np.ndarray) else np.asarray(X.toarray())


def _times_seen(X: Matrix) -> Indices:
    return np.asarray(sparse.csr_matrix(X).getnnz(axis=0))


def _columns(cells: Dataset, names: Sequence[str]) -> list[int]:
    column = {name: position for position, name in enumerate(cells.genes)}
    return [column[name] for name in names if name in column]


def _largest_types(cells: Dataset) -> tuple[str, str]:
    names, counts = np.unique(cells.labels, return_counts=True)
    largest, second = names[np.argsort(-counts, kind="stable")[:2]]
    return str(largest), str(second)


def _testable(counts: Matrix) -> Indices:
    return np.flatnonzero(_times_seen(counts) >= FEWEST_CELLS)


def _spearman(x: Floats, y: Floats) -> float:
    return float(stats.spearmanr(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0
