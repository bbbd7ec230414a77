"""scVI (Lopez et al., Nat Methods 2018): a variational autoencoder of counts. Needs the package scvi-tools.

Network, likelihood and training are its defaults, except for the number of epochs: its 400 would take most of an hour
for one fit of the larger datasets on one thread, so there are as many as fit into about two minutes: 11 for
baron_human1, and 134 for saver_downsample_baron. It may not have converged on the larger ones.

Its authors advise to model the most variable genes only, so that is a method of its own.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np

from quality.tasks import UnavailableError
from scinn_train.normalise import depth

if TYPE_CHECKING:
    import numpy.typing as npt

    from quality.data import Dataset

    Array = npt.NDArray[np.float32]
    Genes = npt.NDArray[np.intp]

FEWEST_CELLS = 3
"""In how many cells a gene must be seen to be modelled, as for scINN."""
VARIABLE_GENES = 4000

DEFAULT_EPOCHS = 400
ENTRIES = 3.3e8
"""Most matrix entries to train on, counted once for every epoch."""


def impute(cells: Dataset, *, seed: int) -> Array:
    """Return the expected counts at each cell's own depth (cells × genes); genes that are hardly seen as they are."""
    return _impute(cells, _seen_genes(cells), seed=seed)


def impute_most_variable(cells: Dataset, *, seed: int) -> Array:
    """Return the same for the 4,000 most variable genes, all others as they are (cells × genes)."""
    genes = _seen_genes(cells)
    if len(genes) > VARIABLE_GENES:
        _check(cells)
        import scanpy

        table = scanpy.pp.highly_variable_genes(
            anndata.AnnData(cells.X[:, genes]), flavor="seurat_v3", n_top_genes=VARIABLE_GENES, inplace=False
        )
        genes = genes[table["highly_variable"].to_numpy()]
    return _impute(cells, genes, seed=seed)


def epochs(cells: int, genes: int) -> int:
    """Return how many epochs to train: scVI's default, or as many as the budget allows."""
    return max(1, min(DEFAULT_EPOCHS, int(ENTRIES / (cells * genes))))


def _impute(cells: Dataset, genes: Genes, *, seed: int) -> Array:
    scvi = _check(cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about loader workers, and small last minibatches
        scvi.settings.seed = seed
        adata = anndata.AnnData(cells.X[:, genes])
        scvi.model.SCVI.setup_anndata(adata)
        model = scvi.model.SCVI(adata)
        model.train(max_epochs=epochs(*adata.shape), accelerator="cpu", enable_progress_bar=False)
        share = model.get_normalized_expression(library_size=1, return_numpy=True)
    values = cells.X.toarray()
    values[:, genes] = share * depth(adata.X)[:, None]
    return values


def _seen_genes(cells: Dataset) -> Genes:
    return np.flatnonzero(cells.X.getnnz(axis=0) >= FEWEST_CELLS)


def _check(cells: Dataset) -> Any:
    """Return the package, told to be quiet.

    Raises
    ------
    UnavailableError
        If it is not installed, or the data is no counts.
    """
    if cells.unit != "counts":
        msg = f"scVI models counts, and {cells.name} is in {cells.unit}."
        raise UnavailableError(msg)
    try:
        import scvi
        import scvi.model
    except ImportError as error:
        msg = f"scVI cannot be run ({error}): pip install 'scinn[bench]'"
        raise UnavailableError(msg) from error
    for name in ("scvi", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return scvi
