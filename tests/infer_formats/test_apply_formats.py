"""Whatever the format: the result is that of the matrix in memory, and the output holds what the input does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from formats_by_hand import FORMATS, TINY, h5ad, loom, make_batch, mtx, read_all, table, tenx_3, zarr_store, zarr_zip
from scipy import sparse

from scinn_infer import ScinnError
from scinn_infer.apply import apply_file
from scinn_infer.cli import group, main_for
from scinn_infer.outputs import result_bytes
from scinn_infer.report.request import ReportRequest
from scinn_train.cli import group as train_group


def dense(X) -> np.ndarray:
    return X.toarray() if sparse.issparse(X) else np.asarray(X)


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_gives_what_the_model_gives_in_memory(written, batch, model, tmp_path):
    path, options = written
    check_result(apply_to(tmp_path / "out.h5ad", model, path, **options), path, batch, model)
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("name", ["10x h5, version 3", "10x mtx, any order", "zarr zip, folder inside"])
def test_writes_a_zarr_store_of_any_format(name, batch, model, tmp_path):
    path = FORMATS[name](tmp_path, batch)
    check_result(apply_to(tmp_path / "out.zarr", model, path), path, batch, model)
    assert not list(tmp_path.glob("*.part*"))


def apply_to(out, model, path, **options) -> anndata.AnnData:
    apply_file(model, path, out, **options)
    return anndata.read_h5ad(out) if out.suffix == ".h5ad" else anndata.read_zarr(out)


def check_result(result, path, batch, model) -> None:
    quality = model.assess(batch.X, batch.genes)
    assert [int(cluster) for cluster in result.obs["scinn_cluster"]] == quality.cluster.tolist()
    for name in ("confidence", "drift"):
        np.testing.assert_array_equal(result.obs[f"scinn_{name}"], getattr(quality, name))
    np.testing.assert_array_equal(result.obsm["scinn_cluster_probability"], quality.cluster_probability)
    np.testing.assert_array_equal(result.obsm["X_scinn"], quality.embedding)
    assert (list(result.obs_names), list(result.var_names)) == (batch.cells, batch.genes)
    np.testing.assert_array_equal(dense(result.X), batch.X)
    assert result.layers["scinn"].dtype == np.float32
    np.testing.assert_array_equal(result.layers["scinn"], model.impute(batch.X, batch.genes))
    assert result.uns["scinn"]["model"]["sha256"] == model.sha256
    if path.suffix not in {".csv", ".gz"}:
        assert list(result.var["gene_ids"]) == batch.ids


@pytest.mark.parametrize("name", ["zarr 2, dense", "10x mtx, any order", "loom", "csv"])
@pytest.mark.parametrize("batch_size", [1, 47])
def test_does_not_depend_on_the_batch_size(name, batch_size, batch, model, tmp_path):
    path = FORMATS[name](tmp_path, batch)
    apply_file(model, path, tmp_path / "out.h5ad", batch_size=batch_size)
    result = anndata.read_h5ad(tmp_path / "out.h5ad").layers["scinn"]
    np.testing.assert_array_equal(result, model.impute(batch.X, batch.genes))


@pytest.mark.parametrize(("name", "suffix"), [("csv", "h5ad"), ("csv", "zarr"), ("zarr", "h5ad"), ("zarr", "zarr")])
def test_the_same_input_gives_the_same_bytes(name, suffix, batch, model, tmp_path):
    path = tmp_path / "new.zarr"
    if name == "zarr":
        rich_adata(batch).write_zarr(path)
    else:
        path = FORMATS[name](tmp_path, batch)
    made = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        apply_file(model, path, folder / f"out.{suffix}")
        made.append(contents(folder))
    assert made[0] == made[1]


def rich_adata(batch):
    adata = batch.adata()
    adata.obs["label"] = np.resize(["a", "b"], adata.n_obs)
    adata.obs["label"] = adata.obs["label"].astype("category")
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    adata.obsp["near"] = sparse.eye_array(adata.n_obs, format="csr")
    adata.layers["spliced"] = sparse.csc_matrix(batch.X * 2)
    adata.layers["dense"] = batch.X * 3
    adata.uns["palette"] = {"a": "red", "numbers": np.arange(3)}
    adata.raw = adata
    return adata


def check_rich(result, batch) -> None:
    assert list(result.obs["label"].cat.categories) == ["a", "b"]
    assert result.obsm["X_pca"].shape == (len(batch.cells), 2)
    assert result.obsp["near"].nnz == len(batch.cells)
    np.testing.assert_array_equal(dense(result.layers["spliced"]), batch.X * 2)
    np.testing.assert_array_equal(result.layers["dense"], batch.X * 3)
    assert result.uns["palette"]["a"] == "red"
    np.testing.assert_array_equal(dense(result.raw.X), batch.X)
    assert list(result.raw.var["gene_ids"]) == batch.ids


@pytest.mark.parametrize(
    ("source", "target", "zarr_format"),
    [("h5ad", "h5ad", 2), ("h5ad", "zarr", 2), ("zarr", "h5ad", 2), ("zarr", "h5ad", 3), ("zarr", "zarr", 3)],
)
def test_keeps_everything_between_h5ad_and_zarr(batch, model, tmp_path, source, target, zarr_format):
    path, out = tmp_path / f"new.{source}", tmp_path / f"out.{target}"
    with anndata.settings.override(zarr_write_format=zarr_format):
        getattr(rich_adata(batch), f"write_{source}")(path)
    apply_file(model, path, out, layer="spliced")
    result = anndata.read_h5ad(out) if target == "h5ad" else anndata.read_zarr(out)
    check_rich(result, batch)
    np.testing.assert_array_equal(result.layers["scinn"], model.impute(batch.X * 2, batch.genes))


@pytest.mark.parametrize(("zarr_format", "consolidated"), [(2, True), (2, False), (3, True)])
def test_a_zarr_store_is_copied_file_by_file(batch, model, tmp_path, zarr_format, consolidated):
    with anndata.settings.override(zarr_write_format=zarr_format):
        rich_adata(batch).write_zarr(tmp_path / "new.zarr")
    changed = {".zmetadata", "obs/.zattrs"} if zarr_format == 2 else {"zarr.json", "obs/zarr.json"}
    if not consolidated:
        (tmp_path / "new.zarr" / ".zmetadata").unlink()
    before = contents(tmp_path / "new.zarr")
    apply_file(model, tmp_path / "new.zarr", tmp_path / "out.zarr")
    assert contents(tmp_path / "new.zarr") == before
    after = contents(tmp_path / "out.zarr")
    assert {name for name in before if before[name] != after.get(name)} <= changed
    assert {name.split("/")[0] for name in after.keys() - before.keys()} <= {"layers", "uns", "obs", "obsm"}
    assert "scinn" in zarr.open_group(tmp_path / "out.zarr", mode="r")["layers"]  # listed, where there is a list
    assert (".zmetadata" in after) == (".zmetadata" in before)


def full_adata(batch):
    """Every kind of element that has a row for each cell, and others in all places."""
    cells, random = len(batch.cells), np.random.default_rng(0)
    adata = rich_adata(batch)
    adata.obs["ordered"] = pd.Categorical(np.resize([3, 1], cells), categories=[3, 1], ordered=True)
    adata.obs["plate"] = [f"plate Ä {number}" for number in range(cells)]
    adata.obs["small"] = np.arange(cells).astype(np.int8)
    adata.obs["depth"] = random.normal(size=cells)
    adata.obs["is_new"] = np.resize([True, False], cells)
    adata.obs["some"] = pd.array(np.resize([1, None, 3], cells), dtype="Int32")
    adata.obs["perhaps"] = pd.array(np.resize([True, None], cells), dtype="boolean")
    adata.obsm.update(
        {
            "half": random.normal(size=(cells, 3)).astype(np.float16),
            "marks": random.normal(size=(cells, 2)) > 0,
            "images": random.integers(0, 9, (cells, 2, 3), dtype=np.uint8),
            "table": pd.DataFrame({"a": np.arange(cells), "b": ["x"] * cells}, index=batch.cells),
            "bare": pd.DataFrame(index=batch.cells),
            "nothing": np.empty((cells, 0)),
            "csr": sparse.random_array((cells, 5), density=0.5, format="csr", dtype=np.float64, random_state=0),
        }
    )
    adata.obsp["linked"] = sparse.csr_matrix(adata.obsp["near"].astype(bool))
    adata.layers["half"] = batch.X.astype(np.float16)
    adata.layers["seen"] = sparse.csr_matrix(batch.X > 0)
    adata.uns.update(
        {
            "nested": {"deep": {"er": np.arange(4.0)}, "none": None, "word": "Ä", "number": 3, "is": True},
            "empty": np.array([]),
            "no words": np.array([], dtype=object),
            "words": np.array([["a", "b"], ["c", "d"]], dtype=object),
            "record": np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]),
            "complex": np.ones((3, 2)) * 1j,
            "for each cell": random.normal(size=cells),
        }
    )
    return adata


SMALL = {"outputs.transfer.CHUNK_VALUES": 150, "outputs.csr.CHUNK_VALUES": 1000, "storage.POINTERS_AT_A_TIME": 100}
"""Chunks so small that 200 cells have several."""


@pytest.fixture(params=[False, True], ids=["one chunk", "many chunks"])
def chunks(request, monkeypatch):
    for name, value in SMALL.items() if request.param else ():
        monkeypatch.setattr(f"scinn_infer.{name}", value)


SOME = ["GENE3", "GENE9", "GENE1"]
COPIES = [("h5ad", "zarr", None), ("zarr", "h5ad", None), ("h5ad", "h5ad", SOME), ("zarr", "zarr", SOME)]
"""From what, to what, and of which genes everything is written anew."""


@pytest.mark.parametrize(("source", "target", "chosen"), COPIES)
def test_all_else_keeps_its_values_and_types(model, tmp_path, source, target, chosen, chunks):
    batch = make_batch(200)
    path, out = tmp_path / f"new.{source}", tmp_path / f"out.{target}"
    getattr(full_adata(batch), f"write_{source}")(path)
    apply_file(model, path, out, only=chosen)
    before, after = (
        anndata.read_h5ad(file) if file.suffix == ".h5ad" else anndata.read_zarr(file) for file in (path, out)
    )
    wanted = before if chosen is None else before[:, chosen].copy()
    assert list(after.obs)[: before.obs.shape[1]] == list(before.obs)
    pd.testing.assert_frame_equal(after.obs[list(before.obs)], before.obs)
    pd.testing.assert_frame_equal(after.var, wanted.var)
    for place in ("layers", "obsm", "obsp"):
        for name, value in getattr(wanted, place).items():
            check_same(getattr(after, place)[name], value)
    for value, expected in ((after.X, wanted.X), (after.raw.X, before.raw.X), (dict(after.uns), dict(before.uns))):
        check_same(value, expected)


def check_same(value, expected) -> None:
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(value, expected)
    elif isinstance(expected, dict):
        assert value.keys() - {"scinn"} == expected.keys()
        for name in expected:
            check_same(value[name], expected[name])
    elif sparse.issparse(expected):
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value.toarray(), expected.toarray())
    else:
        np.testing.assert_array_equal(value, expected)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "OT":  # of texts anndata gives two kinds
            assert getattr(value, "dtype", None) == getattr(expected, "dtype", None)


@pytest.mark.parametrize(("source", "target", "chosen"), COPIES[:3])
def test_nothing_that_grows_with_the_cells_is_read_as_a_whole(model, tmp_path, monkeypatch, source, target, chosen):
    for name, value in (SMALL | {"outputs.transfer.ROWS_AT_A_TIME": 50, "csc.PIECE": 2000}).items():
        monkeypatch.setattr(f"scinn_infer.{name}", value)
    path, read = tmp_path / f"new.{source}", {}
    getattr(full_adata(make_batch(300)), f"write_{source}")(path)
    if source == "zarr":
        in_small_chunks(path)
    kind = h5py.Dataset if source == "h5ad" else zarr.Array
    getitem = kind.__getitem__

    def watched(array, *key, **options):
        values = getitem(array, *key, **options)
        if str(path) in (getattr(array.file, "filename", "") if source == "h5ad" else str(array.store)):
            read[array.name] = max(read.get(array.name, 0), np.size(values) / max(array.size, 300))
        return values

    monkeypatch.setattr(kind, "__getitem__", watched)
    apply_file(model, path, tmp_path / f"out.{target}", only=chosen, batch_size=100)
    assert {"/obs/_index", "/obs/label/codes", "/obs/some/mask", "/obsm/X_pca", "/obsp/near/data"} <= read.keys()
    assert {name: share for name, share in read.items() if share > 0.5} == {}


@pytest.mark.parametrize(("source", "target", "chosen"), COPIES)
def test_the_disk_is_asked_for_all_that_is_copied(model, tmp_path, monkeypatch, source, target, chosen):
    path, out, needs = tmp_path / f"new.{source}", tmp_path / f"out.{target}", []
    adata = full_adata(make_batch(1000))
    adata.obsm["wide"] = np.random.default_rng(0).normal(size=(1000, 700))
    adata.write_h5ad(path, compression="gzip") if source == "h5ad" else adata.write_zarr(path)

    def asked(output, *arguments):
        needs.append(result_bytes(output, *arguments))
        return needs[0]

    monkeypatch.setattr("scinn_infer.apply.result_bytes", asked)
    apply_file(model, path, out, only=chosen)
    written = sum(file.stat().st_size for file in (out.rglob("*") if out.is_dir() else [out]) if file.is_file())
    copies = 2 if target == "h5ad" else 1
    layer = 1000 * len(chosen or model.genes) * 4
    room = copies * written - layer - 1000 * 4 * (3 + model.info.clusters + model.embedding_width)
    assert room < needs[0] < 2 * copies * written + 20_000_000
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": room})())
    monkeypatch.setattr("scinn_infer.outputs.base.fill", lambda *_, **__: pytest.fail("it began"))
    with pytest.raises(ScinnError, match=r"needs .* Make room"):
        apply_file(model, path, out, only=chosen, overwrite=True)


def in_small_chunks(path) -> None:
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name, array in list(root.members(max_depth=None)):
        if getattr(array, "shape", ()) and array.shape[0] >= 300:
            values, attributes, dtype = array[:], dict(array.attrs), array.dtype
            chunks = (100, *(max(width, 1) for width in array.shape[1:]))
            del root[name]
            again = root.create_array(name, shape=values.shape, dtype=dtype, chunks=chunks)
            again[:] = values
            again.attrs.update(attributes)


@pytest.mark.parametrize("name", ["10x h5, version 3", "10x mtx, any order", "zarr 2, dense"])
def test_the_genes_can_be_named_by_another_column(name, batch, model, tmp_path):
    path = FORMATS[name](tmp_path, batch)
    result = apply_to(tmp_path / "out.h5ad", model, path, gene_column="gene_ids")
    assert list(result.var_names) == batch.genes
    assert result.uns["scinn"]["genes"]["compared_by"] == "Ensembl ids"
    np.testing.assert_array_equal(result.layers["scinn"], model.impute(batch.X, batch.genes))
    with pytest.raises(ScinnError, match=r"there is no var column 'nothing'. Columns of names: .*gene_ids"):
        apply_file(model, path, tmp_path / "other.h5ad", gene_column="nothing")


@pytest.mark.parametrize("output", ["out.zarr", "out.h5ad"])
def test_a_place_for_the_cells_that_is_taken_is_refused(output, batch, model, tmp_path):
    adata = rich_adata(batch)
    adata.obs["scinn_drift"] = 1.0
    adata.write_zarr(tmp_path / "new.zarr")
    with pytest.raises(ScinnError, match="has obs/scinn_drift already"):
        apply_file(model, tmp_path / "new.zarr", tmp_path / output)
    apply_file(model, tmp_path / "new.zarr", tmp_path / output, quality=False)


def test_the_layer_of_a_store_is_chunked_by_rows(batch, model, tmp_path, monkeypatch):
    monkeypatch.setattr("scinn_infer.outputs.transfer.CHUNK_VALUES", 32 * 60)
    path = zarr_store(sparse.csr_matrix, 2)(tmp_path, batch)
    apply_file(model, path, tmp_path / "out.zarr")
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["layers/scinn"].chunks == (32, 60)
    result = anndata.read_zarr(tmp_path / "out.zarr").layers["scinn"]
    np.testing.assert_array_equal(result, model.impute(batch.X, batch.genes))


# ---- whole or not there


@pytest.mark.parametrize("name", ["csv", "zarr 2, csr"])
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_a_run_that_fails_leaves_nothing(name, suffix, batch, model, tmp_path, monkeypatch):
    batch.X[100, 3] = np.nan  # found only once the others are imputed
    path = FORMATS[name](tmp_path, batch)
    monkeypatch.setattr("scinn_infer.apply.check_sample", lambda sample, batch: list(sample) and False)
    before = contents(tmp_path)
    with pytest.raises(ScinnError, match=r"cell 101 .*GENE4: the value is missing"):
        apply_file(model, path, tmp_path / f"out.{suffix}")
    assert contents(tmp_path) == before
    assert not (tmp_path / f"out.{suffix}").exists()


def test_overwrites_a_store_only_when_asked(batch, model, tmp_path):
    path, out = table()(tmp_path, batch), tmp_path / "out.zarr"
    apply_file(model, path, out, key_added="first")
    before = contents(out)
    with pytest.raises(ScinnError, match="exists already"):
        apply_file(model, path, out)
    assert contents(out) == before
    apply_file(model, path, out, overwrite=True)
    assert set(anndata.read_zarr(out).layers) == {"scinn"}
    assert [entry.name for entry in tmp_path.iterdir() if ".old" in entry.name or ".part" in entry.name] == []


def test_does_not_replace_a_folder_that_is_no_store(batch, model, tmp_path):
    path, out = table()(tmp_path, batch), tmp_path / "out.zarr"
    out.mkdir()
    (out / "thesis.txt").write_text("four years")
    with pytest.raises(ScinnError, match="is no zarr store, so it is not replaced"):
        apply_file(model, path, out, overwrite=True)
    assert (out / "thesis.txt").read_text() == "four years"


def test_never_writes_to_the_input(batch, model, tmp_path):
    store = zarr_store(sparse.csr_matrix, 2)(tmp_path, batch)
    folder = mtx(2, compress=False)(tmp_path, batch)
    before = contents(tmp_path)
    for path, out in {store: store, folder: folder / "matrix.mtx"}.items():
        with pytest.raises(ScinnError, match="never written to"):
            apply_file(model, path, out, overwrite=True)
    for name in ("inside.zarr", "inside.h5ad", "X/deeper.h5ad"):
        with pytest.raises(ScinnError, match=r"is within|, or is within"):
            apply_file(model, store, store / name, overwrite=True)
    for name in ("page.html", "X/page.html"):
        with pytest.raises(ScinnError, match=r"is within .*new\.zarr, a zarr store that is never written to"):
            apply_file(model, store, tmp_path / "out.zarr", report=ReportRequest(path=store / name))
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("version", "compress"), [(2, False), (3, True)])
def test_never_writes_to_the_names_beside_a_matrix(batch, tmp_path, capfd, version, compress):
    matrix = next(mtx(version, compress=compress, prefix="GSM1_")(tmp_path, batch).glob("*matrix*"))
    (tmp_path / "link.html").symlink_to(next(matrix.parent.glob("*barcodes*")))
    before = contents(tmp_path)
    for file in [tmp_path / "link.html", *matrix.parent.iterdir()]:
        for words in (("-o", file), ("-o", tmp_path / "out.h5ad", "--report", file)):
            code, _, said = run(capfd, "apply", TINY, matrix, *words, "--overwrite")
            assert code == 2
            assert "is the same file as" in said
        arguments = ["fit", matrix, "-o", file, "--overwrite"]
        assert main_for(train_group, "scinn-train", list(map(str, arguments))) == 2
        assert "is the same file as" in capfd.readouterr().err
    assert contents(tmp_path) == before


def test_never_writes_to_the_model(batch, tmp_path, capfd):
    path, model = table()(tmp_path, batch), tmp_path / "tissue.h5ad"  # whatever it is called
    model.write_bytes(TINY.read_bytes())
    for words in (("-o", model), ("-o", tmp_path / "out.h5ad", "--report", model)):
        code, _, said = run(capfd, "apply", model, path, *words, "--overwrite")
        assert code == 2
        assert "is the same file as" in said
    assert model.read_bytes() == TINY.read_bytes()


def test_a_page_does_not_become_a_part_of_the_result(batch, model, tmp_path):
    path, out = table()(tmp_path, batch), tmp_path / "out.zarr"
    apply_file(model, path, out)
    before = contents(tmp_path)
    with pytest.raises(ScinnError, match="would become a part of the result"):
        apply_file(model, path, out, overwrite=True, report=ReportRequest(path=out / "page.html"))
    assert contents(tmp_path) == before


def test_a_folder_of_text_may_hold_the_result(batch, model, tmp_path):
    folder = mtx(3, compress=True)(tmp_path, batch)
    apply_file(model, folder, folder / "out.h5ad")
    assert (folder / "out.h5ad").exists()


def test_a_store_around_the_input_is_not_replaced(batch, model, tmp_path):
    (tmp_path / "spatial.zarr").mkdir()
    (tmp_path / "spatial.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    store = zarr_store(sparse.csr_matrix, 2)(tmp_path / "spatial.zarr", batch)
    before = contents(tmp_path)
    with pytest.raises(ScinnError, match="would be lost with it"):
        apply_file(model, store, tmp_path / "spatial.zarr", overwrite=True)
    assert contents(tmp_path) == before


def test_a_store_that_nobody_may_write_to_gives_one_that_its_owner_may(batch, model, tmp_path):
    store = zarr_store(sparse.csr_matrix, 2)(tmp_path, batch)
    entries = [store, *store.rglob("*")]
    for entry in entries:
        entry.chmod(entry.stat().st_mode & ~0o222)
    apply_file(model, store, tmp_path / "out.zarr")
    for entry in entries:  # for whoever cleans up
        entry.chmod(entry.stat().st_mode | 0o200)
    assert all(entry.stat().st_mode & 0o200 for entry in (tmp_path / "out.zarr").rglob("*"))


def test_refuses_a_key_that_a_store_has(batch, model, tmp_path):
    path = zarr_store(sparse.csr_matrix, 2)(tmp_path, batch)
    apply_file(model, path, tmp_path / "once.zarr")
    for out in ("twice.zarr", "twice.h5ad"):
        with pytest.raises(ScinnError, match=r"has layers/scinn already"):
            apply_file(model, tmp_path / "once.zarr", tmp_path / out)
    with pytest.raises(ScinnError, match="no name for a layer"):
        apply_file(model, tmp_path / "once.zarr", tmp_path / "other.zarr", key_added="a/b")


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_needs_room(batch, model, tmp_path, monkeypatch, suffix):
    path = tenx_3(tmp_path, batch)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("usage", (), {"free": 10})())
    with pytest.raises(ScinnError, match=r"needs .* Make room"):
        apply_file(model, path, tmp_path / f"out.{suffix}")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new.h5"]


def test_a_zip_that_would_unpack_elsewhere_stays_inside(batch, model, tmp_path):
    path = zarr_zip(tmp_path, batch)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped", "x")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    apply_file(model, path, tmp_path / "deep" / "er" / "out.zarr")
    assert not [file for file in tmp_path.rglob("escaped") if "out.zarr" not in file.parts]


# ---- the commands


def run(capfd, *arguments: object) -> tuple[int, str, str]:
    code = main_for(group, "scinn-infer", [str(argument) for argument in arguments])
    return code, *capfd.readouterr()


def test_the_commands_read_any_format(written, capfd):
    path, options = written
    code, printed, said = run(capfd, "check", TINY, path, *(["--transpose"] if options else []))
    assert (code, said) == (0, "")
    assert "Verdict: fits." in printed


def test_the_command_writes_what_it_says(batch, tmp_path, capfd):
    path, out = table(transpose=True)(tmp_path, batch), tmp_path / "out.zarr"
    code, _, said = run(capfd, "apply", TINY, path, "--transpose", "-o", out)
    assert code == 0
    assert said.splitlines()[-1].startswith(f"Wrote {out}: the imputed values are in layers['scinn']")
    assert "scinn" in anndata.read_zarr(out).layers


@pytest.mark.parametrize(
    ("write", "how"),
    [
        (mtx(2, compress=False), "is a list of entries"),
        (table(), "is text"),
        (zarr_store(sparse.csc_matrix, 2), "is stored by columns (CSC)"),
    ],
)
def test_says_that_a_pass_comes_first(write, how, batch, model, tmp_path):
    said = []
    apply_file(model, write(tmp_path, batch), tmp_path / "out.h5ad", say=said.append)
    assert [sentence for sentence in said if "temporary file first" in sentence]
    assert how in " ".join(said)


def test_says_what_else_a_file_holds(batch, model, tmp_path):
    types = ["Gene Expression"] * 55 + ["Antibody Capture"] * 5
    for path in (tenx_3(tmp_path, batch, types), mtx(3, compress=True, types=types)(tmp_path, batch)):
        said = []
        apply_file(model, path, tmp_path / "out.h5ad", say=said.append, overwrite=True)
        assert "other features besides 55 genes: 5 of Antibody Capture. They are left out." in said[0]
        result = anndata.read_h5ad(tmp_path / "out.h5ad")
        np.testing.assert_array_equal(dense(result.X), batch.X[:, :55])
        np.testing.assert_array_equal(result.layers["scinn"], model.impute(batch.X[:, :55], batch.genes[:55]))


def test_the_commands_start_without_the_packages_for_files():
    code = (
        "import sys, scinn_infer.inputs, scinn_infer.outputs, scinn_infer.cli;"
        "sys.exit(', '.join({'h5py', 'anndata', 'zarr', 'pandas', 'torch'} & set(sys.modules)) or None)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def run_without_packages(*arguments) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['h5py', 'anndata', 'zarr', 'pandas']));"
        "from scinn_infer.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_text_can_be_checked_without_packages_for_files(batch, tmp_path):
    ran = run_without_packages("check", TINY, mtx(3, compress=True)(tmp_path, batch))
    assert (ran.returncode, ran.stderr) == (0, "")


def test_genes_that_do_not_match_are_told_without_packages_for_files(batch, tmp_path):
    path = table()(tmp_path, batch)
    path.write_text(path.read_text().replace("GENE", "Gene"))
    ran = run_without_packages("check", TINY, path)
    assert ran.returncode == 2
    assert "only in upper and lower case" in ran.stdout
    assert "Verdict: refused." in ran.stdout


def test_what_cannot_be_written_is_refused_before_the_input_is_read(batch, tmp_path):
    for output in ("out.h5ad", "out.zarr"):
        ran = run_without_packages("apply", TINY, table()(tmp_path, batch), "-o", tmp_path / output)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.count("\n") == 1, "something was said, so something was read"
        assert 'pip install "scinn[anndata]"' in ran.stderr


def test_a_reference_can_be_in_any_format(written, batch):
    from scinn_train.reading import in_blocks, open_reference

    path, options = written
    with open_reference(path, **options) as read, in_blocks(read.X, source="X") as given:
        blocks = [block if isinstance(block, np.ndarray) else block.toarray() for block in given.blocks]
        cells = list(read.cells)
    np.testing.assert_array_equal(np.concatenate(blocks), batch.X)
    assert (read.genes, cells) == (batch.genes, batch.cells)
    assert read.gene_ids == (None if path.suffix in {".csv", ".gz"} else batch.ids)


def test_a_layer_of_a_loom_file(batch, model, tmp_path):
    path = loom((32, 32))(tmp_path, batch)
    apply_file(model, path, tmp_path / "out.h5ad", layer="spliced")
    result = anndata.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(result.layers["scinn"], model.impute(batch.X, batch.genes))
    assert result.uns["scinn"]["source"] == "layers/spliced"


def test_an_h5ad_is_read_as_before(batch, tmp_path):
    X, genes, cells, columns = read_all(h5ad(tmp_path, make_batch()))
    np.testing.assert_array_equal(X, batch.X)
    assert (genes, cells, columns) == (batch.genes, batch.cells, {"gene_ids": batch.ids})


# ---- names that not everything can hold


def with_layer(adata, name) -> None:
    adata.layers[name] = adata.X.copy()


def with_place(adata, name) -> None:
    adata.obsm[name] = np.ones((adata.n_obs, 2))


def with_column(adata, name) -> None:
    adata.obs[name] = 1.0


def with_entry(adata, name) -> None:
    adata.uns[name] = {"x": 1}


def with_inner_entry(adata, name) -> None:
    adata.uns["inner"] = {name: np.ones(3)}


@pytest.mark.parametrize(
    ("add", "place"),
    [
        (with_layer, "layers"),
        (with_place, "obsm"),
        (with_column, "obs"),
        (with_entry, "uns"),
        (with_inner_entry, "uns/inner"),
    ],
)
@pytest.mark.parametrize("name", ["a\\b", ".zattrs", ".zgroup", "zarr.json"])
def test_a_name_that_zarr_would_lose_is_refused_before_anything_is_copied(add, place, name, batch, tmp_path, capfd):
    adata = batch.adata()
    add(adata, name)
    adata.write_h5ad(tmp_path / "new.h5ad")
    code, _, err = run(capfd, "apply", TINY, tmp_path / "new.h5ad", "-o", tmp_path / "out.zarr", "-q")
    assert code == 2
    assert f"new.h5ad: {place} has {name!r}, which a zarr store cannot hold" in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["new.h5ad"]
    assert run(capfd, "apply", TINY, tmp_path / "new.h5ad", "-o", tmp_path / "out.h5ad", "-q")[0] == 0


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_a_column_with_a_slash_is_refused_for_zarr_and_named(axis, batch, tmp_path, capfd):
    path = tmp_path / "new.h5ad"
    batch.adata().write_h5ad(path)
    with h5py.File(path, "r+") as file:  # anndata does not write them any more
        table = file[axis]
        column = table.create_dataset("n/UMI", data=np.arange(float(table["_index"].shape[0])))
        column.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        table.attrs["column-order"] = np.array(["n/UMI"], dtype=h5py.string_dtype())
    code, _, err = run(capfd, "apply", TINY, path, "-o", tmp_path / "out.zarr", "-q")
    assert code == 2
    assert f"{path}: {axis} has 'n/UMI', which a zarr store cannot hold" in err
    assert "Rename it, or write an .h5ad file" in err
    assert not (tmp_path / "out.zarr.part").exists()


@pytest.mark.parametrize("key", ["a\\b", ".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"])
@pytest.mark.parametrize("name", ["zarr 2, csr", "zarr 3, csr", "csv"])
def test_a_result_is_not_called_what_zarr_would_lose(key, name, batch, tmp_path, capfd):
    path = FORMATS[name](tmp_path, batch)
    code, _, err = run(capfd, "apply", TINY, path, "-o", tmp_path / "out.zarr", "-q", "--key-added", key)
    assert code == 2
    assert f"{key!r} is no name for a layer in a zarr store: " in err
    assert not (tmp_path / "out.zarr.part").exists()


def test_a_loom_attribute_that_zarr_would_lose_is_refused(batch, tmp_path, capfd):
    path = FORMATS["loom"](tmp_path, batch)
    with h5py.File(path, "r+") as file:
        file["row_attrs"]["a\\b"] = np.array(batch.genes, dtype="S")
    code, _, err = run(capfd, "apply", TINY, path, "-o", tmp_path / "out.zarr", "-q")
    assert code == 2
    assert "var has 'a\\\\b', which a zarr store cannot hold" in err


@pytest.mark.parametrize("out", ["out.h5ad", "out.zarr"])
def test_files_whose_names_are_no_utf_8_are_read_and_written(out, batch, tmp_path, capfd):
    model = shutil.copy(TINY, tmp_path / "t\udcff.onnx")
    path = h5ad(tmp_path, batch).rename(tmp_path / "a\udcff.h5ad")
    page, out = tmp_path / "page\udcff.html", tmp_path / f"\udcff{out}"
    code, _, err = run(capfd, "apply", model, path, "-o", out, "-q", "--report", page)
    assert (code, "bug" in err) == (0, False)
    result = anndata.read_h5ad(out) if out.suffix == ".h5ad" else anndata.read_zarr(out)
    assert result.uns["scinn"]["model"]["file"] == "t\ufffd.onnx"
    assert "a?.h5ad: X" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("out", ["out.h5ad", "out.zarr"])
def test_a_result_is_not_called_what_is_no_utf_8(out, batch, tmp_path, capfd):
    code, _, err = run(capfd, "apply", TINY, h5ad(tmp_path, batch), "-o", tmp_path / out, "--key-added", "k\udcff")
    assert code == 2
    assert "'k\\udcff' is no name for a layer" in err
