"""The datasets of the benchmarks, and the ways in which their cells and counts are divided."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
from scipy import sparse

from scinn_train import datasets
from scinn_train.datasets.download import MIRROR_VARIABLE

if TYPE_CHECKING:
    import numpy.typing as npt

    Strings = npt.NDArray[np.str_]

FOLDER = Path(__file__).parents[3] / "shared" / "datasets"
"""Where the data is if ``SCINN_DATA_MIRROR`` names no other folder; if neither is there, it is downloaded."""

# The protocol, frozen before anything was tuned: settings are chosen on the first half and confirmed on the second.
TUNING = ("yan", "pollen299", "klein_1000x900", "mouse_bladder_2100", "saver_downsample_zeisel")
CONFIRMATION = (
    "goolam",
    "camp_fetal220",
    "romanov_neurons845",
    "baron_human1",
    "scmix_5cl_celseq2",
    "saver_downsample_baron",
    "pollen_fluidigm_hilo",
    "baron_h123_1000g",
)

CLUSTER_SETS = (
    "yan",
    "goolam",
    "camp_fetal220",
    "klein_1000x900",
    "romanov_neurons845",
    "baron_human1",
    "pollen299",
    "mouse_bladder_2100",
    "scmix_5cl_celseq2",
)
REFERENCE_SETS = ("saver_downsample_baron", "saver_downsample_zeisel", "pollen_fluidigm_hilo")
"""Datasets whose truth is known: the counts before down-sampling, or the same cells sequenced deeply."""
UMI_SETS = (
    "klein_1000x900",
    "romanov_neurons845",
    "baron_human1",
    "mouse_bladder_2100",
    "scmix_5cl_celseq2",
    "saver_downsample_baron",
    "saver_downsample_zeisel",
    "baron_h123_1000g",
)

PREPARED = ("baron_human1", "pollen299", "pollen_fluidigm_hilo")
"""Not in the download catalogue, but ready-made in the folder with data; all are counts."""

RANDOM = "random 30 %"
BATCH_SPLITS = {
    "scmix_5cl_celseq2": ("p3",),
    "baron_human1": ("lib3",),
    "baron_h123_1000g": ("human1", "human2", "human3"),
}
"""Batches that are held out, each in turn; of the three libraries of baron_human1 the last and largest only, as its
fits are among the dearest. Of every other dataset a random part is held out (``RANDOM``)."""

_HELD_OUT_SHARE = 0.3
_QUICK_CELLS, _QUICK_GENES = 200, 400


@dataclass(frozen=True)
class Dataset:
    """Cells of one dataset, as observed.

    Attributes
    ----------
    name
        Name of the dataset that they are from.
    unit
        ``"counts"``, ``"tpm"`` or ``"fpkm"``, as ``scinn_train`` names it.
    umi
        Whether the counts are of molecules, not of reads.
    X
        Linear expression (cells × genes), float32, without stored zeros.
    genes
        Names of the columns.
    labels, batches
        Type and batch of each cell (cells,), where known.
    reference
        True expression (cells × genes), where known.
    """

    name: str
    unit: str
    umi: bool
    X: sparse.csr_matrix
    genes: tuple[str, ...]
    labels: Strings | None
    batches: Strings | None
    reference: sparse.csr_matrix | None


@lru_cache(maxsize=2)
def load(name: str, *, quick: bool = False) -> Dataset:
    """Return a dataset; of ``pollen_fluidigm_hilo`` the shallow cells, with the deep ones as their reference.

    Parameters
    ----------
    name
        Name of the dataset.
    quick
        Whether to take only some 200 cells of all batches, and the 400 genes that vary most.
    """
    dataset = _load_prepared(name) if name in PREPARED else _load_from_catalogue(name)
    return _small(dataset) if quick else dataset


def rows(dataset: Dataset, index: npt.ArrayLike) -> Dataset:
    """Return a part of the cells, given by their indices or by a mask (cells,)."""
    return replace(
        dataset,
        X=dataset.X[index],
        labels=None if dataset.labels is None else dataset.labels[index],
        batches=None if dataset.batches is None else dataset.batches[index],
        reference=None if dataset.reference is None else dataset.reference[index],
    )


def thinned(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, sparse.csr_matrix]:
    """Divide the counts at random: each molecule stays with probability ``share``; the second matrix has the others.

    Each cell and gene keeps its place, also where nothing is left of it.
    """
    counts = dataset.X.astype(np.int64)
    stays = counts.copy()
    stays.data = np.random.default_rng(seed).binomial(counts.data, share)
    return replace(dataset, X=_float32(stays)), _float32(counts - stays)


def splits(name: str) -> tuple[str, ...]:
    """Return the names of the parts of a dataset that are held out, each in turn."""
    return BATCH_SPLITS.get(name, (RANDOM,))


def held_out(dataset: Dataset, split: str, seed: int) -> npt.NDArray[np.bool_]:
    """Return which cells a split holds out (cells,): a batch, or for each seed another 30 % of each type."""
    if split != RANDOM:
        assert dataset.batches is not None
        return np.asarray(dataset.batches == split)
    random = np.random.default_rng(seed)
    cells = random.permutation(dataset.X.shape[0])
    if dataset.labels is not None:
        cells = cells[np.argsort(dataset.labels[cells], kind="stable")]
    # Three of every ten in this order are three of every ten of each type, as nearly as can be.
    counted = np.floor(np.arange(len(cells) + 1) * _HELD_OUT_SHARE + random.random())
    held = np.zeros(len(cells), dtype=bool)
    held[cells] = np.diff(counted) > 0
    return held


def folder() -> Path:
    """Return the folder with local copies of the data, which need not be there."""
    return Path(os.environ.get(MIRROR_VARIABLE, FOLDER))


def _load_from_catalogue(name: str) -> Dataset:
    if FOLDER.is_dir():
        os.environ.setdefault(MIRROR_VARIABLE, str(FOLDER))
    return _dataset(name, datasets.load(name), unit=datasets.CATALOGUE[name].unit)


def _load_prepared(name: str) -> Dataset:
    path = folder() / "prepared" / f"{name}.h5ad"
    if not path.exists():
        msg = f"{name} is not in the download catalogue; it needs {path}."
        raise FileNotFoundError(msg)
    adata = anndata.read_h5ad(path)
    if name == "pollen_fluidigm_hilo":
        adata = _shallow_with_deep_as_reference(adata)
    return _dataset(name, adata, unit="counts")


def _shallow_with_deep_as_reference(adata: anndata.AnnData) -> anndata.AnnData:
    by_library = {coverage: adata[adata.obs["batch"] == coverage] for coverage in ("Low", "High")}
    by_library = {coverage: half[np.argsort(half.obs["library"])] for coverage, half in by_library.items()}
    shallow, deep = by_library["Low"].copy(), by_library["High"]
    assert (shallow.obs["library"].to_numpy() == deep.obs["library"].to_numpy()).all()
    shallow.layers["ref"] = deep.X
    del shallow.obs["batch"]
    return shallow


def _dataset(name: str, adata: anndata.AnnData, *, unit: str) -> Dataset:
    labels = _strings(adata, "label")
    return Dataset(
        name=name,
        unit=unit,
        umi=name in UMI_SETS,
        X=_float32(adata.X),
        genes=tuple(map(str, adata.var_names)),
        labels=None if labels is None or len(np.unique(labels)) < 2 else labels,
        batches=_strings(adata, "batch"),
        reference=_float32(adata.layers["ref"]) if "ref" in adata.layers else None,
    )


def _strings(adata: anndata.AnnData, column: str) -> Strings | None:
    return adata.obs[column].to_numpy().astype(str) if column in adata.obs else None


def _float32(X: Any) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(X, dtype=np.float32, copy=True)  # the next line would change X's own indices
    matrix.eliminate_zeros()
    return matrix


def _small(dataset: Dataset) -> Dataset:
    cells = np.unique(np.linspace(0, dataset.X.shape[0] - 1, _QUICK_CELLS).astype(int))
    part = rows(dataset, cells)
    variance = np.log1p(part.X.toarray()).var(axis=0)
    genes = np.sort(np.argsort(-variance, kind="stable")[:_QUICK_GENES])
    return replace(
        part,
        X=part.X[:, genes],
        genes=tuple(part.genes[gene] for gene in genes),
        reference=None if part.reference is None else part.reference[:, genes],
    )
