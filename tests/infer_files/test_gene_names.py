"""The names of a file's genes: from the index or a column of ``var``, and copies of a gene summed when asked to."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
from scinn_infer.cli import group, main_for
from scinn_infer.h5ad import H5adMatrix

FORMS = {
    "object": lambda names: np.array(names, dtype=object),
    "string": lambda names: pd.array(names, dtype="string"),
    "categories": pd.Categorical,
}


@pytest.fixture
def run(capfd):
    """Run ``scinn-infer``; return the exit code, stdout and stderr."""

    def run(*arguments):
        code = main_for(group, "scinn-infer", [str(argument) for argument in arguments])
        printed, said = capfd.readouterr()
        return code, printed, " ".join(said.split())

    return run


@pytest.fixture(autouse=True)
def nullable_strings():
    with anndata.settings.override(allow_write_nullable_strings=True):
        yield


@pytest.fixture
def odd(tmp_path, make_counts, make_adata):
    """A file whose index of var has names that no model knows, and a column for each way to store those it does."""
    adata = make_adata(sparse.csr_matrix(make_counts(150)))
    names = adata.var_names.tolist()
    for name, form in FORMS.items():
        adata.var[name] = form(names)
    adata.var["ensembl"] = [f"ENSG{number:011d}.4" for number in range(1, 61)]
    adata.var["n_cells"] = np.arange(60)
    adata.var_names = [f"row{number}" for number in range(60)]
    adata.write_h5ad(tmp_path / "odd.h5ad")
    return tmp_path / "odd.h5ad"


@pytest.mark.parametrize("column", [*FORMS, "ensembl"])
def test_a_column_gives_the_names(run, tiny, odd, tmp_path, make_counts, column):
    out = tmp_path / "out.h5ad"
    code, printed, _ = run("check", tiny, odd, "--gene-column", column, "--json")
    assert code == 0, printed
    genes = json.loads(printed)["genes"]
    assert (genes["matched"], genes["names_from"]) == (60, f"var['{column}']")
    code, _, said = run("apply", tiny, odd, "-o", out, "--gene-column", column)
    assert code == 0, said
    imputed, model = anndata.read_h5ad(out), scinn_infer.load(tiny)
    assert (imputed.layers["scinn"] == model.impute(make_counts(150), model.genes)).all()
    assert imputed.var_names[0] == "row0"
    assert imputed.uns["scinn"]["genes"]["names_from"] == f"var['{column}']"


def test_says_which_column_to_name(run, tiny, odd, tmp_path):
    hint = "has 0% of the model's 60 genes"
    for arguments in (["check", tiny, odd], ["apply", tiny, odd, "-o", tmp_path / "out.h5ad"]):
        code, printed, said = run(*arguments)
        told = " ".join((printed + said).split())
        assert code == 2
        assert hint in told
        assert "But var['object'] has 100% of them: --gene-column object" in told
    code, _, said = run("apply", tiny, odd, "-o", tmp_path / "out.h5ad", "--gene-column", "n_cells")
    assert code == 2
    assert "var['n_cells'] holds no names, but int64. Columns of names: object, string, categories, ensembl." in said
    code, _, said = run("check", tiny, odd, "--gene-column", "symbol")
    assert code == 2
    assert f"{odd}: there is no var column 'symbol'" in said
    assert not (tmp_path / "out.h5ad").exists()


def test_missing_names_are_those_of_the_index(odd, tmp_path):
    adata = anndata.read_h5ad(odd)
    adata.var["some"] = pd.array(["GENE1", None, *[""] * 58], dtype="string")
    adata.write_h5ad(tmp_path / "some.h5ad")
    with H5adMatrix(tmp_path / "some.h5ad", gene_column="some") as matrix:
        assert matrix.genes == ["GENE1", *(f"row{number}" for number in range(1, 60))]


@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
def test_copies_are_summed_when_asked_to(run, tiny, tmp_path, make_counts, make_adata, storages, storage):
    X = make_counts(150)
    split = np.hstack([np.floor(X[:, :3] / 2), X])
    split[:, 3:6] -= split[:, :3]
    names = [f"GENE{number}" for number in [1, 2, 3, *range(1, 61)]]
    adata = make_adata(storages[storage](split), genes=[f"row{number}" for number in range(63)])
    adata.var["symbol"] = names
    path, out = tmp_path / "copies.h5ad", tmp_path / "out.h5ad"
    adata.write_h5ad(path)
    options = ["--gene-column", "symbol"]
    for arguments in (["check", tiny, path, *options], ["apply", tiny, path, "-o", out, *options]):
        code, printed, said = run(*arguments)
        assert code == 2
        assert "more than once: GENE1, GENE2, GENE3. Sum the copies" in " ".join((printed + said).split())
    code, printed, _ = run("check", tiny, path, *options, "--sum-duplicates", "--json")
    found = json.loads(printed)
    assert (code, found["genes"]["summed"], found["genes"]["overlap"]) == (0, ["GENE1", "GENE2", "GENE3"], 1.0)
    whole = tmp_path / "whole.h5ad"
    make_adata(X).write_h5ad(whole)
    _, printed, _ = run("check", tiny, whole, "--json")
    assert json.loads(printed)["batch"] == found["batch"]
    code, _, said = run("apply", tiny, path, "-o", out, *options, "--sum-duplicates", "--batch-size", 7)
    assert code == 0, said
    assert "Summed for the model: the columns of GENE1, GENE2, GENE3." in said
    model = scinn_infer.load(tiny)
    layer = anndata.read_h5ad(out).layers["scinn"]
    assert (layer == model.impute(split, names, duplicates="sum")).all()
    np.testing.assert_allclose(layer[:, :3] + layer[:, 3:6], model.impute(X, names[3:])[:, :3], rtol=1e-6)
