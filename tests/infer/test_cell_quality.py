"""What is said of each cell: cluster, confidence and drift, whatever form the batch comes in."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

import scinn_infer
from scinn_infer import ScinnError
from scinn_infer.cell_quality import QualityRecorder, assess_cells
from scinn_infer.cell_reference import CellReference
from scinn_infer.contract import ModelInfo
from scinn_infer.drift import BatchProfile, judge, probability_of_more
from scinn_infer.errors import ScinnWarning

pytestmark = pytest.mark.filterwarnings("ignore:.*cells have no expression")  # of the one among the counts

FIELDS = ("cluster", "confidence", "drift", "cluster_probability", "embedding")


@pytest.fixture(scope="module")
def old() -> scinn_infer.Model:
    """A file from before there was a cell reference."""
    return scinn_infer.load(Path(__file__).parent / "old_models" / "format_1.onnx", threads=1)


@pytest.fixture(scope="module")
def quality(model, counts, genes):
    return model.assess(counts, genes)


def same(one, other) -> bool:
    """Whether two qualities are the same to the last bit."""
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in FIELDS)


# ---- each cell


def test_it_is_what_the_network_says(model, counts, quality):
    network = model.run(counts.astype(np.float32), outputs=["cluster_probability", "embedding"])
    np.testing.assert_allclose(quality.cluster_probability, network["cluster_probability"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(quality.embedding, network["embedding"], rtol=1e-4, atol=1e-5)
    seen = np.arange(230) != 3
    assert (quality.cluster[seen] == network["cluster_probability"].argmax(axis=1)[seen]).all()
    assert {name: getattr(quality, name).shape[0] for name in FIELDS} == dict.fromkeys(FIELDS, 230)
    assert len(quality) == 230


def test_a_cell_without_expression_has_neither_cluster_nor_drift(quality):
    assert quality.cluster[3] == -1
    assert np.isnan(quality.confidence[3])
    assert np.isnan(quality.drift[3])
    assert np.isnan(quality.drift).sum() == np.isnan(quality.confidence).sum() == (quality.cluster == -1).sum() == 1


def test_cells_like_those_held_out_have_evenly_spread_drift(model, genes):
    random = np.random.default_rng(5)
    X = random.poisson(np.array(model.info.training_data.gene_mean) * random.gamma(4, 0.25, (2000, 1)))
    drift = model.assess(X, genes).drift
    drift = drift[~np.isnan(drift)]
    assert stats.kstest(drift, "uniform").statistic < 1.6 / np.sqrt(100)  # of 100 held-out cells
    assert 0.01 < (drift > 0.95).mean() < 0.12
    n = model.info.cell_reference.held_out_cells
    assert drift.max() <= np.float32(n / (n + 1))
    assert drift.min() >= np.float32(1 / (n + 1))


def test_cells_of_another_kind_have_high_drift(model, counts, genes):
    permuted = np.random.default_rng(1).permutation(60)
    assert np.nanmedian(model.assess(counts[:, permuted], genes).drift) > 0.98


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_cell_depends_on_nothing_but_itself(model, counts, genes, quality, data):
    """Neither on the cells around it, nor on the order, the cuts and the form of the matrix, nor on other genes."""
    cells = data.draw(st.lists(st.integers(0, 229), min_size=1, max_size=230).filter(lambda cells: set(cells) != {3}))
    order = np.random.default_rng(len(cells)).permutation(60)
    X = counts[np.ix_(cells, order)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(cells)), max_size=4)))
    form = data.draw(st.sampled_from([np.array, sparse.csr_array, sparse.csc_array]))
    chunks = [form(part) for part in np.split(X, cuts) if len(part)]
    found = model.assess(iter(chunks), [genes[gene] for gene in order])
    for name in FIELDS:
        assert getattr(found, name).tobytes() == getattr(quality, name)[cells].tobytes()


@pytest.mark.parametrize("policy", ["keep", "denoise"])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_what_is_recorded_is_the_same_and_the_result_too(model, counts, genes, quality, results, policy, batch_size):
    recorder = QualityRecorder(model.info)
    result = model.impute(counts, genes, policy=policy, batch_size=batch_size, recorder=recorder)
    assert result.tobytes() == results[policy].tobytes()
    assert same(recorder.drain(), quality)
    assert recorder.drain() is None
    assert recorder.profile.cells == 229
    np.testing.assert_allclose(recorder.profile.gene_mean, counts.sum(axis=0) / 229, rtol=1e-5)


@pytest.mark.parametrize("to", [np.array, sparse.csr_array, lambda X: [X[:50], X[50:]]])
def test_corrected_counts_are_taken_where_the_unit_is_known(model, counts, genes, to):
    X = counts * 0.5  # fractions, and no large value
    with pytest.raises(ScinnError, match="log-transformed"):
        model.assess(to(X), genes)
    recorder = QualityRecorder(model.info)
    model.impute(X, genes, unit_checked=True, recorder=recorder)
    assert same(model.assess(to(X), genes, unit_checked=True), recorder.drain())


def test_refuses_what_impute_refuses(model, counts, genes):
    with pytest.raises(ScinnError, match="looks log-transformed"):
        model.assess(np.log1p(counts), genes)
    with pytest.raises(ScinnError, match="has no cells"):
        model.assess(iter([]), genes)
    with pytest.raises(ScinnError, match="upper and lower case"):
        model.assess(counts, [gene.lower() for gene in genes])


# ---- the reference


@given(
    scores=st.lists(st.floats(0, 1e3, width=32), min_size=1, max_size=60),
    new=st.lists(st.floats(0, 2e3), min_size=2, max_size=20),
)
def test_drift_is_the_share_of_held_out_cells_that_are_nearer(scores, new):
    reference = CellReference(((1.0,),), ((0.0,),), tuple(sorted(scores)), len(scores))
    drift = reference.drift(np.array(new))
    edge = 1 / (len(scores) + 1)
    for value, found in zip(new, drift, strict=True):
        assert found == pytest.approx(np.clip(np.mean([score < value for score in scores]), edge, 1 - edge), abs=1e-6)
    assert (np.diff(drift[np.argsort(new)]) >= 0).all()


def test_distance_is_to_the_nearest_centre_in_units_of_the_spread():
    whitening = ((2.0, 0.0), (0.0, 0.5))
    reference = CellReference(whitening, ((0.0, 0.0), (10.0, 0.0)), (1.0,), 1)
    embedding = np.array([[0, 0], [1, 0], [0, 4], [4, 0], [5, 2]], dtype=np.float32)
    np.testing.assert_allclose(reference.distance(embedding), [0, 2, 2, 2, 1])


@given(logits=st.lists(st.floats(-80, 80), min_size=2, max_size=6), temperature=st.floats(1, 50))
def test_confidence_is_the_largest_probability_at_that_temperature(logits, temperature):
    logits = np.array([logits])
    share = np.exp(logits - logits.max())
    probability = (share / share.sum()).astype(np.float32)
    reference = CellReference(((1.0,),), ((0.0,),), (1.0,), 1, temperature)
    floor = np.log(np.finfo(np.float32).tiny)
    cool = np.exp(np.maximum(np.log(np.maximum(probability.astype(float), 1e-300)), floor) / temperature)
    assert reference.confidence(probability)[0] == pytest.approx(cool.max() / cool.sum(), rel=1e-3)
    assert 1 / logits.size <= reference.confidence(probability)[0] * (1 + 1e-6) <= probability.max() * (1 + 1e-4) + 1e-6


@pytest.mark.parametrize(
    "change",
    [
        {"whitening": [[1.0, 2.0]]},
        {"whitening": "x"},
        {"centres": [[1.0]]},
        {"centres": []},
        {"distances": [2.0, 1.0]},
        {"distances": []},
        {"distances": [True]},
        {"distances": [-1.0]},
        {"held_out_cells": 1},
        {"temperature": 0},
        {"temperature": None},
    ],
)
def test_a_damaged_reference_is_refused(model, change):
    metadata = model.info.to_metadata()
    fields = json.loads(metadata["scinn.cell_reference"])
    metadata["scinn.cell_reference"] = json.dumps(fields | change)
    with pytest.raises(ScinnError, match="its metadata is damaged"):
        ModelInfo.from_metadata(metadata)


def test_the_reference_is_read_as_it_was_written(model):
    assert ModelInfo.from_metadata(model.info.to_metadata()) == model.info
    without = replace(model.info, cell_reference=None).to_metadata()
    assert ModelInfo.from_metadata(without).cell_reference is None
    del without["scinn.cell_reference"]  # as in every file from before
    assert ModelInfo.from_metadata(without).cell_reference is None
    assert set(asdict(model.info)["cell_reference"]) == {
        "whitening",
        "centres",
        "distances",
        "held_out_cells",
        "temperature",
    }


def test_a_reference_of_another_width_than_the_embedding_is_refused(content):
    reference = scinn_infer.load(content).info.cell_reference
    text = json.dumps([list(row) for row in reference.whitening], separators=(",", ":")).encode()
    assert text in content
    narrow = b"[[1.0]]" + b" " * (len(text) - len(b"[[1.0]]"))
    centres = json.dumps([list(row) for row in reference.centres], separators=(",", ":")).encode()
    single = b"[[1.0]]" + b" " * (len(centres) - len(b"[[1.0]]"))
    with pytest.raises(ScinnError, match="breaks the file contract: 'embedding' is of shape"):
        scinn_infer.load(content.replace(text, narrow).replace(centres, single))


# ---- the batch


def profile(info, *, cells: int, unlike: int, mean=None, depth=None) -> BatchProfile:
    mean = np.array(info.training_data.gene_mean) if mean is None else mean
    total = BatchProfile(len(mean))
    depths = np.full(cells, mean.sum()) * np.linspace(0.7, 1.4, cells) if depth is None else depth
    drift = np.where(np.arange(cells) < unlike, 0.98, 0.4).astype(np.float32)
    gene_sum = (mean / mean.sum() * depths.sum()).astype(np.float32)
    total.add(gene_sum, depths.astype(np.float32), drift)
    return total


def test_the_probability_is_that_of_the_share_behind_the_cells():
    random = np.random.default_rng(0)
    for unlike, cells in ((0, 10), (3, 10), (10, 10), (30, 100), (150, 500)):
        drawn = random.beta(1 + unlike, 1 + cells - unlike, 200_000)
        assert probability_of_more(unlike, cells) == pytest.approx((drawn > 0.25).mean(), abs=0.005)


@given(cells=st.integers(1, 600), share=st.floats(0, 1))
def test_more_unlike_cells_make_it_surer(cells, share):
    unlike = round(share * cells)
    probabilities = [probability_of_more(number, cells) for number in range(max(unlike - 1, 0), unlike + 1)]
    assert probabilities == sorted(probabilities)
    assert 0 <= probabilities[0] <= 1
    assert probability_of_more(0, cells) < 0.95  # never of a batch without unlike cells
    assert (probability_of_more(cells, cells) >= 0.95) == (cells > 1)  # nor of a single cell


@pytest.mark.parametrize(
    ("cause", "words", "change"),
    [
        ("gene names", "its genes have wrong names", {"mean": "permuted"}),
        ("tissue or species", "it is of another tissue or species", {"mean": "mixed"}),
        ("unit", "it is normalised, since its cells add up to 10,000 each", {"depth": np.full(50, 1e4)}),
        ("depth", "it is of another depth or unit, since a cell adds up to", {"depth": np.geomspace(1e3, 1e4, 50)}),
        ("cell types or technology", "cell types that the training data lacks", {}),
    ],
)
def test_says_in_one_sentence_what_it_most_likely_is(model, genes, cause, words, change):
    mean = np.array(model.info.training_data.gene_mean)
    permuted = mean[np.argsort(-mean)[np.argsort(np.argsort(mean))]]  # the rarest gene is the commonest
    means = {"permuted": permuted, "mixed": 0.7 * mean + 0.3 * permuted}
    change = {"mean": means[change["mean"]]} if "mean" in change else change
    verdict = judge(profile(model.info, cells=50, unlike=40, **change), model.info, model.match(genes))
    sentence = verdict.sentence(model.info, "new.h5ad: X")
    assert verdict.cause == cause
    assert words in sentence
    assert sentence.startswith(
        "new.h5ad: X does not look like human none (random weights) (counts): 80% of its 50 cells"
    )
    assert "more than 99.9% sure" in sentence
    assert sentence.count(". ") == 0
    document = json.loads(json.dumps(verdict.document()))
    assert (document["unlike"], document["share"], document["different"], document["cause"]) == (40, 0.8, True, cause)


def test_says_nothing_of_a_batch_that_looks_like_the_tissue(model, counts, genes):
    verdict = judge(profile(model.info, cells=50, unlike=8), model.info, model.match(genes))
    assert not verdict.different
    assert verdict.sentence(model.info, "X") == ""
    assert verdict.document()["cause"] is None


def test_without_enough_held_out_cells_there_is_no_verdict(model, genes, old):
    few = replace(model.info, cell_reference=replace(model.info.cell_reference, held_out_cells=18))
    for info in (few, old.info):
        assert judge(profile(model.info, cells=50, unlike=40), info, model.match(genes)) is None


# ---- files from before


def test_a_file_without_a_reference_tells_all_but_the_drift(old, counts, genes):
    quality = old.assess(counts, genes)
    assert quality.drift is None
    network = old.run(counts, outputs=["cluster_probability"])["cluster_probability"]
    seen = np.arange(230) != 3
    np.testing.assert_allclose(quality.confidence[seen], network.max(axis=1)[seen], rtol=1e-5)
    assert "drift" not in quality.columns()
    assert assess_cells(old.info, {"cluster_probability": network, "embedding": network}, seen).drift is None


# ---- AnnData


@pytest.fixture
def adata(counts, genes):
    X = sparse.csr_matrix(counts.astype(np.float32))
    obs = pd.DataFrame({"type": pd.Categorical(["a", "b"] * 115)}, index=[f"c{row}" for row in range(230)])
    return anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=genes))


def test_impute_adds_it_to_obs_and_obsm(adata, model, quality, imputed, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not look like")
        scinn_infer.impute(adata, model)
    assert list(adata.obs) == ["type", "scinn_cluster", "scinn_confidence", "scinn_drift"]
    assert list(adata.obs["scinn_cluster"].cat.categories) == ["0", "1", "2"]
    assert (adata.obs["scinn_cluster"].cat.codes == quality.cluster).all()
    np.testing.assert_array_equal(adata.obs["scinn_confidence"], quality.confidence)
    np.testing.assert_array_equal(adata.obs["scinn_drift"], quality.drift)
    np.testing.assert_array_equal(adata.obsm["scinn_cluster_probability"], quality.cluster_probability)
    np.testing.assert_array_equal(adata.obsm["X_scinn"], quality.embedding)
    assert adata.layers["scinn"].tobytes() == imputed.tobytes()
    assert adata.uns["scinn"]["cell_quality"] == {
        "cluster": "obs/scinn_cluster",
        "confidence": "obs/scinn_confidence",
        "drift": "obs/scinn_drift",
        "cluster_probability": "obsm/scinn_cluster_probability",
        "embedding": "obsm/X_scinn",
    }
    adata.write_h5ad(tmp_path / "imputed.h5ad")
    again = anndata.read_h5ad(tmp_path / "imputed.h5ad")
    pd.testing.assert_frame_equal(again.obs, adata.obs)


def test_impute_replaces_what_an_earlier_model_left(adata, model, old):
    scinn_infer.impute(adata, model)
    scinn_infer.impute(adata, old)
    assert "scinn_drift" not in adata.obs
    assert "drift" not in adata.uns["scinn"]["cell_quality"]
    assert {"scinn_cluster", "scinn_confidence"} <= set(adata.obs)


@pytest.mark.parametrize("lazily", [False, True])
def test_no_quality_of_an_earlier_result_stands_beside_a_new_one(adata, model, tmp_path, lazily):
    scinn_infer.impute(adata, model)
    if lazily:
        adata.write_h5ad(tmp_path / "imputed.h5ad")
        adata = anndata.experimental.read_lazy(tmp_path / "imputed.h5ad")
    scinn_infer.impute(adata, model, quality=False)
    assert list(adata.obs.columns) == ["type"]
    assert not list(adata.obsm)


def test_impute_leaves_it_out_when_asked_to(adata, model, imputed):
    scinn_infer.impute(adata, model, key_added="filled", quality=False)
    assert list(adata.obs) == ["type"]
    assert not list(adata.obsm)
    assert "cell_quality" not in adata.uns["filled"]
    assert adata.layers["filled"].tobytes() == imputed.tobytes()


def test_impute_warns_of_another_tissue(adata, model):
    order = np.argsort(model.info.training_data.gene_mean)
    names = adata.var_names.to_numpy().copy()
    names[order] = names[order[::-1]]  # the rarest gene gets the name of the commonest
    adata.var_names = names
    with pytest.warns(
        ScinnWarning, match=r"adata\.X does not look like human none .* most likely its genes have wrong"
    ):
        scinn_infer.impute(adata, model)
    assert adata.obs["scinn_drift"].median() > 0.98
