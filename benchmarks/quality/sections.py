"""The sections of docs/benchmarks.md: what each experiment does, in words, and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quality import false_signal as tests
from quality import findings, molecular_cv, scvi, tables, targets
from quality.ablations import DEFAULT
from quality.charts import LEAST_SHOWN
from quality.findings import CLUSTER_SCORES, CONTROLS, MOLECULAR_SCORES, POLICIES, SCORES, is_elsewhere
from quality.landscapes import DRAWN_SEED
from scinn_train.evaluate import RESTARTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from quality.findings import Findings


def reached(found: Findings) -> list[str]:
    """Return the targets and what became of them."""
    return [
        "## Targets",
        """They were set before the work began. What was measured is computed from the records, and so is the verdict.
        Clusters, pictures and false signal are judged for the default output, `keep`; another method may
        have whichever policy suits it better.""",
        targets.table(found),
    ]


def clusters(found: Findings) -> list[str]:
    """Return how well types are told apart."""
    if not found.has("clusters"):
        return []
    parts = [
        "## Clusters",
        f"""50 principal components and k-means with as many clusters as there are types, {RESTARTS} restarts, against
        the types that the authors of the data name; {found.seeds("clusters")}. The first table has means of the
        medians over the datasets that a method could be run on, and gains over raw data on the same datasets; "below
        raw" counts datasets whose median ARI is lower by more than {tables.LEAST_LOSS}.""",
        "![ARI gained over raw data, by dataset and method](images/bench-clusters.png)",
        tables.clusters_in_short(found),
    ]
    for score in CLUSTER_SCORES:
        parts += [f"### {score}", tables.by_method(found.of("clusters"), score)]
        parts.append(_elsewhere(found, "clusters") if score == "ARI" else "")
    return [
        *parts,
        "### Raw data on other scales",
        """The scale alone moves the ARI of raw data. A gain over the headline scale is worth little where another
        scale would have had it for nothing.""",
        tables.raw_scales(found),
        *_ceiling(found),
    ]


def _ceiling(found: Findings) -> list[str]:
    """Return what any filling of zeros could give, if the types were known."""
    if not found.has("ceiling"):
        return []
    return [
        "### What knowing the types would give",
        """No method: every zero is filled with the mean of the cell's true type, at the cell's depth, or at the level
        that scINN gives to what it expects (+ capture). Observed values are kept. Another filling may be luckier with
        k-means, but none can know more: where this gains nothing over raw data, little is to be gained from zeros.""",
        tables.ceiling(found),
    ]


def landscapes(found: Findings) -> list[str]:
    """Return how well types stand apart in a picture."""
    if not found.has("landscapes"):
        return []
    return [
        "## Landscapes",
        f"""UMAP of the same principal components, and the silhouette index of the types in the picture;
        {found.seeds("landscapes")}. The pictures are those of seed {DRAWN_SEED}, observed values kept; each colour and
        shape is a type, and the number beside a method is the median silhouette over the seeds.""",
        tables.by_method(found.of("landscapes"), "silhouette"),
        "![UMAP pictures of raw and imputed data](images/bench-landscapes.png)",
    ]


def recovery(found: Findings) -> list[str]:
    """Return how close imputed expression comes to the truth."""
    if not found.has("recovery"):
        return []
    return [
        "## Recovered expression",
        f"""Two datasets were down-sampled from deeply sequenced cells, and in the third the same cells were sequenced
        shallowly and deeply. Correlation (Pearson) of imputed and true expression, both at their median depth and
        log2(1 + x): over cells for each gene, and over genes for each cell, then the mean. RMSE: with every cell at
        the depth that it has in the truth. {found.seeds("recovery").capitalize()}. Left out of the figure are
        gene-wise correlations below {LEAST_SHOWN}.""",
        _controls(found),
        "![Gene-wise and cell-wise correlation with the truth](images/bench-recovery.png)",
        *_by_policy(found, tables.recovery),
        _elsewhere(found, "recovery"),
        _shortened(found, "recovery"),
    ]


def cross_validation(found: Findings) -> list[str]:
    """Return how well molecules that were set aside are predicted."""
    if not found.has("molecular_cv"):
        return []
    return [
        "## Molecular cross-validation",
        f"""A tenth of the molecules is set aside, for each seed another, and predicted from the others;
        {found.seeds("molecular_cv")}. *mse*: both at depth 10,000 and ln(1 + x), as in the OpenProblems denoising task.
        *mse of expected log*: the same with what the prediction expects of that logarithm in its place. *poisson*:
        negative log-likelihood of the molecules, the prediction being the rate. Less is better in all. Difference to
        the gene mean, which knows nothing of the cells, mean over the datasets:""",
        tables.to_gene_mean(found),
        _shortened(found, "molecular_cv"),
        "**Why the two errors disagree.** " + _shrinking() + " " + _rankings(found),
        *(
            part
            for score in MOLECULAR_SCORES
            for part in (f"### {score}", tables.by_method(found.of("molecular_cv"), score))
        ),
    ]


def _shrinking() -> str:
    """Return the effect of the logarithm in figures: arithmetic, no measurement."""
    depth, molecules = 500.0, 0.1
    scale = molecular_cv.SCANPY_DEPTH / depth
    rate = np.array([[molecules]], dtype=np.float32)
    expected = float(molecular_cv.expected_log(rate, np.array([depth]))[0, 0])
    best = np.expm1(expected) / scale
    return f"""The logarithm of an expectation is not the expectation of a logarithm. Take a gene of which {molecules}
        molecules are expected in a cell whose part that was set aside has {depth:.0f}. A molecule counts there as
        ln(1 + {scale:.0f}) = {np.log1p(scale):.2f}, and is there about once in {1 / molecules:.0f} cells: the mean is
        {expected:.2f}. A method that predicts exactly {molecules} is scored with ln(1 + {scale * molecules:.0f}) =
        {np.log1p(scale * molecules):.2f}. The plain error is least for a prediction of {best:.3f},
        {molecules / best:.0f} times less than is true, so that it rewards whatever shrinks rare genes
        ([research log](research-log.md))."""


def _rankings(found: Findings) -> str:
    """Return which outputs are best by each score, in how many datasets."""
    told = []
    for score in MOLECULAR_SCORES:
        table = findings.medians(found.of("molecular_cv", score))
        if not table.empty:
            counts = table.idxmin().value_counts()
            told.append(f"{score}: " + ", ".join(f"{name}, `{policy}` {n}" for (name, policy), n in counts.items()))
    return "Number of datasets on which an output is the best, by " + "; by ".join(told) + "."


def held_out(found: Findings) -> list[str]:
    """Return what a model is worth on cells that it has never seen."""
    if not found.has("never_seen"):
        return []
    details = [
        part
        for policy in POLICIES
        for score in SCORES
        if (table := tables.never_seen(found, policy, score))
        for part in (f"<details><summary>{score}, <code>{policy}</code></summary>", table, "</details>")
    ]
    return [
        "## Cells never seen",
        f"""Whole batches (plates, libraries, donors), or 30 % of the cells of each type, are left out of the training,
        and only they are scored; {found.seeds("never_seen")}. *Held out*: imputed by a model of the other cells.
        *Seen*: by a model that was trained on them as well. MAGIC cannot be applied to new cells: it is run on the
        held-out cells *alone*, and on *everything*. Gains over raw data are medians of the difference seed by seed,
        positive if better; the table has their means over the cases, which are datasets and parts. The share of the
        gain that held-out cells keep is left open where seen cells gain less than {findings.SMALL_GAIN}.""",
        "![Gain over raw data of held-out and seen cells](images/bench-never-seen.png)",
        tables.never_seen_in_short(found),
        "Every dataset and part:",
        *details,
    ]


def no_signal(found: Findings) -> list[str]:
    """Return whether a method finds what is not there."""
    if not found.has("false_signal"):
        return []
    parts = [
        "## False signal",
        f"""Tests whose right answer is known, put to every method alike; {found.seeds("false_signal")}. The row `raw`
        says what each figure was before.""",
    ]
    for title, (words, variant, scores) in FALSE_SIGNAL.items():
        if table := tables.false_signal(found, variant, scores):
            parts += [f"### {title}", words, table]
    if table := tables.absent(found):
        parts += ["### Genes known to be absent", ABSENT, table]
    return parts


FALSE_SIGNAL: dict[str, tuple[str, str, dict[str, str]]] = {
    "Genes shuffled independently": (
        f"""The counts of each gene are dealt out to the cells at random, so that no gene depends on another, and the
        cells are imputed. Median absolute correlation between the {tests.CORRELATED_GENES} most variable genes, before
        and after: it should stay. How much of their variance is kept says how much of the correlation anybody could
        see; none should be.""",
        "all genes shuffled",
        {"correlation before": "", "correlation after": "min", "variance kept": ""},
    ),
    "Some genes shuffled": (
        f"""{tests.SHUFFLED_SHARE:.0%} of the genes are shuffled over cells of about the same depth, the others stay
        real. The two largest types are compared by Wilcoxon's test at {tests.FALSE_DISCOVERY_RATE:.0%} FDR. Share of
        the shuffled genes called different, which is wrong: on the headline scale, there with a fold change of at least
        {tests.LEAST_FOLD}, and at the observed depth; and share of the other genes called.""",
        "some genes shuffled",
        {
            "shuffled genes called": "min",
            f"shuffled genes called, fold ≥ {tests.LEAST_FOLD}": "min",
            "shuffled genes called, observed depth": "min",
            "other genes called": "",
        },
    ),
    "One type split at random": (
        f"""The cells of the largest type are split in two, {tests.SPLITS} times, and every gene is tested at
        {tests.FALSE_DISCOVERY_RATE:.0%} FDR: share of the genes called, and share of the splits in which any is. At the
        nominal level the second is {tests.FALSE_DISCOVERY_RATE:.0%} at most.""",
        "",
        {"false discoveries": "", "splits with any": "min"},
    ),
    "Two halves imputed apart": (
        f"""All cells are split in two at random, and each half is imputed by what is learnt from it alone, as batches
        are by a method that cannot be applied to new cells. Share of the genes that are called different between the
        halves of the largest type, at {tests.FALSE_DISCOVERY_RATE:.0%} FDR on the headline scale, and with a fold
        change of at least {tests.LEAST_FOLD}: none is.""",
        "halves imputed apart",
        {"genes called": "min", f"genes called, fold ≥ {tests.LEAST_FOLD}": "min"},
    ),
    "Two halves imputed by one model": (
        """The same halves, both imputed by what was learnt from the first: for methods that can be applied to new
        cells.""",
        "halves imputed by one model",
        {"genes called": "min", f"genes called, fold ≥ {tests.LEAST_FOLD}": "min"},
    ),
    "Known markers": (
        f"""Textbook markers of the types of the pancreas: how well each tells its type from all other cells, as mean
        area under the ROC curve before and after, and how many became worse by more than {tests.WORSE}.""",
        "",
        {"marker AUROC before": "", "marker AUROC": "max", "markers": "", "markers worse": "min"},
    ),
    "Variance": (
        """What the counts of a gene vary by beyond the counting itself is known without any imputation, the variance
        of a Poisson being its mean. Rank correlation (Spearman) of imputed with that variance, and of the two squared
        coefficients of variation; and the median ratio of the variances, 1 being right. Raw data has the noise of
        counting in its variance.""",
        "",
        {"variance agreement": "max", "variation agreement": "max", "variance ratio": ""},
    ),
}
"""For each test its explanation, what is done to the cells, and its scores with what is better."""


ABSENT = f"""Haemoglobin in islet cells, genes of neurons and of immune cells in epithelium, the Y chromosome in lines
    from women, XIST in lines from men. Level, in 10,000, of the gene that has most, and share of the values above
    {tests.ABSENT_LEVEL}: the less the better."""


def parts(found: Findings) -> list[str]:
    """Return what each part of scINN is worth."""
    if not found.has("ablations"):
        return []
    return [
        "## Ablations",
        f"""The default with one change, or trained on less; {found.seeds("ablations")}. Median over the seeds of the
        difference to the default with the same seed. The first line is the range of the default itself over all
        seeds that it was measured with, here and above; what exceeds it is in bold, and a full mark in the figure,
        which shows `keep`, where hollow marks are within it; with fewer than {findings.FEWEST_SEEDS} seeds of the
        changes nothing exceeds it. Recovery for the down-sampled datasets, ARI for the others. A change is left out
        where it would be none: the gene filter lets up to {DEFAULT.module1.filtered_genes:,} genes through, and yan,
        which is no counts, has no capture efficiency and no depth.""",
        "![Difference to the default of each change](images/bench-ablations.png)",
        *_by_policy(found, tables.ablations),
        *_depths(found),
    ]


def _depths(found: Findings) -> list[str]:
    table = tables.two_depths(found)
    words = """No two of the datasets are the same tissue by two protocols. What comes nearest are the cells of
        pollen_fluidigm_hilo, which were sequenced twice, shallowly and deeply: half of them, shallow, imputed by models
        of the other half."""
    return ["### Trained at another depth", words, table] if table else []


def not_measured(found: Findings) -> list[str]:
    """Return what there are no figures of."""
    elsewhere = findings.peers()["unavailable"]
    told = [f"- **{name}**: {why}." for name, why in elsewhere.items()]
    failed = tables.failures(found)
    return [
        "## Not measured",
        "A dash in a table says that there is no record of it.",
        "These failed, or could not be run:" if failed else "",
        failed,
        "Elsewhere, and so without any figure here:",
        "\n".join(told),
    ]


ALL = (reached, clusters, landscapes, recovery, cross_validation, held_out, no_signal, parts, not_measured)
"""In the order of the page."""


def _by_policy(found: Findings, table: Callable[[Findings, str], str]) -> list[str]:
    """Return a table for each policy, with its heading, of those that are not empty."""
    made = {policy: table(found, policy) for policy in POLICIES}
    return [part for policy, text in made.items() if text for part in (f"### `{policy}`", text)]


def _controls(found: Findings) -> str:
    """Return what it means that another method has got a part of scINN, if any has."""
    measured = [name for name in CONTROLS if name in set(found.of("recovery").method)]
    if not measured:
        return ""
    return f"""{" and ".join(measured)}: a control. What MAGIC expects is given the level and the weights that scINN
        gives to what its network expects, which tells what of a difference is due to the expectation, and what to a
        treatment that any method could have. It is not counted among the other methods in the targets."""


def _shortened(found: Findings, experiment: str) -> str:
    """Return how long scVI was trained, if it was."""
    if found.of(experiment, method="scVI").empty:
        return ""
    entries = scvi.ENTRIES / scvi.DEFAULT_EPOCHS
    return f"""scVI has its {scvi.DEFAULT_EPOCHS} epochs only for up to {entries:,.0f} entries (cells × genes), and in
        proportion fewer for more: as many as one thread trains in about two minutes. On the larger datasets it may not
        have converged, and may be better than it is here if it is trained for longer."""


def _elsewhere(found: Findings, experiment: str) -> str:
    """Return what the mark of some methods means, if any has it."""
    if not is_elsewhere(found.of(experiment).method).any():
        return ""
    return f"† Needs R or an old TensorFlow: measured once, elsewhere. {findings.peers()['protocol']}"
