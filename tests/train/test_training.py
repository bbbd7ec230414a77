"""The training of module 2, on a few cells for a few steps: what is summed, hidden, held out and kept."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from scinn_train import LossWeights, Module2Config, training
from scinn_train.capture import Capture
from scinn_train.checkpoint import Checkpoint
from scinn_train.expression import Expression
from scinn_train.module1 import CellMap
from scinn_train.neighbourhood import mean_expression
from scinn_train.scale import NetworkScale
from scinn_train.similarity import Similarity

CELLS, GENES = 48, 12
SHORT = Module2Config(
    components=3,
    hidden=8,
    bottleneck=4,
    embedding=3,
    neighbours=4,
    epochs=4,
    fewest_steps=1,
    held_out=0.25,
    patience=100,
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def expression():
    types = np.arange(CELLS) % 3
    rates = np.random.default_rng(1).gamma(0.7, 2.0, (3, GENES)) + 0.1
    return np.random.default_rng(0).poisson(rates[types]).astype(np.float32)


@pytest.fixture(scope="module")
def train(expression):
    """Train on the cells, some of which may have other values; what is known of them stays as it is."""
    latent = np.random.default_rng(2).normal(size=(CELLS, 5)).astype(np.float32)
    cell_map = CellMap(np.arange(CELLS) % 3, latent, Similarity([latent]))
    scale = NetworkScale.from_cells(Expression.held(sparse.csr_array(expression)))

    def train(config, cells=expression):
        return training.train(
            Expression.held(sparse.csr_array(cells)),
            np.ones(CELLS, dtype=np.float32),
            cell_map,
            scale,
            capture=Capture(),
            config=config,
            seed=0,
            device=CPU,
            checkpoint=Checkpoint(),
        )

    return train


def test_the_total_is_the_sum_of_the_terms_by_their_weights(train):
    weights = {"clusters": 0.3, "similarity": 5.0, "neighbourhood": 0.7, "masked": 2.0}
    for epoch in train(replace(SHORT, weights=LossWeights(**weights))).history:
        for terms in (epoch.training, epoch.held_out):
            assert min(terms.values()) > 0
            total = sum(weight * terms[name] for name, weight in weights.items())
            assert terms["total"] == pytest.approx(total, rel=1e-5)


def test_held_out_cells_do_not_teach_not_even_as_neighbours(train, expression):
    """Whatever their values are, the training goes the same way."""
    first = train(SHORT)
    others = expression.copy()
    others[first.held_out] = np.random.default_rng(3).poisson(9, (len(first.held_out), GENES))
    second = train(SHORT, others)
    np.testing.assert_array_equal(second.held_out, first.held_out)
    assert len(first.held_out) == CELLS / 4
    assert [epoch.training for epoch in second.history] == [epoch.training for epoch in first.history]
    assert [epoch.held_out for epoch in second.history] != [epoch.held_out for epoch in first.history]


def test_the_networks_are_kept_as_they_were_at_their_best(train, monkeypatch):
    totals, then = [5.0, 2.0, 3.0, 2.0], []

    def judge(*networks_and_more, **_):
        then.append([copy.deepcopy(network.state_dict()) for network in networks_and_more[:2]])
        return {"total": totals[len(then) - 1]}

    monkeypatch.setattr(training, "_judge", judge)
    trained = train(SHORT)
    assert [epoch.held_out["total"] for epoch in trained.history] == totals
    assert trained.best == 1
    for network, best, last in zip((trained.imputation, trained.quality), then[1], then[-1], strict=True):
        kept = network.state_dict()
        assert all(torch.equal(kept[name], best[name]) for name in kept)
        assert any(not torch.equal(kept[name], last[name]) for name in kept)


def hidden(calls, **shares):
    """Return which entries are hidden at each of many calls (calls × cells × genes)."""
    config, random = replace(SHORT, **shares), np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        seen = [training._seen(torch.ones(20, 300), config=config, random=random).numpy() for _ in range(calls)]
    assert np.isin(seen, (0, 1)).all()
    return np.stack(seen) == 0


def test_as_many_entries_are_hidden_as_is_asked_for():
    assert hidden(20, entry_dropout=0.2, gene_dropout=0).mean() == pytest.approx(0.2, abs=0.01)
    assert not hidden(5, entry_dropout=0, gene_dropout=0).any()


def test_whole_genes_are_hidden_in_half_of_the_minibatches():
    genes = hidden(400, entry_dropout=0, gene_dropout=0.6)
    assert (genes == genes[:, :1]).all()  # in every cell or in none
    shares = genes[:, 0].mean(axis=1)
    assert (shares > 0).mean() == pytest.approx(0.5, abs=0.08)
    assert shares[shares > 0].mean() == pytest.approx(0.3, abs=0.04)  # from none to six of ten
    assert shares.max() == pytest.approx(0.6, abs=0.1)


def test_a_neighbourhood_is_the_mean_of_linear_expression():
    X = Expression.held(sparse.csr_array(np.array([[0, 4], [2, 0], [8, 6]], dtype=np.float32)))
    neighbours = np.array([[1, 2], [0, 2], [0, 1]])
    np.testing.assert_array_equal(mean_expression(X, neighbours).toarray(), [[5, 3], [4, 5], [1, 2]])
    np.testing.assert_array_equal(mean_expression(X, neighbours[2:]).toarray(), [[1, 2]])
