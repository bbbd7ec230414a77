"""Fit the whole two-module system on one dataset."""

from __future__ import annotations

import os
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from scinn_infer import __version__
from scinn_infer.contract import ModelInfo
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.progress import busy
from scinn_infer.report.sample import spaced
from scinn_infer.threads import available_threads
from scinn_train.capture import find_capture
from scinn_train.cell_store import MEMORY_GB
from scinn_train.checkpoint import open_checkpoint
from scinn_train.config import Config, check_config
from scinn_train.export import network_weights
from scinn_train.module1 import CellMap, map_cells
from scinn_train.normalise import Normalisation, log1p
from scinn_train.provenance import describe_data, describe_training
from scinn_train.quality import describe_held_out, recover
from scinn_train.reading import ReferenceMatrix, from_anndata, open_reference
from scinn_train.reference import prepare
from scinn_train.result import Result
from scinn_train.scale import NetworkScale
from scinn_train.training import train

_ONE_AT_A_TIME = threading.Lock()
"""Fits in several threads wait for each other: torch has one random state and one number of threads for all of them."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy.typing as npt

    from scinn_train.checkpoint import Checkpoint
    from scinn_train.expression import Expression
    from scinn_train.reference import Reference


def fit(
    X: Any,
    genes: Sequence[str] | None = None,
    *,
    config: Config | None = None,
    layer: str | None = None,
    transpose: bool = False,
    gene_column: str | None = None,
    gene_ids: Sequence[str] | None = None,
    cell_names: Sequence[str] | None = None,
    source: str = "the matrix",
    cell_map: CellMap | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    unit_checked: bool = False,
    memory_gb: float = MEMORY_GB,
    progress: bool = False,
) -> Result:
    """Fit scINN on one dataset of a tissue.

    Parameters
    ----------
    X
        Non-negative expression in ``config.unit`` (cells × genes): a numpy array, a scipy sparse matrix, an AnnData, in
        memory or backed by a file, or the path of a file or folder in any format that
        :func:`scinn_infer.inputs.open_matrix` tells. It is read once, some cells at a time, and not changed.
    genes
        Names of the columns; taken from ``var_names`` of an AnnData or a file.
    config
        Configuration; ``Config()`` when None.
    layer
        The layer of an AnnData or a file to use instead of its ``X``.
    transpose
        Whether the rows of a table in a file (``.csv``, ``.tsv``) are the genes, not the cells.
    gene_column
        The column of ``var`` with the names of the genes, instead of ``var_names``.
    gene_ids
        Ensembl ids of the columns, where known; taken from ``var["gene_ids"]`` of an AnnData or a file if that is
        there, or with ``gene_column`` from ``var_names`` if these are ids.
    cell_names
        Names of the cells, for messages; taken from an AnnData or a file.
    source
        How messages name the data; a file is named by its path.
    cell_map
        What module 1 found in an earlier fit of the same matrix (``Result.cell_map``), to fit module 2 alone:
        ``config.module1``, ``config.clusters`` and the seed of module 1 are those of that fit then, whatever is said
        here. None runs module 1.
    checkpoint
        A folder, made for this fit, that keeps what has been reached while it runs, and afterwards until it is removed.
    resume
        Whether to go on from there, if the folder is there already. The result is that of a fit that was never stopped.
    unit_checked
        Whether X is known to be in ``config.unit``: it is then taken as it is, even where it looks like logarithms
        (fractions, and no large value), as corrected counts of few genes may.
    memory_gb
        Gigabytes (10⁹ bytes) of the matrix that may be kept in memory; a non-zero entry takes 8 bytes. A larger one is
        kept in a temporary file (``TMPDIR``) while the fit runs. The result is the same.
    progress
        Whether to show progress bars on a terminal.

    Raises
    ------
    ScinnError
        If the data cannot be trained on, or there is no room for it; the message says what is wrong, where, and what to
        do.

    Warns
    -----
    ScinnWarning
        If some cells have no expression and are left out, or the file holds besides genes what is left out.

    Notes
    -----
    Fits in several threads of a process wait for each other: torch has one random state for all of them.
    """
    config = Config() if config is None else check_config(config)
    if resume and checkpoint is None:
        msg = "resume is True, but no checkpoint is named to go on from. Pass checkpoint=FOLDER."
        raise ScinnError(msg)
    with _given(X, genes, layer=layer, transpose=transpose, gene_column=gene_column, source=source) as given:
        for sentence in given.notes:
            warnings.warn(sentence, ScinnWarning, stacklevel=2)
        reference = prepare(
            given.X,
            given.genes if genes is None else genes,
            config=config,
            gene_ids=given.gene_ids if gene_ids is None else gene_ids,
            cell_names=given.cells if cell_names is None else cell_names,
            source=given.source,
            unit_checked=unit_checked,
            memory_gb=memory_gb,
            progress=progress,
        )
    with reference:
        return fit_reference(
            reference,
            config=config,
            source=given.source,
            cell_map=cell_map,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
        )


def _given(
    X: Any, genes: Sequence[str] | None, *, layer: str | None, transpose: bool, gene_column: str | None, source: str
) -> AbstractContextManager[ReferenceMatrix]:
    """Tell what kind of a matrix was given."""
    if isinstance(X, str | os.PathLike):
        return open_reference(X, layer=layer, transpose=transpose, gene_column=gene_column)
    if transpose:
        msg = "transpose is for tables in files (.csv, .tsv). Pass the matrix as cells × genes: X.T."
        raise ScinnError(msg)
    if hasattr(X, "var_names"):
        return nullcontext(from_anndata(X, layer=layer, gene_column=gene_column, source=source))
    if layer is not None or gene_column is not None:
        asked = f"layer is {layer!r}" if layer is not None else f"gene_column is {gene_column!r}"
        msg = f"{asked}, but the data is no AnnData and has neither layers nor var. Pass the matrix and names meant."
        raise ScinnError(msg)
    if genes is None:
        msg = "the names of the genes are needed: fit(X, genes), or fit(adata)."
        raise ScinnError(msg)
    return nullcontext(ReferenceMatrix(X, genes, None, None, source))


def fit_reference(
    reference: Reference,
    *,
    config: Config,
    source: str = "the matrix",
    cell_map: CellMap | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Result:
    """Fit scINN on a training matrix that has passed every check (``scinn_train.reference``).

    Parameters
    ----------
    reference
        The matrix.
    config, source, cell_map, checkpoint, resume, progress
        As :func:`fit` takes them.

    Raises
    ------
    ScinnError
        As :func:`fit`.
    """
    empty = reference.cells_before - len(reference.cells)
    if empty:
        msg = f"{source}: {empty} cell(s) have no expression in the model's genes; they are left out of the training."
        warnings.warn(msg, ScinnWarning, stacklevel=3)
    if cell_map is not None:
        _check_map(cell_map, reference)
    threads = config.threads or available_threads()
    decides = replace(config, tissue="", species="", licence="")
    mapped, device = None if cell_map is None else cell_map.digest(), _device(config.device).type
    begun_with = (reference.sha256, mapped, decides, device, threads, __version__, torch.__version__)
    kept = open_checkpoint(checkpoint, of=begun_with, resume=resume)
    with _ONE_AT_A_TIME, _torch_as_it_comes():
        return _fit(reference, cell_map, config=config, threads=threads, checkpoint=kept, progress=progress)


def _check_map(cell_map: Any, reference: Reference) -> None:
    """Refuse a cell map of other cells, as far as it knows where it comes from."""
    if not isinstance(cell_map, CellMap):
        msg = f"cell_map is of type {type(cell_map).__name__}; pass Result.cell_map of an earlier fit."
        raise ScinnError(msg)
    if len(cell_map.clusters) != len(reference.cells):
        msg = f"the cell map is of {len(cell_map.clusters)} cells, the data has {len(reference.cells)}; fit without it."
        raise ScinnError(msg)
    if cell_map.sha256 not in ("", reference.sha256):
        msg = (
            "the cell map is of another matrix with as many cells: its values, its genes or the order of its cells "
            "differ. Fit without it."
        )
        raise ScinnError(msg)


def _fit(
    reference: Reference,
    cell_map: CellMap | None,
    *,
    config: Config,
    threads: int,
    checkpoint: Checkpoint,
    progress: bool,
) -> Result:
    device = _device(config.device)
    normalisation = Normalisation.from_depths(reference.depth, unit=config.unit)
    normalised, size_factors = reference.X.map(normalisation.normalise), normalisation.size_factors(reference.depth)
    started = time.perf_counter()
    mapped_with = None if cell_map is None else cell_map.made_with
    if cell_map is None:
        found = _map_cells(normalised, config=config, device=device, checkpoint=checkpoint, progress=progress)
        cell_map = replace(found, sha256=reference.sha256)
    mapped = time.perf_counter()
    scale = NetworkScale.from_cells(normalised)
    capture = find_capture(scale.molecule, config)
    with _threads(threads):
        networks = train(
            normalised,
            size_factors,
            cell_map,
            scale,
            capture=capture,
            config=config.module2,
            seed=config.seed,
            device=device,
            checkpoint=checkpoint,
            progress=progress,
        )
        with busy("measuring the quality", enabled=progress):
            recovery = recover(networks, normalised, config=config.module2, seed=config.seed, device=device)
            cell_reference = describe_held_out(
                networks,
                normalised,
                size_factors,
                cell_map.clusters,
                capture=capture,
                config=config.module2,
                seed=config.seed,
                device=device,
            )
    trained = time.perf_counter()
    info = ModelInfo(
        genes=reference.genes,
        gene_ids=reference.gene_ids,
        unit=config.unit,
        clusters=int(cell_map.clusters.max()) + 1,
        training_data=describe_data(reference),
        training=describe_training(config, threads=threads, device=device.type, mapped_with=mapped_with),
        quality=recovery.scores,
        capture_efficiency=capture.efficiency,
        molecule_value=capture.molecule,
        cell_reference=cell_reference,
        tissue=config.tissue,
        species=config.species,
        licence=config.licence,
    )
    return Result(
        clusters=_for_all_cells(cell_map.clusters, reference, missing=-1),
        latent=_for_all_cells(cell_map.latent, reference, missing=np.nan),
        history=networks.history,
        best_epoch=networks.best,
        info=info,
        seconds={"module 1": mapped - started, "module 2": trained - mapped},
        cell_map=cell_map,
        recovery=recovery,
        _weights=network_weights(networks, scale, target_depth=normalisation.target_depth, capture=capture),
        _cells=reference.cells,
        _shown=reference.X.rows(spaced(reference.X.shape[0])),
    )


def _map_cells(
    normalised: Expression, *, config: Config, device: torch.device, checkpoint: Checkpoint, progress: bool
) -> CellMap:
    with _threads(1):  # the networks of module 1 are so small that more threads only wait for each other
        return map_cells(
            normalised.map(log1p),
            config=config.module1,
            clusters=config.clusters,
            seed=config.seed,
            device=device,
            checkpoint=checkpoint,
            progress=progress,
        )


def _for_all_cells(values: npt.NDArray[Any], reference: Reference, *, missing: float) -> npt.NDArray[Any]:
    everyone = np.full((reference.cells_before, *values.shape[1:]), missing, dtype=values.dtype)
    everyone[reference.cells] = values
    return everyone


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        msg = "device is 'cuda', but torch sees no GPU. Use device 'auto' or 'cpu'."
        raise ScinnError(msg)
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def _torch_as_it_comes() -> Iterator[None]:
    """Compute with torch as it is when it is imported, whatever the caller has set: single precision, gradients."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(mode=False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    """Compute on this many threads: torch, and the libraries under numpy, scipy and scikit-learn."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
