"""Everything that an input holds, in anndata's layout, into an empty HDF5 file or zarr store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.inputs.opening import open_anndata
from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.outputs.csr import encode, write_csr
from scinn_infer.outputs.transfer import ROWS_AT_A_TIME, Copying, chosen, copy_element, narrowed

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.inputs.matrix import ExpressionMatrix

GENE_TABLES = ("var", "varm", "varp")
"""What has a row for each gene."""

GROUPS = ("layers", "raw", "obsm", "obsp", "varm", "varp", "uns")
"""What holds elements by name, also where an old file does not say so."""


def fill(
    root: Any, matrix: ExpressionMatrix, *, temporary_folder: Path, genes: npt.NDArray[np.intp] | None = None
) -> None:
    """Write everything that the input holds into the empty root of a file or store.

    Of some genes only, ``raw`` stays whole, as anndata leaves it.

    Parameters
    ----------
    root
        Where it goes: an h5py file or a zarr group.
    matrix
        The input (cells × genes).
    temporary_folder
        Where matrices that are stored by columns are re-ordered.
    genes
        Which genes are written, in this order; all if not given.
    """
    encode(root, "anndata", "0.1.0")
    if recognise(matrix.path) in {Format.H5AD, Format.ZARR}:
        with open_anndata(matrix.path) as source:
            _copy_all(source, root, Copying(path=matrix.path, folder=temporary_folder), genes)
    else:
        _write_new(root, matrix, genes)


def _write_new(root: Any, matrix: ExpressionMatrix, genes: npt.NDArray[np.intp] | None) -> None:
    import pandas as pd
    from anndata.io import write_elem

    write_elem(root, "obs", pd.DataFrame(index=matrix.cells))
    columns = {name: np.array(values, dtype=object) for name, values in matrix.var_columns().items()}
    var = pd.DataFrame(columns, index=matrix.var_names)
    write_elem(root, "var", var if genes is None else var.iloc[genes])
    for group in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
        write_elem(root, group, {})
    chunks = chosen(matrix.chunks(ROWS_AT_A_TIME), genes)
    write_csr(root, "X", chunks, shape=narrowed(matrix.shape, genes), dtype=matrix.dtype)


def _copy_all(source: Any, target: Any, copying: Copying, genes: npt.NDArray[np.intp] | None) -> None:
    with naming_damage(str(copying.path)):
        elements = {name: source[name] for name in sorted(source)}  # zarr lists in no stated order
    for name, element in elements.items():
        if name == "raw" and not hasattr(element, "keys"):  # None, which a store says and a file leaves out
            continue
        if genes is not None and name in GENE_TABLES:
            _copy_of_genes(source, target, name, genes)
        elif name in GROUPS and hasattr(element, "keys"):
            group = target.create_group(name)
            encode(group, element.attrs.get("encoding-type", "dict"), "0.1.0")
            for inner in sorted(element):
                copy_element(element, group, inner, copying, genes=genes if name == "layers" else None)
        else:
            copy_element(source, target, name, copying, genes=genes if name == "X" else None)


def _copy_of_genes(source: Any, target: Any, name: str, genes: npt.NDArray[np.intp]) -> None:
    """Copy what is known of each gene, or of each pair of genes, for some of them."""
    from anndata.io import read_elem, write_elem

    element = read_elem(source[name])
    if name == "var":
        write_elem(target, name, element.iloc[genes])
        return
    parts = {inner: _rows_of(element[inner], genes) for inner in sorted(element)}
    write_elem(target, name, {inner: part[:, genes] if name == "varp" else part for inner, part in parts.items()})


def _rows_of(part: Any, genes: npt.NDArray[np.intp]) -> Any:
    if hasattr(part, "iloc"):
        return part.iloc[genes]
    return (part.tocsr() if hasattr(part, "tocsr") else part)[genes]
