import json
import re

import anndata
import h5py
import numpy as np
import pytest

from scinn_infer.cli import main_for
from scinn_train.cli import group


@pytest.fixture(scope="module")
def pair(small_tissue, tmp_path_factory):
    """A raw file, and one in which the truth stands at the zeros, as a perfect imputation would leave it."""
    folder = tmp_path_factory.mktemp("pair")
    raw = small_tissue[small_tissue.obs["batch"] == "batch2"].copy()
    imputed = raw.copy()
    counts = raw.X.toarray()
    imputed.layers["scinn"] = np.where(counts == 0, raw.layers["truth"], counts)
    imputed.layers["other"] = imputed.layers["scinn"] + 1
    raw.write_h5ad(folder / "raw.h5ad")
    imputed.write_h5ad(folder / "imputed.h5ad")
    return folder


def evaluate(*arguments):
    return main_for(group, "scinn-train", ["evaluate", *map(str, arguments)])


def refusal(capsys, *arguments):
    assert evaluate(*arguments) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert "Traceback" not in captured.err
    return captured.err


def variant(pair, name, change, of="imputed.h5ad"):
    adata = change(anndata.read_h5ad(pair / of))
    adata.write_h5ad(pair / name)
    return pair / name


def test_table(pair, capsys):
    assert evaluate(pair / "raw.h5ad", pair / "imputed.h5ad", "--labels", "label", "--seeds", 2, "--restarts", 5) == 0
    out = capsys.readouterr().out
    assert "90 cells, 400 genes, 3 types (label)" in out
    for expected in ("raw", "imputed", "ARI", "NMI", "Jaccard", "silhouette", "is kept", "median of 2 seed"):
        assert expected in out


def test_json(pair, capsys):
    options = ["--labels", "label", "--seeds", 2, "--restarts", 5, "--json"]
    assert evaluate(pair / "raw.h5ad", pair / "imputed.h5ad", *options) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["cells"], result["genes"], result["types"], result["changed"]) == (90, 400, 3, 0)
    assert result["imputed"]["ARI"]["median"] >= result["raw"]["ARI"]["median"]
    for side in ("raw", "imputed"):
        assert set(result[side]) == {"ARI", "NMI", "Jaccard", "silhouette"}
        for score in result[side].values():
            assert len(score["values"]) == 2
            assert score["lowest"] <= score["median"] <= score["highest"]


def test_reads_zarr_stores_as_apply_writes_them(pair, capsys):
    results = []
    for name in ("raw", "imputed"):
        anndata.read_h5ad(pair / f"{name}.h5ad").write_zarr(pair / f"{name}.zarr")
    for suffix in ("h5ad", "zarr"):
        options = ["--labels", "label", "--seeds", 1, "--restarts", 2, "--json"]
        assert evaluate(pair / f"raw.{suffix}", pair / f"imputed.{suffix}", *options) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1]


def test_says_when_observed_values_were_changed(pair, capsys):
    options = ["--labels", "label", "--layer", "other", "--seeds", 1, "--restarts", 1]
    assert evaluate(pair / "raw.h5ad", pair / "imputed.h5ad", *options) == 0
    assert "observed values were changed" in capsys.readouterr().out


def test_reads_a_raw_layer_and_a_sparse_imputed_one(pair, capsys):
    def sparse(adata):
        adata.layers["scinn"] = adata.X.copy()
        adata.layers["counts"] = adata.X.copy()
        adata.X = None
        return adata

    path = variant(pair, "sparse.h5ad", sparse)
    options = ["--labels", "label", "--raw-layer", "counts", "--seeds", 1, "--restarts", 1, "--json"]
    assert evaluate(path, path, *options) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["raw"] == result["imputed"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda adata: adata[:80], "has 90 cells and .* has 80"),
        (lambda adata: adata[::-1], "the same cells in another order"),
        (lambda adata: adata[:, ::-1], "the same genes in another order"),
        (lambda adata: adata[:, :300], "has 400 genes and .* has 300"),
        (lambda adata: renamed(adata), "cell 2 is 'batch2_cell00182' in .* and 'someone else' in"),
    ],
)
def test_refuses_files_that_do_not_belong_together(pair, capsys, change, sentence):
    path = variant(pair, "changed.h5ad", lambda adata: change(adata).copy())
    message = refusal(capsys, pair / "raw.h5ad", path, "--labels", "label")
    assert re.search(sentence, message)


def renamed(adata):
    names = list(adata.obs_names)
    names[1] = "someone else"
    adata.obs_names = names
    return adata


def test_refuses_labels_that_are_not_there_or_tell_nothing(pair, capsys):
    files = pair / "raw.h5ad", pair / "imputed.h5ad"
    assert "label, lineage, batch" in refusal(capsys, *files, "--labels", "cell_type")
    assert "all alike" in refusal(capsys, *files, "--labels", "batch")

    def without_some(adata):
        adata.obs["label"] = adata.obs["label"].where(adata.obs["label"] != "A1")
        return adata

    path = variant(pair, "unlabelled.h5ad", without_some, of="raw.h5ad")
    assert "have no label" in refusal(capsys, path, pair / "imputed.h5ad", "--labels", "label")


def test_refuses_a_damaged_table_of_cells(pair, capsys):
    path = variant(pair, "damaged.h5ad", lambda adata: adata, of="raw.h5ad")
    with h5py.File(path, "r+") as file:
        del file["obs/label/codes"]
    assert "obs cannot be read" in refusal(capsys, path, pair / "imputed.h5ad", "--labels", "label")


def test_refuses_missing_layers_and_files(pair, capsys):
    files = pair / "raw.h5ad", pair / "imputed.h5ad"
    assert "no layer 'nope'" in refusal(capsys, *files, "--labels", "label", "--layer", "nope")
    assert "not there" in refusal(capsys, pair / "nowhere.h5ad", files[1], "--labels", "label")
    (pair / "text.h5ad").write_text("hello")
    assert "in no format that is read" in refusal(capsys, pair / "text.h5ad", files[1], "--labels", "label")
    assert "--labels" in refusal(capsys, *files)


def test_refuses_values_that_are_no_expression(pair, capsys):
    def negative(adata):
        adata.layers["scinn"][3, 5] = -1
        return adata

    message = refusal(capsys, pair / "raw.h5ad", variant(pair, "negative.h5ad", negative), "--labels", "label")
    assert "GENE00006" in message
