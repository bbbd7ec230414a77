"""What the demo trains on, and what it holds out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_train.simulate import TRUTH_LAYER, simulate_tissue

if TYPE_CHECKING:
    import numpy.typing as npt
    from anndata import AnnData

    from scinn_train.simulate import SimulationConfig

LEAST_HELD_OUT = 0.1
"""Batches are held out, the last first, until they hold this share of the cells: some datasets have many small ones."""

HELD_OUT_OF_TYPE = 0.3
"""Share of each cell type that is held out where no batches are known."""

REFERENCE_LAYER = "ref"
"""Layer of the down-sampled datasets of the catalogue with the counts before down-sampling."""


@dataclass(frozen=True)
class DemoData:
    """Cells to train on, and cells held out.

    Attributes
    ----------
    reference, new
        Expression in ``unit`` (cells × genes); ``obs["label"]`` is what a cell is.
    unit
        Unit of the expression.
    title
        What the data is, and what was held out.
    truth_layer
        Layer of ``new`` with the true expression in the same unit, where it is known.
    """

    reference: AnnData
    new: AnnData
    unit: str
    title: str
    truth_layer: str | None


def simulated(config: SimulationConfig) -> DemoData:
    """Simulate a tissue; its last batch is held out.

    Raises
    ------
    ScinnError
        If there is one batch only.
    """
    tissue = simulate_tissue(config)
    batches = list(tissue.obs["batch"].cat.categories)
    if len(batches) < 2:
        msg = "the demo needs two simulated batches or more: one is held out."
        raise ScinnError(msg)
    return _split(
        tissue,
        held_out=np.asarray(tissue.obs["batch"] == batches[-1]),
        unit="counts",
        title=f"Simulated tissue, {batches[-1]}",
        truth_layer=TRUTH_LAYER,
    )


def from_catalogue(name: str, *, seed: int, progress: bool = False) -> DemoData:
    """Fetch a dataset of the catalogue; its last batch is held out, or a part of each cell type where it has none.

    Parameters
    ----------
    name
        A name of the catalogue.
    seed
        Seed of the split by cell type.
    progress
        Whether to show a progress bar for a download.

    Raises
    ------
    ScinnError
        If the dataset is unknown or cannot be had.
    """
    from scinn_train.datasets.catalogue import find
    from scinn_train.datasets.loading import load

    entry = find(name)
    adata = load(entry, progress=progress)
    if "batch" in adata.obs and adata.obs["batch"].nunique() > 1:
        held_out, what = _last_batches(np.asarray(adata.obs["batch"].astype(str)))
    else:
        held_out = _part_of_each_type(np.asarray(adata.obs["label"].astype(str)), seed=seed)
        what = f"{HELD_OUT_OF_TYPE:.0%} of the cells"
    return _split(
        adata,
        held_out=held_out,
        unit=entry.unit,
        title=f"{entry.name}, {what}",
        truth_layer=REFERENCE_LAYER if REFERENCE_LAYER in adata.layers else None,
    )


def _last_batches(batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], str]:
    """Choose whole batches from the end, and leave at least one."""
    names, cells = np.unique(batch, return_counts=True)
    enough = int(np.argmax(np.cumsum(cells[::-1]) >= LEAST_HELD_OUT * batch.size)) + 1
    chosen = names[-min(enough, len(names) - 1) :]
    return np.isin(batch, chosen), f"batch {chosen[0]}" if len(chosen) == 1 else f"{len(chosen)} batches"


def _part_of_each_type(labels: npt.NDArray[Any], *, seed: int) -> npt.NDArray[np.bool_]:
    random = np.random.default_rng(seed)
    held_out = np.zeros(labels.size, dtype=bool)
    for label in np.unique(labels):
        cells = random.permutation(np.flatnonzero(labels == label))
        held_out[cells[: round(HELD_OUT_OF_TYPE * cells.size)]] = True
    return held_out


def _split(
    adata: AnnData, *, held_out: npt.NDArray[np.bool_], unit: str, title: str, truth_layer: str | None
) -> DemoData:
    reference, new = adata[~held_out].copy(), adata[held_out].copy()
    if truth_layer is not None:
        del reference.layers[truth_layer]  # so that nobody wonders whether it was trained on
    title = f"{title}: {new.n_obs:,} cells never seen in training"
    return DemoData(reference, new, unit, title, truth_layer)
