"""From file to file: the same values as in memory, everything else kept, and the output whole or not there at all."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
import tracemalloc

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
from scinn_infer import ScinnError, csc
from scinn_infer.apply import apply_file
from scinn_infer.cli import group, main_for

PER_CELL = 2 + 4 * (2 + 3 + 5)
"""Bytes for a cell's cluster; its confidence, drift, three cluster probabilities and embedding."""

OTHER_UNITS = {
    "log-transformed": (np.log1p, "looks log-transformed"),
    "scaled": (lambda X: (X - X.mean(axis=0)) / (X.std(axis=0) + 1), "expression is never negative"),
    "shares": (lambda X: X / X.sum(axis=1, keepdims=True), "looks log-transformed or scaled"),
}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5ad"


@pytest.fixture
def model(tiny):
    return scinn_infer.load(tiny, threads=1)


@pytest.fixture
def apply(tiny, out, capfd):
    """Run ``scinn-infer apply``; return the exit code and what it says."""

    def apply(new, *options, output=out, model=tiny):
        code = main_for(group, "scinn-infer", ["apply", str(model), str(new), "-o", str(output), *options])
        printed, said = capfd.readouterr()
        assert printed == ""
        return code, said

    return apply


@pytest.fixture
def refused(apply, tmp_path):
    """Run ``scinn-infer apply`` and return its one sentence of refusal; nothing may have been written."""

    def refused(new, *options, **settings) -> str:
        before = contents(tmp_path)
        code, said = apply(new, *options, **settings)
        assert code == 2
        assert contents(tmp_path) == before
        *_, last = said.splitlines()
        assert last.startswith("scinn-infer: error: ")
        assert "Traceback" not in said
        return last

    return refused


def contents(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- the result


@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("policy", ["keep", "denoise"])
def test_gives_what_the_model_gives_in_memory(
    apply, out, tmp_path, model, make_counts, make_adata, storages, storage, dtype, policy
):
    X = make_counts(300).astype(dtype)
    make_adata(storages[storage](X)).write_h5ad(tmp_path / "new.h5ad")
    assert apply(tmp_path / "new.h5ad", "--threads", "1", "--policy", policy)[0] == 0
    result = anndata.read_h5ad(out).layers["scinn"]
    assert result.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(result, model.impute(X, make_adata(X).var_names, policy=policy))
    assert (result[X > 0] == X[X > 0]).all() == (policy == "keep")
    assert np.isfinite(result).all()
    assert (result >= 0).all()


def test_keeps_everything_else_in_the_file(apply, out, tmp_path, make_counts, make_adata):
    adata = make_adata(sparse.csr_matrix(make_counts(30)))
    adata.obs["label"] = pd.Categorical(["a", "b", "c"] * 10)
    adata.obs["depth"] = adata.X.sum(axis=1)
    adata.var["name"] = [None, *adata.var_names[1:]]
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(30, 2))
    adata.obsp["near"] = sparse.eye_array(30, format="csr")
    adata.layers["spliced"] = sparse.csc_matrix(make_counts(30, seed=1))
    adata.uns["palette"] = {"a": "red", "numbers": np.arange(3)}
    adata.raw = adata
    adata.write_h5ad(tmp_path / "new.h5ad", compression="gzip")
    assert apply(tmp_path / "new.h5ad")[0] == 0
    before, after = tree(tmp_path / "new.h5ad"), tree(out)
    assert {name for name in before if after[name] != before[name]} == {"obs"}  # its list of columns
    with h5py.File(out) as file:
        order = [name.removeprefix("scinn_") for name in file["obs"].attrs["column-order"]]
    assert order == ["label", "depth", "cluster", "confidence", "drift"]
    added = {name for name in after.keys() - before.keys() if not name.startswith(("uns/scinn/", "obs/scinn_cluster/"))}
    obs, obsm = ("cluster", "confidence", "drift"), ("scinn_cluster_probability", "X_scinn")
    assert added == {
        "layers/scinn",
        "uns/scinn",
        *(f"obs/scinn_{name}" for name in obs),
        *(f"obsm/{name}" for name in obsm),
    }
    written = anndata.read_h5ad(out)
    assert list(written.obs["label"].cat.categories) == ["a", "b", "c"]
    assert written.raw.shape == (30, 60)


def tree(path) -> dict[str, str]:
    """Everything in an HDF5 file: attributes, and values where there are any."""
    found = {}

    def add(name, element):
        value = element[()] if isinstance(element, h5py.Dataset) else ""
        found[name] = repr((sorted(element.attrs.items(), key=str), getattr(value, "tolist", str)()))

    with h5py.File(path) as file:
        file.visititems(add)
    return found


def test_records_how_the_layer_was_made(apply, out, new, model):
    apply(new)
    record = anndata.read_h5ad(out).uns["scinn"]
    assert record["model"]["sha256"] == model.sha256
    assert (record["source"], record["unit"], int(record["genes"]["matched"])) == ("X", "counts", 60)
    assert (record["policy"], record["output"]) == ("keep", "imputed")
    apply(new, "--overwrite", "--policy", "denoise")
    record = anndata.read_h5ad(out).uns["scinn"]
    assert (record["policy"], record["output"]) == ("denoise", "denoised")
    assert "those observed too" in record["policy_meaning"]
    assert "none is an observation" in record["note"]


@pytest.mark.parametrize(("policy", "output"), [("keep", "imputed"), ("denoise", "expected")])
def test_takes_a_model_of_format_1(apply, out, new, format_1, make_counts, policy, output):
    assert apply(new, "--threads", "1", "--policy", policy, model=format_1)[0] == 0
    written = anndata.read_h5ad(out)
    network = scinn_infer.load(format_1, threads=1).run(make_counts(300), outputs=[output])[output]
    np.testing.assert_allclose(written.layers["scinn"], network, rtol=1e-5)
    assert (written.uns["scinn"]["policy"], written.uns["scinn"]["output"]) == (policy, output)
    assert written.uns["scinn"]["model"]["format"] == 1


def test_the_output_can_be_read_without_loading_it(apply, out, new):
    apply(new)
    backed = anndata.read_h5ad(out, backed="r")
    assert backed.layers["scinn"][5:7].shape == (2, 60)
    backed.file.close()


def test_reads_a_layer_and_writes_under_another_name(apply, out, tmp_path, model, make_counts, make_adata):
    adata = make_adata(np.log1p(make_counts(20)))
    adata.layers["counts"] = make_counts(20)
    adata.write_h5ad(tmp_path / "new.h5ad")
    assert apply(tmp_path / "new.h5ad", "--layer", "counts", "--key-added", "filled", "--threads", "1")[0] == 0
    written = anndata.read_h5ad(out)
    assert written.uns["filled"]["source"] == "layers/counts"
    np.testing.assert_array_equal(written.layers["filled"], model.impute(make_counts(20), adata.var_names))


@pytest.mark.parametrize("settings", [{"userblock_size": 512}, {"libver": "latest"}, {"fs_strategy": "page"}])
def test_any_kind_of_hdf5_file_will_do(apply, out, tmp_path, new, model, make_counts, make_adata, settings):
    with h5py.File(new) as file, h5py.File(tmp_path / "other.h5ad", "w", **settings) as other:
        for name in file:
            file.copy(name, other)
        other.attrs.update(file.attrs)
        del other["uns"], other["layers"]  # nor is every group always there
    assert apply(tmp_path / "other.h5ad", "--threads", "1")[0] == 0
    expected = model.impute(make_counts(300), make_adata(make_counts(300)).var_names)
    np.testing.assert_array_equal(anndata.read_h5ad(out).layers["scinn"], expected)


def test_the_same_run_gives_the_same_bytes(apply, out, new):
    runs = []
    for size in ("7", "7", "1000"):
        apply(new, "--overwrite", "--threads", "1", "--batch-size", size)
        runs.append(out.read_bytes())
        time.sleep(1.1 if len(runs) == 1 else 0)  # long enough for a stored time to differ
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
def test_memory_does_not_grow_with_the_cells(
    tmp_path, out, model, make_counts, make_adata, storages, storage, monkeypatch
):
    monkeypatch.setattr(csc, "PIECE", 1 << 14)

    def peak(cells: int) -> int:
        make_adata(storages[storage](make_counts(cells))).write_h5ad(tmp_path / "new.h5ad")
        tracemalloc.start()
        apply_file(model, tmp_path / "new.h5ad", out, overwrite=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(500)  # what the first use of everything takes
    assert peak(20_000) < peak(2_000) + 600_000  # the result alone is 4,320,000 bytes larger


# ---- what it tells


def test_tells_the_gene_match_and_where_the_result_is(apply, new):
    code, said = apply(new)
    assert code == 0
    assert "60 of the model's 60 genes" in said
    assert "the imputed values are in layers['scinn']; non-zero values are kept bit for bit" in said
    assert "those observed too" in apply(new, "--overwrite", "--policy", "denoise")[1]


def test_tells_of_the_pass_that_a_csc_matrix_needs(apply, tmp_path, make_counts, make_adata):
    make_adata(sparse.csc_matrix(make_counts(20))).write_h5ad(tmp_path / "new.h5ad")
    assert "stored by columns" in apply(tmp_path / "new.h5ad")[1]


def test_tells_of_cells_without_counts_and_keeps_them(apply, out, tmp_path, make_counts, make_adata):
    X = make_counts(50)
    X[[3, 40]] = 0
    make_adata(X).write_h5ad(tmp_path / "new.h5ad")
    code, said = apply(tmp_path / "new.h5ad")
    assert code == 0
    assert "scinn-infer: warning: " in said
    assert "2 of 50 cells have no expression in the model's genes" in said
    assert (anndata.read_h5ad(out).layers["scinn"][[3, 40]] == 0).all()


def test_warns_of_missing_genes(apply, tmp_path, make_counts, make_adata):
    make_adata(make_counts(50))[:, :40].write_h5ad(tmp_path / "new.h5ad")
    code, said = apply(tmp_path / "new.h5ad")
    assert code == 0
    assert "scinn-infer: warning: " in said
    assert "has only 67% of the model's genes" in said


def test_quiet_says_warnings_only(apply, tmp_path, make_counts, make_adata, new):
    assert apply(new, "--quiet") == (0, "")
    X = make_counts(50)
    X[3] = 0
    make_adata(X).write_h5ad(tmp_path / "empty.h5ad")
    _, said = apply(tmp_path / "empty.h5ad", "--quiet", "--overwrite")
    assert said.count("\n") == 1
    assert "1 of 50 cells" in said


# ---- bad input


@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
@pytest.mark.parametrize("row", [0, 431])  # among the cells that are looked at first, and not
def test_names_the_cell_and_the_gene_of_a_bad_value(
    refused, tmp_path, make_counts, make_adata, storages, storage, value, row
):
    X = make_counts(4000)
    X[row, 6] = value
    make_adata(storages[storage](X)).write_h5ad(tmp_path / "new.h5ad")
    sentence = refused(tmp_path / "new.h5ad")
    assert re.search(rf"\bcell{row}\b.*\bGENE7\b", sentence)


@pytest.mark.parametrize("unit", OTHER_UNITS)
def test_refuses_data_in_another_unit(refused, tmp_path, make_counts, make_adata, unit):
    convert, reason = OTHER_UNITS[unit]
    make_adata(convert(make_counts(50))).write_h5ad(tmp_path / "new.h5ad")
    sentence = refused(tmp_path / "new.h5ad")
    assert "new.h5ad: X" in sentence
    assert reason in sentence


@pytest.mark.parametrize("batch_size", [[], ["--batch-size", "10"]])
def test_takes_corrected_counts_whose_first_cells_hold_no_large_value(
    apply, out, tmp_path, make_counts, make_adata, batch_size
):
    X = make_counts(1500)
    X[:400] = X[:400].clip(0, 20) / 2
    X[-1, 0] = 300.5
    make_adata(X).write_h5ad(tmp_path / "new.h5ad")
    code, said = apply(tmp_path / "new.h5ad", *batch_size)
    assert code == 0
    assert said.count("are not whole numbers") == 1
    assert (anndata.read_h5ad(out).layers["scinn"][X != 0] == X[X != 0]).all()


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_takes_what_looks_like_logarithms_where_the_unit_is_known(
    apply, refused, tmp_path, model, make_counts, make_adata, name
):
    X = make_counts(300).clip(0, 20) / 2  # corrected counts, none of them large
    make_adata(X).write_h5ad(tmp_path / "new.h5ad")
    assert "log-transformed" in refused(tmp_path / "new.h5ad")
    assert apply(tmp_path / "new.h5ad", "--unit-checked", output=tmp_path / name)[0] == 0
    after = (anndata.read_zarr if name.endswith("zarr") else anndata.read_h5ad)(tmp_path / name)
    np.testing.assert_array_equal(after.layers["scinn"], model.impute(X, model.genes, unit_checked=True))
    X[299, 6] = np.nan
    make_adata(X).write_h5ad(tmp_path / "new.h5ad")
    assert "GENE7" in refused(tmp_path / "new.h5ad", "--unit-checked", output=tmp_path / "other.h5ad")


def test_looks_for_another_unit_beyond_the_first_cells(refused, tmp_path, make_counts, make_adata):
    X = make_counts(3000)
    X[1000:] = np.log1p(X[1000:])
    make_adata(X).write_h5ad(tmp_path / "new.h5ad")
    assert "log-transformed" in refused(tmp_path / "new.h5ad")


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_refuses_genes_that_do_not_fit(refused, tmp_path, make_counts, make_adata):
    cases = {
        "transposed": make_adata(
            make_counts(60).T.copy(), genes=[f"ACGTACGTACGTAC{'ACGT'[i % 4]}-{i}" for i in range(60)]
        ),
        "another species": make_adata(make_counts(20), genes=[f"Gene{number}" for number in range(1, 61)]),
        "too few": make_adata(make_counts(20))[:, :10],
        "more than once": make_adata(make_counts(20), genes=["GENE1", "GENE1", *(f"GENE{n}" for n in range(3, 61))]),
    }
    for problem, adata in cases.items():
        adata.write_h5ad(tmp_path / "new.h5ad")
        sentence = refused(tmp_path / "new.h5ad")
        expected = {"another species": "upper and lower case", "too few": "17% of the model's 60 genes"}
        assert expected.get(problem, problem) in sentence


def test_refuses_a_matrix_of_zeros(refused, tmp_path, make_adata, storages):
    make_adata(np.zeros((20, 60), np.float32)).write_h5ad(tmp_path / "new.h5ad")
    assert "nothing but zeros" in refused(tmp_path / "new.h5ad")


def test_refuses_a_matrix_without_anything_in_the_models_genes(refused, tmp_path, make_counts, make_adata):
    X = np.hstack([np.zeros((20, 60), np.float32), make_counts(20)])
    names = [f"{kind}{number}" for kind in ("GENE", "other") for number in range(1, 61)]
    make_adata(X, genes=names).write_h5ad(tmp_path / "new.h5ad")
    assert "nothing but zeros in the genes that the model knows" in refused(tmp_path / "new.h5ad")


def test_counts_the_cells_that_check_counts(apply, tmp_path, tiny, capfd, make_counts, make_adata):
    X = np.hstack([make_counts(50), make_counts(50)])
    X[10:20, :60] = 0
    names = [f"{kind}{number}" for kind in ("GENE", "other") for number in range(1, 61)]
    make_adata(X, genes=names).write_h5ad(tmp_path / "new.h5ad")
    _, said = apply(tmp_path / "new.h5ad", "--quiet")
    assert main_for(group, "scinn-infer", ["check", str(tiny), str(tmp_path / "new.h5ad")]) == 1
    checked = capfd.readouterr().out
    for text in (said, checked):
        assert "10 of 50 cells have no expression in the model's genes" in text


def test_refuses_a_layer_that_is_not_there(refused, new):
    assert "no layer 'counts'" in refused(new, "--layer", "counts")


def test_refuses_files_that_are_not_what_their_names_say(refused, tmp_path, new, tiny):
    (tmp_path / "text.h5ad").write_text("no table\n")
    assert "in no format that is read" in refused(tmp_path / "text.h5ad")
    assert "is not there" in refused(tmp_path / "none.h5ad")
    assert "in no format that is read" in refused(tiny)
    for model in (new, tmp_path / "text.h5ad", tmp_path / "none.onnx"):
        assert model.name in refused(new, model=model)


def test_refuses_a_file_that_is_damaged_beyond_the_first_cells(refused, tmp_path, make_counts, make_adata):
    make_adata(sparse.csr_matrix(make_counts(4000))).write_h5ad(tmp_path / "new.h5ad")
    with h5py.File(tmp_path / "new.h5ad", "r+") as file:
        file["X/indices"][file["X/indptr"][431]] = 99
    assert "an index is out of range" in refused(tmp_path / "new.h5ad")


def test_one_cell_is_enough(apply, out, tmp_path, make_counts, make_adata):
    make_adata(make_counts(1)).write_h5ad(tmp_path / "new.h5ad")
    assert apply(tmp_path / "new.h5ad")[0] == 0
    assert anndata.read_h5ad(out).layers["scinn"].shape == (1, 60)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"only": "GENE1"}, "only is the text 'GENE1'"),
        ({"batch_size": 0}, "batch_size is 0; it has to be a whole number from 1 on"),
        ({"batch_size": "3"}, "batch_size is '3'; it has to be a whole number from 1 on"),
        ({"min_value": "3"}, "min_value is '3'; it has to be a number from 0 on"),
        ({"dtype": "fine"}, "dtype is 'fine'; it is float16"),
    ],
)
def test_refuses_arguments_of_the_wrong_kind(new, out, model, option, sentence):
    with pytest.raises(ScinnError, match=sentence):
        apply_file(model, new, out, **option)
    assert not out.exists()


def test_refuses_a_policy_that_there_is_not(apply, new, out, model, tmp_path):
    code, said = apply(new, "--policy", "expected")
    assert code == 2
    assert "'expected' is not one of 'keep', 'denoise'" in said
    with pytest.raises(ScinnError, match="policy is 'expected'; it is 'keep' or 'denoise'"):
        apply_file(model, tmp_path / "none.h5ad", out, policy="expected")
    assert not out.exists()


# ---- the output


@pytest.mark.parametrize("name", ["imputed.csv", "x.h5ad.gz", "x.zarr.zip", "x.loom"])
def test_refuses_a_name_of_another_format(refused, new, tmp_path, name):
    output = tmp_path / name
    sentence = refused(new, output=output)
    assert f"the output {output} cannot be a {output.suffix}: what is written is an .h5ad" in sentence
    assert "a name that ends in .h5ad or in .zarr" in sentence


@pytest.mark.parametrize("name", ["imputed", "IMPUTED.H5AD", "imputed.h5", "imputed.hdf5"])
def test_an_h5ad_file_may_be_called_otherwise(apply, new, tmp_path, name):
    assert apply(new, output=tmp_path / name)[0] == 0
    assert "scinn" in anndata.read_h5ad(tmp_path / name).layers


def test_refuses_an_output_that_exists(refused, apply, out, new):
    out.write_text("old")
    assert "exists already" in refused(new)
    assert apply(new, "--overwrite")[0] == 0
    assert anndata.read_h5ad(out).n_obs == 300


def test_refuses_an_output_that_is_the_input_or_the_model(refused, tmp_path, new, tiny):
    (tmp_path / "link.h5ad").symlink_to(new)
    (tmp_path / "hard.h5ad").hardlink_to(new)
    (tmp_path / "model.onnx").write_bytes(tiny.read_bytes())
    for name in ("new.h5ad", "link.h5ad", "hard.h5ad", "model.onnx"):
        assert "same file" in refused(new, "--overwrite", output=tmp_path / name, model=tmp_path / "model.onnx")


def test_refuses_an_output_in_no_folder(refused, tmp_path, new):
    assert "no folder" in refused(new, output=tmp_path / "none" / "out.h5ad")


@pytest.mark.parametrize("place", ["layers", "uns"])
def test_refuses_to_replace_a_layer_or_its_record(refused, apply, tmp_path, make_counts, make_adata, place):
    adata = make_adata(make_counts(20))
    getattr(adata, place)["scinn"] = make_counts(20)
    adata.write_h5ad(tmp_path / "new.h5ad")
    assert f"has {place}/scinn already" in refused(tmp_path / "new.h5ad", "--overwrite")
    assert apply(tmp_path / "new.h5ad", "--key-added", "scinn2")[0] == 0


@pytest.mark.parametrize("name", ["", "a/b", "..", "."])
def test_refuses_names_that_are_none(refused, new, name):
    assert "no name for a layer" in refused(new, "--key-added", name)


def test_refuses_when_there_is_no_room(refused, new, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("usage", (), {"free": 1000})())
    assert "needs 1.2 MB" in refused(new)


RUN = "import sys; from scinn_infer.cli import main; sys.exit(main())"


def test_a_disk_that_is_full_midway_leaves_the_old_file(refused, out, new, monkeypatch):
    def full_after_two_blocks(blocks, **_):
        yield next(blocks)
        yield next(blocks)
        (half,) = out.parent.glob("*.part")
        assert half.stat().st_size > new.stat().st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out.write_text("old")
    monkeypatch.setattr("scinn_infer.apply.track", full_after_two_blocks)
    sentence = refused(new, "--overwrite", "--batch-size", "50")
    assert sentence.endswith("could not be written: No space left on device. Whatever was there before is unchanged.")


def test_room_is_set_aside_before_anything_is_computed(refused, new, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr("scinn_infer.apply.track", lambda blocks, **_: (pytest.fail("computed") for _ in blocks))
    assert "No space left on device" in refused(new)


def test_a_disk_that_sets_no_room_aside_will_do(apply, new, monkeypatch):
    def cannot(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr("os.posix_fallocate", cannot)
    assert apply(new)[0] == 0


def test_a_disk_without_room_for_the_layer_leaves_the_old_file(tiny, out, new):
    out.write_text("old")
    before = contents(out.parent)
    room = new.stat().st_size + 40_000  # for the copy, and half of the layer
    run = subprocess.run(
        [sys.executable, "-c", RUN, "apply", tiny, new, "-o", out, "--overwrite", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    assert run.returncode == 2
    sentence = f"{out} could not be written: File too large. Whatever was there before is unchanged."
    assert run.stderr == f"scinn-infer: error: {sentence}\n"
    assert contents(out.parent) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_midway_leaves_the_old_file(tiny, out, tmp_path, make_counts, make_adata, number):
    make_adata(sparse.csr_matrix(make_counts(40_000))).write_h5ad(tmp_path / "new.h5ad")
    out.write_text("old")
    before = contents(tmp_path)
    command = [
        sys.executable,
        "-c",
        RUN,
        "apply",
        tiny,
        tmp_path / "new.h5ad",
        "-o",
        out,
        "--overwrite",
        "--batch-size",
        "1",
    ]
    copy, layer = (tmp_path / "new.h5ad").stat().st_size, 40_000 * (60 * 4 + PER_CELL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        started = wait_for_writing(tmp_path, sizes=range(copy + layer, copy + layer + 50_000))
        process.send_signal(number)
        process.wait(timeout=20)
        said = process.stderr.read()
    assert started
    if number == signal.SIGKILL:
        assert process.returncode == -9
        (half,) = tmp_path.glob("out.h5ad.*.part")
        half.unlink()
    else:
        assert process.returncode == 130
        assert said.endswith("interrupted. No unfinished file was left under an output's name.\n")
    assert contents(tmp_path) == before


def wait_for_writing(folder, *, sizes: range) -> bool:
    """Wait until the temporary file has its final size, which it gets before its values."""
    for _ in range(2000):
        time.sleep(0.005)
        for path in folder.glob("*.part"):
            if path.stat().st_size in sizes:
                return True
    return False
