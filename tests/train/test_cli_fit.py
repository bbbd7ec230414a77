"""The command line from a reference to imputed new cells, as a user types it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
import scinn_train
from scinn_infer import ScinnError
from scinn_infer.cli import group as infer_group
from scinn_infer.cli import main_for
from scinn_infer.genes import match_genes
from scinn_train import Config
from scinn_train.cli import group as train_group
from scinn_train.reading import open_reference
from scinn_train.reference import prepare


def train(*arguments: object) -> int:
    return main_for(train_group, "scinn-train", [str(argument) for argument in arguments])


def infer(*arguments: object) -> int:
    return main_for(infer_group, "scinn-infer", [str(argument) for argument in arguments])


def write(path, batch, **layers):
    X, genes, types = batch
    adata = anndata.AnnData(sparse.csr_matrix(X))
    adata.var_names = genes
    adata.obs_names = [f"cell{number}" for number in range(adata.n_obs)]
    adata.obs["label"] = [f"type {label}" for label in types]
    for name, values in layers.items():
        adata.layers[name] = values
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def files(reference, new_batch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    return folder, write(folder / "reference.h5ad", reference), write(folder / "new.h5ad", new_batch)


def test_fit_inspect_check_apply_evaluate(files, new_batch, capsys):
    folder, reference, new = files
    model, imputed = folder / "tissue.onnx", folder / "imputed.h5ad"
    fitting = (
        "fit",
        reference,
        "-o",
        model,
        "--tissue",
        "planted",
        "--threads",
        1,
        "--seed",
        3,
        "--weights",
        "float16",
    )
    assert train(*fitting) == 0
    said = capsys.readouterr()
    assert "module 1:" in said.err
    assert said.out == ""
    assert infer("inspect", model, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["tissue"], about["training"]["seed"], about["unit"]) == ("planted", 3, "counts")
    assert about["training"]["weights"] == "float16"
    assert infer("check", model, new) == 0
    assert infer("apply", model, new, "-o", imputed) == 0
    layer = anndata.read_h5ad(imputed).layers["scinn"]
    X, genes, _ = new_batch
    np.testing.assert_array_equal(layer, scinn_infer.load(model).impute(X, genes))
    assert (layer >= 0).all()
    capsys.readouterr()
    assert train("evaluate", new, imputed, "--labels", "label", "--seeds", 2, "--json") == 0
    json.loads(capsys.readouterr().out)


def test_what_was_counted_can_be_said(files, capsys):
    folder, reference, _ = files
    for counted in ("auto", "reads"):
        model = folder / f"{counted}.onnx"
        assert train("fit", reference, "-o", model, "--counted", counted, "--threads", 1) == 0
        assert ("the counts are taken for reads" in capsys.readouterr().err) == (counted == "reads")
        info = scinn_infer.load(model).info
        assert (info.capture_efficiency is None) == (info.molecule_value is not None) == (counted == "reads")
    assert train("fit", reference, "-o", folder / "never.onnx", "--counted", "umis") == 2
    assert "'umis' is not one of" in capsys.readouterr().err


def test_the_capture_efficiency_can_be_said(files, capsys):
    folder, reference, _ = files
    for said, stored in (("0.4", 0.4), ("none", None)):
        model = folder / f"capture-{said}.onnx"
        assert train("fit", reference, "-o", model, "--capture-efficiency", said, "--threads", 1, "--quiet") == 0
        assert scinn_infer.load(model).info.capture_efficiency == stored
    assert train("fit", reference, "-o", folder / "never.onnx", "--capture-efficiency", "much") == 2
    assert "must be a number, or 'none'" in capsys.readouterr().err
    assert train("fit", reference, "-o", folder / "never.onnx", "--capture-efficiency", "1.5") == 2
    assert "and below 1" in capsys.readouterr().err
    assert not (folder / "never.onnx").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tissue", "lung\udcff"], "tissue is 'lung\\udcff'; it must be text that can be written as UTF-8"),
        (["--species", "a\0b"], "species is 'a\\x00b'; it must be text"),
        (["--unit", "tpm", "--counted", "molecules"], "unit 'tpm' and counted 'molecules' exclude each other"),
    ],
)
def test_what_would_fail_at_the_end_is_refused_at_the_beginning(
    files, capsys, tmp_path, monkeypatch, options, sentence
):
    monkeypatch.setattr("scinn_train.cli_fit.open_reference", None)  # nothing is read
    assert train("fit", files[1], "-o", tmp_path / "never.onnx", *options) == 2
    assert capsys.readouterr().err.startswith(f"scinn-train: error: {sentence}")
    assert list(tmp_path.iterdir()) == []


def test_ensembl_ids_are_read_from_the_column_in_which_scanpy_puts_them(reference, tmp_path, capsys):
    path = write(tmp_path / "reference.h5ad", reference)
    adata = anndata.read_h5ad(path)
    adata.var["gene_ids"] = [f"ENSG{number:011d}.2" for number in range(adata.n_vars)]
    adata.var.loc[adata.var_names[3], "gene_ids"] = None
    adata.write_h5ad(path)
    with open_reference(path) as read:
        genes, kept = read.genes, prepare(read.X, read.genes, gene_ids=read.gene_ids, config=Config())
    assert kept.gene_ids[kept.genes.index(genes[7])] == "ENSG00000000007"
    assert kept.gene_ids[kept.genes.index(genes[3])] == ""


def test_names_and_ids_can_come_from_columns_and_the_index(reference, tmp_path):
    path = write(tmp_path / "reference.h5ad", reference)
    adata = anndata.read_h5ad(path)
    symbols, ids = list(adata.var_names), [f"ENSG{number:011d}" for number in range(adata.n_vars)]
    adata.var["feature_name"] = adata.var_names.astype("category")
    adata.var["ids"] = [f"{name}.3" for name in ids]
    adata.var_names = ids
    adata.write_h5ad(path)
    with open_reference(path) as read:
        assert (read.genes, read.gene_ids) == (ids, None)
    with open_reference(path, gene_column="feature_name") as read:
        assert (read.genes, read.gene_ids) == (symbols, ids)
    with open_reference(path, gene_column="feature_name", gene_ids="ids") as read:
        assert (read.genes, read.gene_ids) == (symbols, adata.var["ids"].tolist())
    with (
        pytest.raises(ScinnError, match=r"no var column 'symbol'\. Columns of names: feature_name, ids"),
        open_reference(path, gene_column="symbol"),
    ):
        pass
    with pytest.raises(ScinnError, match="no var column 'ensembl'"), open_reference(path, gene_ids="ensembl"):
        pass


def test_a_model_fitted_with_a_column_of_symbols_knows_both(reference, quick):
    X, symbols, _ = reference
    var = pd.DataFrame({"symbol": symbols}, index=[f"ENSG{number:011d}" for number in range(len(symbols))])
    adata = anndata.AnnData(sparse.csr_matrix(X), var=var)
    info = scinn_train.fit(adata, gene_column="symbol", config=quick).info
    by_id, by_symbol = match_genes(info, adata.var_names), match_genes(info, var["symbol"])
    assert (by_id.by, by_symbol.by) == ("Ensembl ids", "symbols")
    assert by_id.overlap == by_symbol.overlap == 1
    assert (by_id.columns == by_symbol.columns).all()
    with pytest.raises(ScinnError, match=r"no var column 'name'\. Columns of names: symbol"):
        scinn_train.fit(adata, gene_column="name")
    with pytest.raises(ScinnError, match="gene_column is 'symbol', but the data is no AnnData"):
        scinn_train.fit(X, symbols, gene_column="symbol")


def test_refusals_leave_nothing_behind(files, capsys, tmp_path):
    _, reference, _ = files
    existing = tmp_path / "existing.onnx"
    existing.write_text("precious")
    cases = {
        "no layer": (["fit", reference, "-o", tmp_path / "m.onnx", "--layer", "spliced"], "spliced"),
        "no file": (["fit", tmp_path / "none.h5ad", "-o", tmp_path / "m.onnx"], "none.h5ad"),
        "exists": (["fit", reference, "-o", existing], "exists already"),
        "the input": (["fit", reference, "-o", reference, "--overwrite"], "same file"),
        "too many clusters": (["fit", reference, "-o", tmp_path / "m.onnx", "--clusters", "150"], "150 clusters"),
        "no folder": (["fit", reference, "-o", tmp_path / "nowhere" / "m.onnx"], "nowhere"),
    }
    for name, (arguments, said) in cases.items():
        assert train(*arguments) == 2, name
        error = capsys.readouterr().err
        assert said in error, name
        assert error.startswith("scinn-train: error:"), name
        assert "Traceback" not in error, name
    assert existing.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["existing.onnx"]


def test_a_disk_that_fills_up_leaves_the_earlier_model(files, fitted, capsys, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("scinn_train.fitting.fit_reference", lambda *_, **__: fitted)
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    (tmp_path / "tissue.onnx").write_text("earlier model")
    assert train("fit", files[1], "-o", tmp_path / "tissue.onnx", "--overwrite", "--quiet") == 2
    sentence = f"{tmp_path / 'tissue.onnx'} could not be written: No space left on device. Whatever was there before is"
    assert capsys.readouterr().err == f"scinn-train: error: {sentence} unchanged.\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("tissue.onnx", "earlier model")]


def test_a_refusal_names_file_cell_and_gene(reference, tmp_path, capsys):
    X, genes, types = reference
    dense = X.toarray()
    dense[3, 5] = np.nan
    path = write(tmp_path / "new.h5ad", (dense, genes, types))
    assert train("fit", path, "-o", tmp_path / "m.onnx") == 2
    error = capsys.readouterr().err
    assert "new.h5ad: X" in error
    assert "cell 4 (cell3), gene Gene5" in error


def test_logarithms_are_refused(reference, tmp_path, capsys):
    X, genes, types = reference
    path = write(tmp_path / "new.h5ad", (X.log1p(), genes, types))
    assert train("fit", path, "-o", tmp_path / "m.onnx") == 2
    assert "new.h5ad: X looks log-transformed" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_what_looks_like_logarithms_is_taken_where_the_unit_is_known(reference, tmp_path, monkeypatch):
    """Only how the values are taken is asked here: a fit is left out."""
    X, genes, types = reference
    path = write(tmp_path / "new.h5ad", (X / 100, genes, types))
    taken = []

    def watched(*arguments, **options):
        with prepare(*arguments, **options) as prepared:
            taken.append(prepared.genes)
        raise ScinnError("far enough")

    monkeypatch.setattr("scinn_train.cli_fit.prepare", watched)
    for option in ([], ["--unit-checked"]):
        assert train("fit", path, "-o", tmp_path / "m.onnx", *option) == 2
    assert len(taken) == 1


def test_the_help_needs_no_torch():
    code = (
        "import sys; from scinn_train.cli import group; group.main(['--help'], standalone_mode=False); "
        "assert not {'torch', 'sklearn', 'anndata', 'matplotlib'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_missing_extra_is_named():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import scinn_train\n"
        "try: scinn_train.fit\n"
        "except scinn_train.ScinnError as error: assert 'scinn[train]' in str(error), error\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
