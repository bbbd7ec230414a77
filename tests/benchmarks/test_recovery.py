import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality.recovery import recovery_scores
from scipy import sparse

PERFECT = {"genewise": 1, "cellwise": 1, "rmse": 0}


@pytest.fixture(scope="module")
def observed(expected):
    return sparse.csr_matrix(np.random.default_rng(1).poisson(expected).astype(np.float32))


@pytest.fixture(scope="module")
def reference(expected):
    return sparse.csr_matrix(expected.astype(np.float32))


@pytest.mark.parametrize("kind", [sparse.csr_matrix.toarray, sparse.csr_matrix, sparse.csr_array])
def test_the_reference_itself_is_perfect(reference, observed, kind):
    assert recovery_scores(kind(reference), reference, observed=observed) == pytest.approx(PERFECT, abs=1e-5)


def test_noise_is_not(reference, observed):
    scores = recovery_scores(observed, reference, observed=observed)
    assert 0 < scores["genewise"] < 0.9
    assert 0 < scores["cellwise"] < 0.9
    assert scores["rmse"] > 0.5


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_depth_of_a_cell_does_not_matter(reference, observed, seed):
    """Only that of the median cell does, to the correlations: it says how much one more molecule counts."""
    factors = np.random.default_rng(seed).uniform(1, 20, observed.shape[0])
    shallow, middle, _ = np.split(np.argsort(observed.sum(axis=1).A1), [44, 46])
    factors[shallow] **= -1  # so shallow cells stay shallow and deep ones deep
    factors[middle] = 1
    scaled = sparse.csr_matrix(observed.multiply(factors[:, None]))
    plain = recovery_scores(observed, reference, observed=observed)
    assert recovery_scores(scaled, reference, observed=observed) == pytest.approx(plain, rel=1e-5)


@given(factor=st.floats(0.01, 100))
@settings(deadline=None)
def test_the_error_is_at_the_depth_of_the_reference_whatever_that_of_the_cells(reference, observed, factor):
    error = recovery_scores(observed, reference, observed=observed)["rmse"]
    assert recovery_scores(observed * factor, reference, observed=observed)["rmse"] == pytest.approx(error, rel=1e-4)


def test_the_error_by_hand():
    reference = sparse.csr_matrix([[1.0, 3.0], [2.0, 6.0]])  # of median depth 6, where both cells have 1.5 and 4.5
    X = np.array([[10.0, 10.0], [1.0, 3.0]])  # there the first has 3 and 3, and the second is right
    error = np.log2([4, 4]) - np.log2([2.5, 5.5])
    assert recovery_scores(X, reference, observed=X)["rmse"] == pytest.approx(np.sqrt(np.sum(error**2) / 4))


def test_genes_that_were_never_observed_are_left_out_of_the_correlations(reference, observed):
    wrong, unseen = reference.toarray(), observed.toarray()
    wrong[:, :10] = wrong[:, 9::-1]  # each cell keeps its depth
    unseen[:, :10] = 0
    scores = recovery_scores(wrong, reference, observed=unseen)
    assert (scores["genewise"], scores["cellwise"]) == pytest.approx((1, 1))
    assert recovery_scores(wrong, reference, observed=observed)["genewise"] < 0.99


def test_a_cell_in_which_nothing_is_left_does_not_spoil_the_scores(reference, observed):
    X = observed.toarray()
    X[0] = 0
    assert np.isfinite(list(recovery_scores(X, reference, observed=observed).values())).all()
