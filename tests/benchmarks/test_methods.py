"""What is done to the methods' input and output, and the two that are written out here."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from quality import alra, fits, knn_smoothing, methods
from quality.tasks import UnavailableError
from scipy import sparse

import scinn_train
from scinn_train.config import Module1Config, Module2Config
from scinn_train.transforms import log_depth
from scinn_train.truth import fill_with_gene_mean

SHAPE = (4, 5)
COUNTS = arrays.arrays(np.float32, SHAPE, elements=st.integers(0, 4)).map(sparse.csr_matrix)
VALUES = arrays.arrays(np.float32, SHAPE, elements=st.floats(-10, 1000, width=32))
LEARNS_NOTHING = ("kNN-smoothing", "ALRA")


@given(X=COUNTS, values=VALUES)
@settings(deadline=None)
def test_filling_keeps_what_was_observed_and_clips_what_is_negative(X, values):
    filled, dense = methods.filled(X, values), X.toarray()
    assert (filled[dense > 0] == dense[dense > 0]).all()
    assert (filled[dense == 0] == np.maximum(values, 0)[dense == 0]).all()
    assert (methods.filled(dense, values) == filled).all()


@given(X=COUNTS, values=VALUES.map(np.abs).map(lambda values: values + 0.5))
@settings(deadline=None)
def test_what_cannot_learn_is_brought_to_the_depth_of_each_cell(X, values):
    counts, depths = X.toarray(), X.sum(axis=1).A1
    imputed = impute(X, values)
    assert imputed.everywhere.sum(axis=1) == pytest.approx(depths, rel=1e-4)
    assert (imputed.kept == np.where(counts > 0, counts, imputed.everywhere)).all()
    some = depths > 0  # within a cell nothing but the scale changes
    shares = values[some] / values[some].sum(axis=1, keepdims=True)
    assert imputed.everywhere[some] / depths[some, None] == pytest.approx(shares, rel=1e-4)


def test_at_whatever_depth_its_values_are(planted, expected):
    halved, as_they_are = (impute(planted.X, expected.astype(np.float32) * factor) for factor in (0.5, 1))
    assert halved.everywhere == pytest.approx(as_they_are.everywhere)


def test_cells_without_expression_stay_without_and_negative_values_are_not_kept():
    X = sparse.csr_matrix(np.array([[0, 0, 0], [0, 2, 4]], dtype=np.float32))
    imputed = impute(X, np.array([[1, 2, 3], [-1, 5, 5]], dtype=np.float32))
    assert (imputed.everywhere[0] == 0).all()
    assert imputed.kept.tolist() == [[0, 0, 0], [0, 2, 4]]


def test_policies_are_two_unless_they_are_the_same(planted):
    assert list(methods.raw(planted, planted, seed=0).policies) == ["keep"]
    policies = methods.gene_mean(planted, planted, seed=0).policies
    assert list(policies) == ["keep", "denoise"]
    assert not np.array_equal(policies["keep"], policies["denoise"])


def test_the_gene_mean_is_that_of_the_training_cells_at_the_depth_of_the_others(make):
    random = np.random.default_rng(0)
    train, cells = make(random.poisson(1, (30, 20))), make(random.poisson(0.5, (10, 20)))
    imputed = methods.gene_mean(train, cells, seed=0)
    assert imputed.everywhere.sum(axis=1) == pytest.approx(cells.X.sum(axis=1).A1)
    assert imputed.kept == pytest.approx(fill_with_gene_mean(cells.X, train.X), rel=1e-5)


@pytest.mark.parametrize("name", LEARNS_NOTHING)
def test_on_planted_types_it_comes_nearer_the_truth_than_raw_counts(planted, expected, name):
    imputed = methods.METHODS[name].run(planted, planted, seed=0)
    raw = distance(planted.X.toarray(), expected)
    assert distance(imputed.everywhere, expected) < 0.75 * raw
    assert distance(imputed.kept, expected) < 0.95 * raw


@pytest.mark.parametrize("name", LEARNS_NOTHING)
def test_every_non_zero_is_kept_and_no_value_negative(planted, name):
    imputed = methods.METHODS[name].run(planted, planted, seed=0)
    counts = planted.X.toarray()
    assert (imputed.kept[counts > 0] == counts[counts > 0]).all()
    assert imputed.everywhere.min() >= 0
    assert imputed.everywhere.sum(axis=1) == pytest.approx(counts.sum(axis=1), rel=1e-4)


@pytest.mark.parametrize("name", ["raw", "gene mean", *LEARNS_NOTHING])
def test_the_input_is_left_alone_and_the_same_seed_gives_the_same(planted, name):
    before = planted.X.copy()
    first, again = (methods.METHODS[name].run(planted, planted, seed=0).policies for _ in range(2))
    assert (before != planted.X).nnz == 0
    assert all((dense(first[policy]) == dense(again[policy])).all() for policy in first)


@pytest.mark.parametrize("neighbours", [1, 3, 5, 14])
def test_knn_smoothing_adds_up_a_cell_and_neighbours_of_its_type(planted, neighbours):
    marked = sparse.hstack([planted.X, sparse.eye(90)], format="csr")  # each cell has a gene of its own, that tells who
    smoothed = knn_smoothing.smooth(sparse.csr_array(marked), neighbours=neighbours).toarray()
    counts, added = smoothed[:, :80], smoothed[:, 80:]
    assert (added.diagonal() == 1).all()
    assert (added.sum(axis=1) == neighbours + 1).all()
    assert set(added.ravel()) == {0, 1}
    assert (counts == added @ planted.X.toarray()).all()
    alike = planted.labels[:, None] == planted.labels
    assert added[alike].sum() > 0.95 * added.sum()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # sklearn's share of no variance
def test_knn_smoothing_adds_up_counts_alone(planted):
    with pytest.raises(UnavailableError, match="adds counts up; planted has FPKM"):
        knn_smoothing.impute(replace(planted, unit="fpkm"), seed=0)


def test_cells_without_expression_do_not_lower_the_mean_of_the_others(planted):
    with_empty = replace(planted, X=sparse.vstack([planted.X, sparse.csr_matrix(planted.X.shape)], format="csr"))
    means = [methods.gene_mean(train, planted, seed=0).everywhere for train in (planted, with_empty)]
    assert means[0] == pytest.approx(means[1])


def test_knn_smoothing_of_identical_cells_is_their_sum():
    counts = sparse.csr_array(np.tile([[1.0, 0.0, 4.0]], (4, 1)).astype(np.float32))
    assert (knn_smoothing.smooth(counts, neighbours=15).toarray() == 4 * counts.toarray()).all()  # three others at most


def test_alra_finds_the_planted_rank():
    random = np.random.default_rng(0)
    signal = random.gamma(1, 1, (300, 3)) @ random.gamma(1, 1, (3, 250))  # of less, 100 values are no noise to go by
    assert alra.choose_rank(signal + random.normal(0, 0.1, signal.shape), seed=0) == 3


def test_alra_sets_biological_zeros_and_keeps_the_moments_of_what_is_expressed():
    random = np.random.default_rng(0)
    expressed = np.kron(np.eye(2), np.ones((60, 30))) > 0  # two types that share no gene
    observed = np.where(expressed & (random.random(expressed.shape) < 0.6), random.normal(3, 0.3, expressed.shape), 0)
    completed = alra.complete(observed, rank=2, seed=0)
    assert (completed[observed > 0] > 0).all()
    assert (completed[expressed] > 0).mean() > 0.97  # dropouts come back
    assert (completed[~expressed] > 0).mean() < 0.05  # the genes of the other type do not
    for gene in range(60):
        filled, seen = (values[values[:, gene] > 0, gene] for values in (completed, observed))
        assert filled.mean() == pytest.approx(seen.mean(), rel=0.05)


def test_alra_leaves_what_was_observed_where_nothing_else_comes_out(planted):
    observed = log_depth(planted.X).toarray()
    completed = alra.complete(observed, rank=2, seed=0)
    assert (completed[observed > 0] > 0).all()
    assert (completed == observed)[observed > 0].any()


def test_the_code_of_a_method_is_that_of_the_function_behind_it():
    code = {name: method.code for name, method in methods.METHODS.items()}
    assert code["ALRA"].startswith(source(alra))
    assert code["kNN-smoothing"].startswith(source(knn_smoothing))
    assert code["neighbourhood mean"].startswith(source(fits))
    for name in methods.METHODS:
        assert source(methods) in code[name], name
        assert source(fits) in code[name], name
        assert fits.SOURCES in code[name], name  # the principal components are its work, too


def test_the_control_counts_cells_as_a_fit_does(make, expected):
    random = np.random.default_rng(3)
    reads = random.poisson(random.poisson(expected) * 40.0)
    reads[:, -1] = np.arange(90) < 2  # seen in two cells, so that no fit has it
    data = make(reads)
    brief = replace(
        fits.config(data, seed=0),
        module1=Module1Config(networks=1, snapshots=1, warmup_epochs=1, latent_epochs=1, filter_repeats=1),
        module2=Module2Config(epochs=1, fewest_steps=1),
    )
    sizes, counted = fits.counting(data, data)
    assert counted.molecule == scinn_train.fit(data.X, data.genes, config=brief).info.molecule_value > 4
    depths = reads[:, :-1].sum(axis=1)
    assert sizes == pytest.approx(depths / np.median(depths))


def test_only_what_draws_no_numbers_is_run_once_for_all_seeds(planted):
    for name, method in methods.METHODS.items():
        if not method.seeded:
            first, other = (method.run(planted, planted, seed=seed).policies for seed in (0, 1))
            assert all((dense(first[policy]) == dense(other[policy])).all() for policy in first), name


def impute(X, values):
    """Impute counts with given values as if a method had found them."""
    return methods.unable_to_learn(lambda cells, *, seed: values)(None, type("Cells", (), {"X": X}), seed=0)


def distance(X, expected):
    """Return the root mean square distance of logarithms at the depth that is expected."""
    scaled = X * (expected.sum(axis=1, keepdims=True) / X.sum(axis=1, keepdims=True))
    return np.sqrt(np.mean((np.log1p(scaled) - np.log1p(expected)) ** 2))


def dense(X):
    return X.toarray() if sparse.issparse(X) else X


def source(module):
    return Path(inspect.getfile(module)).read_bytes()
