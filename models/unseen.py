"""What a model is worth on cells that it has never seen, beside what it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scinn_train.evaluate import encode_types, kmeans_scores, principal_components
from scinn_train.transforms import log2_median_depth, log_depth
from scinn_train.truth import correlate_with_truth, fill_with_gene_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    import anndata
    import numpy.typing as npt

    from scinn_infer import Model

    Matrix = npt.NDArray[np.float32] | sparse.csr_array
    Scores = dict[str, dict[str, float]]

SEED = 0
POLICIES = {"filled": "keep", "denoised": "denoise"}


def measure(half: Model, whole: Model, seen: anndata.AnnData, new: anndata.AnnData) -> Scores:
    """Score a model on cells that it was not trained on, with its weights as float16 and as float32.

    Parameters
    ----------
    half, whole
        The same model, as it is shipped and with all digits of its weights.
    seen, new
        The training cells, and the unseen cells.

    Returns
    -------
        For each score, its value for raw data, for data whose zeros are filled with gene means, and for the model.
        ``ari``: cell types told apart by k-means on 50 principal components, median of five seeds. ``gene_by_gene`` and
        ``cell_by_cell``: the molecules of each cell are divided at random in two halves, the model is given one, and
        the result is correlated with the other. ``largest_difference_to_float32``: relative, over all values that are
        not the observed ones.
    """
    genes = list(half.genes)
    training, counts = (sparse.csr_array(cells[:, genes].X) for cells in (seen, new))
    types = encode_types(new.obs["label"], cells=new.n_obs)
    given, kept_back = _halves(counts)
    scores: Scores = {"unseen_cells": {"number": new.n_obs}, "ari": {}, "gene_by_gene": {}, "cell_by_cell": {}}
    for name, X in _results(counts, training, half, whole):
        scores["ari"][name] = kmeans_scores(principal_components(log_depth(X)), types)["ARI"].median
    truth = log2_median_depth(kept_back)
    for name, X in _results(given, training, half, whole):
        found = correlate_with_truth(log2_median_depth(X), truth, observed=given)
        scores["gene_by_gene"][name], scores["cell_by_cell"][name] = found.genewise, found.cellwise
    scores["largest_difference_to_float32"] = _differences(counts, half, whole)
    hidden = half.info.quality
    scores["hidden_entries"] = {
        "gene mean": hidden["gene_mean_correlation"],
        "model": hidden["masked_correlation"],
    }
    return {score: {name: float(f"{value:.4g}") for name, value in values.items()} for score, values in scores.items()}


def _results(
    counts: sparse.csr_array, training: sparse.csr_array, half: Model, whole: Model
) -> Iterable[tuple[str, Matrix]]:
    """Yield the cells as they are and as each way of imputing them makes them, one matrix at a time."""
    yield "raw", counts
    yield "gene mean", fill_with_gene_mean(counts, training)
    for suffix, model in {"": half, " float32": whole}.items():
        for name, policy in POLICIES.items():
            yield name + suffix, model.impute(counts, model.genes, policy=policy)


def _halves(counts: sparse.csr_array) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Divide each cell's molecules at random in two."""
    given = counts.astype(np.int64)
    given.data = np.random.default_rng(SEED).binomial(given.data, 0.5)
    other = counts.astype(np.int64) - given
    return given.astype(np.float32), other.astype(np.float32)


def _differences(counts: sparse.csr_array, half: Model, whole: Model) -> dict[str, float]:
    differences = {}
    for name, policy in POLICIES.items():
        exact = whole.impute(counts, whole.genes, policy=policy)
        apart = np.abs(half.impute(counts, half.genes, policy=policy) - exact)
        differences[name] = float((apart / np.maximum(exact, np.finfo(np.float32).tiny)).max())
    return differences
