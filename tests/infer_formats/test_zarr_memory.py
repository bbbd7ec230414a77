"""From zarr to zarr: what grows with the cells is in memory a chunk at a time, and names only once one is needed."""

from __future__ import annotations

import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from formats_by_hand import GENES, make_batch

from scinn_infer import ScinnError
from scinn_infer.apply import apply_file
from scinn_infer.inputs.opening import open_matrix
from scinn_infer.outputs.reached import Reached
from scinn_infer.stored_names import StoredNames
from scinn_infer.stream import BLOCK

CHUNK, WAITING = 2000, 200
"""Values of a chunk, and cells of which something is known in memory: so few that even a small batch has more."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Chunks of few cells, and few cells of which something is known in memory."""
    monkeypatch.setattr("scinn_infer.outputs.transfer.CHUNK_VALUES", CHUNK)
    monkeypatch.setattr("scinn_infer.outputs.zarr_store.MOST_WAITING", WAITING)


@pytest.fixture
def store(tmp_path):
    """Give what writes a batch of so many cells, and its names in chunks."""

    def write(cells: int, *, zarr_format: int = 2):
        path = tmp_path / f"{cells}.{zarr_format}.zarr"
        adata = make_batch(cells).adata()
        adata.obs["label"] = np.resize(["a", "b"], cells)
        with anndata.settings.override(zarr_write_format=zarr_format):
            adata.write_zarr(path)
        for name in ("obs/_index", "X/data", "X/indices", "X/indptr"):
            in_chunks(path, name)
        return path

    return write


def in_chunks(path, name) -> None:
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    values, attributes, dtype = root[name][:], dict(root[name].attrs), root[name].dtype
    del root[name]
    array = root.create_array(name, shape=values.shape, dtype=dtype, chunks=(CHUNK,))
    array[:] = values
    array.attrs.update(attributes)


def test_memory_does_not_grow_with_the_cells(store, tmp_path, model):
    def peak(cells: int) -> int:
        path = store(cells)
        tracemalloc.start()
        apply_file(model, path, tmp_path / "out.zarr", overwrite=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(500)  # what the first use of everything takes
    assert (
        peak(6_000) < peak(1_000) + 250_000
    )  # the names of 5,000 cells are 350,000 bytes, and what is known of them more


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_is_known_of_cells_is_written_and_read_a_chunk_at_a_time(store, tmp_path, model, monkeypatch, zarr_format):
    path, sizes = store(3_000, zarr_format=zarr_format), []
    setitem = zarr.Array.__setitem__

    def watched(array, place, values):
        if "/scinn_" in array.path or "/X_scinn" in array.path:
            sizes.append((np.size(values), array.path, array.size))
        setitem(array, place, values)

    monkeypatch.setattr(zarr.Array, "__setitem__", watched)
    apply_file(model, path, tmp_path / "out.zarr")
    assert max(size for size, *_ in sizes if size) <= CHUNK
    assert {path for _, path, whole in sizes if whole > CHUNK} >= {"obs/scinn_cluster/codes", "obsm/X_scinn"}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_columns_are_those_that_anndata_writes(store, tmp_path, model, monkeypatch, zarr_format):
    monkeypatch.setattr("scinn_infer.outputs.transfer.CHUNK_VALUES", 1 << 18)
    path = store(300, zarr_format=zarr_format)
    apply_file(model, path, tmp_path / "out.zarr")
    result = anndata.read_zarr(tmp_path / "out.zarr")
    with anndata.settings.override(zarr_write_format=zarr_format):
        result.write_zarr(tmp_path / "again.zarr")
    for group, name in [
        *(("obs", f"scinn_{name}") for name in ("cluster", "confidence", "drift")),
        *(("obsm", name) for name in ("scinn_cluster_probability", "X_scinn")),
    ]:
        first, second = (files(tmp_path / store / group / name) for store in ("out.zarr", "again.zarr"))
        assert first == second, name
    assert list(result.obs) == ["label", "scinn_cluster", "scinn_confidence", "scinn_drift"]


def files(folder) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_values_do_not_depend_on_the_chunks(store, tmp_path, model, monkeypatch):
    path = store(700)
    apply_file(model, path, tmp_path / "small.zarr")
    monkeypatch.setattr("scinn_infer.outputs.transfer.CHUNK_VALUES", 1 << 18)
    monkeypatch.setattr("scinn_infer.outputs.zarr_store.MOST_WAITING", 1 << 13)
    apply_file(model, path, tmp_path / "large.zarr")
    small, large = (anndata.read_zarr(tmp_path / f"{name}.zarr") for name in ("small", "large"))
    pd.testing.assert_frame_equal(small.obs, large.obs)
    for name in large.obsm:
        np.testing.assert_array_equal(small.obsm[name], large.obsm[name])


def test_few_cells_wait_to_be_put_away(store, tmp_path, model, monkeypatch):
    put_away, add = [], Reached.add

    def watched(reached, by_cell):
        put_away.append(by_cell["depths"].size)
        add(reached, by_cell)

    monkeypatch.setattr(Reached, "add", watched)
    apply_file(model, store(3_000), tmp_path / "out.zarr")
    assert max(put_away) <= WAITING + 2 * BLOCK
    assert sum(put_away) == 3_000


def test_names_of_cells_are_not_read_unless_needed(store, tmp_path, model, monkeypatch):
    path = store(300)
    monkeypatch.setattr(StoredNames, "__getitem__", lambda *_: pytest.fail("names of cells are read"))
    apply_file(model, path, tmp_path / "out.zarr")


def test_a_message_names_the_cell_by_the_one_chunk_that_its_name_is_in(store, tmp_path, model):
    path, names = store(3_000), make_batch(3_000).cells
    (path / "obs" / "_index" / "0").write_bytes(b"damaged")
    values = zarr.open_group(path, mode="r+", use_consolidated=False)["X/data"]
    values[-1] = -1
    with pytest.raises(ScinnError, match=rf"cell 3,000 \({names[-1]}\), gene {GENES[-1][:4]}"):
        apply_file(model, path, tmp_path / "out.zarr")
    with (
        open_matrix(path) as matrix,
        pytest.raises(ScinnError, match="the names in obs cannot be read; it is truncated or damaged"),
    ):
        _ = matrix.cells


@pytest.mark.parametrize("kind", ["categorical", "nullable"])
def test_names_in_other_encodings_are_read_too(tmp_path, kind):
    adata = make_batch(50).adata()
    path = tmp_path / "new.zarr"
    adata.write_zarr(path)
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    del root["obs/_index"]
    stored = pd.Categorical(adata.obs_names) if kind == "categorical" else pd.array(adata.obs_names, dtype="string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        anndata.io.write_elem(root["obs"], "_index", stored)
    with open_matrix(path) as matrix:
        assert len(matrix.cell_names) == 50
        assert (matrix.cell_names[7], matrix.cells) == (adata.obs_names[7], list(adata.obs_names))


def test_names_can_be_asked_for_as_of_a_list():
    names = [f"cell{number}" for number in range(10)]
    asked = []

    def read(start: int, stop: int) -> list[str]:
        asked.append((start, stop))
        return names[start:stop]

    stored = StoredNames(10, read)
    assert (stored[3], stored[-1], len(stored), asked) == (names[3], names[-1], 10, [(3, 4), (9, 10)])
    for part in (slice(2, 5), slice(None), slice(None, None, 3), slice(8, 20), slice(5, 2), slice(None, None, -1)):
        assert stored[part] == names[part]
    with pytest.raises(IndexError):
        stored[10]


def test_what_is_not_kept_yet_does_not_count(tmp_path):
    """A run that is killed between two steps has put away cells that the next one computes again."""
    reached = Reached(tmp_path)
    reached.add({"cluster": np.arange(3)})
    reached.keep({"first": np.array(3)})
    reached.add({"cluster": np.arange(3, 9)})
    again = Reached(tmp_path)
    assert int(again.read()["first"]) == 3
    again.add({"cluster": np.array([7]), "entries": np.array([1, 2])})
    assert [part.tolist() for part in again.by_cell("cluster")] == [[0, 1, 2], [7]]
    assert [part.tolist() for part in again.by_cell("entries")] == [[1, 2]]
    assert list(again.by_cell("nothing")) == []
