"""The AnnData adapter keeps scanpy's habits."""

from __future__ import annotations

import hashlib
import warnings
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
from scinn_infer import ScinnError
from scinn_infer.anndata import matrix_of
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
    assert adata.obs[before.obs.columns].equals(before.obs)
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


def test_takes_what_looks_like_logarithms_where_the_unit_is_known(adata, model):
    adata.X = adata.X * np.float32(0.5)  # corrected counts, none of them large
    with pytest.raises(ScinnError, match="log-transformed"):
        scinn_infer.impute(adata, model)
    scinn_infer.impute(adata, model, unit_checked=True)
    expected = model.impute(adata.X, adata.var_names, unit_checked=True)
    assert adata.layers["scinn"].tobytes() == expected.tobytes()


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


def test_refuses_what_is_no_anndata_and_what_has_no_values(adata, model):
    with pytest.raises(ScinnError, match="is a ndarray, not an AnnData"):
        scinn_infer.impute(np.zeros((2, 60)), model)
    with pytest.raises(ScinnError, match="model is a dict; pass what"):
        scinn_infer.impute(adata, {})
    del adata.X
    with pytest.raises(ScinnError, match="adata has no X"):
        scinn_infer.impute(adata, model)


def test_takes_the_path_of_a_model(adata, model, tiny):
    scinn_infer.impute(adata, str(tiny))
    scinn_infer.impute(adata, tiny, key_added="again")
    assert (adata.layers["scinn"] == adata.layers["again"]).all()
    assert adata.uns["again"]["model"]["sha256"] == model.sha256


@pytest.mark.parametrize("key", ["", "a/b", None, 3])
def test_refuses_what_is_no_name_for_a_layer(adata, model, key):
    with pytest.raises(ScinnError, match="is no name for a layer"):
        scinn_infer.impute(adata, model, key_added=key)


def test_replaces_nothing_but_an_earlier_result(adata, model):
    before = adata.copy()
    with pytest.raises(ScinnError, match=r"has layers\['counts'\] already, which scINN did not make"):
        scinn_infer.impute(adata, model, key_added="counts")
    with pytest.raises(ScinnError, match=r"has uns\['kept'\] already"):
        scinn_infer.impute(adata, model, key_added="kept")
    assert (adata.layers["counts"] != before.layers["counts"]).nnz == 0
    assert adata.uns["kept"] == 1


@pytest.mark.parametrize("name", ["cluster", "confidence", "drift"])
def test_a_column_of_the_users_is_not_replaced(adata, model, name):
    adata.obs[f"scinn_{name}"] = "mine"
    with pytest.raises(ScinnError, match=rf"has obs\['scinn_{name}'\] already, which scINN did not make"):
        scinn_infer.impute(adata, model)
    scinn_infer.impute(adata, model, quality=False)
    with pytest.raises(ScinnError, match=rf"has obs\['scinn_{name}'\] already"):  # the earlier result did not bring it
        scinn_infer.impute(adata, model)
    assert (adata.obs[f"scinn_{name}"] == "mine").all()
    scinn_infer.impute(adata, model, key_added="other")
    scinn_infer.impute(adata, model, key_added="other")  # its own columns it replaces


@pytest.mark.parametrize("name", ["X_scinn", "scinn_cluster_probability"])
def test_an_array_of_the_users_is_not_replaced(adata, model, name):
    adata.obsm[name] = np.zeros((adata.n_obs, 2))
    with pytest.raises(ScinnError, match=rf"has obsm\['{name}'\] already.*or leave out what is told .*quality=False"):
        scinn_infer.impute(adata, model)
    assert "scinn" not in adata.layers
    assert (adata.obsm[name] == 0).all()


def test_a_copy_can_have_some_genes_alone(adata, model):
    wanted = [adata.var_names[place] for place in (7, 2, 30)]
    some = scinn_infer.impute(adata, model, only=wanted, copy=True)
    assert list(some.var_names) == wanted
    whole = scinn_infer.impute(adata, model, copy=True)
    np.testing.assert_allclose(some.layers["scinn"], whole[:, wanted].layers["scinn"], rtol=1e-5)
    assert (some.obs["scinn_cluster"] == whole.obs["scinn_cluster"]).all()
    alone = scinn_infer.impute(adata, model, only=wanted, copy=True, quality=False)
    np.testing.assert_allclose(alone.layers["scinn"], some.layers["scinn"], rtol=1e-5)
    with pytest.raises(ScinnError, match=r"a layer has all genes of adata\. Ask for one with copy=True"):
        scinn_infer.impute(adata, model, only=wanted)
    with pytest.raises(ScinnError, match="has no gene 'none'"):
        scinn_infer.impute(adata, model, only=["none"], copy=True)
    with pytest.raises(ScinnError, match="only is the text 'GENE1'"):
        scinn_infer.impute(adata, model, only="GENE1", copy=True)
    assert "scinn" not in adata.layers


# ---- where the matrix may be


FORMS = {
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "dense": lambda X: X.toarray(),
    "matrix": lambda X: np.matrix(X.toarray()),
    "int32": lambda X: X.astype(np.int32),
    "int64 dense": lambda X: X.toarray().astype(np.int64),
    "uint16": lambda X: X.astype(np.uint16),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_and_type_of_the_matrix_do_not_matter(adata, model, form):
    scinn_infer.impute(adata, model)
    other = anndata.AnnData(FORMS[form](adata.X), obs=adata.obs[[]], var=adata.var)
    X, kind = other.X.copy(), type(other.X)
    scinn_infer.impute(other, model)
    assert (other.layers["scinn"] == adata.layers["scinn"]).all()
    assert type(other.X) is kind
    assert other.X.dtype == X.dtype
    assert abs(X - other.X).max() == 0


def test_masked_entries_are_refused(adata, model):
    adata.X = np.ma.masked_less(adata.X.toarray(), 1)
    with pytest.raises(ScinnError, match=r"adata\.X has masked entries.*filled\(0\)"):
        scinn_infer.impute(adata, model)


def test_a_view_leaves_its_parent_alone(adata, model):
    scinn_infer.impute(adata, model, key_added="all")
    before = adata.copy()
    some = adata[adata.obs["type"] == "a", adata.var_names[5:]]
    with pytest.warns(anndata.ImplicitModificationWarning):
        scinn_infer.impute(some, model, key_added="counts")  # a layer of its own, now
    assert adata.is_view is some.is_view is False
    assert list(adata.layers) == list(before.layers)
    for name in before.layers:
        assert abs(adata.layers[name] - before.layers[name]).max() == 0
    assert list(adata.uns) == list(before.uns)
    assert some.obs["type"].cat.categories.tolist() == ["a"]
    assert some.shape == some.layers["counts"].shape


@pytest.fixture(params=["csr", "csc", "dense"])
def path(adata, tmp_path, request):
    """The batch in a file, as X, as layer ``counts`` and as ``raw``."""
    X = adata.X.toarray() if request.param == "dense" else adata.X.asformat(request.param)
    stored = anndata.AnnData(X, obs=adata.obs, var=adata.var, layers={"counts": X.copy()})
    stored.raw = stored
    stored.write_h5ad(tmp_path / "batch.h5ad")
    return tmp_path / "batch.h5ad"


def contents(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("options", [{}, {"layer": "counts"}, {"use_raw": True}])
def test_what_is_backed_by_a_file_is_read_from_there(adata, model, path, options):
    scinn_infer.impute(adata, model)
    before = contents(path)
    backed = anndata.read_h5ad(path, backed="r")
    scinn_infer.impute(backed, model, **options)
    assert backed.isbacked
    assert (backed.layers["scinn"] == adata.layers["scinn"]).all()
    copied = scinn_infer.impute(backed, model, copy=True, key_added="copy", **options)
    assert not copied.isbacked
    assert (copied.layers["copy"] == adata.layers["scinn"]).all()
    assert "copy" not in backed.layers
    backed.file.close()
    assert contents(path) == before


def test_a_backed_matrix_is_never_read_as_a_whole(adata, model, tmp_path, monkeypatch):
    many = anndata.concat([adata] * 5, index_unique="-")
    many.write_h5ad(tmp_path / "many.h5ad")
    asked = []
    rows = scinn_infer.storage._Csr.rows
    monkeypatch.setattr(
        scinn_infer.storage._Csr,
        "rows",
        lambda self, start, stop: asked.append(stop - start) or rows(self, start, stop),
    )
    backed = anndata.read_h5ad(tmp_path / "many.h5ad", backed="r")
    scinn_infer.impute(backed, model)
    assert max(asked) < 400 < backed.n_obs
    scinn_infer.impute(many, model)
    assert (backed.layers["scinn"] == many.layers["scinn"]).all()


def test_a_view_of_what_is_backed_can_be_copied(adata, model, path):
    scinn_infer.impute(adata, model)
    view = anndata.read_h5ad(path, backed="r")[10:60]
    with pytest.raises(ScinnError, match=r"view of what is backed by the file .*to_memory\(\), or .*copy=True"):
        scinn_infer.impute(view, model)
    copied = scinn_infer.impute(view, model, copy=True)
    assert (copied.layers["scinn"] == adata.layers["scinn"][10:60]).all()


@pytest.mark.parametrize("options", [{}, {"layer": "counts"}, {"use_raw": True}])
def test_what_is_read_lazily_stays_where_it_is(adata, model, path, options):
    pytest.importorskip("dask")
    pytest.importorskip("xarray")
    from anndata.experimental import read_lazy

    scinn_infer.impute(adata, model)
    lazy = read_lazy(path)
    kind = type(lazy.X)
    scinn_infer.impute(lazy, model, **options)
    assert type(lazy.X) is kind
    assert (lazy.layers["scinn"] == adata.layers["scinn"]).all()
    assert lazy.uns["scinn"]["genes"]["matched"] == 60
    some = read_lazy(path)[::-3]
    copied = scinn_infer.impute(some, model, copy=True, gene_column=None, **options)
    assert (copied.layers["scinn"] == adata.layers["scinn"][::-3]).all()


@pytest.mark.parametrize("chunks", [(50, 61), (7, 20), (229, 61), (229, 10)])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array, lambda X: X.toarray()])
def test_dask_arrays_are_computed_some_cells_at_a_time(adata, model, chunks, form):
    array = pytest.importorskip("dask.array")
    scinn_infer.impute(adata, model)
    X = array.from_array(adata.X.toarray(), chunks=chunks).map_blocks(lambda block: form(sparse.csr_matrix(block)))
    lazy = anndata.AnnData(X, obs=adata.obs[[]], var=adata.var)
    scinn_infer.impute(lazy, model)
    assert isinstance(lazy.X, array.Array)
    assert (lazy.layers["scinn"] == adata.layers["scinn"]).all()


def test_what_is_in_a_zarr_store_is_read_from_there(adata, model, tmp_path):
    zarr = pytest.importorskip("zarr")
    scinn_infer.impute(adata, model)
    for form in ("csr", "csc"):
        adata.layers[form] = adata.X.asformat(form)
    adata.layers["dense"] = adata.X.toarray()
    adata.write_zarr(tmp_path / "batch.zarr")
    layers = zarr.open(tmp_path / "batch.zarr", mode="r")["layers"]
    for form in ("csr", "csc", "dense"):
        X = layers["dense"] if form == "dense" else anndata.io.sparse_dataset(layers[form])
        other = anndata.AnnData(X, obs=adata.obs[[]], var=adata.var)
        scinn_infer.impute(other, model)
        assert (other.layers["scinn"] == adata.layers["scinn"]).all()


# ---- raw


def test_raw_needs_the_genes_of_the_layer(adata, model):
    with pytest.raises(ScinnError, match=r"adata\.raw is not set"):
        scinn_infer.impute(adata, model, use_raw=True)
    adata.raw = adata
    adata.X = np.log1p(adata.X)
    scinn_infer.impute(adata, model, use_raw=True)
    assert adata.uns["scinn"]["source"] == "raw/X"
    observed = adata.raw.X.toarray()
    assert (adata.layers["scinn"][observed != 0] == observed[observed != 0]).all()
    with pytest.raises(ScinnError, match="choose one of them"):
        scinn_infer.impute(adata, model, use_raw=True, layer="counts")
    few = adata[:, :50].copy()
    with pytest.raises(ScinnError, match=r"adata\.raw has 61 genes and adata 50, .*adata\.raw\.to_adata\(\)"):
        scinn_infer.impute(few, model, use_raw=True)
    scinn_infer.impute(few.raw.to_adata(), model)
    other = adata[:, ::-1].copy()
    with pytest.raises(ScinnError, match="not the same in the same order"):
        scinn_infer.impute(other, model, use_raw=True)


# ---- names of genes


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_names_can_come_from_a_column_of_var(adata, model, dtype):
    scinn_infer.impute(adata, model)
    other = adata.copy()
    other.var["symbol"] = pd.Series(other.var_names, index=other.var_names).astype(dtype)
    other.var_names = [f"row{number}" for number in range(61)]
    names = other.var_names.copy()
    with pytest.raises(ScinnError, match=r"But var\['symbol'\] has 100% of them: gene_column='symbol'"):
        scinn_infer.impute(other, model)
    with pytest.raises(ScinnError, match="no var column 'symbols'"):
        scinn_infer.impute(other, model, gene_column="symbols")
    scinn_infer.impute(other, model, gene_column="symbol")
    assert (other.layers["scinn"] == adata.layers["scinn"]).all()
    assert other.uns["scinn"]["genes"]["names_from"] == "var['symbol']"
    assert other.var_names.equals(names)
    assert other.var["symbol"].dtype == (np.dtype(object) if dtype is object else dtype)


def test_copies_are_summed_when_asked_to(adata, model):
    adata.var["symbol"] = np.where(adata.var_names == "other", "GENE1", adata.var_names)
    with pytest.raises(ScinnError, match="more than once: GENE1"):
        scinn_infer.impute(adata, model, gene_column="symbol")
    scinn_infer.impute(adata, model, gene_column="symbol", duplicates="sum")
    layer, X = adata.to_df("scinn"), adata.to_df()
    both = X["GENE1"] + X["other"]
    assert (layer.loc[both > 0, ["GENE1", "other"]] == X.loc[both > 0, ["GENE1", "other"]]).all(axis=None)
    assert (layer.loc[both == 0, ["GENE1", "other"]].min(axis=1) == 0).all()
    assert (layer.loc[both == 0, ["GENE1", "other"]].max(axis=1) > 0).all()
    assert adata.uns["scinn"]["genes"]["summed"] == 1


# ---- the record


def test_the_record_survives_files_and_concatenation(adata, model, tmp_path):
    adata.var["symbol"] = adata.var_names
    scinn_infer.impute(adata, model, gene_column="symbol")
    adata.write_h5ad(tmp_path / "imputed.h5ad")
    again = anndata.read_h5ad(tmp_path / "imputed.h5ad")
    both = anndata.concat([adata, again], uns_merge="same", index_unique="-")
    assert both.uns["scinn"]["note"] == adata.uns["scinn"]["note"]
    assert both.uns["scinn"] == adata.uns["scinn"]
    assert (both.layers["scinn"] == np.vstack([adata.layers["scinn"]] * 2)).all()
    scinn_infer.impute(again, model)  # what was read back is known as an earlier result


def test_the_layers_that_are_there_are_listed_without_that_of_no_name():
    adata = SimpleNamespace(layers={None: 1, "counts": 2})  # as anndata 0.13 has them
    with pytest.raises(ScinnError, match=r"no layer 'raw'\. Its layers: counts\."):
        matrix_of(adata, "raw")
