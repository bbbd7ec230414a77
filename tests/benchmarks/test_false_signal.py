"""The tests of false signal are themselves tested on data whose signal is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality import false_signal
from quality.methods import Imputed, Method
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score

from scinn_train.transforms import log_depth

SEEDS = st.integers(0, 2**32 - 1)
NULL = {
    "continuous": lambda random: random.normal(size=(50, 60)),
    "counts with many ties": lambda random: random.poisson(0.4, (50, 60)),
}


def scipy_calls(values, first):
    pvalues = stats.mannwhitneyu(values[first], values[~first], method="asymptotic").pvalue
    return stats.false_discovery_control(np.nan_to_num(pvalues, nan=1)) <= 0.05  # a constant gene has no p-value


@given(seed=SEEDS, share=st.floats(0.1, 0.9))
@settings(deadline=None)
def test_genes_are_called_as_scipy_calls_them(seed, share):
    random = np.random.default_rng(seed)
    values = random.poisson(1.5, (40, 12)).astype(np.float32)
    values[:, 0] = 3
    groups = random.random((4, 40)) < share
    groups[:, 0], groups[:, 1] = True, False
    values[:, 6:] += 2 * groups[0][:, None]  # a difference of one of the splits
    calls = false_signal.called(values, groups)
    assert (calls == [scipy_calls(values, first) for first in groups]).all()


def test_one_gene_is_called_as_scipy_calls_it_in_every_split_of_a_few_cells():
    """With one gene the rate is that of the test itself, so that each p-value near 5 % matters."""
    splits = np.array([np.isin(np.arange(14), first) for first in itertools.combinations(range(14), 7)])
    ranks = np.arange(14.0)
    halves = (np.array([ranks[cells] for cells in side]).T for side in (splits, ~splits))
    expected = stats.mannwhitneyu(*halves, method="asymptotic").pvalue <= 0.05
    assert (false_signal.called(ranks[:, None], splits)[:, 0] == expected).all()


def test_some_are_called_and_some_are_not():
    random = np.random.default_rng(0)
    first = np.arange(40) < 15
    values = random.normal(size=(40, 12)) + 3 * np.outer(first, np.arange(12) < 4)
    assert false_signal.called(values, first[None])[0].tolist() == [True] * 4 + [False] * 8


def test_only_the_order_of_the_values_matters():
    values = np.random.default_rng(0).poisson(2, (40, 30)) * (1 + np.arange(40)[:, None] // 20)
    groups = false_signal.random_halves(40, 0)
    groups[0] = np.arange(40) < 20
    calls = false_signal.called(values, groups)
    assert calls.any()
    assert (calls == false_signal.called(np.log1p(values), groups)).all()
    assert (calls == false_signal.called(values, ~groups)).all()


def test_random_halves_are_halves_and_differ():
    groups = false_signal.random_halves(21, 0)
    assert groups.shape == (false_signal.SPLITS, 21)
    assert (groups.sum(axis=1) == 10).all()
    assert len(np.unique(groups, axis=0)) > 0.99 * len(groups)
    assert groups.mean(axis=0) == pytest.approx(np.full(21, 10 / 21), abs=0.15)
    assert (groups == false_signal.random_halves(21, 0)).all()
    assert (groups != false_signal.random_halves(21, 1)).any()


@pytest.mark.parametrize("kind", NULL)
def test_where_nothing_differs_a_call_is_as_rare_as_the_rate_says(kind):
    """With no true difference every call is false, so that in 5 % of the splits there is one or more."""
    random = np.random.default_rng(0)
    calls = [false_signal.called(NULL[kind](random), false_signal.random_halves(50, seed)) for seed in range(10)]
    with_any = np.mean([found.any(axis=1).mean() for found in calls])
    assert 0.02 < with_any < 0.065
    assert np.mean(calls) < 0.005


def test_the_halves_are_of_the_largest_type_alone(planted):
    """A difference between types is true, and must not count."""
    labels = np.where(np.arange(90) < 50, "largest", planted.labels)
    largest = replace(planted, labels=labels)
    values = log_depth(planted.X[:50]).toarray()
    calls = false_signal.called(values[:, (values > 0).sum(axis=0) >= 3], false_signal.random_halves(50, 4))
    scores = false_signal.score_random_halves(planted.X, largest, 4)
    assert scores == {"false discoveries": calls.mean(), "splits with any": calls.any(axis=1).mean()}
    assert calls.any()


def remembering(train, cells, *, seed):
    """Return what was learnt: how many cells there were, and their mean."""
    everywhere = np.tile(np.asarray(train.X.mean(axis=0)).ravel(), (cells.X.shape[0], 1)) + len(train.labels)
    return Imputed(kept=cells.X, everywhere=everywhere)


@pytest.mark.parametrize(("impute", "learnt_from"), [(false_signal.apart, 2), (false_signal.by_one_model, 1)])
def test_halves_are_imputed_by_what_was_learnt_from_them_or_from_the_first(planted, impute, learnt_from):
    first = false_signal.first_half(len(planted.labels), 3)
    imputed = impute(Method("remembering", "linear", remembering), planted, 3)
    assert (imputed.kept == planted.X.toarray()).all()  # every cell in its place
    means = [planted.X[half].mean(axis=0) + half.sum() for half in (first, ~first)][:learnt_from]
    assert imputed.everywhere[first] == pytest.approx(np.tile(np.asarray(means[0]).ravel(), (first.sum(), 1)))
    assert imputed.everywhere[~first] == pytest.approx(np.tile(np.asarray(means[-1]).ravel(), ((~first).sum(), 1)))


def test_what_an_imputation_adds_to_one_half_is_called(planted):
    seed = 3
    first = false_signal.first_half(len(planted.labels), seed)
    clean = false_signal.score_halves_apart(planted.X, planted, seed)
    added = planted.X.toarray()
    added[first, ::2] += 5
    assert clean["genes called"] < 0.05
    assert false_signal.score_halves_apart(added, planted, seed)["genes called, fold ≥ 1.2"] > 0.4


@given(seed=SEEDS)
@settings(deadline=None)
def test_the_area_under_the_curve_is_that_of_sklearn(seed):
    random = np.random.default_rng(seed)
    values = random.poisson(1, (30, 6)).astype(np.float32)
    inside = random.random(30) < 0.3
    inside[:2] = True, False
    expected = [roc_auc_score(inside, gene) for gene in values.T]
    assert false_signal.auroc(values, inside) == pytest.approx(expected)


@given(seed=SEEDS, groups=st.integers(1, 12))
@settings(deadline=None)
def test_shuffling_keeps_the_values_of_each_gene_within_each_group(seed, groups):
    counts = np.random.default_rng(0).poisson(1.0, (40, 15))
    X = sparse.csr_matrix(counts.astype(np.float32))
    genes = np.array([1, 4, 5, 14])
    result = false_signal.shuffled(X, genes, groups=groups, seed=seed).toarray()
    assert (X.toarray() == counts).all()  # the input stays as it is
    others = np.setdiff1d(np.arange(15), genes)
    assert (result[:, others] == counts[:, others]).all()
    for cells in false_signal.depth_groups(X, groups):
        assert (np.sort(result[cells], axis=0) == np.sort(counts[cells], axis=0)).all()


def test_shuffled_genes_depend_on_each_other_no_more(planted):
    one, other = planted, false_signal.every_gene_shuffled(planted, 0)
    correlation = [false_signal.gene_correlation(cells.X.toarray()) for cells in (one, other)]
    independent = 0.6745 / np.sqrt(planted.X.shape[0])  # the median of a normal's size
    assert correlation[0] > 1.5 * independent
    assert correlation[1] == pytest.approx(independent, rel=0.1)
    assert (false_signal.every_gene_shuffled(planted, 1).X != other.X).nnz > 0


def test_each_gene_is_shuffled_in_a_way_of_its_own(make):
    counts = np.tile(np.arange(1, 101)[:, None], (1, 3))
    result = false_signal.every_gene_shuffled(make(counts), 0).X.toarray()
    assert np.abs(np.corrcoef(result.T)[np.triu_indices(3, 1)]).max() < 0.35
    assert (result != counts).mean() > 0.9


def test_a_fifth_of_the_well_seen_genes_is_shuffled_and_known_again(make):
    random = np.random.default_rng(0)
    often = np.tile([1.0, 0.005], 40)
    dataset = make(random.poisson(often, (120, 80)))
    genes = false_signal.genes_to_shuffle(dataset.X, 3)
    assert set(genes) <= set(range(0, 80, 2))
    assert len(genes) == 8
    changed = false_signal.some_genes_shuffled(dataset, 3)
    differs = (changed.X != dataset.X).toarray().any(axis=0)
    assert np.flatnonzero(differs).tolist() == genes.tolist()
    assert (false_signal.genes_to_shuffle(changed.X, 3) == genes).all()


def test_depth_groups_are_ranked_and_of_one_size(planted):
    depths = planted.X.sum(axis=1).A1
    groups = false_signal.depth_groups(planted.X, 9)
    assert sorted(np.concatenate(groups)) == list(range(90))
    assert {len(group) for group in groups} == {10}
    assert all(depths[lower].max() <= depths[upper].min() for lower, upper in itertools.pairwise(groups))


def test_matched_cells_are_as_many_of_both_types_at_every_depth(make):
    random = np.random.default_rng(0)
    deep = random.random(200) < 0.4
    dataset = make(random.poisson(np.where(deep, 3, 2)[:, None], (200, 50)))
    chosen = false_signal.matched(dataset.X, deep, ~deep, 0)
    assert len(np.unique(chosen)) == len(chosen) > 0
    for group in false_signal.depth_groups(dataset.X, false_signal.DEPTH_GROUPS):
        here = np.intersect1d(group, chosen)
        assert deep[here].sum() == (~deep[here]).sum() == min(deep[group].sum(), (~deep[group]).sum())


def test_the_correlation_of_genes_by_hand():
    values = np.random.default_rng(0).normal(size=(30, 7))
    correlation = np.corrcoef(values.T)[np.triu_indices(7, 1)]
    assert false_signal.gene_correlation(values) == pytest.approx(np.median(np.abs(correlation)))
    assert false_signal.gene_correlation(np.tile([[1.0, 2.0, 3.0]], (30, 1))) == 0  # constant genes have none
    assert false_signal.gene_correlation(values[:, [0, 0, 0]]) == pytest.approx(1)


def test_the_fold_is_that_of_linear_means_whichever_is_larger():
    linear = np.array([[1.0, 4.0, 0.0], [3.0, 2.0, 0.0], [8.0, 1.0, 0.0], [8.0, 1.0, 0.0]])
    fold = false_signal.fold(np.log1p(linear), np.array([True, True, False, False]))
    assert fold == pytest.approx([4, 3, 1])


def test_the_level_of_absent_genes_is_at_a_depth_of_10_000():
    counts = np.zeros((3, 4))
    counts[:, 3] = 500, 2000, 500  # depths
    imputed = counts.copy()
    imputed[:, :3] = [[0.01, 0.0, 9], [0.3, 0.02, 9], [7, 7, 9]]  # levels of 0.2 and 1.5, of 0 and 0.1
    cells = np.array([True, True, False])
    level, share = false_signal.stray_level(sparse.csr_matrix(imputed), counts, cells=cells, genes=[0, 1])
    assert level == pytest.approx(0.85)
    assert share == 0.25


def test_what_is_absent_is_looked_up_by_name_in_the_types_that_lack_it(make):
    panel = false_signal.ABSENT["baron_human1"][0]
    genes = ("HBB", "OTHER", panel.genes[0])
    labels = np.array([panel.types[0], panel.types[1], "mast"])
    cells = make([[0, 10, 0], [0, 10, 0], [5, 5, 0]], name="baron_human1", genes=genes, labels=labels)
    scores = false_signal.score_absent(cells.X, cells)
    assert scores[f"{panel.name}: level"] == 0
    assert scores[f"{panel.name}: share above"] == 0
    filled = cells.X.toarray()
    filled[0, 0] = 1
    assert false_signal.score_absent(filled, cells)[f"{panel.name}: level"] == pytest.approx(500)


def test_markers_are_held_against_what_they_were_before(make):
    random = np.random.default_rng(0)
    labels = np.repeat(["alpha", "beta"], 40)
    mean = np.where(labels[:, None] == "alpha", [2.0, 0.3, 20], [0.3, 2.0, 20])
    cells = make(random.poisson(mean), name="baron_human1", genes=("GCG", "INS", "OTHER"), labels=labels)
    same = false_signal.score_markers(cells.X, cells)
    assert same["markers"] == 2
    assert same["markers worse"] == 0
    assert 0.6 < same["marker AUROC"] == same["marker AUROC before"] < 1
    assert false_signal.score_markers(mean, cells)["marker AUROC"] == 1
    flat = false_signal.score_markers(np.tile([1.0, 1.0, 20.0], (80, 1)), cells)
    assert (flat["marker AUROC"], flat["markers worse"]) == (0.5, 2)


def test_the_truth_has_the_variance_that_counting_leaves_out(make):
    random = np.random.default_rng(0)
    means = random.uniform(5, 60, 100)
    spread = random.uniform(0.2, 0.8, 100)
    shapes = spread**-2
    truth = random.gamma(shapes, means / shapes, (1500, 100))
    counts = make(random.poisson(truth)).X
    depths = counts.sum(axis=1).A1
    scores = false_signal.variance_agreement(truth / truth.sum(axis=1, keepdims=True) * depths[:, None], counts)
    assert scores["variance agreement"] > 0.98
    assert scores["variation agreement"] > 0.97
    assert scores["variance ratio"] == pytest.approx(1, abs=0.1)
    flat = false_signal.variance_agreement(np.outer(depths, means / means.sum()), counts)
    assert (flat["variance agreement"], flat["variance ratio"]) == (0, 0)
    assert false_signal.variance_agreement(counts, counts)["variance ratio"] > 1.05  # the noise is in it


def test_what_an_imputation_passes_on_to_shuffled_genes_is_found(make):
    """Means of the cells of a type, as an imputation might fill in, say that shuffled genes differ; counts do not."""
    random = np.random.default_rng(0)
    types = random.gamma(1, 1, (2, 300)) + 0.1
    labels = np.repeat(["one", "two"], 150)
    dataset = make(random.poisson(types[(labels == "two").astype(int)]), labels=labels)
    cells = false_signal.some_genes_shuffled(dataset, 0)
    raw = false_signal.score_partly_shuffled(cells.X, cells, 0)
    assert raw["shuffled genes called"] < 0.15
    assert raw["other genes called"] > 0.5
    smeared = cells.X.toarray() + types[(labels == "two").astype(int)]
    found = false_signal.score_partly_shuffled(smeared, cells, 0)
    assert found["shuffled genes called"] > 0.5
    assert found["shuffled genes called, observed depth"] > 0.5
    assert found[f"shuffled genes called, fold ≥ {false_signal.LEAST_FOLD}"] <= found["shuffled genes called"]


def test_shuffled_cells_as_they_are_score_as_before(planted):
    cells = false_signal.every_gene_shuffled(planted, 0)
    scores = false_signal.score_shuffled(cells.X, cells, 0)
    assert scores["correlation after"] == scores["correlation before"] > 0
    assert scores["variance kept"] == 1
    constant = np.outer(cells.X.sum(axis=1).A1, cells.X.mean(axis=0).A1).astype(np.float32)
    nothing = false_signal.score_shuffled(constant, cells, 0)
    assert nothing["correlation after"] == 0
    assert nothing["variance kept"] == pytest.approx(0, abs=1e-6)


def test_every_test_has_datasets_that_allow_it():
    from quality import data

    for test in false_signal.TESTS.values():
        assert {*test.datasets} <= {*data.CLUSTER_SETS} & {*data.UMI_SETS}
    assert {*false_signal.ABSENT, *false_signal.MARKERS} <= {*false_signal.TESTS[""].datasets}
