"""A reference that is not in memory gives the very file that one in memory gives, and no more of it is ever dense."""

from __future__ import annotations

import errno
import gc
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import scinn_train
from scinn_infer.cli import main_for
from scinn_train import Config, ScinnError, cell_store, expression
from scinn_train.cell_store import CellStore
from scinn_train.cli import group
from scinn_train.expression import Expression
from scinn_train.latent import _DENSE_ROWS
from scinn_train.reference import prepare
from scinn_train.simulate import SimulationConfig, write_simulated

LARGE = 1e-6
"""Gigabytes that nothing fits in."""


@pytest.fixture(scope="module")
def brief(quick) -> Config:
    """Every step once, and no more of any than that."""
    module1 = replace(quick.module1, filter_epochs=1, filter_repeats=1, networks=1, snapshots=2, latent_epochs=2)
    return replace(quick, module1=module1, module2=replace(quick.module2, epochs=1, fewest_steps=20))


@pytest.fixture(scope="module")
def whole(reference, brief) -> bytes:
    """The file of the fit in memory, one chunk for all."""
    return scinn_train.fit(reference[0], reference[1], config=brief).to_bytes()


def write(folder: Path, reference, form: str) -> Path:
    X, genes, _ = reference
    kind, storage = form.split()
    stored = {"dense": np.asarray(X.toarray()), "csr": sparse.csr_matrix(X), "csc": sparse.csc_matrix(X)}[storage]
    adata = anndata.AnnData(stored)
    adata.var_names = genes
    if kind == "zarr":
        adata.write_zarr(folder / "reference.zarr")
        return folder / "reference.zarr"
    adata.write_h5ad(folder / "reference.h5ad")
    return folder / "reference.h5ad"


def temporary_files() -> list[str]:
    """Return the open files of this process that have no name any more."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("the system does not list the open files of a process")
    gc.collect()
    links = [str(entry.readlink()) for entry in folder.iterdir() if entry.is_symlink()]
    return [link for link in links if link.endswith("(deleted)") and ("scinn-" in link or "/#" in link)]


@pytest.fixture
def held_on(monkeypatch) -> list[CellStore]:
    """Keep every store alive, so that nothing but closing it removes its file."""
    stores = []

    def make(*args, **kwargs):
        stores.append(CellStore(*args, **kwargs))
        return stores[-1]

    monkeypatch.setattr("scinn_train.reference.CellStore", make)
    return stores


@pytest.mark.parametrize("form", ["h5ad csr", "h5ad csc", "h5ad dense", "zarr csr", "zarr csc", "zarr dense"])
def test_a_file_that_does_not_fit_gives_the_same_model(form, reference, brief, whole, tmp_path, held_on, monkeypatch):
    monkeypatch.setattr("scinn_train.reading.ROWS_AT_ONCE", 37)
    before = temporary_files()
    result = scinn_train.fit(write(tmp_path, reference, form), config=brief, memory_gb=LARGE)
    assert result.to_bytes() == whole
    assert temporary_files() == before


@pytest.mark.parametrize("form", ["h5ad csr", "h5ad csc", "h5ad dense"])
def test_a_backed_object_gives_the_same_model(form, reference, brief, whole, tmp_path):
    backed = anndata.read_h5ad(write(tmp_path, reference, form), backed="r")
    assert scinn_train.fit(backed, config=brief).to_bytes() == whole
    backed.file.close()


def test_the_command_line_gives_the_same_model_from_disk(reference, brief, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Config, "preset", lambda _, **changes: replace(brief, **changes))
    path = write(tmp_path, reference, "h5ad csr")
    for name, memory in (("memory", "1"), ("disk", "0")):
        options = ("-o", tmp_path / f"{name}.onnx", "--memory", memory, "--threads", "1", "--quiet")
        assert main_for(group, "scinn-train", ["fit", *map(str, (path, *options))]) == 0, capsys.readouterr().err
    assert (tmp_path / "memory.onnx").read_bytes() == (tmp_path / "disk.onnx").read_bytes()


def test_chunks_make_no_difference_but_rounding(reference, quick, fitted, monkeypatch):
    """Sums over genes are rounded at other places; nothing else may differ."""
    monkeypatch.setattr(expression, "CHUNK_ENTRIES", 3000)
    X, genes, _ = reference
    data, whole = (prepare(X, genes, config=quick), fitted.info.training_data)
    assert data.sha256 == whole.sha256
    assert sum(1 for _ in data.X.chunks()) > 5
    np.testing.assert_allclose(data.gene_mean, whole.gene_mean, rtol=1e-5)
    np.testing.assert_array_equal(data.depth, np.asarray(X.sum(axis=1)).ravel())
    result = scinn_train.fit(X, genes, config=quick)
    np.testing.assert_array_equal(result.clusters, fitted.clusters)
    first, second = (fit.history[fit.best_epoch].held_out["total"] for fit in (result, fitted))
    assert first == pytest.approx(second, rel=1e-3)


@given(
    seed=st.integers(0, 100),
    block=st.integers(1, 40),
    memory=st.sampled_from([0.0, 1.0, 3e-6]),
    which=st.lists(st.integers(0, 39), max_size=60),
)
@settings(max_examples=60, deadline=None)
def test_any_rows_come_back_as_they_were(seed, block, memory, which):
    X = sparse.random_array((40, 30), density=0.3, rng=np.random.default_rng(seed), dtype=np.float32).tocsr()
    store = CellStore((40, 30), memory_gb=memory)
    for start in range(0, 40, block):
        store.append(X[start : start + block])
    rows = np.asarray(which, dtype=np.intp)
    found = store.rows(rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.toarray(), X.toarray()[rows])
    store.close()


def test_a_view_of_cells_and_genes_is_what_indexing_gives():
    X = sparse.random_array((50, 20), density=0.4, rng=np.random.default_rng(0), dtype=np.float32).tocsr()
    genes, cells, which = np.array([1, 4, 5, 19]), np.array([3, 8, 20, 44]), np.array([2, 0, 2])
    view = Expression.held(X).with_genes(genes).map(lambda rows: rows * np.float32(2)).with_cells(cells)
    assert view.shape == (4, 4)
    np.testing.assert_array_equal(view.rows(which).toarray(), 2 * X.toarray()[cells][:, genes][which])


def test_no_more_than_a_minibatch_is_made_dense(reference, brief, tmp_path, monkeypatch):
    """Many cells, read from disk: the largest dense block of all cells' genes is that of an encoded chunk."""
    write_simulated(tmp_path / "many.h5ad", SimulationConfig(cells_per_batch=(2500,), genes=120, depth=300))
    monkeypatch.setattr("scinn_train.training._KEPT_ENTRIES", 1000)
    monkeypatch.setattr("scinn_train.components._MOST_CELLS", 200)
    monkeypatch.setattr("scinn_train.clustering.CLUSTERED_AT_ONCE", 200)
    dense = []
    original = sparse.csr_array.toarray

    def watched(self, *args, **kwargs):
        dense.append(self.shape)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_array, "toarray", watched)
    scinn_train.fit(tmp_path / "many.h5ad", config=brief, memory_gb=0)
    assert max(cells for cells, genes in dense if genes > 100) == _DENSE_ROWS


def test_a_disk_without_room_is_said_before_anything_is_read(reference, brief, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with pytest.raises(ScinnError, match=r"keeping the training matrix on disk needs .* has 1\.0 kB free"):
        scinn_train.fit(reference[0], reference[1], config=brief, memory_gb=0)


def test_a_disk_that_fills_up_is_said_and_left_empty(reference, brief, held_on, monkeypatch):
    dense = reference[0].toarray()  # of which nobody knows before how much it takes
    before, during = temporary_files(), []
    write = cell_store.tempfile.SpooledTemporaryFile.write

    def full(self, content):
        during.extend(temporary_files())
        if len(during) > len(before):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr("scinn_train.reading.ROWS_AT_ONCE", 37)
    monkeypatch.setattr(cell_store.tempfile.SpooledTemporaryFile, "write", full)
    with pytest.raises(ScinnError, match=r"keeping the training matrix on disk failed.*No space left.*Make room"):
        scinn_train.fit(dense, reference[1], config=brief, memory_gb=0)
    assert temporary_files() == before


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_after_an_error(ending, reference, brief, held_on, monkeypatch):
    before, during = temporary_files(), []

    def stop(*_, **__):
        during.extend(temporary_files())
        raise ending

    monkeypatch.setattr("scinn_train.fitting.map_cells", stop)
    with pytest.raises(ending):
        scinn_train.fit(reference[0], reference[1], config=brief, memory_gb=0)
    assert len(during) > len(before)
    assert temporary_files() == before


@pytest.mark.parametrize("memory", [-1, np.nan, np.inf])
def test_a_memory_that_makes_no_sense_is_refused(memory, reference, brief):
    with pytest.raises(ScinnError, match="memory_gb is"):
        scinn_train.fit(reference[0], reference[1], config=brief, memory_gb=memory)


def test_the_cell_map_of_other_data_with_as_many_cells_is_refused(reference, brief, fitted):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match="another matrix with as many cells"):
        scinn_train.fit(X[::-1], genes, config=brief, cell_map=fitted.cell_map)


def test_a_tissue_is_written_chunk_by_chunk(tmp_path):
    config = SimulationConfig(cells_per_batch=(90, 60), genes=200, depth=400)
    for name in ("first", "second"):
        write_simulated(tmp_path / f"{name}.h5ad", config, cells_at_once=40)
    first, second = (anndata.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("first", "second"))
    assert first.shape == (150, 200)
    assert list(first.obs["batch"].value_counts()) == [90, 60]
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
    depths = np.asarray(first.X.sum(axis=1)).ravel()
    assert 250 < np.median(depths[:90]) < 600
    assert len(np.unique(first.X.toarray(), axis=0)) > 140


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_gpu_gives_the_same_within_tolerance(reference, quick):
    X, genes, _ = reference
    cpu, gpu = (scinn_train.fit(X, genes, config=replace(quick, device=device)) for device in ("cpu", "cuda"))
    assert gpu.info.training["device"] == "cuda"
    assert adjusted_rand_score(cpu.clusters, gpu.clusters) > 0.95
    first, second = (fit.history[fit.best_epoch].held_out["total"] for fit in (cpu, gpu))
    assert first == pytest.approx(second, rel=1e-2)
    gpu.to_bytes()
