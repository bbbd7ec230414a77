"""``inspect`` and ``check``: tables for people, JSON for programs, a verdict as the exit code."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import scinn_infer
from scinn_infer.cli import group, main_for
from scinn_infer.contract import Spread
from scinn_infer.genes import match_genes
from scinn_infer.summary import Tally, training_summary


@pytest.fixture
def run(capfd):
    def run(*arguments) -> tuple[int, str, str]:
        code = main_for(group, "scinn-infer", [str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def check(run, tiny, tmp_path):
    """Write a batch, check it, and return the exit code and the JSON document."""

    def check(adata, *options) -> tuple[int, dict]:
        adata.write_h5ad(tmp_path / "new.h5ad")
        before = sorted(tmp_path.iterdir())
        code, printed, said = run("check", tiny, tmp_path / "new.h5ad", "--json", *options)
        assert said == ""
        assert sorted(tmp_path.iterdir()) == before
        return code, json.loads(printed)

    return check


# ---- inspect


def test_inspect_json_is_everything_that_the_file_knows(run, tiny):
    code, printed, said = run("inspect", tiny, "--json")
    model = scinn_infer.load(tiny)
    document = json.loads(printed)
    assert (code, said) == (0, "")
    assert document.pop("file") == str(tiny)
    assert document.pop("bytes") == tiny.stat().st_size
    assert document.pop("sha256") == model.sha256
    assert document == json.loads(json.dumps(asdict(model.info)))


def test_inspect_prints_a_table(run, tiny):
    code, printed, said = run("inspect", tiny)
    assert (code, said) == (0, "")
    for text in ("human", "BSD-3-Clause", "counts, for input and output alike", "60 (GENE1, ", "200 cells × 80 genes"):
        assert text in printed
    digest = scinn_infer.load(tiny).sha256
    assert digest in "".join(printed.split())


def test_inspect_says_what_the_capture_efficiency_is(run, tiny, format_1):
    printed = " ".join(run("inspect", tiny)[1].split())
    assert "0.15: of every 100 RNA molecules in a cell about 15 are taken to be counted" in printed
    assert json.loads(run("inspect", tiny, "--json")[1])["capture_efficiency"] == 0.15
    printed = " ".join(run("inspect", format_1)[1].split())
    assert "not taken into account: zeros are filled with the expression that the model expects" in printed
    assert json.loads(run("inspect", format_1, "--json")[1])["capture_efficiency"] is None


def test_inspect_says_what_a_molecule_shows_as(run, tiny, tmp_path):
    efficiency, value = b"capture_efficiency\x12\x040.15", b"molecule_value\x12\x04null"
    content = tiny.read_bytes().replace(efficiency, efficiency[:-4] + b"null").replace(value, value[:-4] + b"30.5")
    (tmp_path / "reads.onnx").write_bytes(content)
    code, printed, _ = run("inspect", tmp_path / "reads.onnx")
    assert code == 0
    assert "one captured molecule shows as about 30.5 reads" in " ".join(printed.split())


def test_inspect_refuses_what_is_no_model(run, new, tmp_path):
    for path in (new, tmp_path / "none.onnx", tmp_path):
        code, printed, said = run("inspect", path)
        assert (code, printed) == (2, "")
        assert said.startswith("scinn-infer: error: ")
        assert said.count("\n") == 1


# ---- check


def test_check_says_that_a_batch_fits(check, run, tiny, make_adata, make_counts, tmp_path):
    code, document = check(make_adata(sparse.csr_matrix(make_counts(300))))
    assert (code, document["verdict"]) == (0, "fits")
    assert (document["refusals"], document["warnings"]) == ([], [])
    assert document["genes"]["matched"] == 60
    assert document["input"]["storage"] == "csr"
    assert document["profile_correlation"] > 0.9
    code, printed, said = run("check", tiny, tmp_path / "new.h5ad")
    assert (code, said) == (0, "")
    assert printed.endswith("Verdict: fits.\n")


@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
def test_check_sums_up_the_batch(check, make_adata, make_counts, storages, storage):
    X = make_counts(700)
    _, document = check(make_adata(storages[storage](X)))
    depth = X.sum(axis=1)
    assert document["batch"]["cells"] == 700
    assert document["batch"]["depth"]["median"] == np.median(depth)
    assert document["batch"]["depth"]["q95"] == pytest.approx(np.quantile(depth, 0.95))
    assert document["batch"]["genes_per_cell"]["maximum"] == (X > 0).sum(axis=1).max()
    assert document["batch"]["zero_fraction"] == pytest.approx((X == 0).mean())


def deeper(X):
    return X * 20


def shuffled(X):
    return X[:, np.random.default_rng(0).permutation(60)]


def sparser(X):
    return np.where(np.random.default_rng(0).random(X.shape) < 0.2, X, 0)


def emptied(X):
    X[:30] = 0
    return X


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (deeper, "it is of another depth or unit, since a cell adds up to"),
        (sparser, "The median number of genes in a cell is"),
        (sparser, "of the entries are zero"),
        (shuffled, "does not look like human none (random weights) (counts)"),
        (emptied, "30 of 300 cells have no expression in the model's genes"),
    ],
)
def test_check_warns_of_what_is_far_from_the_training_data(check, make_adata, make_counts, change, sentence):
    code, document = check(make_adata(change(make_counts(300))))
    assert (code, document["verdict"]) == (1, "usable with warnings")
    assert any(sentence in warning for warning in document["warnings"])


def test_check_warns_of_missing_genes_and_expects_less_depth(check, make_adata, make_counts):
    code, document = check(make_adata(make_counts(300))[:, 15:])
    assert code == 1
    (warning,) = document["warnings"]
    assert "75% of the model's genes" in warning
    assert document["training"]["depth"]["median"] == pytest.approx(document["batch"]["depth"]["median"], rel=0.2)
    assert document["training"]["zero_fraction"] == pytest.approx(document["batch"]["zero_fraction"], abs=0.1)


def huge(X):
    X = X.astype(np.int64)
    X[171, 6] = 2**24 + 1
    return X


def negative(X):
    X[171, 6] = -1
    return X


@pytest.mark.parametrize(
    ("change", "genes", "sentences"),
    [
        (np.log1p, None, ["looks log-transformed"]),
        (negative, None, ["gene GENE7"]),
        (huge, None, ["float32"]),
        (np.zeros_like, None, ["nothing but zeros"]),
        (np.copy, [f"Gene{number}" for number in range(1, 61)], ["upper and lower case"]),
        (
            np.log1p,
            [f"other{number}" for number in range(1, 61)],
            ["0% of the model's 60 genes", "looks log-transformed"],
        ),
    ],
)
def test_check_refuses_with_all_reasons(check, make_adata, make_counts, change, genes, sentences):
    adata = make_adata(change(make_counts(4000)))
    if genes:
        adata.var_names = genes
    code, document = check(adata)
    assert (code, document["verdict"]) == (2, "refused")
    assert len(document["refusals"]) == len(sentences)
    for sentence, refusal in zip(sentences, document["refusals"], strict=True):
        assert sentence in refusal
    assert document["batch"] is None


def test_check_takes_what_looks_like_logarithms_where_the_unit_is_known(check, make_adata, make_counts):
    adata = make_adata(make_counts(300).clip(0, 20) / 2)
    assert check(adata)[0] == 2
    code, document = check(adata, "--unit-checked")
    assert (code, document["refusals"]) == (0, [])
    assert document["batch"]["cells"] == 300


def test_check_prints_every_reason(run, tiny, tmp_path, make_adata, make_counts):
    make_adata(np.log1p(make_counts(30)), genes=[f"other{number}" for number in range(60)]).write_h5ad(
        tmp_path / "new.h5ad"
    )
    code, printed, said = run("check", tiny, tmp_path / "new.h5ad")
    assert (code, said) == (2, "")
    assert printed.count("refused: ") == 2
    assert printed.endswith("Verdict: refused.\n")


def test_check_takes_a_model_of_format_1(run, format_1, new):
    code, printed, said = run("check", format_1, new)
    assert (code, said) == (0, "")
    assert printed.endswith("Verdict: fits.\n")


def test_check_reads_a_layer(check, make_adata, make_counts):
    adata = make_adata(np.log1p(make_counts(300)))
    adata.layers["counts"] = make_counts(300)
    assert check(adata)[0] == 2
    assert check(adata, "--layer", "counts")[0] == 0


@pytest.mark.parametrize("missing", ["none.h5ad", "none.onnx"])
def test_check_refuses_a_file_that_cannot_be_read(run, tiny, new, missing):
    words = (tiny, new.with_name(missing)) if missing.endswith(".h5ad") else (new.with_name(missing), new)
    code, printed, said = run("check", *words)
    assert (code, printed) == (2, "")
    assert f"{missing} is not there" in said
    code, printed, said_with_json = run("check", *words, "--json", "--layer", "counts")
    document = json.loads(printed)
    assert (code, said_with_json) == (2, said)
    assert (document["verdict"], document["warnings"]) == ("refused", [])
    assert said == f"scinn-infer: error: {document['refusals'][0]}\n"
    assert document["input"]["file"] == str(words[1])
    assert document["input"]["layer"] == "counts"


def test_names_from_files_do_not_steer_the_terminal(run, tiny, tmp_path, make_adata, make_counts):
    genes = [f"GENE{number}" for number in range(1, 60)] + ["\x1b]0;title\x07[bold]x"]
    X = make_counts(30)
    X[0, 59] = -1
    make_adata(X, genes=genes).write_h5ad(tmp_path / "new.h5ad")
    for command in (["check"], ["apply", "-o", tmp_path / "out.h5ad"]):
        code, printed, said = run(*command[:1], tiny, tmp_path / "new.h5ad", *command[1:])
        assert code == 2
        assert not {"\x1b", "\x07"} & set(printed + said)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_summary_of_the_training_data_is_that_of_the_batch_it_was(tiny, data):
    """A batch that is the training data is summed up as the model file sums it up, whatever genes are dropped."""
    info = scinn_infer.load(tiny).info
    kept = data.draw(st.lists(st.integers(0, 59), min_size=20, max_size=60, unique=True))
    match = match_genes(info, [info.genes[gene] for gene in kept])
    training = training_summary(info, match)
    mean = np.array(info.training_data.gene_mean)
    share = mean[kept].sum() / mean.sum()
    assert training.depth.median == pytest.approx(info.training_data.depth.median * share)
    np.testing.assert_array_equal(training.gene_mean, mean[sorted(kept)])
    X = np.random.default_rng(len(kept)).poisson(1, (9, len(kept))).astype(float)
    order = np.argsort(kept)
    stored_zeros = sparse.csr_array((X.ravel(), np.indices(X.shape).reshape(2, -1)), shape=X.shape)
    for form in (X, sparse.csr_array(X), sparse.coo_array(X), stored_zeros):
        tally = Tally(match)
        tally.add(form)
        summary = tally.summary()
        assert summary.zero_fraction == pytest.approx((X == 0).mean())
        np.testing.assert_allclose(summary.gene_mean, X.mean(axis=0)[order])
        assert summary.depth == Spread(*np.quantile(X.sum(axis=1), (0, 0.05, 0.5, 0.95, 1)))
