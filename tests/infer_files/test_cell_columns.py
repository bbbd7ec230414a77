"""``apply`` writes the quality of the cells beside the layer, and ``check`` says how far a batch is from the tissue."""

from __future__ import annotations

import json

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
from scinn_infer.cli import group, main_for


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5ad"


@pytest.fixture
def run(capfd):
    def run(*arguments) -> tuple[int, str, str]:
        code = main_for(group, "scinn-infer", [str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def permuted(tmp_path, make_counts, make_adata):
    """A file whose genes have each other's names: the rarest that of the commonest."""
    X = make_counts(300)
    order = np.argsort(X.mean(axis=0))
    X[:, order] = X[:, order[::-1]]
    make_adata(sparse.csr_matrix(X)).write_h5ad(tmp_path / "permuted.h5ad")
    return tmp_path / "permuted.h5ad"


@pytest.mark.parametrize("batch_size", ["1", "7", "1000"])
def test_apply_writes_what_assess_says(run, out, tmp_path, tiny, make_counts, make_adata, batch_size):
    X = make_counts(300)
    X[[5, 250]] = 0
    adata = make_adata(sparse.csr_matrix(X))
    adata.obs["depth"] = X.sum(axis=1)
    adata.write_h5ad(tmp_path / "new.h5ad")
    code, _, said = run("apply", tiny, tmp_path / "new.h5ad", "-o", out, "--threads", "1", "--batch-size", batch_size)
    assert code == 0
    assert "does not look like" not in said
    written = anndata.read_h5ad(out)
    with pytest.warns(scinn_infer.ScinnWarning, match="2 of 300 cells"):
        quality = scinn_infer.load(tiny, threads=1).assess(X, adata.var_names)
    assert list(written.obs) == ["depth", "scinn_cluster", "scinn_confidence", "scinn_drift"]
    expected = pd.Categorical.from_codes(quality.cluster, ["0", "1", "2"])
    pd.testing.assert_series_equal(
        written.obs["scinn_cluster"], pd.Series(expected, index=adata.obs_names), check_names=False
    )
    for name in ("confidence", "drift"):
        assert written.obs[f"scinn_{name}"].dtype == np.float32
        np.testing.assert_array_equal(written.obs[f"scinn_{name}"], getattr(quality, name))
    np.testing.assert_array_equal(written.obsm["X_scinn"], quality.embedding)
    np.testing.assert_array_equal(written.obsm["scinn_cluster_probability"], quality.cluster_probability)
    assert written.uns["scinn"]["cell_quality"]["embedding"] == "obsm/X_scinn"
    assert np.isnan(written.obs["scinn_drift"].iloc[[5, 250]]).all()


def test_apply_leaves_it_out_when_asked_to(run, out, tiny, new):
    with_columns = out.with_name("with.h5ad")
    assert run("apply", tiny, new, "-o", with_columns, "--threads", "1")[0] == 0
    assert run("apply", tiny, new, "-o", out, "--threads", "1", "--no-quality")[0] == 0
    written = anndata.read_h5ad(out)
    assert not list(written.obs)
    assert not list(written.obsm)
    assert "cell_quality" not in written.uns["scinn"]
    assert written.layers["scinn"].tobytes() == anndata.read_h5ad(with_columns).layers["scinn"].tobytes()


def test_apply_takes_a_file_without_a_reference(run, out, format_1, new):
    assert run("apply", format_1, new, "-o", out)[0] == 0
    written = anndata.read_h5ad(out)
    assert list(written.obs) == ["scinn_cluster", "scinn_confidence"]
    assert set(written.obsm) == {"X_scinn", "scinn_cluster_probability"}
    assert "drift" not in written.uns["scinn"]["cell_quality"]


@pytest.mark.parametrize(("group_name", "name"), [("obs", "scinn_drift"), ("obsm", "X_scinn")])
def test_apply_refuses_names_that_are_taken(run, out, tiny, new, group_name, name):
    adata = anndata.read_h5ad(new)
    getattr(adata, group_name)[name] = np.zeros((300, 2))[:, 0 if group_name == "obs" else slice(None)]
    adata.write_h5ad(new)
    code, _, said = run("apply", tiny, new, "-o", out)
    assert code == 2
    assert f"has {group_name}/{name} already. Choose another name for the result with --key-added" in said
    assert not out.exists()
    assert run("apply", tiny, new, "-o", out, "--no-quality")[0] == 0
    assert run("apply", tiny, new, "-o", out, "--overwrite", "--key-added", "filled")[0] == 0
    assert "filled_drift" in anndata.read_h5ad(out).obs


def test_apply_adds_to_a_table_in_the_older_encoding(run, out, tiny, tmp_path, make_counts, make_adata):
    """anndata 0.7 kept the categories of all columns in one group beside them."""
    make_adata(make_counts(30)).write_h5ad(tmp_path / "new.h5ad")
    with h5py.File(tmp_path / "new.h5ad", "r+") as file:
        obs = file["obs"]
        obs.attrs["encoding-version"] = "0.1.0"
        obs.attrs["column-order"] = np.array(["kind"], dtype=h5py.string_dtype())
        obs.create_group("__categories")["kind"] = np.array([b"a", b"b"])
        obs["kind"] = np.array([0, 1] * 15, dtype=np.int8)
        obs["kind"].attrs["categories"] = obs["__categories/kind"].ref
    before = anndata.read_h5ad(tmp_path / "new.h5ad").obs
    assert run("apply", tiny, tmp_path / "new.h5ad", "-o", out)[0] == 0
    after = anndata.read_h5ad(out).obs
    assert after["kind"].tolist() == before["kind"].tolist()
    assert after["scinn_cluster"].cat.categories.tolist() == ["0", "1", "2"]
    assert after["scinn_drift"].notna().all()


def test_apply_warns_of_another_tissue_in_one_sentence(run, out, tiny, permuted):
    code, _, said = run("apply", tiny, permuted, "-o", out, "--quiet")
    assert code == 0
    assert said.startswith(
        f"scinn-infer: warning: {permuted}: X does not look like human none (random weights) (counts): "
    )
    assert "% sure); most likely its genes have wrong names" in said
    assert said.count("\n") == 1
    assert anndata.read_h5ad(out).obs["scinn_drift"].median() > 0.98


def test_check_says_how_many_cells_are_unlike_the_training_data(run, tiny, new, permuted):
    code, printed, _ = run("check", tiny, new, "--json")
    drift = json.loads(printed)["drift"]
    assert (code, drift["cells"], drift["different"], drift["cause"]) == (0, 300, False, None)
    assert drift["share"] == drift["unlike"] / 300 < 0.1
    assert drift["usual_share"] == 0.05
    code, printed, _ = run("check", tiny, permuted, "--json")
    document = json.loads(printed)
    assert (code, document["verdict"]) == (1, "usable with warnings")
    assert document["drift"]["probability"] > 0.999
    assert document["drift"]["cause"] == "gene names"
    assert sum("correlates" in sentence for sentence in document["warnings"]) == 1  # told once
    printed = run("check", tiny, permuted)[1]
    assert "of the cells are unlike the training data; of held-out training cells 5% are." in printed


def test_apply_falls_back_on_the_mean_expression(run, out, format_1, new, permuted):
    _, _, said = run("apply", format_1, permuted, "-o", out, "--quiet")
    assert said.startswith(f"scinn-infer: warning: {permuted}: X: The mean expression per gene correlates")
    assert said.count("\n") == 1
    assert run("apply", format_1, new, "-o", out, "--overwrite", "--quiet")[2] == ""


def test_check_falls_back_on_the_mean_expression(run, format_1, new, permuted):
    code, printed, _ = run("check", format_1, permuted)
    assert code == 1
    assert "the model file has no reference for it" in printed
    assert "warning: The mean expression per gene correlates with the training data's by" in printed
    assert json.loads(run("check", format_1, new, "--json")[1])["drift"] is None


def test_too_few_held_out_cells_are_told_where_the_drift_would_be(run, tiny, new, tmp_path):
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(tiny)
    entry = next(entry for entry in proto.metadata_props if entry.key == "scinn.cell_reference")
    reference = json.loads(entry.value)
    entry.value = json.dumps(reference | {"distances": reference["distances"][:12], "held_out_cells": 12})
    onnx.save(proto, tmp_path / "few.onnx")
    printed = run("check", tmp_path / "few.onnx", new)[1]
    assert "held against 12 cells not trained on, and 19 are needed." in printed
    shown = " ".join(run("inspect", tmp_path / "few.onnx")[1].split())
    assert "nothing: 12 cells held out of the training, and 19 are needed" in shown


def test_a_refused_batch_has_no_drift(run, tiny, tmp_path, make_counts, make_adata):
    make_adata(np.log1p(make_counts(30))).write_h5ad(tmp_path / "new.h5ad")
    code, printed, _ = run("check", tiny, tmp_path / "new.h5ad", "--json")
    assert (code, json.loads(printed)["drift"]) == (2, None)
