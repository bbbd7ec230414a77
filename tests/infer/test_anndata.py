"""The AnnData adapter keeps scanpy's habits."""

from __future__ import annotations

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
from scinn_infer import ScinnError
from scinn_infer.errors import ScinnWarning


@pytest.fixture
def adata(counts, genes):
    """A batch without empty cells, with a gene that the model does not know, in an order of its own."""
    X = np.hstack([counts, counts[:, :1]]).astype(np.float32)
    obs = pd.DataFrame({"type": pd.Categorical(["a", "b"] * 115)}, index=[f"c{row}" for row in range(230)])
    batch = anndata.AnnData(sparse.csr_matrix(X), obs=obs, var=pd.DataFrame(index=[*genes, "other"]))
    batch.layers["counts"] = batch.X.copy()
    batch.uns["kept"] = 1
    order = np.random.default_rng(0).permutation(61)
    return batch[np.arange(230) != 3, order].copy()


def test_adds_a_layer_and_leaves_the_rest_alone(adata, model, imputed):
    before = adata.copy()
    assert scinn_infer.impute(adata, model) is None
    assert set(adata.layers) == {"counts", "scinn"}
    assert (adata.X != before.X).nnz == 0
    assert adata.var_names.equals(before.var_names)
    assert adata.obs.equals(before.obs)
    assert adata.uns["kept"] == 1
    layer = adata.to_df("scinn")
    assert list(layer.index) == list(adata.obs_names)
    assert (layer[list(model.genes)].to_numpy() == np.delete(imputed, 3, axis=0)).all()
    assert (layer["other"].to_numpy() == before.to_df()["other"].to_numpy()).all()


def test_copy_leaves_the_original_alone(adata, model):
    result = scinn_infer.impute(adata, model, copy=True)
    assert "scinn" in result.layers
    assert "scinn" not in adata.layers
    assert "scinn" not in adata.uns


def test_reads_the_layer_that_is_named(adata, model):
    adata.X = np.log1p(adata.X)
    with pytest.raises(ScinnError, match=r"adata\.X looks log-transformed"):
        scinn_infer.impute(adata, model)
    assert "scinn" not in adata.layers
    scinn_infer.impute(adata, model, layer="counts", key_added="filled")
    observed = adata.layers["counts"].toarray() != 0
    assert (adata.layers["filled"][observed] == adata.layers["counts"].toarray()[observed]).all()
    assert adata.uns["filled"]["source"] == "layers/counts"


def test_records_how_the_result_was_made(adata, model):
    scinn_infer.impute(adata, model)
    record = adata.uns["scinn"]
    assert record["model"]["sha256"] == model.sha256
    assert record["model"]["file"] == "tiny.onnx"
    assert record["unit"] == "counts"
    assert record["source"] == "X"
    assert record["scinn_version"] == scinn_infer.__version__
    assert record["genes"]["matched"] == 60
    assert record["genes"]["missing"] == 0
    assert record["genes"]["extra"] == 1
    assert (record["policy"], record["output"]) == ("keep", "imputed")
    assert "zeros are filled" in record["policy_meaning"]
    assert record["note"].startswith("Filled values are predictions")
    assert "statistical tests" in record["note"]


def test_denoises_when_asked_to_and_says_so(adata, model, results):
    before = adata.copy()
    scinn_infer.impute(adata, model, policy="denoise")
    layer = adata.to_df("scinn")
    assert (layer[list(model.genes)].to_numpy() == np.delete(results["denoise"], 3, axis=0)).all()
    assert (layer["other"].to_numpy() == before.to_df()["other"].to_numpy()).all()
    assert (adata.X != before.X).nnz == 0
    record = adata.uns["scinn"]
    assert (record["policy"], record["output"]) == ("denoise", "denoised")
    assert "those observed too" in record["policy_meaning"]
    assert record["note"].startswith("All values in these genes are predictions")


def test_refuses_a_policy_that_there_is_not(adata, model):
    with pytest.raises(ScinnError, match="policy is 'imputed'; it is 'keep' or 'denoise'"):
        scinn_infer.impute(adata, model, policy="imputed")
    assert "scinn" not in adata.layers


def test_records_shares_without_rounding_errors(adata, model):
    known = adata[:, adata.var_names != "GENE5"].copy()
    scinn_infer.impute(known, model)
    share = known.uns["scinn"]["genes"]["training_expression_share"]
    assert share == round(model.match(known.var_names).expression_share, 4)
    assert len(str(share)) <= len("0.1234")


def test_the_result_can_be_written_and_read(adata, model, content, tmp_path):
    scinn_infer.impute(adata, model)
    scinn_infer.impute(adata, scinn_infer.load(content), key_added="from_bytes")
    adata.write_h5ad(tmp_path / "imputed.h5ad")
    again = anndata.read_h5ad(tmp_path / "imputed.h5ad")
    assert (again.layers["scinn"] == adata.layers["scinn"]).all()
    assert again.uns["scinn"]["genes"]["matched"] == 60
    assert again.uns["from_bytes"]["model"]["file"] == ""


def test_a_view_becomes_an_object_of_its_own(adata, model):
    view = adata[10:60, ::-1]
    scinn_infer.impute(adata, model)
    with pytest.warns(anndata.ImplicitModificationWarning):
        scinn_infer.impute(view, model)
    assert not view.is_view
    assert (view.layers["scinn"] == adata.layers["scinn"][10:60, ::-1]).all()


def test_a_dense_view_can_be_copied_without_a_warning(adata, model):
    adata.X = adata.X.toarray()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = scinn_infer.impute(adata[5:9], model, copy=True)
    assert result.layers["scinn"].shape == (4, 61)


def test_says_how_many_cells_are_empty(adata, model):
    adata.X = adata.X.toarray()
    adata.X[[2, 5]] = 0
    adata.X[2, adata.var_names == "other"] = 7  # which the model does not know
    with pytest.warns(ScinnWarning, match=r"adata\.X: 2 of 229 cells have no expression in the model's genes"):
        scinn_infer.impute(adata, model)
    assert (adata.layers["scinn"][[2, 5]] == adata.X[[2, 5]]).all()


def test_a_second_run_replaces_the_first(adata, model):
    scinn_infer.impute(adata, model)
    scinn_infer.impute(adata, model, layer="counts")
    assert adata.uns["scinn"]["source"] == "layers/counts"


def test_names_the_cell_of_a_bad_value(adata, model):
    adata.X = adata.X.toarray()
    adata.X[7, 4] = -1
    with pytest.raises(ScinnError, match=rf"adata\.X: cell 8 \({adata.obs_names[7]}\), gene {adata.var_names[4]}: -1"):
        scinn_infer.impute(adata, model)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layer": "raw"}, r"no layer 'raw'. Its layers: counts"),
        ({"layer": "counts", "key_added": "counts"}, "choose another name"),
    ],
)
def test_refuses_layers_that_are_not_there_or_would_be_lost(adata, model, options, sentence):
    with pytest.raises(ScinnError, match=sentence):
        scinn_infer.impute(adata, model, **options)


def test_refuses_what_is_no_anndata_in_memory(adata, model, tmp_path):
    with pytest.raises(ScinnError, match="is a ndarray, not an AnnData"):
        scinn_infer.impute(np.zeros((2, 60)), model)
    del adata.X
    with pytest.raises(ScinnError, match="adata has no X"):
        scinn_infer.impute(adata, model)
    scinn_infer.impute(adata, model, layer="counts")
    adata.X = adata.layers["counts"]
    adata.write_h5ad(tmp_path / "batch.h5ad")
    backed = anndata.read_h5ad(tmp_path / "batch.h5ad", backed="r")
    with pytest.raises(ScinnError, match=r"is backed by the file .*to_memory"):
        scinn_infer.impute(backed, model)
