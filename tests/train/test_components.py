from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scinn_train.components import principal_directions
from scinn_train.expression import Expression
from scinn_train.normalise import log1p


def directions(X: sparse.csr_array, count: int, seed: int = 0) -> np.ndarray:
    log_scale = np.ones(X.shape[1], np.float32)
    return principal_directions(Expression.held(X), log_scale, count=count, random=np.random.default_rng(seed))


@pytest.fixture
def programmes() -> sparse.csr_array:
    """Two independent programmes, of ten and of five genes among forty."""
    random = np.random.default_rng(0)
    X = random.gamma(2, 0.1, (300, 40))
    X[:, :10] += random.gamma(1, 6, (300, 1))
    X[:, 10:15] += random.gamma(1, 4, (300, 1))
    return sparse.csr_array(X.astype(np.float32))


def test_the_first_two_are_the_planted_programmes(programmes):
    found = np.abs(directions(programmes, 2))
    assert found[:10, 0].min() > 3 * found[15:, 0].max()
    assert found[10:15, 1].min() > 3 * found[15:, 1].max()


def test_a_projection_varies_by_the_root_of_its_components_share(programmes):
    found = directions(programmes, 3)
    logs = log1p(programmes).toarray()
    deviation = ((logs - logs.mean(axis=0)) @ found).std(axis=0, ddof=1)
    assert deviation[0] == pytest.approx(1, rel=1e-3)
    assert (np.diff(deviation) < 0).all()
    whitened = np.linalg.svd(logs - logs.mean(axis=0), compute_uv=False)[:3]
    np.testing.assert_allclose(deviation, np.sqrt(whitened / whitened[0]), rtol=1e-3)


def test_there_are_three_cells_for_each_and_fewer_than_genes(programmes):
    assert directions(programmes[:30], 20).shape == (40, 10)
    assert directions(programmes[:, :5], 20).shape == (5, 4)


def test_the_same_cells_give_the_same_directions(programmes):
    np.testing.assert_array_equal(directions(programmes, 5), directions(programmes, 5))


def test_more_cells_than_the_sample_span_the_same_space(programmes, monkeypatch):
    monkeypatch.setattr("scinn_train.components._MOST_CELLS", 150)
    some, everyone = directions(programmes, 2), np.linalg.svd(log1p(programmes).toarray())[2][:2].T
    assert np.linalg.norm(everyone - some @ np.linalg.lstsq(some, everyone, rcond=None)[0]) < 0.5


def test_a_direction_without_variance_is_left_out(programmes):
    """Six profiles, many times each, have five directions; a sixth would be rounding, blown up a thousandfold."""
    repeated = sparse.csr_array(np.repeat(programmes.toarray()[:6], 30, axis=0))
    found = directions(repeated, 20)
    assert found.shape == (40, 5)
    assert np.linalg.norm(found, axis=0).max() < 10
