import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality.molecular_cv import expected_log, molecular_scores
from scipy import sparse

from scinn_train.transforms import log_depth

RATES = [0.0, 0.003, 0.05, 0.4, 1.0, 3.0, 8.0, 15.9]
DEPTH = 40


@pytest.fixture(scope="module")
def rates():
    """What is expected of the molecules that were set aside (cells × genes)."""
    shares = np.random.default_rng(0).gamma(0.5, 1, (150, 120))
    return (shares / shares.sum(axis=1, keepdims=True) * DEPTH).astype(np.float32)


@pytest.fixture(scope="module")
def molecules(rates):
    return sparse.csr_matrix(np.random.default_rng(1).poisson(rates).astype(np.float32))


@pytest.mark.parametrize("depth", [30, 500, 20_000])
def test_the_expected_logarithm_is_the_mean_of_simulated_ones(depth):
    counts = np.random.default_rng(0).poisson(RATES, (200_000, len(RATES)))
    logarithms = np.log1p(counts * (10_000 / depth))
    found = expected_log(np.array([RATES], dtype=np.float32), np.array([depth]))[0]
    error = np.abs(found - logarithms.mean(axis=0))
    assert (error <= 5 * logarithms.std(axis=0) / np.sqrt(len(counts)) + 1e-5).all()


@pytest.mark.parametrize("rate", [16.1, 60.0, 5000.0])
def test_of_large_rates_it_is_nearly_the_logarithm_itself(rate):
    logarithms = np.log1p(np.random.default_rng(0).poisson(rate, 100_000) * 10.0)
    found = expected_log(np.array([[rate]], dtype=np.float32), np.array([1000]))
    assert found.item() == pytest.approx(logarithms.mean(), abs=0.04)


@given(rate=st.floats(0, 1e4, width=32), depth=st.floats(0, 1e6))
@settings(deadline=None)
def test_it_is_finite_and_never_above_the_logarithm_of_the_expectation(rate, depth):
    found = expected_log(np.array([[rate]], dtype=np.float32), np.array([depth])).item()
    assert 0 <= found <= np.log1p(rate * 10_000 / max(depth, 1)) * (1 + 1e-4) + 1e-6


def test_each_cell_has_its_own_depth():
    alone = [expected_log(np.array([[2.0]], dtype=np.float32), np.array([depth])).item() for depth in (50, 5000)]
    together = expected_log(np.full((2, 1), 2.0, dtype=np.float32), np.array([50, 5000]))
    assert together.ravel() == pytest.approx(alone)


@pytest.mark.parametrize("score", ["poisson", "mse of expected log"])
@pytest.mark.parametrize("power", [0.7, 0.9, 1.1, 1.5])
def test_two_scores_are_best_at_the_true_rates(rates, molecules, score, power):
    distorted = molecular_scores(rates**power, molecules)
    assert molecular_scores(rates, molecules)[score] < distorted[score]


@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.2, 1.5))
@settings(deadline=None)
def test_no_noise_makes_true_rates_better_in_them(rates, molecules, seed, spread):
    noise = np.random.default_rng(seed).lognormal(0, spread, rates.shape).astype(np.float32)
    true, noisy = (molecular_scores(X, molecules) for X in (rates, rates * noise))
    assert true["poisson"] < noisy["poisson"]
    assert true["mse of expected log"] < noisy["mse of expected log"]


def test_the_plain_error_prefers_rates_that_are_wrong(rates, molecules):
    """It compares the logarithm of an expectation with logarithms of counts, so it stands beside a proper one."""
    true, sharpened = molecular_scores(rates, molecules), molecular_scores(rates**1.5, molecules)
    assert sharpened["mse"] < true["mse"]
    assert sharpened["mse of expected log"] > true["mse of expected log"]


def test_scores_by_hand():
    predicted = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 2.0]], dtype=np.float32)
    counts = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 1.0]], dtype=np.float32)
    rates = np.array([[1.5, 0.5, 0.0], [1.0, 1.0, 2.0]])  # the prediction at the depth of the molecules set aside
    scores = molecular_scores(predicted, sparse.csr_matrix(counts))
    assert scores["mse"] == pytest.approx(np.mean((log_depth(predicted) - log_depth(counts)) ** 2))
    assert scores["poisson"] == pytest.approx(np.mean(rates - counts * np.log(np.maximum(rates, 1e-6))), abs=1e-5)


def test_neither_the_depth_of_a_prediction_nor_its_kind_of_matrix_matters(rates, molecules):
    plain = molecular_scores(rates, molecules)
    factors = np.random.default_rng(0).uniform(0.1, 10, (len(rates), 1)).astype(np.float32)
    assert molecular_scores(sparse.csr_matrix(rates * factors), molecules) == pytest.approx(plain, rel=1e-5)


def test_a_molecule_that_nobody_expected_and_empty_cells_cost_a_finite_amount():
    predicted = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]], dtype=np.float32)
    scores = molecular_scores(predicted, sparse.csr_matrix([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]]))
    assert np.isfinite(list(scores.values())).all()
