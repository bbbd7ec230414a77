from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scinn_infer
from scinn_infer import contract
from scinn_train import ScinnError, export
from scinn_train.forward import forward
from scinn_train.half_precision import rounded


@pytest.fixture(scope="module")
def model_file(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    fitted.export(path)
    return path


def test_the_file_follows_the_contract(model_file, fitted):
    model = onnx.load(model_file, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version in (17, 18)
    assert model.ir_version <= 9
    assert [entry.name for entry in model.graph.output] == list(contract.OUTPUTS)
    session = onnxruntime.InferenceSession(model_file, providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["expression"]
    assert [entry.name for entry in session.get_overridable_initializers()] == ["measured", "columns"]
    info = contract.ModelInfo.from_metadata(session.get_modelmeta().custom_metadata_map)
    assert info == fitted.info
    assert info.training_data.sha256
    assert info.training["versions"]["torch"] == str(torch.__version__)


@given(seed=st.integers(0, 10_000), cells=st.integers(1, 20), density=st.floats(0, 1), missing=st.floats(0, 0.7))
@settings(max_examples=40, deadline=None)
def test_torch_and_the_file_agree(model_file, fitted, seed, cells, density, missing):
    random = np.random.default_rng(seed)
    genes = len(fitted.genes)
    measured = (random.random(genes) >= missing).astype(np.float32)
    block = random.negative_binomial(1, 0.1, (cells, genes)) * (random.random((cells, genes)) < density) * measured
    block = block.astype(np.float32)
    columns = random.permutation(genes)[:5]
    model = scinn_infer.load(model_file, threads=1)
    outputs = model.run(block, measured, outputs=contract.OUTPUTS, columns=columns)
    reference = forward(fitted._weights, torch.from_numpy(block), torch.from_numpy(measured), columns)
    imputed = outputs["imputed"]
    np.testing.assert_array_equal(imputed[block > 0], block[block > 0])
    assert np.isfinite(imputed).all()
    assert (imputed >= 0).all()
    np.testing.assert_allclose(imputed, reference["imputed"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(outputs["expected"], reference["expected"].numpy(), rtol=1e-5)
    for name in contract.COLUMN_OUTPUTS:
        some = contract.COLUMN_OUTPUTS[name]
        np.testing.assert_allclose(outputs[some], reference[some].numpy(), rtol=1e-5)
        np.testing.assert_allclose(outputs[some], outputs[name][:, columns], rtol=2e-6)
    np.testing.assert_allclose(outputs["cluster_probability"], reference["cluster_probability"].numpy(), atol=1e-4)


def test_nothing_is_overwritten_unless_asked(fitted, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"precious")
    with pytest.raises(ScinnError, match="exists already"):
        fitted.export(path)
    assert path.read_bytes() == b"precious"
    fitted.export(path, overwrite=True)
    assert scinn_infer.load(path).info == fitted.info


@pytest.mark.parametrize("broken", ["decoder_bias", "encoder_weight", "depth_share"])
def test_a_file_that_differs_from_the_network_gets_no_name(broken, fitted, tmp_path, monkeypatch):
    weights = fitted._weights
    spoilt = replace(weights, **{broken: getattr(weights, broken) * np.float32(1.01)})
    monkeypatch.setattr("scinn_train.export.forward", lambda _, *args, **options: forward(weights, *args, **options))
    with pytest.raises(ScinnError, match="failed its proof"):
        export.export(spoilt, fitted.info, tmp_path / "model.onnx", proof=fitted._shown)
    assert list(tmp_path.iterdir()) == []


def test_what_single_precision_cannot_do_in_torch_either_is_not_asked_of_the_file(fitted, tmp_path, monkeypatch):
    weights = fitted._weights
    shifted = replace(weights, encoder_bias=weights.encoder_bias + np.float32(2000))  # layer norm takes it off again
    export.export(shifted, fitted.info, tmp_path / "model.onnx", proof=fitted._shown)
    near = scinn_infer.load(tmp_path / "model.onnx").impute(fitted._shown, fitted.genes)
    exact = scinn_infer.load(fitted.to_bytes()).impute(fitted._shown, fitted.genes)
    assert 1e-5 < (np.abs(near - exact) / np.maximum(exact, 1e-20)).max() < 1e-2
    spoilt = replace(shifted, decoder_bias=shifted.decoder_bias * np.float32(1.01))
    monkeypatch.setattr("scinn_train.export.forward", lambda _, *args, **options: forward(shifted, *args, **options))
    with pytest.raises(ScinnError, match="failed its proof"):
        export.export(spoilt, fitted.info, tmp_path / "other.onnx", proof=fitted._shown)


def test_a_file_that_states_another_capture_efficiency_gets_no_name(fitted, tmp_path):
    info = replace(fitted.info, capture_efficiency=0.5)
    with pytest.raises(ScinnError, match="states a capture that is not its own"):
        export.export(fitted._weights, info, tmp_path / "model.onnx", proof=fitted._shown)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_could_overflow_gets_no_name(fitted, tmp_path):
    weights = fitted._weights
    wild = replace(weights, decoder_weight=weights.decoder_weight * np.float32(1000))
    with pytest.raises(ScinnError, match="can reach"):
        export.export(wild, fitted.info, tmp_path / "model.onnx", proof=fitted._shown)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def half_file(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    fitted.export(path, weights="float16")
    return path


def test_a_file_with_float16_weights_follows_the_contract(half_file, model_file, fitted):
    model = onnx.load(half_file, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    half = {name for name, kind in stored.items() if kind == onnx.TensorProto.FLOAT16}
    assert half == {"components_float16", "decoder_weight_float16", "embedding_weight_float16"}
    assert set(stored.values()) == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}
    info = scinn_infer.load(half_file).info
    assert info.training["weights"] == "float16"
    assert replace(info, training=fitted.info.training) == fitted.info
    smaller = sum(array.size * 2 for array in _matrices(fitted._weights))
    assert model_file.stat().st_size - half_file.stat().st_size == pytest.approx(smaller, rel=0.1)


def test_float16_weights_lose_their_last_digits_and_no_more(half_file, model_file, fitted, new_batch):
    X, genes, _ = new_batch
    half, whole = (scinn_infer.load(path, threads=1) for path in (half_file, model_file))
    observed = X.toarray() != 0
    for policy in ("keep", "denoise"):
        near, exact = (model.impute(X, genes, policy=policy) for model in (half, whole))
        np.testing.assert_allclose(near, exact, rtol=export.HALF_TOLERANCE)
        assert (near != exact).any()
    np.testing.assert_array_equal(half.impute(X, genes)[observed], X.toarray()[observed])
    block = X[:, [genes.index(gene) for gene in fitted.genes]].toarray()
    exact = forward(rounded(fitted._weights), torch.from_numpy(block), torch.ones(len(fitted.genes)))
    np.testing.assert_allclose(half.run(block, outputs=["expected"])["expected"], exact["expected"], rtol=1e-5)
    assert half._log_expression is not None
    np.testing.assert_allclose(half.impute(block, fitted.genes), half.run(block)["imputed"], rtol=5e-6)


def test_a_rounding_that_loses_more_gets_no_name(fitted, tmp_path, monkeypatch):
    def to_eighths(weights):  # which float16 holds exactly, so that the file is what was rounded
        return replace(rounded(weights), decoder_weight=np.round(weights.decoder_weight * 8) / 8)

    monkeypatch.setattr("scinn_train.export.rounded", to_eighths)
    with pytest.raises(ScinnError, match=r"failed its proof: its output .* differs from torch's"):
        fitted.export(tmp_path / "model.onnx", weights="float16")
    assert list(tmp_path.iterdir()) == []


def test_weights_too_large_for_float16_are_refused(fitted, tmp_path):
    weights = fitted._weights
    large = replace(weights, embedding_weight=weights.embedding_weight * np.float32(1e8))
    with pytest.raises(ScinnError, match="too large for float16"):
        export.export(large, fitted.info, tmp_path / "model.onnx", proof=fitted._shown, storage="float16")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_storage_is_refused(fitted, tmp_path):
    with pytest.raises(ScinnError, match="weights is 'int8'; choose from float32, float16"):
        fitted.export(tmp_path / "model.onnx", weights="int8")


def _matrices(weights):
    return weights.components, weights.decoder_weight, weights.embedding_weight
