"""Fit the whole two-module system on one dataset."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from scinn_infer import __version__
from scinn_infer.anndata import matrix_of
from scinn_infer.contract import ModelInfo
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.gene_table import GeneTable
from scinn_infer.progress import busy
from scinn_infer.threads import available_threads
from scinn_train import export
from scinn_train.checkpoint import open_checkpoint
from scinn_train.config import Config
from scinn_train.half_precision import FLOAT32
from scinn_train.module1 import map_cells
from scinn_train.normalise import Normalisation, log1p
from scinn_train.provenance import describe_data, describe_training
from scinn_train.quality import describe_held_out, recover
from scinn_train.reading import known_gene_ids
from scinn_train.reference import Reference, prepare
from scinn_train.scale import NetworkScale
from scinn_train.training import train

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from scipy import sparse

    from scinn_train.checkpoint import Checkpoint
    from scinn_train.graph import NetworkWeights
    from scinn_train.module1 import CellMap
    from scinn_train.quality import Recovery
    from scinn_train.training import Epoch

    Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """A fitted scINN: what module 1 found, how module 2 was trained, and the model that can be exported.

    Attributes
    ----------
    clusters
        Module-1 cluster of each cell, 0 the largest; -1 for a cell without any expression (cells,).
    latent
        The latent of module 1 that agrees best with the clusters; NaN for a cell without any expression
        (cells × latents).
    history
        One entry for each epoch of module 2: the loss by its named terms, on training and on held-out cells.
    best_epoch
        The entry of the history at which the network was kept.
    cell_map
        All of what module 1 found, of the cells with any expression: another fit of the same data can begin with it.
    recovery
        How well hidden entries of held-out cells are predicted.
    info
        What the model file will say of itself.
    seconds
        Time that each module took.
    """

    clusters: npt.NDArray[np.intp]
    latent: Array
    history: list[Epoch]
    best_epoch: int
    info: ModelInfo
    seconds: dict[str, float]
    cell_map: CellMap
    recovery: Recovery
    _weights: NetworkWeights
    _reference: Reference

    @property
    def genes(self) -> tuple[str, ...]:
        """The model's genes: those seen in enough training cells."""
        return self.info.genes

    def similarity(self, rows: npt.ArrayLike, columns: npt.ArrayLike) -> Array:
        """Return the module-1 similarity of some cells with others.

        Parameters
        ----------
        rows, columns
            Indices of cells.

        Returns
        -------
            Pearson correlation of their latents, averaged over the ensemble, in [-1, 1] (rows × columns); NaN for a
            cell without any expression.

        Raises
        ------
        ScinnError
            If an index is out of range.
        """
        position = np.full(self._reference.cells_before, -1, dtype=np.intp)
        position[self._reference.cells] = np.arange(len(self._reference.cells))
        try:
            first, second = (position[np.atleast_1d(np.asarray(cells))] for cells in (rows, columns))
        except IndexError as error:
            msg = f"a cell index is out of range: there are {len(position)} cells, counted from 0."
            raise ScinnError(msg) from error
        values = self.cell_map.similarity.between(first, second)
        values[first < 0] = np.nan
        values[:, second < 0] = np.nan
        return values

    def to_bytes(self, *, weights: str = FLOAT32) -> bytes:
        """Return what :meth:`export` writes: the model file, once it is proven.

        Parameters
        ----------
        weights
            As for :meth:`export`.

        Raises
        ------
        ScinnError
            If it does not do what the network does.
        """
        return export.serialise(self._weights, self.info, proof=self._reference.X, storage=weights)

    def export(self, path: str | os.PathLike[str], *, weights: str = FLOAT32, overwrite: bool = False) -> None:
        """Write the model file; it appears under its name only once it is proven (``scinn_train.export``).

        Parameters
        ----------
        path
            Where to write it.
        weights
            How the large matrices are stored: ``"float32"``, or ``"float16"`` for a file of about half the size, whose
            values differ in the fourth digit (``scinn_train.half_precision``).
        overwrite
            Whether an existing file may be replaced.

        Raises
        ------
        ScinnError
            If the file exists, cannot be written, or does not do what the network does; if there is no such storage.
        """
        proof = self._reference.X
        export.export(self._weights, self.info, path, proof=proof, storage=weights, overwrite=overwrite)

    def write_report(
        self,
        path: str | os.PathLike[str],
        *,
        labels: Sequence[Any] | None = None,
        labels_name: str = "label",
        genes: Sequence[str] = (),
        overwrite: bool = False,
    ) -> None:
        """Write a page about the fit: one HTML file, which loads nothing (``scinn_train.fit_report``).

        Parameters
        ----------
        path
            The ``.html`` file to write.
        labels
            Known type of each cell (cells,), to colour by.
        labels_name
            What these types are called.
        genes
            Genes to show before and after; the most cluster-specific ones if not given.
        overwrite
            Whether an existing page may be replaced.

        Raises
        ------
        ScinnError
            If bokeh is not installed, the page cannot be written, there is not one label for each cell, or a gene is
            not one of the model's.
        """
        from scinn_infer.report.request import ReportRequest
        from scinn_train.fit_report import write_fit_page

        request = ReportRequest(path=Path(path), genes=tuple(genes), overwrite=overwrite)
        request.check()
        write_fit_page(self, request, labels=None if labels is None else (labels_name, labels))


def fit(
    X: Any,
    genes: Sequence[str] | None = None,
    *,
    config: Config | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    gene_ids: Sequence[str] | None = None,
    cell_names: Sequence[str] | None = None,
    source: str = "the matrix",
    cell_map: CellMap | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    unit_checked: bool = False,
    progress: bool = False,
) -> Result:
    """Fit scINN on one dataset of a tissue.

    Parameters
    ----------
    X
        Non-negative expression in ``config.unit`` (cells × genes): a numpy array, a scipy sparse matrix, or an AnnData.
        It is not changed.
    genes
        Names of the columns; taken from ``var_names`` of an AnnData.
    config
        Configuration; ``Config()`` when None.
    layer
        The layer of an AnnData to use instead of its ``X``.
    gene_column
        The column of an AnnData's ``var`` with the names of the genes, instead of ``var_names``.
    gene_ids
        Ensembl ids of the columns, where known; taken from ``var["gene_ids"]`` of an AnnData if that is there, or with
        ``gene_column`` from ``var_names`` if these are ids.
    cell_names
        Names of the cells, for messages; taken from an AnnData.
    source
        How messages name the data.
    cell_map
        What module 1 found in an earlier fit of the same cells in the same order (``Result.cell_map``), to fit module 2
        alone: ``config.module1``, ``config.clusters`` and the seed of module 1 are those of that fit then, whatever is
        said here. None runs module 1.
    checkpoint
        A folder, made for this fit, that keeps what has been reached while it runs, and afterwards until it is removed.
    resume
        Whether to go on from there, if the folder is there already. The result is that of a fit that was never stopped.
    unit_checked
        Whether X is known to be in ``config.unit``: it is then taken as it is, even where it looks like logarithms
        (fractions, and no large value), as corrected counts of few genes may.
    progress
        Whether to show progress bars on a terminal.

    Raises
    ------
    ScinnError
        If the data cannot be trained on; the message says what is wrong, where, and what to do.
    """
    config = config or Config()
    if hasattr(X, "var_names"):
        genes = _names(X, gene_column, source) if genes is None else genes
        gene_ids = known_gene_ids(X.var, names_from_column=gene_column is not None) if gene_ids is None else gene_ids
        cell_names = list(X.obs_names) if cell_names is None else cell_names
        X = matrix_of(X, layer)
    elif layer is not None or gene_column is not None:
        asked = f"layer is {layer!r}" if layer is not None else f"gene_column is {gene_column!r}"
        msg = f"{asked}, but the data is no AnnData and has neither layers nor var. Pass the matrix and names meant."
        raise ScinnError(msg)
    if genes is None:
        msg = "the names of the genes are needed: fit(X, genes), or fit(adata)."
        raise ScinnError(msg)
    gene_ids = None if gene_ids is None else list(gene_ids)
    with busy("checking the reference", enabled=progress):
        reference = prepare(
            X,
            genes,
            config=config,
            gene_ids=gene_ids,
            cell_names=cell_names,
            source=source,
            unit_checked=unit_checked,
        )
    empty = reference.cells_before - len(reference.cells)
    if empty:
        msg = f"{source}: {empty} cell(s) have no expression in the model's genes; they are left out of the training."
        warnings.warn(msg, ScinnWarning, stacklevel=2)
    threads = config.threads or available_threads()
    decides = replace(config, tissue="", species="", licence="")
    begun_with = (reference.sha256, cell_map is None, decides, threads, __version__, torch.__version__)
    kept = open_checkpoint(checkpoint, of=begun_with, resume=resume)
    return _fit(reference, cell_map, config=config, threads=threads, checkpoint=kept, progress=progress)


def _names(adata: Any, gene_column: str | None, source: str) -> list[str]:
    return GeneTable(read=lambda: adata.var, source=source, option="gene_column={!r}", column=gene_column).names()


def _fit(
    reference: Reference,
    cell_map: CellMap | None,
    *,
    config: Config,
    threads: int,
    checkpoint: Checkpoint,
    progress: bool,
) -> Result:
    if config.unit != "counts":
        config = replace(config, module2=replace(config.module2, capture_efficiency=None))
    device = _device(config.device)
    normalisation = Normalisation.from_cells(reference.X, unit=config.unit)
    normalised = normalisation.normalise(reference.X)
    started = time.perf_counter()
    if cell_map is None:
        cell_map = _map_cells(normalised, config=config, device=device, checkpoint=checkpoint, progress=progress)
    elif len(cell_map.clusters) != len(reference.cells):
        msg = f"the cell map is of {len(cell_map.clusters)} cells, the data has {len(reference.cells)}; fit without it."
        raise ScinnError(msg)
    mapped = time.perf_counter()
    scale = NetworkScale.from_cells(normalised)
    with _threads(threads):
        networks = train(
            normalised,
            normalisation.size_factors(reference.X),
            cell_map,
            scale,
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
                normalisation.size_factors(reference.X),
                cell_map.clusters,
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
        training_data=describe_data(reference.X, genes_before_filter=reference.genes_before, sha256=reference.sha256),
        training=describe_training(config, threads=threads, device=device.type),
        quality=recovery.scores,
        capture_efficiency=config.module2.capture_efficiency,
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
        _weights=export.network_weights(
            networks,
            scale,
            target_depth=normalisation.target_depth,
            capture_efficiency=config.module2.capture_efficiency,
        ),
        _reference=reference,
    )


def _map_cells(
    normalised: sparse.csr_array, *, config: Config, device: torch.device, checkpoint: Checkpoint, progress: bool
) -> CellMap:
    with _threads(1):  # the networks of module 1 are so small that more threads only wait for each other
        return map_cells(
            log1p(normalised),
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
def _threads(threads: int) -> Iterator[None]:
    """Compute on this many threads: torch, and the libraries under numpy, scipy and scikit-learn."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
