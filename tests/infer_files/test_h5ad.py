"""Reading: the same rows whatever the storage, and a sentence for every file that is not what it should be."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tracemalloc
from collections import Counter

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scinn_infer import ScinnError, csc
from scinn_infer.h5ad import H5adMatrix


def dense(rows) -> np.ndarray:
    return rows.toarray() if sparse.issparse(rows) else rows


@pytest.fixture(params=["csr", "csc", "dense"])
def storage(request) -> str:
    return request.param


@pytest.fixture
def write(tmp_path, make_adata, storages):
    """Write a matrix in one of the storages; return the path."""

    def write(X, storage="csr", **settings):
        path = tmp_path / f"{storage}.h5ad"
        make_adata(storages[storage](X)).write_h5ad(path, **settings)
        return path

    return write


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint16", "bool"])
def test_reads_what_anndata_wrote(write, make_counts, storage, dtype):
    X = make_counts(40).astype(dtype)
    with H5adMatrix(write(X, storage)) as matrix:
        assert (matrix.shape, matrix.storage) == ((40, 60), storage)
        assert matrix.dtype == ("uint8" if dtype == "bool" else dtype)
        assert matrix.genes[:2] == ["GENE1", "GENE2"]
        assert matrix.cells[-1] == "cell39"
        np.testing.assert_array_equal(np.vstack([dense(chunk) for chunk in matrix.chunks(7)]), X)


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_reads_compressed_files(write, make_counts, storage, compression):
    X = make_counts(40)
    with H5adMatrix(write(X, storage, compression=compression)) as matrix:
        np.testing.assert_array_equal(dense(matrix.rows(5, 25)), X[5:25])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_rows_of_a_csc_matrix_are_those_of_the_csr_matrix(tmp_path_factory, make_adata, data):
    cells, genes = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    X = sparse.random(cells, genes, density=data.draw(st.floats(0, 1)), format="csc", random_state=cells)
    path = tmp_path_factory.mktemp("csc") / "csc.h5ad"
    make_adata(X, genes=[f"g{gene}" for gene in range(genes)]).write_h5ad(path)
    start = data.draw(st.integers(0, cells - 1))
    stop = data.draw(st.integers(start + 1, cells))
    with pytest.MonkeyPatch.context() as patch:  # many buckets and pieces in a small matrix
        patch.setattr(csc, "BUCKET_ROWS", data.draw(st.integers(1, 9)))
        patch.setattr(csc, "PIECE", data.draw(st.integers(1, 50)))
        with H5adMatrix(path) as matrix:
            np.testing.assert_array_equal(matrix.rows(start, stop).toarray(), X.toarray()[start:stop])


def test_reading_takes_memory_for_the_chunk_not_for_the_cells(write, storage, make_counts, monkeypatch):
    monkeypatch.setattr(csc, "PIECE", 1 << 14)

    def peak(cells: int) -> int:
        path = write(make_counts(cells), storage)
        with H5adMatrix(path) as matrix:
            tracemalloc.start()
            for _ in matrix.chunks(64):
                pass
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    peak(100)  # what the first use of everything takes
    assert peak(20_000) < 1.5 * peak(2_000) + 500_000


@pytest.fixture
def unpacked(monkeypatch):
    """Count how often each chunk is unpacked, by the array and the chunk's first row."""
    counts, getitem = Counter(), h5py.Dataset.__getitem__

    def watched(dataset, key, **options):
        if isinstance(key, slice) and dataset.compression:
            start, stop, _ = key.indices(dataset.shape[0])
            size = dataset.chunks[0]
            counts.update((dataset.name, row) for row in range(start - start % size, stop, size))
        return getitem(dataset, key, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    return counts


@pytest.mark.parametrize("batch_size", [1, 7, 40, 64, 100])
@pytest.mark.parametrize("start", [0, 45])
def test_each_compressed_chunk_is_unpacked_once(write, make_counts, storage, unpacked, batch_size, start):
    X = make_counts(150)
    path = write(X, storage)
    in_chunks(path, {"X": (40, 9)} if storage == "dense" else {"X/data": (700,), "X/indices": (300,)})
    with H5adMatrix(path) as matrix:
        unpacked.clear()
        read = np.vstack([dense(chunk) for chunk in matrix.chunks(batch_size, start=start)])
    np.testing.assert_array_equal(read, X[start:])
    assert set(unpacked.values()) == ({2, 1} if storage == "csc" else {1})  # that has a pass for the rows alone


def test_of_the_widest_chunks_some_rows_are_held(write, make_counts, unpacked, monkeypatch):
    monkeypatch.setattr("scinn_infer.held_rows.MOST_HELD", 20 * 60 * 4)
    X = make_counts(150)
    path = write(X, "dense")
    in_chunks(path, {"X": (100, 9)})
    with H5adMatrix(path) as matrix:
        np.testing.assert_array_equal(np.vstack(list(matrix.chunks(7))), X)
        assert max(unpacked.values()) == 100 / 20
        assert (matrix.rows(3, 5) == X[3:5]).all()


def in_chunks(path, shapes) -> None:
    """Store arrays again in compressed chunks."""
    with h5py.File(path, "r+") as file:
        for name, chunks in shapes.items():
            values, attributes = file[name][()], dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, data=values, chunks=chunks, compression="gzip").attrs.update(attributes)


def test_reordering_a_csc_matrix_leaves_no_file(write, make_counts, tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    with H5adMatrix(write(make_counts(40), "csc"), temporary_folder=folder) as matrix:
        matrix.rows(0, 3)
    assert list(folder.iterdir()) == []


def test_reordering_a_csc_matrix_needs_room(write, make_counts, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("usage", (), {"free": 10})())
    with (
        H5adMatrix(write(make_counts(40), "csc")) as matrix,
        pytest.raises(ScinnError, match="re-ordering a matrix stored by columns needs"),
    ):
        matrix.rows(0, 1)


def test_reordering_a_csc_matrix_says_when_the_disk_fills_up(write, make_counts, monkeypatch, tmp_path):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    assert f"failed to write to {tmp_path}: No space left" in refused(
        write(make_counts(40), "csc"), temporary_folder=tmp_path, named=False
    )


def test_reads_a_layer(tmp_path, make_adata, make_counts):
    adata = make_adata(sparse.csr_matrix(np.log1p(make_counts(10))))
    adata.layers["counts"] = make_counts(10)
    adata.write_h5ad(tmp_path / "a.h5ad")
    with H5adMatrix(tmp_path / "a.h5ad", layer="counts") as matrix:
        np.testing.assert_array_equal(matrix.rows(0, 10), make_counts(10))


@pytest.mark.parametrize(
    "index", [pd.Index([f"c{i}" for i in range(10)], name="barcode"), pd.RangeIndex(10).astype(str)]
)
def test_reads_names_under_any_column_name(tmp_path, make_adata, make_counts, index):
    adata = make_adata(make_counts(10))
    adata.obs_names = index
    adata.write_h5ad(tmp_path / "a.h5ad")
    with H5adMatrix(tmp_path / "a.h5ad") as matrix:
        assert matrix.cells == list(index)


# ---- files to be refused


def read(path, **options) -> None:
    with H5adMatrix(path, **options) as matrix:
        _ = matrix.genes, matrix.cells
        for _ in matrix.chunks(3):
            pass


def refused(path, *, named=True, **options) -> str:
    """Return the sentence with which a file is refused, when it is opened or read."""
    with pytest.raises(ScinnError) as refusal:
        read(path, **options)
    assert not named or str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_refuses_what_is_not_there(tmp_path):
    assert "is not there" in refused(tmp_path / "none.h5ad")
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 bytes"),
        (b"gene,cell1\nGENE1,3\n", "not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "truncated or damaged"),
    ],
)
def test_refuses_a_file_that_is_not_what_its_name_says(tmp_path, content, problem):
    path = tmp_path / "fake.h5ad"
    path.write_bytes(content)
    assert problem in refused(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_refuses_a_truncated_file(write, make_counts, storage, part):
    path = write(make_counts(40), storage)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert "truncated or damaged" in refused(path)


def test_refuses_a_file_that_another_program_is_writing(write, make_counts):
    path = write(make_counts(20))
    code = f"import h5py; file = h5py.File({str(path)!r}, 'a'); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        sentence = refused(path)
        process.communicate(b"\n")
    assert "is open for writing in another program" in sentence
    assert "damaged" not in sentence
    read(path)


def test_refuses_other_hdf5_files(tmp_path):
    for name, hint in {"matrix": "10x Genomics", "row_attrs": "loom", "weights": "no obs and no var"}.items():
        with h5py.File(tmp_path / "other.h5ad", "w") as file:
            file.create_group(name)
        assert hint in refused(tmp_path / "other.h5ad")


def test_refuses_the_layout_before_anndata_0_7(tmp_path):
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        file["X"] = np.ones((2, 2))
        file["obs"] = np.array([(b"c1",), (b"c2",)], dtype=[("index", "S2")])
        file["var"] = np.array([(b"g1",), (b"g2",)], dtype=[("index", "S2")])
    assert "before 0.7" in refused(tmp_path / "old.h5ad")


def test_names_the_layers_that_are_there(tmp_path, make_adata, make_counts):
    adata = make_adata(make_counts(10))
    adata.layers["counts"], adata.layers["spliced"] = make_counts(10), make_counts(10)
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert "no layer 'raw'. It has the layers: counts, spliced." in refused(tmp_path / "a.h5ad", layer="raw")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["X"]
    assert "no X. It has the layers: counts, spliced. Name one" in refused(tmp_path / "a.h5ad")


def test_refuses_a_file_without_any_matrix(tmp_path):
    anndata.AnnData(obs=pd.DataFrame(index=["c1"]), var=pd.DataFrame(index=["g1"])).write_h5ad(tmp_path / "a.h5ad")
    assert "no X. It has no layers." in refused(tmp_path / "a.h5ad")


@pytest.mark.parametrize("shape", [(0, 60), (5, 0)])
def test_refuses_an_empty_matrix(tmp_path, make_adata, storages, storage, shape):
    genes = [f"GENE{number}" for number in range(shape[1])]
    make_adata(storages[storage](np.zeros(shape, np.float32)), genes=genes).write_h5ad(tmp_path / "a.h5ad")
    assert "is empty" in refused(tmp_path / "a.h5ad")


def _set(name, position, value):
    def damage(X):
        X[name][position] = value

    return damage


def _replace(name, values):
    def damage(X):
        del X[name]
        X[name] = values

    return damage


def _shape(X):
    X.attrs["shape"] = (11, 60)


def _minus_a_shape(X):
    X.attrs["shape"] = (-10, 60)


@pytest.mark.parametrize("storage", ["csr", "csc"])
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_set("indices", 7, 1000), "an index is out of range"),
        (_set("indices", 7, -1), "an index is out of range"),
        (_set("indptr", 3, 10**6), "not ascending"),
        (_set("indptr", 3, -5), "not ascending"),
        (_set("indptr", 0, 1), "does not span"),
        (_set("indptr", -1, 10**6), "does not span"),
        (_replace("indptr", np.zeros(3, np.int32)), "indptr has the wrong length"),
        (_replace("indptr", np.zeros(0, np.int32)), "indptr has the wrong length"),
        (_replace("indices", np.zeros(3, np.int32)), "not as many indices as values"),
        (_replace("indices", np.zeros((2, 2), np.int32)), "not as many indices as values"),
        (_replace("data", ["a", "b"]), "not numbers"),
        (_shape, "damaged"),
        (_minus_a_shape, "damaged"),
        (lambda X: X.attrs.pop("shape"), "damaged"),
        (lambda X: X.pop("data"), "damaged"),
    ],
)
def test_refuses_a_damaged_sparse_matrix(write, make_counts, storage, damage, problem):
    path = write(make_counts(10), storage)
    with h5py.File(path, "r+") as file:
        damage(file["X"])
    assert problem in refused(path)


def test_refuses_a_matrix_that_does_not_fit_the_names(write, make_counts):
    path = write(make_counts(10), "dense")
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = np.ones((60, 10))
    assert "60 × 10, but the file lists 10 cells and 60 genes" in refused(path)


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (np.full((10, 60), 1j), "values of type complex128"),
        (np.full((10, 60), "a", h5py.string_dtype()), "values of type object"),
        (np.ones(10), "not as a dense, CSR or CSC matrix"),
    ],
)
def test_refuses_what_is_no_matrix_of_numbers(write, make_counts, layer, problem):
    path = write(make_counts(10))
    with h5py.File(path, "r+") as file:
        file["layers"]["strange"] = layer
    assert problem in refused(path, layer="strange")


def test_refuses_a_table_for_a_matrix(write, make_counts):
    path = write(make_counts(10))
    with h5py.File(path, "r+") as file:
        file["layers"]["table"] = file["obs"]
    assert "stored as 'dataframe'" in refused(path, layer="table")


def test_names_the_plugin_for_a_compression_that_is_not_there(write, make_counts, monkeypatch):
    path = write(make_counts(10), "dense", compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    assert "compressed with deflate: pip install hdf5plugin" in refused(path)


@pytest.mark.parametrize("module", ["h5py", "anndata"])
def test_names_the_package_that_is_missing(new, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ScinnError, match=rf'{module}.*pip install "scinn\[anndata\]"'):
        H5adMatrix(new)


def test_the_modules_import_without_h5py_and_anndata():
    code = (
        "import sys, scinn_infer.h5ad, scinn_infer.h5ad_write, scinn_infer.cli;"
        "sys.exit(', '.join({'h5py', 'anndata', 'rich', 'pandas', 'torch', 'onnx'} & set(sys.modules)) or None)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
