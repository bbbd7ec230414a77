"""Read a reference from a file: the expression as one sparse matrix, and what the genes are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scinn_infer.h5ad import H5adMatrix

if TYPE_CHECKING:
    from pathlib import Path

GENE_ID_COLUMN = "gene_ids"
"""Column of ``var`` in which scanpy and 10x Genomics' readers put Ensembl ids."""

_ROWS_AT_ONCE = 1024


def read_reference(path: Path, *, layer: str | None = None) -> tuple[sparse.csr_array, list[str], list[str] | None]:
    """Read the training matrix of an ``.h5ad`` file.

    Parameters
    ----------
    path
        The file.
    layer
        The layer to read; ``X`` if None.

    Returns
    -------
        Expression (cells × genes), float32; the genes' names; their Ensembl ids, if ``var`` has a column ``gene_ids``.

    Raises
    ------
    ScinnError
        If it cannot be read; the message says why.
    """
    with H5adMatrix(path, layer=layer) as matrix:
        chunks = [sparse.csr_array(rows, dtype=np.float32) for rows in matrix.chunks(_ROWS_AT_ONCE)]
        genes = matrix.genes
    return sparse.csr_array(sparse.vstack(chunks, format="csr")), genes, _gene_ids(path)


def _gene_ids(path: Path) -> list[str] | None:
    import h5py
    from anndata.io import read_elem

    with h5py.File(path) as file:
        if GENE_ID_COLUMN not in file["var"]:
            return None
        values = read_elem(file["var"][GENE_ID_COLUMN])
    return [str(value) for value in values]
