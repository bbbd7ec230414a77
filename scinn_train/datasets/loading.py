"""From the verified files of a dataset to AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from scinn_infer.errors import ScinnError
from scinn_infer.progress import busy
from scinn_train.datasets.catalogue import Dataset, find
from scinn_train.datasets.download import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

    from scinn_train.datasets.readers import Reading


def load(dataset: str | Dataset, *, progress: bool = False) -> AnnData:
    """Return a dataset of the catalogue, downloaded and verified when it is not in the cache yet.

    Parameters
    ----------
    dataset
        A name of the catalogue (``names()``), or an entry.
    progress
        Whether to draw a bar for each download and for the reading, on stderr, when that is a terminal.

    Returns
    -------
    The annotated matrix (cells × genes). ``X`` is sparse (CSR), float32, in the unit that
    ``uns["scinn_dataset"]["unit"]`` names: neither normalised nor logarithmic. ``obs["label"]`` is what a cell is,
    ``obs["batch"]`` its batch where known; ``layers["ref"]`` holds the counts before down-sampling, for the datasets
    that were down-sampled.

    Raises
    ------
    ScinnError
        The name is unknown, a file cannot be had, or a package needed for reading it is missing.
    """
    entry = find(dataset)
    paths = fetch(entry, progress=progress)
    try:
        with busy(f"reading {entry.name}", enabled=progress):
            return _assemble(entry, entry.read(paths))
    except ModuleNotFoundError as error:
        msg = f'Reading the dataset {entry.name} needs {error.name}: pip install "scinn[train]"'
        raise ScinnError(msg) from error


def _assemble(entry: Dataset, reading: Reading) -> AnnData:
    import anndata
    import pandas as pd

    obs = {"label": pd.Categorical(_strings(reading.labels))}
    if reading.batches is not None:
        obs["batch"] = pd.Categorical(_strings(reading.batches))
    return anndata.AnnData(
        X=_sparse(reading.expression),
        obs=pd.DataFrame(obs, index=_strings(reading.cells)),
        var=pd.DataFrame(index=_strings(reading.genes)),
        layers={} if reading.reference is None else {"ref": _sparse(reading.reference)},
        uns={"scinn_dataset": _provenance(entry)},
    )


def _provenance(entry: Dataset) -> dict[str, Any]:
    return {
        "name": entry.name,
        "unit": entry.unit,
        "quantity": entry.quantity,
        "licence": entry.licence,
        "citation": entry.citation,
        "url": np.array([file.url for file in entry.files]),
        "sha256": np.array([file.sha256 for file in entry.files]),
    }


def _sparse(matrix: Any) -> sp.csr_matrix[np.float32]:
    return sp.csr_matrix(matrix).astype(np.float32)


def _strings(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]
