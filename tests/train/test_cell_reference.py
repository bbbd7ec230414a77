"""What a fit says of its held-out cells, and that new cells of the tissue, and others, are judged rightly by it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import scinn_infer
from scinn_infer.cell_quality import QualityRecorder
from scinn_infer.drift import judge
from scinn_train.cell_reference import describe_cells, temperature


@pytest.fixture(scope="module")
def model(fitted, tmp_path_factory) -> scinn_infer.Model:
    path = tmp_path_factory.mktemp("reference") / "model.onnx"
    fitted.export(path)
    return scinn_infer.load(path, threads=1)


def verdict(model, X, genes):
    recorder = QualityRecorder(model.info)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.impute(X, genes, recorder=recorder)
    return judge(recorder.profile, model.info, model.match(genes))


def test_a_fit_describes_the_cells_that_it_held_out(fitted, model, reference):
    X, genes, _ = reference
    described = fitted.info.cell_reference
    assert described.held_out_cells == fitted.info.quality["held_out_cells"] == 20
    assert len(described.distances) == 20
    assert model.info.cell_reference == described
    distances = described.distance(model.assess(X, genes).embedding)
    for distance in described.distances:  # from torch; the same cells have them in the file
        assert np.abs(distances / distance - 1).min() < 1e-4


def test_another_batch_of_the_tissue_is_not_told(model, new_batch):
    X, genes, types = new_batch
    found = verdict(model, X, genes)
    assert not found.different
    quality = model.assess(X, genes)
    assert 0.2 < np.median(quality.drift) < 0.8  # of 20 held-out cells
    agreement = np.mean([np.bincount(types[quality.cluster == number]).max() for number in set(quality.cluster)])
    assert agreement * len(set(quality.cluster)) / len(types) > 0.9


@pytest.mark.parametrize("cells", [10, 120])
def test_genes_with_the_names_of_others_are_told(model, new_batch, cells):
    X, genes, _ = new_batch
    found = verdict(model, X[:cells], list(np.random.default_rng(0).permutation(genes)))
    assert found.different
    assert found.cause == "gene names"


def test_a_tissue_of_other_types_is_told(model, new_batch):
    X, genes, _ = new_batch
    random = np.random.default_rng(3)
    programme = random.gamma(0.6, 1.0, (3, X.shape[1])) + 0.02
    rate = programme[random.integers(0, 3, 60)]
    other = random.poisson(rate / rate.sum(axis=1, keepdims=True) * 250)
    assert verdict(model, sparse.csr_array(other), genes).different


def test_distances_are_to_the_clusters_of_the_cells_trained_on():
    random = np.random.default_rng(0)
    centres = random.normal(scale=20, size=(3, 4))
    clusters = np.repeat([0, 1, 2, 3], [400, 400, 400, 2])  # the last is too small to have a centre
    spread = np.array([1.0, 3.0, 0.5, 2.0])
    trained = np.vstack([centres, centres[:1]])[clusters] + random.normal(size=(1202, 4)) * spread
    held_out = centres[random.integers(0, 3, 1000)] + random.normal(size=(1000, 4)) * spread
    described = describe_cells(
        trained, clusters, held_out, probability=np.full((1000, 4), 0.25), held_out_clusters=np.zeros(1000, int)
    )
    assert np.array(described.centres).shape == (3, 4)
    assert len(described.distances) == 400
    assert described.held_out_cells == 1000
    # Squared distances of a normal spread in four directions follow chi-squared with four degrees of freedom.
    assert np.median(described.distances) ** 2 == pytest.approx(3.36, rel=0.15)
    assert described.drift(described.distance(centres.astype(np.float32))).max() < 0.01
    assert described.drift(described.distance((centres + 20).astype(np.float32))).min() > 0.99


def test_too_few_cells_have_no_reference():
    cells = np.random.default_rng(0).normal(size=(8, 3))
    numbers = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    few = {"probability": np.full((8, 2), 0.5), "held_out_clusters": numbers}
    assert describe_cells(cells, numbers, cells, **few) is None
    assert describe_cells(cells, numbers * 0, cells[:0], **few) is None
    same = describe_cells(cells * 0, numbers * 0, cells * 0, **few)  # without any spread
    assert np.isfinite(same.whitening).all()


@given(seed=st.integers(0, 1000), true=st.floats(1, 8))
@settings(max_examples=20, deadline=None)
def test_the_temperature_makes_probabilities_come_true(seed, true):
    """Clusters drawn from probabilities that are surer than they should be, by a known factor."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=1.5, size=(3000, 5))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    clusters = (honest.cumsum(axis=1) > random.random((3000, 1))).argmax(axis=1)
    surer = np.exp(logits * true)
    assert temperature(surer / surer.sum(axis=1, keepdims=True), clusters) == pytest.approx(true, rel=0.15)


def test_the_temperature_never_makes_a_network_surer():
    assert temperature(np.tile([0.6, 0.4], (50, 1)), np.zeros(50, int)) == pytest.approx(1, abs=1e-3)
    assert temperature(np.tile([1.0, 0.0], (10, 1)), np.ones(10, int)) == 1  # too few to tell
