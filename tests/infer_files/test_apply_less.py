"""Less than everything in the output of ``apply``: some genes, no matrix, no small values, another precision."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
from scinn_infer.apply import apply_file
from scinn_infer.cli import group, main_for

CHOSEN = ["GENE9", "unknown", "GENE2"]


@pytest.fixture
def model(tiny):
    return scinn_infer.load(tiny, threads=1)


@pytest.fixture(params=["out.h5ad", "out.zarr"])
def out(tmp_path, request):
    return tmp_path / request.param


@pytest.fixture
def apply(tiny, out, capfd):
    def apply(new, *options, output=None):
        arguments = ["apply", str(tiny), str(new), "-o", str(output or out), "--threads", "1", *options]
        code = main_for(group, "scinn-infer", arguments)
        return code, capfd.readouterr().err

    return apply


@pytest.fixture(params=["h5ad", "zarr"])
def rich(tmp_path, make_counts, make_adata, request):
    """A file with something in every place, and a gene that the model does not know."""
    X = sparse.csr_matrix(np.concatenate([make_counts(300), np.ones((300, 1), np.float32)], axis=1))
    adata = make_adata(X, genes=[*(f"GENE{number}" for number in range(1, 61)), "unknown"])
    adata.layers["spliced"] = sparse.csc_matrix(X)
    adata.layers["dense"] = X.toarray()
    adata.var["length"] = np.arange(61)
    adata.varm["loadings"] = np.arange(122).reshape(61, 2)
    adata.varp["near"] = sparse.eye_array(61, format="csr")
    adata.obsm["X_pca"] = np.zeros((300, 2))
    adata.raw = adata
    path = tmp_path / f"rich.{request.param}"
    getattr(adata, f"write_{request.param}")(path)
    return path


def read(path) -> anndata.AnnData:
    return anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)


@pytest.mark.filterwarnings("ignore:.*zarr v2")
@pytest.mark.parametrize("quality", ["--quality", "--no-quality"])
def test_some_genes(apply, out, rich, model, quality):
    before = read(rich)
    assert apply(rich, "--genes", ",".join(CHOSEN), quality)[0] == 0
    after = read(out)
    wanted = before[:, CHOSEN]
    assert list(after.var_names) == CHOSEN
    assert after.raw.shape == (300, 61)
    np.testing.assert_array_equal(after.var["length"], wanted.var["length"])
    np.testing.assert_array_equal(after.varm["loadings"], wanted.varm["loadings"])
    np.testing.assert_array_equal(after.varp["near"].toarray(), wanted.varp["near"].toarray())
    np.testing.assert_array_equal(after.X.toarray(), wanted.X.toarray())
    np.testing.assert_array_equal(after.layers["spliced"].toarray(), wanted.X.toarray())
    np.testing.assert_array_equal(after.layers["dense"], wanted.X.toarray())
    whole = model.impute(before.X, before.var_names)
    np.testing.assert_array_equal(after.layers["scinn"], whole[:, [8, 60, 1]])
    assert after.uns["scinn"]["selection"]["genes"] == "those in var"
    assert ("scinn_drift" in after.obs) == (quality == "--quality")
    if quality == "--quality":
        np.testing.assert_array_equal(after.obs["scinn_drift"], model.assess(before.X, before.var_names).drift)


def test_genes_may_be_in_a_file(apply, out, new, tmp_path):
    (tmp_path / "genes.txt").write_text("GENE4\n\n GENE3 \n")
    assert apply(new, "--genes", str(tmp_path / "genes.txt"))[0] == 0
    assert list(read(out).var_names) == ["GENE4", "GENE3"]
    (tmp_path / "genes.txt").write_bytes(b"\xff\xfe\x00")
    code, said = apply(new, "--genes", str(tmp_path / "genes.txt"), output=tmp_path / "x.h5ad")
    assert code == 2
    assert "is no text in UTF-8" in said


@pytest.mark.parametrize("name", ["my,genes.txt", "GENE9"])
def test_what_is_a_file_is_read_whatever_it_is_called(apply, out, new, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("GENE4\nGENE3\n")
    assert apply(new, "--genes", name)[0] == 0
    assert list(read(out).var_names) == ["GENE4", "GENE3"]


def test_genes_may_have_ends_of_lines_between_them(apply, out, new):
    genes = [f"GENE{number}" for number in range(60, 0, -1)]
    assert apply(new, "--genes", "\n".join(genes))[0] == 0  # longer than a file's name may be
    assert list(read(out).var_names) == genes


def test_a_folder_called_as_a_gene_hides_no_gene(apply, out, new, tmp_path, monkeypatch):
    (tmp_path / "GENE4").mkdir()
    monkeypatch.chdir(tmp_path)
    assert apply(new, "--genes", "GENE4")[0] == 0
    assert list(read(out).var_names) == ["GENE4"]


@pytest.mark.parametrize("output", ["genes.txt", "genes.h5ad", "old.zarr"])
def test_the_list_of_genes_is_not_replaced(apply, new, tmp_path, output):
    file = tmp_path / output
    if output == "old.zarr":  # the list lies in a store that may be replaced
        assert apply(new, output=file)[0] == 0
        file = file / "genes.txt"
    file.write_text("GENE4\n")
    code, said = apply(new, "--genes", str(file), "--overwrite", output=tmp_path / output)
    assert code == 2
    assert f"the output {tmp_path / output} " in said
    assert file.read_text() == "GENE4\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--genes", "nofile.txt"], "has no gene 'nofile.txt'. Check how the batch writes its genes' names."),
        (["--genes", "nofile.txt"], "There is no file 'nofile.txt' either."),
        (["--genes", ""], "no gene is named with --genes. Name some, with commas between them, or a text file"),
        (["--genes", "GENE3,gene12"], "has no gene 'gene12'. Is GENE12"),
        (["--genes", ","], "no gene is named"),
        (["--no-matrix", "--no-quality"], "nothing to write"),
        (["--no-matrix", "--genes", "GENE3"], "do not go together"),
        (["--min-value", "0.1", "--dtype", "float16"], "there are no sparse matrices"),
        (["--genes", "GENE3", "--report", "page.html"], "a report shows all genes"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(apply, out, new, options, sentence):
    code, said = apply(new, *options)
    assert code == 2
    assert sentence in said
    assert not out.exists()


def test_no_matrix(apply, out, new, model):
    before = read(new)
    code, said = apply(new, "--no-matrix")
    assert code == 0
    assert "there is no layer" in said
    after = read(out)
    assert not after.layers
    quality = model.assess(before.X, before.var_names)
    np.testing.assert_array_equal(after.obs["scinn_cluster"].cat.codes, quality.cluster)
    for name in ("confidence", "drift"):
        np.testing.assert_array_equal(after.obs[f"scinn_{name}"], getattr(quality, name))
    np.testing.assert_array_equal(after.obsm["X_scinn"], quality.embedding)
    np.testing.assert_array_equal(after.obsm["scinn_cluster_probability"], quality.cluster_probability)
    np.testing.assert_array_equal(after.X.toarray(), before.X.toarray())


@pytest.mark.parametrize("policy", ["keep", "denoise"])
@pytest.mark.parametrize("batch_size", ["7", "300"])
def test_small_values_are_left_out_and_the_layer_is_sparse(apply, out, new, model, policy, batch_size, monkeypatch):
    monkeypatch.setattr("scinn_infer.outputs.csr.CHUNK_VALUES", 1000)  # so that there are many
    before = read(new)
    options = ["--min-value", "0.4", "--policy", policy, "--batch-size", batch_size]
    assert apply(new, *options, "--genes", "GENE30,GENE2,GENE7,GENE41")[0] == 0
    after = read(out)
    layer = after.layers["scinn"]
    assert sparse.issparse(layer)
    assert layer.nnz < layer.shape[0] * layer.shape[1]
    assert layer.data.all()
    expected = model.impute(before.X, before.var_names, policy=policy, min_value=0.4)
    np.testing.assert_array_equal(layer.toarray(), expected[:, [29, 1, 6, 40]])
    np.testing.assert_array_equal(after.obs["scinn_drift"], model.assess(before.X, before.var_names).drift)
    if out.suffix == ".h5ad":
        with h5py.File(out) as file:
            assert file["layers/scinn/data"].compression == "gzip"


def test_precision(apply, out, new, model):
    assert apply(new, "--dtype", "float16")[0] == 0
    before, layer = read(new), read(out).layers["scinn"]
    assert layer.dtype == "float16"
    np.testing.assert_array_equal(layer, model.impute(before.X, before.var_names).astype(np.float16))


def test_a_count_that_half_precision_cannot_hold_is_refused(apply, out, tmp_path, make_counts, make_adata):
    X = make_counts(300)
    X[250, 3] = 4097
    make_adata(X).write_h5ad(tmp_path / "new.h5ad")
    code, said = apply(tmp_path / "new.h5ad", "--dtype", "float16")
    assert code == 2
    assert "the value 4097 of cell 251 (cell250) in gene 'GENE4' cannot be stored as float16 unchanged" in said
    assert not out.exists()
    assert apply(tmp_path / "new.h5ad", "--dtype", "float16", "--policy", "denoise")[0] == 0


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("options", [[], ["--genes", "GENE1,GENE2"], ["--no-matrix"], ["--min-value", "0.1"]])
def test_a_disk_that_is_too_small_is_told_of_first(apply, out, new, options, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 500))
    monkeypatch.setattr("scinn_infer.outputs.result.write_through_hdf5", lambda *_: pytest.fail("it began"))
    code, said = apply(new, *options)
    assert code == 2
    assert "500 bytes free" in said
    assert not out.exists()


RUN = "import sys; from scinn_infer.cli import main; sys.exit(main())"


def test_a_disk_that_fills_up_meanwhile_is_no_crash(tiny, out, new):
    if out.suffix == ".zarr":
        pytest.skip("zarr writes files of its own")
    room = new.stat().st_size + 20_000  # for the copy, and a part of the layer
    run = subprocess.run(
        [sys.executable, "-c", RUN, "apply", tiny, new, "-o", out, "--min-value", "0.01", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    assert run.returncode == 2
    sentence = f"{out} could not be written: File too large. Whatever was there before is unchanged."
    assert run.stderr == f"scinn-infer: error: {sentence}\n"
    assert list(out.parent.iterdir()) == [new]


def test_the_size_is_told_before_a_large_run(apply, out, new, monkeypatch):
    monkeypatch.setattr("scinn_infer.apply.LARGE", 1000)
    assert "takes up to" in apply(new)[1]
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    monkeypatch.undo()
    assert "takes up to" not in apply(new)[1]


def test_the_result_of_a_table_has_the_chosen_genes(out, tmp_path, model, make_counts):
    X = make_counts(20)
    pd.DataFrame(X, columns=list(model.genes)).to_csv(tmp_path / "new.csv")
    apply_file(model, tmp_path / "new.csv", out, only=["GENE6", "GENE1"], quality=False)
    after = read(out)
    assert list(after.var_names) == ["GENE6", "GENE1"]
    np.testing.assert_array_equal(after.X.toarray(), X[:, [5, 0]])
    np.testing.assert_array_equal(after.layers["scinn"], model.impute(X, model.genes)[:, [5, 0]])
