"""Imputation as a Dask graph: nothing is computed before it is asked for, on one machine or on many.

Each chunk of cells is one task, and tasks know nothing of each other: any scheduler can run them in any order, and run
one again whose worker has died. The result is that of :meth:`scinn_infer.Model.impute` bit for bit, however the cells
are cut, since a cell's result depends on nothing but the cell.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.anndata import matrix_of, table_of
from scinn_infer.arguments import check_count
from scinn_infer.batch import as_rows, check_sample, open_batch, sample_rows
from scinn_infer.columns import result_dtype
from scinn_infer.errors import ScinnError
from scinn_infer.gene_table import GeneTable
from scinn_infer.genes import REFUSE, gene_names
from scinn_infer.model import Model, load
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.stream import STRIP

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import anndata
    import dask.array
    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.checks import Matrix

CHUNK_SIZE = 5 * STRIP
"""Cells of a chunk where a matrix is not in chunks yet: a hundred megabytes of result at 30,000 genes."""

_OURS: dict[tuple[str, int, tuple[str, ...]], Model] = {}
_LOCK = threading.Lock()


def impute(
    data: dask.array.Array | Matrix | anndata.AnnData,
    model: Model | str | os.PathLike[str],
    *,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    policy: str = KEEP,
    duplicates: str = REFUSE,
    chunk_size: int | None = None,
    threads: int = 1,
    unit_checked: bool = False,
) -> dask.array.Array:
    """Return the imputed matrix as a Dask array: a chunk of it is computed when it is asked for.

    Parameters
    ----------
    data
        The batch (cells × genes), in the model's unit and without any logarithm: a Dask array whose chunks are numpy
        arrays or scipy sparse matrices, a matrix in memory, or an AnnData object with either, such as
        :func:`anndata.experimental.read_lazy` returns. It is not changed.
    model
        The model, or its file. Workers on other machines read it by the same path; a model that was loaded from bytes
        is sent to them.
    genes
        Names of the columns; those of the AnnData object if not given.
    layer
        Of an AnnData object the layer that holds the values; ``X`` if not given.
    gene_column
        Of an AnnData object the column of ``var`` with the names of the genes, as for :func:`scinn_infer.impute`;
        ``var_names`` if not given.
    policy
        ``"keep"`` or ``"denoise"``, as for :meth:`scinn_infer.Model.impute`.
    duplicates
        Whether columns that name the same gene of the model are refused or summed: ``"refuse"`` or ``"sum"``, as there.
    chunk_size
        Cells of a chunk. Chunks of a Dask array stay as they are if not given, but for a cut between genes.
    threads
        Threads of one task. Dask runs as many tasks at a time as it has threads, so that more than one of each would
        multiply.
    unit_checked
        Whether the batch is known to be in the model's unit: it is then taken as it is, even where it looks like
        logarithms. Otherwise a matrix in memory is looked at in cells from all over it, before the graph is made, and
        each chunk of a Dask array by itself when it is computed.

    Returns
    -------
    dask.array.Array
        The result (cells × genes) in the caller's order, dense, one chunk for each chunk of cells; in the unit of the
        batch and at each cell's own depth; float64 where the batch is, float32 otherwise.

    Raises
    ------
    ScinnError
        If the genes do not fit the model, the matrix cannot be used, Dask is not installed; and, when a chunk is
        computed, if its values are refused; of a matrix in memory some are looked at before. A chunk without any
        expression is returned as it is.

    Warns
    -----
    ScinnWarning
        If the batch lacks more than 20 % of the model's genes; where a unit is looked at, if it may be another.

    Examples
    --------
    >>> import anndata, scinn_infer.dask  # doctest: +SKIP
    >>> batch = anndata.experimental.read_lazy("new.zarr")  # doctest: +SKIP
    >>> batch.layers["scinn"] = scinn_infer.dask.impute(batch, "tissue.onnx")  # doctest: +SKIP
    """
    find_policy(policy)
    loaded = model if isinstance(model, Model) else load(model)
    X, names, source, table = _parts(data, genes, layer, gene_column)
    array, rows = _by_cells(X, chunk_size, source)
    if array.shape[1] != len(names):
        advice = "it seems to be transposed: pass X.T" if array.shape[0] == len(names) else "pass one for each column"
        msg = f"{source} is {array.shape[0]:,} × {array.shape[1]:,}, with {len(names):,} gene names; {advice}."
        raise ScinnError(msg)
    batch = open_batch(loaded.info, names, source=source, duplicates=duplicates, table=table, unit_checked=unit_checked)
    if rows is not None:  # one chunk may hold none of the large values that tell counts from logarithms
        batch = replace(batch, unit_checked=check_sample(sample_rows(as_rows(rows, batch)), batch))
    work = _Work(loaded.with_threads(threads), batch, policy)
    dtype = result_dtype(array.dtype)
    tools = _dask()
    token = tools.base.tokenize(
        array.name, loaded.sha256, names, policy, duplicates, work.model.threads, batch.unit_checked
    )
    result: dask.array.Array = array.map_blocks(
        _impute_chunk,
        work=tools.delayed(work, pure=True, traverse=False),  # sent to a worker once, not with every task
        dtype=dtype,
        meta=np.empty((0, 0), dtype=dtype),
        name=f"scinn-{token}",
    )
    return result


@dataclass(frozen=True)
class _Work:
    """What is to be done to every chunk."""

    model: Model
    batch: Batch
    policy: str


def _impute_chunk(chunk: Matrix, work: _Work, block_info: Any = None) -> npt.NDArray[np.floating[Any]]:
    """Impute one chunk (cells × genes)."""
    result = np.empty(chunk.shape, dtype=result_dtype(chunk.dtype))
    if not chunk.shape[0]:
        return result
    first_cell = block_info[0]["array-location"][0][0] if block_info else 0
    batch = replace(work.batch, first_cell=int(first_cell))
    for start, block in _of_this_process(work.model).stream([chunk], batch, policy=work.policy):
        result[start : start + len(block)] = block
    return result


def _of_this_process(model: Model) -> Model:
    """Return the one model of these bytes that this process computes with: tasks come with copies of their own."""
    with _LOCK:
        return _OURS.setdefault((model.sha256, model.threads, model.providers), model)


def _parts(
    data: Any, genes: Sequence[str] | None, layer: str | None, gene_column: str | None
) -> tuple[Any, list[str], str, GeneTable | None]:
    """Return the matrix, the names of its columns, how messages name it, and where else names may be."""
    if genes is not None and gene_column is not None:
        msg = f"genes names the columns, and gene_column takes the names from var[{gene_column!r}]; choose one of them."
        raise ScinnError(msg)
    if hasattr(data, "obs_names") and hasattr(data, "layers"):
        source = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
        if genes is not None:
            return matrix_of(data, layer), gene_names(genes), source, None
        table = GeneTable(
            read=lambda: table_of(data.var), source="adata", option="gene_column={!r}", column=gene_column
        )
        return matrix_of(data, layer), table.names(), source, table
    for name, value, what in (("layer", layer, "layers"), ("gene_column", gene_column, "var")):
        if value is not None:
            msg = f"{name} is {value!r}, but a {type(data).__name__} has no {what}. Pass the matrix alone."
            raise ScinnError(msg)
    if genes is None:
        msg = f"genes is missing: pass the names of the columns of the {type(data).__name__}."
        raise ScinnError(msg)
    return data, gene_names(genes), "X", None


def _by_cells(X: Any, chunk_size: int | None, source: str) -> tuple[Any, Matrix | None]:
    """Return a matrix as a Dask array that is cut between cells only, and what that is of where it is in memory."""
    tools = _dask()
    if chunk_size is not None:
        chunk_size = check_count(chunk_size, "chunk_size")
    if not isinstance(X, tools.array.Array):
        if not isinstance(X, np.ndarray | sparse.sparray | sparse.spmatrix) or X.ndim != 2:
            msg = f"{source} is a {type(X).__name__}; pass a Dask array, a numpy array or a scipy sparse matrix."
            raise ScinnError(msg)
        rows = X if isinstance(X, np.ndarray) else X.tocsr()
        return tools.array.from_array(rows, chunks=(chunk_size or CHUNK_SIZE, -1), asarray=False), rows
    if X.ndim != 2:
        msg = f"{source} has {X.ndim} dimensions; pass cells × genes."
        raise ScinnError(msg)
    if any(np.isnan(size) for sizes in X.chunks for size in sizes):
        msg = f"{source} has chunks of unknown size; call its compute_chunk_sizes() first."
        raise ScinnError(msg)
    return X.rechunk({0: chunk_size, 1: -1} if chunk_size else {1: -1}), None


def _dask() -> Any:
    try:
        import dask
        import dask.array
        import dask.base
    except ModuleNotFoundError as error:
        msg = f'This needs the package {error.name!r}, which is not installed: pip install "scinn[dask]"'
        raise ScinnError(msg) from error
    return dask
