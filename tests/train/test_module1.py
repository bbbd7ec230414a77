from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from scinn_infer import ScinnError
from scinn_train import Module1Config
from scinn_train import similarity as similarity_module
from scinn_train.checkpoint import Checkpoint
from scinn_train.clustering import SpectralGraph, choose_clusters, leading_eigenvectors, neighbour_graph, vote
from scinn_train.consensus import combine
from scinn_train.expression import Expression
from scinn_train.gene_filter import _encoder_weight, gene_scores, select_genes
from scinn_train.latent import StackedBayesianAutoencoder, _loss, latent_ensemble
from scinn_train.module1 import map_cells
from scinn_train.normalise import Normalisation, depth
from scinn_train.similarity import Similarity, standardise

CPU = torch.device("cpu")
TINY = Module1Config(
    filtered_genes=8,
    filter_hidden=6,
    filter_epochs=3,
    filter_repeats=1,
    networks=1,
    snapshots=3,
    warmup_epochs=1,
    latent_epochs=1,
    most_clusters=3,
)


def log_expression(cells: int = 36, genes: int = 10) -> np.ndarray:
    """Logarithms of counts of three types of cells."""
    rates = np.random.default_rng(1).gamma(0.7, 3.0, (3, genes)) + 0.2
    return np.log1p(np.random.default_rng(0).poisson(rates[np.arange(cells) % 3])).astype(np.float32)


def held(X: np.ndarray) -> Expression:
    return Expression.held(sparse.csr_array(X))


def blobs(cells: int, groups: int, *, seed: int = 0, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(groups, 15)) * 2
    labels = np.arange(cells) % groups
    return (centres[labels] + random.normal(scale=spread, size=(cells, 15))).astype(np.float32), labels


@given(seed=st.integers(0, 1000), members=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_similarity_is_the_mean_of_the_latents_pearson_correlations(seed, members):
    random = np.random.default_rng(seed)
    latents = [random.normal(size=(12, 15)).astype(np.float32) for _ in range(members)]
    everyone = np.arange(12)
    expected = np.mean([np.corrcoef(latent) for latent in latents], axis=0)
    np.testing.assert_allclose(Similarity(latents).between(everyone, everyone), expected, atol=1e-5)


def test_neighbours_are_the_most_similar_others_nearest_first():
    latent, _ = blobs(150, 4)
    everyone = np.arange(150)
    full = Similarity([latent]).between(everyone, everyone)
    np.fill_diagonal(full, -2)
    nearest = Similarity([latent]).neighbours(7)
    np.testing.assert_array_equal(nearest, np.argsort(-full, axis=1, kind="stable")[:, :7])


def test_neighbours_can_be_kept_to_some_cells():
    latent, _ = blobs(150, 4)
    among = np.arange(0, 150, 3)
    nearest = Similarity([latent]).neighbours(7, among=among)
    assert np.isin(nearest, among).all()
    assert not (nearest == np.arange(150)[:, None]).any()


def test_approximate_neighbours_are_nearly_the_exact_ones_and_never_the_cell_itself(monkeypatch):
    latent, _ = blobs(2000, 6, spread=1.0)
    exact = Similarity([latent]).neighbours(15)
    monkeypatch.setattr(similarity_module, "EXACT_BELOW", 100)
    approximate = Similarity([latent]).neighbours(15, seed=1)
    found = np.mean([len(set(a) & set(b)) / 15 for a, b in zip(exact, approximate, strict=True)])
    assert found > 0.95
    assert not (approximate == np.arange(2000)[:, None]).any()


@pytest.mark.parametrize("groups", [2, 3, 5, 8])
def test_the_number_of_clusters_is_found_where_it_is_plain(groups):
    graphs = []
    for seed in range(2):
        latent, labels = blobs(240, groups, seed=seed)
        graphs.append(SpectralGraph.from_latent(latent, components=12))
    assert choose_clusters(graphs, most=12, seed=0) == groups
    assert adjusted_rand_score(labels, graphs[-1].cut(groups, seed=0)) == 1


def test_a_disconnected_graph_above_the_dense_size_is_decomposed(monkeypatch):
    """Its largest eigenvalue repeats, once for each component, which a Lanczos solver may not resolve."""
    monkeypatch.setattr("scinn_train.clustering._DENSE_BELOW", 100)
    latent, labels = blobs(600, 5, spread=0.05)
    graph = neighbour_graph(standardise(latent))
    vectors = leading_eigenvectors(graph, count=5)
    degree = np.asarray(graph.sum(axis=1)).ravel()
    normalised = graph.toarray() / np.sqrt(np.outer(degree, degree))
    np.testing.assert_allclose(normalised @ vectors, vectors, atol=1e-4)
    assert adjusted_rand_score(labels, SpectralGraph(standardise(latent), vectors).cut(5, seed=0)) == 1


def test_votes_give_the_rest_the_label_of_their_neighbours_and_keep_the_sample():
    latent, labels = blobs(500, 4)
    sample = np.arange(0, 500, 5) + np.arange(100) % 5
    voted = vote(latent, sample, labels[sample])
    np.testing.assert_array_equal(voted, labels)


def test_a_sampled_cell_is_not_outvoted():
    latent, labels = blobs(60, 3)
    sample = np.arange(0, 60, 2)
    given = labels[sample]
    given[4] = (given[4] + 1) % 3  # unlike all of its neighbours
    voted = vote(latent, sample, given)
    np.testing.assert_array_equal(voted[sample], given)
    np.testing.assert_array_equal(voted[1::2], labels[1::2])


def test_large_data_is_clustered_through_a_sample(monkeypatch, reference, quick):
    import scinn_train

    X, genes, types = reference
    monkeypatch.setattr("scinn_train.clustering.CLUSTERED_AT_ONCE", 80)
    result = scinn_train.fit(X, genes, config=quick)
    assert adjusted_rand_score(types, result.clusters) > 0.7


def test_latents_that_are_no_numbers_are_refused_in_a_sentence(monkeypatch, reference, quick):
    import scinn_train

    X, genes, _ = reference
    forward = StackedBayesianAutoencoder.latent
    monkeypatch.setattr(StackedBayesianAutoencoder, "latent", lambda self, x: forward(self, x) * float("inf"))
    with pytest.raises(ScinnError, match="module 1 diverged"):
        scinn_train.fit(X, genes, config=quick)


def test_a_latent_without_variance_leaves_loss_and_gradient_finite():
    network = StackedBayesianAutoencoder(5, latents=2, hidden=4, normalise=False)
    with torch.no_grad():
        network.variance.bias[0] = 1000  # a softmax of the others rounds to zero
    loss = _loss(network, torch.rand(6, 5), warm_up=False, weight=1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_the_loss_of_a_latent_network_is_what_it_is_by_hand():
    batch = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    mean, variance = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    reconstructions = [torch.zeros(2, 2), torch.full((2, 2), 2.0)]

    def network(_):
        return mean, variance, reconstructions

    assert float(_loss(network, batch, warm_up=True, weight=10)) == pytest.approx(0.5 + 1.5)
    logarithms = 2 * np.log(0.5) + np.log(0.25) + np.log(0.75)
    divergence = -(4 + logarithms - (1 + 4) - 2) / 2 / 4
    loss = float(_loss(network, batch, warm_up=False, weight=10))
    assert loss == pytest.approx(10 * (0.5 + 2.5) + 2 * divergence)


def test_each_latent_of_a_network_is_of_another_epoch():
    latents = latent_ensemble(held(log_expression()), config=TINY, seed=0, device=CPU, checkpoint=Checkpoint())
    assert [latent.shape for latent in latents] == [(36, 15)] * 3
    assert not any(np.array_equal(latents[one], latents[other]) for one, other in ((0, 1), (1, 2), (0, 2)))


def test_the_genes_with_the_highest_scores_are_selected_in_their_order():
    scores = np.array([0.1, 0.9, 0.5, 0.7, 0.5], dtype=np.float32)
    np.testing.assert_array_equal(select_genes(scores, count=2), [1, 3])
    np.testing.assert_array_equal(select_genes(scores, count=3), [1, 2, 3])


def test_no_weight_of_the_gene_filter_is_negative_and_scores_reach_from_zero_to_one():
    X, random = held(log_expression()), np.random.default_rng(0)
    weight = _encoder_weight(X, range(3), config=TINY, random=random, device=CPU)
    assert weight.shape == (6, 10)
    assert (weight >= 0).all()
    assert (weight > 0).any()
    scores = gene_scores(X, config=TINY, seed=0, device=CPU)
    assert (scores.min(), scores.max()) == (0, 1)


def test_how_much_a_cell_expresses_in_all_does_not_matter():
    """Each is brought to the range from 0 to 1, powers of two without rounding."""
    X = log_expression()
    scaled = X * np.exp2(np.arange(36) % 5 - 2)[:, None].astype(np.float32)
    one, other = (map_cells(held(cells), config=TINY, clusters=2, seed=0, device=CPU) for cells in (X, scaled))
    assert one.digest() == other.digest()
    assert one.digest() != map_cells(held(np.sqrt(X)), config=TINY, clusters=2, seed=0, device=CPU).digest()


def test_the_most_coherent_members_say_how_many_clusters_there_are():
    """Three that agree have three clusters; three that differ by a fifth of the cells have six."""
    random = np.random.default_rng(0)
    agreeing, other = np.arange(180) % 3, np.arange(180) // 30
    differing = [np.where(random.random(180) < 0.2, random.integers(0, 6, 180), other) for _ in range(3)]
    consensus = combine([*differing, agreeing, agreeing, agreeing])
    assert len(np.unique(consensus.labels)) == 3 + 1


def test_consensus_of_equal_clusterings_is_that_clustering_whatever_its_names():
    _, labels = blobs(90, 3)
    renamed = (labels + 1) % 3
    consensus = combine([labels, renamed, labels, renamed], clusters=3)
    assert adjusted_rand_score(labels, consensus.labels) == 1
    np.testing.assert_allclose(consensus.agreement, 1)


def test_consensus_outvotes_a_bad_member_and_names_a_good_one_best():
    _, labels = blobs(120, 4)
    noise = np.random.default_rng(0).integers(0, 4, 120)
    consensus = combine([noise, labels, labels, labels], clusters=4)
    assert adjusted_rand_score(labels, consensus.labels) == 1
    assert consensus.best > 0


def test_consensus_clusters_are_numbered_from_the_largest():
    labels = np.repeat([0, 1, 2], [5, 30, 15])
    sizes = np.bincount(combine([labels] * 3, clusters=3).labels)
    assert list(sizes) == [30, 15, 5]


def test_counts_are_brought_to_the_median_depth_and_other_units_left():
    X = sparse.csr_array(np.array([[1.0, 3, 0], [0, 0, 8], [2, 0, 0]], dtype=np.float32))
    counts = Normalisation.from_depths(depth(X), unit="counts").normalise(X)
    np.testing.assert_allclose(counts.toarray(), [[1, 3, 0], [0, 0, 4], [4, 0, 0]])
    np.testing.assert_array_equal(Normalisation.from_depths(depth(X), unit="tpm").normalise(X).toarray(), X.toarray())
