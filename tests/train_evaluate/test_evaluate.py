import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from scinn_infer import ScinnError
from scinn_train import evaluate
from scinn_train.evaluate import Score
from scinn_train.transforms import HEADLINE, TRANSFORMS

QUICK = {"seeds": (0, 1), "restarts": 5}


def blobs(cells=60, genes=30, types=3, seed=0):
    """Counts in which each type expresses genes of its own: nobody could mix the types up."""
    random = np.random.default_rng(seed)
    labels = np.arange(cells) % types
    rate = np.where(np.arange(genes) % types == labels[:, None], 20.0, 0.2)
    return random.poisson(rate).astype(np.float32), np.array([f"type {label}" for label in labels])


def log10k(X):
    return TRANSFORMS[HEADLINE](X)


def noise(cells=60, genes=30, seed=0):
    return np.random.default_rng(seed).poisson(3.0, size=(cells, genes)).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------- cell types


def test_clear_types_score_one():
    X, labels = blobs()
    scores = evaluate.evaluate(log10k(X), labels, **QUICK).scores
    assert scores["ARI"].values == scores["NMI"].values == scores["Jaccard"].values == (1, 1)
    assert scores["silhouette"].lowest > 0.7


def test_no_types_score_near_zero():
    scores = evaluate.evaluate(log10k(noise()), blobs()[1], **QUICK).scores
    assert abs(scores["ARI"].median) < 0.1
    assert scores["silhouette"].median < 0.1


def test_dense_and_sparse_agree():
    X, labels = blobs(types=5)
    X[::2] = noise()[::2]
    dense = evaluate.principal_components(log10k(X))
    sparse = evaluate.principal_components(log10k(sp.csr_matrix(X)))
    np.testing.assert_allclose(np.abs(dense), np.abs(sparse), atol=1e-3)
    types = evaluate.encode_types(labels, cells=60)
    assert evaluate.kmeans_scores(dense, types) == evaluate.kmeans_scores(sparse, types)


def test_same_seed_same_result_and_silence():
    X = log10k(noise())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, again = (evaluate.evaluate(X, blobs()[1], **QUICK) for _ in range(2))
    assert first.scores == again.scores
    assert np.array_equal(first.picture, again.picture)
    assert first.picture.shape == (60, 2)


def test_seeds_may_disagree_and_the_range_says_so():
    score = Score((0.5, 0.9, 0.6))
    assert (score.median, score.lowest, score.highest) == (0.6, 0.5, 0.9)
    assert str(score) == "0.600 (0.500–0.900)"
    assert str(Score((0.6, 0.6))) == "0.600"


def test_jaccard_index_by_hand():
    # Together in types: 01 02 12 34. Together in clusters: 01 23 24 34. In both: 01 34.
    assert evaluate.jaccard_index(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])) == pytest.approx(2 / 6)
    assert evaluate.jaccard_index(np.array([0, 1, 2]), np.array([2, 1, 0])) == 1


partitions = st.integers(2, 40).flatmap(
    lambda cells: st.tuples(*2 * [st.lists(st.integers(0, 4), min_size=cells, max_size=cells).map(np.array)])
)


@given(partitions)
def test_jaccard_index_counts_pairs(partition):
    types, clusters = partition
    upper = np.triu_indices(len(types), 1)
    in_types, in_clusters = ((part[:, None] == part)[upper] for part in partition)
    either = np.count_nonzero(in_types | in_clusters)
    expected = np.count_nonzero(in_types & in_clusters) / either if either else 1
    assert evaluate.jaccard_index(types, clusters) == pytest.approx(expected)


def test_scores_are_those_of_scikit_learn():
    components = np.random.default_rng(0).normal(size=(50, 3))
    types = np.arange(50) % 4
    clusters = evaluate.kmeans(components, clusters=4, restarts=5, random_state=3)
    scores = evaluate.kmeans_scores(components, types, seeds=(3,), restarts=5)
    assert scores["ARI"].values == (pytest.approx(adjusted_rand_score(types, clusters)),)
    assert scores["NMI"].values == (pytest.approx(normalized_mutual_info_score(types, clusters)),)


def test_small_data_has_fewer_components():
    assert evaluate.principal_components(noise(cells=10)).shape == (10, 9)
    assert evaluate.principal_components(noise(genes=8)).shape == (60, 7)
    assert evaluate.principal_components(noise(cells=80, genes=90)).shape == (80, 50)


def test_the_smallest_data_has_scores():
    X = noise(cells=4, genes=3)
    assert evaluate.evaluate(X, ["a", "a", "b", "b"], **QUICK).picture.shape == (4, 2)


def test_compare_shows_the_best_scale_of_the_raw_data():
    X, labels = blobs()
    comparison = evaluate.compare(noise(), X, labels, **QUICK)
    assert comparison.imputed.scores["ARI"].median == 1
    assert set(comparison.raw_ari) == set(TRANSFORMS)
    assert comparison.raw_ari[HEADLINE] == comparison.raw.scores["ARI"]
    assert comparison.raw_ari[comparison.best_scale_of_raw].median == max(
        score.median for score in comparison.raw_ari.values()
    )


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["a"] * 59, "59 labels for 60 cells"),
        (["a"] * 60, "all alike"),
        (range(60), "all different"),
        (["a", "b"] * 29 + [None, "b"], "1 of 60 cells have no label.*cell 59"),
        ([1.0, 2.0] * 29 + [float("nan")] * 2, "2 of 60 cells have no label"),
    ],
)
def test_refuses_labels_that_tell_no_types(labels, sentence):
    with pytest.raises(ScinnError, match=sentence):
        evaluate.evaluate(noise(), labels, **QUICK)


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (np.ones((60, 30), np.float32), "all cells are alike"),
        (np.ones((2, 30), np.float32), "too few"),
        (noise(genes=2), "too few"),
    ],
)
def test_refuses_matrices_without_components(X, sentence):
    with pytest.raises(ScinnError, match=sentence):
        evaluate.principal_components(X)


def test_compare_refuses_other_shapes():
    with pytest.raises(ScinnError, match="same cells and genes"):
        evaluate.compare(noise(), noise(genes=29), blobs()[1])


def spoiled(value, form=np.asarray):
    X = noise()
    X[3, 4] = X[9, 9] = value
    return form(X)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, pd.DataFrame])
@pytest.mark.parametrize(
    ("value", "sentence"), [(np.nan, "missing"), (np.inf, "more than float32 can hold"), (-1, "never negative")]
)
def test_compare_names_the_first_value_that_is_no_expression(form, value, sentence):
    wrong, labels = spoiled(value, form), blobs()[1]
    for name, matrices in {"raw": (wrong, noise()), "imputed": (noise(), wrong)}.items():
        with pytest.raises(ScinnError, match=f"the {name} matrix: cell 4, gene 5: .*{sentence}"):
            evaluate.compare(*matrices, labels, **QUICK)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_components_of_what_is_missing_or_infinite(value):
    types = np.arange(60) % 3
    for run in (
        evaluate.principal_components,
        lambda X: evaluate.evaluate(X, types, **QUICK),
        lambda X: evaluate.kmeans_scores(X, types, **QUICK),
        evaluate.umap_picture,
    ):
        with pytest.raises(ScinnError, match=f"holds {value} in row 4, column 5"):
            run(spoiled(value))


def test_logarithms_below_zero_have_components():
    assert evaluate.principal_components(noise() - 5).shape == (60, 29)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        *(({"seeds": seeds}, "seeds is .*one or more whole numbers") for seeds in ((), 3, (-1,), (0, 1.5), (2**32,))),
        *(({"restarts": restarts}, "restarts is .*whole number from 1") for restarts in (0, 1.5, None)),
    ],
)
def test_refuses_seeds_and_restarts_that_are_none(wrong, sentence):
    X, labels = blobs()
    settings = QUICK | wrong
    for run in (
        lambda: evaluate.compare(X, X, labels, **settings),
        lambda: evaluate.evaluate(X, labels, **settings),
        lambda: evaluate.kmeans_scores(X, np.arange(60) % 3, **settings),
    ):
        with pytest.raises(ScinnError, match=sentence):
            run()


def test_any_source_of_seeds_will_do():
    X, labels = blobs()
    expected = evaluate.compare(noise(), X, labels, **QUICK).raw_ari
    for seeds in ((seed for seed in (0, 1)), np.arange(2), range(2)):
        assert evaluate.compare(noise(), X, labels, seeds=seeds, restarts=np.int64(5)).raw_ari == expected


def test_data_frames_score_as_arrays_do():
    X, labels = blobs()
    found = evaluate.compare(pd.DataFrame(noise()), pd.DataFrame(X).astype(object), labels, **QUICK)
    assert found.raw_ari == evaluate.compare(noise(), X, labels, **QUICK).raw_ari


@pytest.mark.parametrize("clusters", [0, 61, 2.5])
def test_refuses_numbers_of_clusters_that_no_cells_can_have(clusters):
    with pytest.raises(ScinnError, match="clusters is"):
        evaluate.kmeans_scores(noise(), np.arange(60) % 3, clusters=clusters, **QUICK)


def test_refuses_types_of_other_cells():
    with pytest.raises(ScinnError, match="one for each of the 60 cells"):
        evaluate.kmeans_scores(noise(), np.arange(59) % 3, **QUICK)


@pytest.mark.parametrize(("shape", "seed"), [((2, 5), 0), ((9, 1), 0), ((9, 5), -1)])
def test_refuses_what_cannot_be_drawn(shape, seed):
    with pytest.raises(ScinnError, match=r"too few to draw|seeds is \[-1\]"):
        evaluate.umap_picture(np.ones(shape), random_state=seed)


# --------------------------------------------------------------------------------------------------------------- scales


def test_scales_by_hand():
    X = np.array([[1, 3], [0, 2], [0, 0]], np.float32)
    expected = {
        "depth 10,000, ln(1 + x)": np.log([[2501, 7501], [1, 10_001], [1, 1]]),
        "median depth, log2(1 + x)": np.log2([[1.75, 3.25], [1, 4], [1, 1]]),
        "own depth, log2(1 + x)": np.log2([[2, 4], [1, 3], [1, 1]]),
    }
    assert list(expected) == list(TRANSFORMS)
    for name, transform in TRANSFORMS.items():
        np.testing.assert_allclose(transform(X), expected[name], rtol=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from(list(TRANSFORMS)), st.sampled_from(["csr", "csc", "coo"]))
def test_scales_treat_sparse_and_dense_alike(seed, scale, storage):
    X = np.random.default_rng(seed).poisson(0.4, size=(8, 12))
    before = X.copy()
    sparse = TRANSFORMS[scale](sp.csr_matrix(X).asformat(storage))
    assert sp.issparse(sparse)
    np.testing.assert_allclose(sparse.toarray(), TRANSFORMS[scale](X), rtol=1e-6)
    assert np.array_equal(X, before)
