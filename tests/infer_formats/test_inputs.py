"""Reading: the same rows whatever the format and however they are cut, told by content, in bounded memory."""

from __future__ import annotations

import shutil
import tempfile
import tracemalloc
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import zarr
from formats_by_hand import FORMATS, Batch, h5ad, loom, make_batch, mtx, read_all, table, tenx_3, zarr_store
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from scinn_infer import ScinnError, csc
from scinn_infer.inputs import open_matrix


def test_reads_values_and_names(written, batch):
    path, options = written
    X, genes, cells, columns = read_all(path, **options)
    np.testing.assert_array_equal(X, batch.X)
    assert (genes, cells) == (batch.genes, batch.cells)
    assert columns.get("gene_ids", batch.ids) == batch.ids


def test_genes_of_10x_files_have_symbols_and_ids(batch, tmp_path):
    for write in (tenx_3, mtx(2, compress=True)):
        *_, columns = read_all(write(tmp_path, batch))
        assert columns["gene_symbols"] == batch.genes
        assert columns["gene_ids"] == batch.ids


def test_repeated_symbols_and_barcodes_are_kept(batch, tmp_path):
    batch.genes[1] = batch.genes[0]
    batch.cells[1] = batch.cells[0]
    for write in (tenx_3, mtx(3, compress=True), loom(None), table()):
        _, genes, cells, _ = read_all(write(tmp_path, batch))
        assert (genes, cells) == (batch.genes, batch.cells)


COUNTS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 9))
WRITERS = {name: FORMATS[name] for name in ("zarr 3, csr", "10x h5, version 3", "10x mtx, any order", "csv")}


@settings(max_examples=10, deadline=None)
@given(X=COUNTS, data=st.data())
def test_any_rows_are_those_of_the_matrix(X, data):
    batch = Batch(X, [f"g{gene}" for gene in range(X.shape[1])], [f"c{cell}" for cell in range(X.shape[0])])
    start = data.draw(st.integers(0, X.shape[0] - 1))
    stop = data.draw(st.integers(start + 1, X.shape[0]))
    later = data.draw(st.integers(0, start))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(csc, "BUCKET_ROWS", data.draw(st.integers(1, 5)))  # many buckets and pieces in a small matrix
        patch.setattr(csc, "PIECE", data.draw(st.integers(1, 20)))
        patch.setattr("scinn_infer.inputs.mtx.LINES_AT_A_TIME", data.draw(st.integers(1, 9)))
        patch.setattr("scinn_infer.inputs.delimited.ENTRIES_AT_A_TIME", data.draw(st.integers(1, 30)))
        for name, write in WRITERS.items():
            place = Path(folder) / name
            place.mkdir()
            with open_matrix(write(place, batch)) as matrix:
                assert matrix.shape == X.shape
                for first, last in ((start, stop), (later, start + 1)):
                    rows = matrix.rows(first, last)
                    found = rows.toarray() if sparse.issparse(rows) else rows
                    np.testing.assert_array_equal(found, X[first:last], err_msg=name)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_chunked_store_gives_any_rows_in_any_order(tmp_path, rows):
    X = np.arange(120, dtype=np.float32).reshape(40, 3)
    path = dense_store(tmp_path, Batch(X, list("abc"), [str(cell) for cell in range(40)]), chunks=(rows, 2))

    @settings(max_examples=20, deadline=None)
    @given(spans=st.lists(st.tuples(st.integers(0, 39), st.integers(1, 40)), min_size=1))
    def check(spans):
        with open_matrix(path) as matrix:
            for start, length in spans:
                np.testing.assert_array_equal(matrix.rows(start, min(start + length, 40)), X[start : start + length])

    check()


def dense_store(folder: Path, batch: Batch, *, chunks: tuple[int, int]) -> Path:
    path = zarr_store(np.asarray, 2)(folder, batch)
    shutil.rmtree(path / "X")
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    array = root.create_array("X", shape=batch.X.shape, dtype=batch.X.dtype, chunks=chunks)
    array[:] = batch.X
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return path


def test_a_loom_file_with_wide_chunks_is_re_ordered(batch, tmp_path, monkeypatch):
    monkeypatch.setattr("scinn_infer.inputs.loom.WIDEST_CHUNK", 64)
    monkeypatch.setattr("scinn_infer.inputs.loom.ENTRIES_AT_A_TIME", 300)
    path = loom((1, 130))(tmp_path, batch)
    with open_matrix(path) as matrix:
        assert matrix.storage == "by gene"
    np.testing.assert_array_equal(read_all(path)[0], batch.X)


# ---- told by content


SUFFIXES = {
    "10x h5, version 2": ".h5ad",
    "10x h5, version 3": ".loom",
    "loom": ".csv",
    "csv": ".h5ad",
    "tsv.gz": ".txt",
    "zarr 2, csr": ".h5ad",
    "zarr 3, dense": "",
    "zarr zip": ".csv",
    "10x mtx, version 3": ".zarr",
}


@pytest.mark.parametrize(("name", "suffix"), SUFFIXES.items())
def test_the_format_is_told_by_the_content(name, suffix, batch, tmp_path):
    path = FORMATS[name](tmp_path, batch)
    path = path.rename(path.with_name(f"strange{suffix}"))
    np.testing.assert_array_equal(read_all(path)[0], batch.X)


def test_an_h5ad_under_another_name(batch, tmp_path):
    path = h5ad(tmp_path, batch).rename(tmp_path / "strange.loom")
    np.testing.assert_array_equal(read_all(path)[0], batch.X)


def test_the_file_matrix_mtx_will_do_for_its_folder(batch, tmp_path):
    folder = mtx(2, compress=False)(tmp_path, batch)
    np.testing.assert_array_equal(read_all(folder / "matrix.mtx")[0], batch.X)


# ---- memory


def peak(path: Path, **options) -> int:
    with open_matrix(path, **options) as matrix:
        matrix.rows(0, 1)  # names, and what the first use of everything takes, are not what is measured
    tracemalloc.start()
    with open_matrix(path, **options) as matrix:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in matrix.chunks(64):
            pass
        _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most - before


@pytest.mark.parametrize(
    "name", ["zarr 2, dense", "10x h5, version 3", "10x mtx, any order", "loom", "csv", "csv by gene"]
)
def test_reading_takes_memory_for_the_chunk_not_for_the_cells(name, tmp_path, monkeypatch):
    monkeypatch.setattr(csc, "PIECE", 1 << 12)
    monkeypatch.setattr("scinn_infer.inputs.mtx.LINES_AT_A_TIME", 1 << 9)
    monkeypatch.setattr("scinn_infer.inputs.delimited.ENTRIES_AT_A_TIME", 1 << 12)
    options = {"transpose": True} if name == "csv by gene" else {}
    most = []
    for cells in (500, 5000):
        folder = tmp_path / str(cells)
        folder.mkdir()
        batch = make_batch(cells)
        in_store = name == "zarr 2, dense"
        path = dense_store(folder, batch, chunks=(100, 60)) if in_store else FORMATS[name](folder, batch)
        most.append(peak(path, **options))
    assert most[1] < 1.5 * most[0] + 400_000  # ten times the cells are 1.2 MB as float32, and more on the way


def test_re_ordering_leaves_no_file(batch, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for write in (mtx(2, compress=False), table()):
        with open_matrix(write(tmp_path, batch), temporary_folder=scratch) as matrix:
            matrix.rows(0, 3)
            assert list(scratch.iterdir()) == []


# ---- what does not fit the format


@pytest.mark.parametrize("name", ["zarr 2, csr", "10x h5, version 3", "10x mtx, version 3", "loom"])
def test_only_tables_are_transposed(name, batch, tmp_path):
    with pytest.raises(ScinnError, match=r"leave --transpose \(transpose=True\) out"):
        open_matrix(FORMATS[name](tmp_path, batch), transpose=True)


@pytest.mark.parametrize("name", ["10x h5, version 3", "10x mtx, version 3", "csv"])
def test_formats_without_layers_say_so(name, batch, tmp_path):
    with pytest.raises(ScinnError, match="no layers: leave --layer"):
        open_matrix(FORMATS[name](tmp_path, batch), layer="counts")


@pytest.mark.parametrize("name", ["zarr 2, csr", "loom"])
def test_names_the_layers_that_are_there(name, batch, tmp_path):
    listed = "the layers: spliced" if name == "loom" else "no layers"
    with pytest.raises(ScinnError, match=f"has no layer 'counts'. It has {listed}"):
        open_matrix(FORMATS[name](tmp_path, batch), layer="counts")


def test_reads_a_layer_of_a_store(batch, tmp_path):
    adata = batch.adata()
    adata.layers["counts"] = sparse.csc_matrix(batch.X * 2)
    adata.write_zarr(tmp_path / "new.zarr")
    np.testing.assert_array_equal(read_all(tmp_path / "new.zarr", layer="counts")[0], batch.X * 2)


def test_an_empty_matrix_is_refused(tmp_path, batch):
    anndata.AnnData(np.zeros((0, 60), np.float32)).write_zarr(tmp_path / "new.zarr")
    with pytest.raises(ScinnError, match="is empty: 0 cells × 60 genes"):
        open_matrix(tmp_path / "new.zarr")
    batch.X, batch.cells = batch.X[:0], []
    with pytest.raises(ScinnError, match="is empty: 0 cells × 60 genes"):
        open_matrix(tenx_3(tmp_path, batch))


def test_a_matrix_of_another_size_than_its_names_is_refused(batch, tmp_path):
    path = tenx_3(tmp_path, batch)
    with h5py.File(path, "r+") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array(batch.cells[:-3], "S18")
    with pytest.raises(ScinnError, match="is 130 × 60, but 127 cells and 60 genes are listed"):
        open_matrix(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("%%MatrixMarket matrix coordinate integer general", "%%matrixmarket MATRIX Coordinate Integer General"),
        ("\n1 ", "\n% a remark\n1 "),
    ],
)
@pytest.mark.parametrize("by_file", [False, True])
def test_a_matrix_market_file_may_be_in_any_case_and_have_remarks(batch, tmp_path, before, after, by_file):
    folder = mtx(3, compress=False)(tmp_path, batch)
    matrix = folder / "matrix.mtx"
    text = matrix.read_text()
    assert before in text
    matrix.write_text(text.replace(before, after))
    X, *_ = read_all(matrix if by_file else folder)
    np.testing.assert_array_equal(X, batch.X)


def h5ad_of(adata, folder):
    adata.write_h5ad(folder / "new.h5ad")
    return folder / "new.h5ad"


def zarr_of(adata, folder):
    adata.write_zarr(folder / "new.zarr")
    return folder / "new.zarr"


@pytest.mark.parametrize("write", [h5ad_of, zarr_of])
def test_names_in_a_column_of_var_are_read_alike_from_files_and_stores(batch, tmp_path, write):
    adata = batch.adata()
    adata.var["symbol"] = [None, *adata.var_names[1:]]
    adata.var["seen"] = True
    path = write(adata, tmp_path)
    with open_matrix(path, gene_column="symbol") as matrix:
        assert matrix.genes == batch.genes
    told = r"var\['seen'\] holds no names, but bool. Columns of names: gene_ids, symbol"
    with pytest.raises(ScinnError, match=told), open_matrix(path, gene_column="seen") as matrix:
        assert matrix.genes
