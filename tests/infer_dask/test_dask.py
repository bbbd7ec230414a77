"""Lazily and on workers: the result is that of Model.impute to the bit, and only what is asked for is computed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anndata
import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from anndata.experimental import read_lazy
from distributed import Client, KilledWorker, LocalCluster, get_worker
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import scinn_infer
import scinn_infer.dask
from scinn_infer import ScinnError, ScinnWarning

TINY = Path(__file__).parents[2] / "models" / "tiny.onnx"
OLD = Path(__file__).parents[1] / "infer" / "old_models" / "format_1.onnx"
MODEL = scinn_infer.load(TINY, threads=1)
CELLS = 500


def batch(seed=0, cells=CELLS):
    """Return sparse counts in genes that stand in another order than the model's, and their names."""
    random = np.random.default_rng(seed)
    genes = random.permutation(MODEL.genes)[:50]
    X = sparse.csr_array(random.poisson(0.5, (cells, len(genes) + 1)).astype(np.float32))
    return X, [*genes, "UNKNOWN"]


X, GENES = batch()
EXPECTED = MODEL.impute(X, GENES)


@given(
    rows=st.lists(st.integers(1, 120), min_size=1, max_size=8),
    columns=st.integers(1, 51),
    dense=st.booleans(),
    policy=st.sampled_from(["keep", "denoise"]),
)
@settings(deadline=None, max_examples=15)
def test_the_result_does_not_depend_on_the_chunks(rows, columns, dense, policy):
    rows = (*rows, CELLS - sum(rows)) if sum(rows) < CELLS else (CELLS,)
    matrix = X.toarray() if dense else sparse.csr_matrix(X)
    array = da.from_array(matrix, chunks=(rows, columns), asarray=False)
    result = scinn_infer.dask.impute(array, MODEL, genes=GENES, policy=policy)
    assert result.chunks == (rows, (51,))
    assert result.dtype == np.float32
    assert (result.compute(scheduler="threads") == MODEL.impute(X, GENES, policy=policy)).all()


def test_only_the_chunks_that_are_asked_for_are_computed():
    seen = []

    def note(block, block_info=None):
        seen.append(block_info[0]["array-location"][0])
        return block

    array = da.from_array(X.toarray(), chunks=(100, -1)).map_blocks(note, dtype=X.dtype, meta=np.empty((0, 0)))
    seen.clear()
    lazy = MODEL.lazy(array, GENES)
    assert not seen
    assert (lazy[210:290].compute() == EXPECTED[210:290]).all()
    assert [tuple(place) for place in seen] == [(200, 300)]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_a_matrix_in_memory_becomes_lazy_too(form):
    lazy = MODEL.lazy(form(X.toarray()), GENES, chunk_size=96)
    assert lazy.chunks[0] == (96, 96, 96, 96, 96, 20)
    assert (lazy.compute() == EXPECTED).all()


def test_float64_and_the_threads_of_the_model_are_kept():
    precise = X.astype(np.float64) * 100.1  # fractions, as of TPM, of which there is a warning
    with pytest.warns(ScinnWarning, match="not whole numbers"):
        lazy = MODEL.lazy(precise, GENES)
    assert lazy.dtype == np.float64
    result = lazy.compute(scheduler="synchronous")
    assert (result[precise.nonzero()] == precise.data).all()
    assert MODEL.with_threads(2).threads == 2
    assert MODEL.threads == 1


CORRECTED = X.toarray() * np.float32(0.7)
"""Counts with fractions; only cells beyond the first chunk hold a value that no logarithm reaches."""
CORRECTED[300:, 0] = 40.5


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_all_of_a_matrix_in_memory_tells_its_unit(form):
    matrix = form(CORRECTED)
    with pytest.warns(ScinnWarning, match="not whole numbers"):
        expected = MODEL.impute(matrix, GENES)
    with pytest.warns(ScinnWarning, match="not whole numbers"):
        lazy = MODEL.lazy(matrix, GENES, chunk_size=8)
    assert lazy.compute().tobytes() == expected.tobytes()
    with pytest.raises(ScinnError, match="log-transformed"):
        MODEL.lazy(form(np.log1p(CORRECTED)), GENES)
    with pytest.raises(ScinnError, match=f"cell 500, gene {GENES[0]}: -1, but expression is never negative"):
        MODEL.lazy(form(np.vstack([CORRECTED[:-1], np.full((1, 51), -1)])), GENES)


def test_each_chunk_of_a_dask_array_tells_its_unit_unless_it_is_known():
    array = da.from_array(CORRECTED, chunks=(100, -1))
    first = MODEL.lazy(array, GENES)[:100]
    with pytest.raises(ScinnError, match="log-transformed"):
        first.compute()
    known = MODEL.lazy(array, GENES, unit_checked=True)
    assert known.name != MODEL.lazy(array, GENES).name  # or a cluster would take one's failure for the other's
    assert known.compute().tobytes() == MODEL.impute(CORRECTED, GENES, unit_checked=True).tobytes()
    alone = anndata.AnnData(CORRECTED[:100], var=pd.DataFrame(index=GENES))
    assert (scinn_infer.dask.impute(alone, MODEL, unit_checked=True).compute() == known[:100].compute()).all()


@pytest.mark.parametrize("to", [list, np.array, pd.Index])
def test_names_may_be_bytes_as_elsewhere(to):
    names = to([gene.encode() for gene in GENES])
    assert (MODEL.lazy(X, names).compute() == MODEL.impute(X, names)).all()
    adata = anndata.AnnData(X.copy())
    assert (scinn_infer.dask.impute(adata, MODEL, genes=names).compute() == EXPECTED).all()


def test_copies_are_summed_when_asked_to():
    names = [*GENES[:-1], GENES[0]]
    lazy = MODEL.lazy(X, names, duplicates="sum", chunk_size=96)
    assert (lazy.compute() == MODEL.impute(X, names, duplicates="sum")).all()
    with pytest.raises(ScinnError, match="more than once"):
        MODEL.lazy(X, names)


def test_processes_compute_the_same():
    array = da.from_array(X.toarray(), chunks=(200, -1))
    result = scinn_infer.dask.impute(array, TINY, genes=GENES)
    assert (result.compute(scheduler="processes", num_workers=2) == EXPECTED).all()


@pytest.mark.parametrize("kind", ["zarr", "h5ad"])
def test_a_lazily_read_anndata_holds_a_lazy_layer(tmp_path, kind):
    path = _written(tmp_path / f"batch.{kind}")
    lazy = read_lazy(path)
    lazy.layers["scinn"] = scinn_infer.dask.impute(lazy, MODEL)
    assert (lazy.layers["scinn"].compute() == EXPECTED).all()
    assert (lazy[:, GENES[3:9]].layers["scinn"].compute() == EXPECTED[:, 3:9]).all()


def test_names_can_come_from_a_column_of_var(tmp_path):
    adata = anndata.AnnData(X.copy(), var=pd.DataFrame({"symbol": GENES}, index=[f"ENS{i}" for i in range(len(GENES))]))
    adata.write_zarr(tmp_path / "batch.zarr")
    for data in (adata, read_lazy(tmp_path / "batch.zarr")):
        result = scinn_infer.dask.impute(data, MODEL, gene_column="symbol")
        assert (result.compute() == EXPECTED).all()
        with pytest.raises(ScinnError, match=r"But var\['symbol'\] has 83% of them: gene_column='symbol'"):
            scinn_infer.dask.impute(data, MODEL)
    with pytest.raises(ScinnError, match=r"no var column 'name'\. Columns of names: symbol"):
        scinn_infer.dask.impute(adata, MODEL, gene_column="name")
    with pytest.raises(ScinnError, match="choose one of them"):
        scinn_infer.dask.impute(adata, MODEL, gene_column="symbol", genes=GENES)
    with pytest.raises(ScinnError, match="has no var"):
        scinn_infer.dask.impute(X, MODEL, gene_column="symbol")


def test_an_empty_chunk_is_returned_as_it_is_and_an_empty_cell_too():
    counts = X.toarray()
    counts[100:200] = 0
    counts[350] = 0
    array = da.from_array(counts, chunks=(((100,) * 5), -1))
    assert (scinn_infer.dask.impute(array, MODEL, genes=GENES).compute() == MODEL.impute(counts, GENES)).all()
    assert scinn_infer.dask.impute(array[:0], MODEL, genes=GENES).compute().shape == (0, 51)


def test_a_bad_value_is_named_by_its_row_in_the_whole():
    counts = X.toarray()
    counts[417, 7] = np.nan
    array = da.from_array(counts, chunks=(100, -1))
    result = scinn_infer.dask.impute(array, MODEL, genes=GENES)
    assert result[:400].compute().shape == (400, 51)
    with pytest.raises(ScinnError, match=f"X: cell 418, gene {GENES[7]}: the value is missing"):
        result.compute()


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (X, {}, "genes is missing"),
        (X, {"genes": GENES[:-1]}, "with 50 gene names; pass one for each column"),
        (X.T, {"genes": GENES}, "transposed"),
        (X, {"genes": GENES, "policy": "replace"}, "policy is 'replace'"),
        (X, {"genes": GENES, "layer": "counts"}, "has no layers"),
        (X, {"genes": GENES, "chunk_size": 0}, "chunk_size is 0"),
        (X, {"genes": GENES, "chunk_size": "8"}, "chunk_size is '8'; it has to be a whole number"),
        (X, {"genes": GENES, "threads": 0}, "threads is 0"),
        (X, {"genes": GENES, "threads": None}, "threads is None; it has to be a whole number"),
        (X, {"genes": "GENE1"}, "genes is the text 'GENE1'"),
        (anndata.AnnData(X.toarray()), {"genes": "GENE1"}, "genes is the text 'GENE1'"),
        (X, {"genes": ["a"] * 51}, "of the model's 60 genes"),
        ([[1]], {"genes": ["a"]}, "X is a list"),
        (da.ones((2, 3, 4)), {"genes": ["a"]}, "3 dimensions"),
        (da.ones((9, 2))[da.ones(9) > 0], {"genes": ["a", "b"]}, "unknown size"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_computed(data, arguments, message):
    with pytest.raises(ScinnError, match=message):
        scinn_infer.dask.impute(data, MODEL, **arguments)


def test_without_dask_there_is_a_sentence():
    code = (
        "import sys; sys.modules['dask'] = None\n"
        "import numpy as np, scinn_infer\n"
        f"model = scinn_infer.load({str(TINY)!r})\n"
        "model.lazy(np.ones((2, 60)), model.genes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "scinn[dask]"' in done.stderr


# A cluster of two processes, as on two machines: what goes to them has to be pickled.


@pytest.fixture(scope="module")
def cluster():
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as workers,
        Client(workers),
    ):
        yield workers


def test_a_cluster_reads_and_writes_zarr(cluster, tmp_path):
    lazy = read_lazy(_written(tmp_path / "batch.zarr"))
    scinn_infer.dask.impute(lazy, TINY).rechunk((100, -1)).to_zarr(str(tmp_path / "imputed.zarr"))
    assert (da.from_zarr(str(tmp_path / "imputed.zarr")).compute() == EXPECTED).all()


def test_a_worker_computes_with_one_session(cluster):
    counts = da.from_array(X.toarray(), chunks=(20, -1))
    scinn_infer.dask.impute(counts, TINY, genes=GENES).compute()

    def sessions():
        import scinn_infer.dask

        return len(scinn_infer.dask._OURS), [model.threads for model in scinn_infer.dask._OURS.values()]

    with Client(cluster) as client:
        assert set(map(str, client.run(sessions).values())) == {"(1, [1])"}


def test_a_worker_that_is_killed_is_made_up_for(cluster, tmp_path):
    flag = tmp_path / "killed"

    def kill_once(block, block_info=None):
        """End the process of the worker, as the kernel does that runs out of memory, in the middle of the run."""
        if block_info[0]["array-location"][0][0] >= 240 and not flag.exists():
            flag.write_text(get_worker().address)
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    counts = da.from_array(X.toarray(), chunks=(20, -1)).map_blocks(kill_once, dtype=X.dtype, meta=np.empty((0, 0)))
    output = str(tmp_path / "imputed.zarr")
    scinn_infer.dask.impute(counts, TINY, genes=GENES).to_zarr(output)
    assert flag.exists()
    assert (da.from_zarr(output).compute() == EXPECTED).all()


def test_a_worker_that_dies_again_and_again_is_given_up(cluster):
    def kill(block):
        os.kill(os.getpid(), signal.SIGKILL)
        return block

    counts = da.from_array(X[:20].toarray(), chunks=(20, -1)).map_blocks(kill, dtype=X.dtype, meta=np.empty((0, 0)))
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), pytest.raises(KilledWorker, match="worker"):
        scinn_infer.dask.impute(counts, TINY, genes=GENES).compute()


def test_a_model_that_is_swapped_before_a_worker_reads_it_is_refused(cluster, tmp_path):
    path = tmp_path / "tissue.onnx"
    path.write_bytes(TINY.read_bytes())
    result = scinn_infer.dask.impute(da.from_array(X.toarray(), chunks=(100, -1)), path, genes=GENES)
    path.write_bytes(OLD.read_bytes())
    sentence = f"{path} is not the file any more that this model was loaded from. Load it again."
    with pytest.raises(RuntimeError, match="task graph") as refusal:
        result.compute()
    assert str(refusal.value.__cause__) == sentence
    with pytest.raises(ScinnError) as refusal:
        result.compute(scheduler="processes", num_workers=1)
    assert str(refusal.value) == sentence


def _written(path):
    adata = anndata.AnnData(X.copy())
    adata.var_names = GENES
    getattr(adata, f"write_{path.suffix[1:]}")(path)
    return path
