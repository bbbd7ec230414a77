"""The file is enough by itself, and ``Model.run`` is the file's contract and no more."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from scinn_infer import ScinnError

pytestmark = pytest.mark.filterwarnings("ignore:.*cells have no expression")  # of the one among the counts

SCRIPT = """
import sys, json, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
genes = json.loads(session.get_modelmeta().custom_metadata_map["scinn.genes"])
batch = numpy.load(sys.argv[2])
expression = batch["X"][:, [list(batch["genes"]).index(gene) for gene in genes]].astype("float32")
imputed = session.run(["imputed"], {"expression": expression})[0]
numpy.save(sys.argv[3], imputed)
assert not {"scinn_infer", "scinn_train", "onnx", "torch"} & set(sys.modules)
"""


def test_ten_lines_of_onnxruntime_and_numpy_give_the_same(tiny, model, counts, genes, tmp_path):
    assert len(SCRIPT.strip().splitlines()) <= 10
    order = np.random.default_rng(0).permutation(60)
    names = np.array(genes)[order]
    np.savez(tmp_path / "batch.npz", X=counts[:, order], genes=names)
    files = [tmp_path / "batch.npz", tmp_path / "imputed.npy"]
    subprocess.run([sys.executable, "-c", SCRIPT, tiny, *files], check=True, cwd=tmp_path, capture_output=True)
    ours = model.impute(counts[:, order], names)
    column = {gene: place for place, gene in enumerate(genes)}
    theirs = np.load(tmp_path / "imputed.npy")[:, [column[name] for name in names]]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_run_gives_the_outputs_that_are_asked_for(model, counts):
    results = model.run(counts, outputs=["embedding", "cluster_probability", "denoised", "expected", "imputed"])
    shapes = {name: value.shape for name, value in results.items()}
    assert shapes == {
        "embedding": (230, 5),
        "cluster_probability": (230, 3),
        "denoised": (230, 60),
        "expected": (230, 60),
        "imputed": (230, 60),
    }
    assert all(value.dtype == np.float32 for value in results.values())
    np.testing.assert_allclose(results["cluster_probability"].sum(axis=1), 1, rtol=1e-5)


def test_imputed_and_denoised_follow_from_expected_by_the_formulas_of_the_format(model, counts):
    captured = model.info.capture_efficiency
    results = model.run(counts, outputs=["expected", "imputed", "denoised"])
    expected = results["expected"].astype(np.float64)
    missed = 1 - captured
    fill = expected * missed / (1 - missed * np.exp(-expected))
    seen = counts != 0
    assert (results["imputed"][seen] == counts[seen]).all()
    np.testing.assert_allclose(results["imputed"][~seen], fill[~seen], rtol=1e-5)
    np.testing.assert_allclose(results["denoised"], captured * counts + missed * expected, rtol=1e-5)
    assert (fill <= expected * missed / captured).all()


def test_measured_is_all_ones_unless_given(model, counts):
    given = model.run(counts, np.ones(60))["imputed"]
    assert (model.run(counts)["imputed"] == given).all()
    assert (model.run(counts, np.arange(60) > 20)["imputed"] != given).any()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"expression": np.zeros((3, 59))}, r"expression is of shape \(3, 59\); it has to be cells × 60"),
        ({"expression": np.zeros(60)}, "expression is of shape"),
        ({"expression": np.zeros((3, 60)), "measured": np.ones(59)}, "measured is of shape"),
        ({"expression": np.zeros((3, 60)), "outputs": ["hidden"]}, "choose from imputed, expected, denoised, cluster"),
        ({"expression": np.zeros((3, 60)), "outputs": []}, "choose from"),
    ],
)
def test_run_refuses_what_the_contract_does_not_have(model, arguments, sentence):
    with pytest.raises(ScinnError, match=sentence):
        model.run(**arguments)
