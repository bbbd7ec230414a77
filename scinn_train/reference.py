"""The training matrix: checked, and brought to the one form in which the rest of the package knows it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.checks import check_chunk, check_exact, check_unit
from scinn_infer.errors import ScinnError
from scinn_infer.genes import gene_names, look_like_barcodes
from scinn_train.normalise import depth, scale_rows
from scinn_train.provenance import matrix_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_train.config import Config

FEWEST_CELLS = 20
"""Below this number of cells neither neighbourhoods nor held-out cells mean anything."""

_VERSION = re.compile(r"\.\d+$")
_NO_ID = ("", "nan", "none", "na", "<na>")  # how pandas writes that an id is not known
_SAME_SHARE = 1e-7  # cells whose shares of their depth differ by less than this in every gene are alike


@dataclass(frozen=True)
class Reference:
    """A training matrix that has passed every check.

    Attributes
    ----------
    X
        Non-negative expression of the cells with any expression and of the model's genes (cells × genes), float32 CSR.
    genes, gene_ids
        Names of the model's genes, and their Ensembl ids where known (else empty).
    cells
        Rows of the caller's matrix that the rows of X are: those without any expression in these genes are left out.
    cells_before, genes_before
        Shape of the caller's matrix.
    sha256
        Digest of the caller's matrix.
    """

    X: sparse.csr_array
    genes: tuple[str, ...]
    gene_ids: tuple[str, ...]
    cells: npt.NDArray[np.intp]
    cells_before: int
    genes_before: int
    sha256: str


def prepare(
    X: Any,
    genes: Sequence[str],
    *,
    config: Config,
    gene_ids: Sequence[str] | None = None,
    cell_names: Sequence[str] | None = None,
    source: str = "the matrix",
    unit_checked: bool = False,
) -> Reference:
    """Check a training matrix and choose the model's cells and genes.

    Parameters
    ----------
    X
        Non-negative expression (cells × genes) in ``config.unit``, numpy or scipy sparse.
    genes, gene_ids
        Names of the columns, and their Ensembl ids where known.
    cell_names
        Names of the rows, for messages.
    source
        How messages name the matrix.
    unit_checked
        Whether it is known to be in that unit; otherwise logarithms are refused.

    Raises
    ------
    ScinnError
        If it cannot be trained on; the message says why, and what to do.
    """
    names = gene_names(genes)
    matrix = _to_csr(X, source)
    _check_shape(matrix, names, gene_ids, source)
    check_chunk(matrix, genes=names, cell_names=cell_names, source=source)
    if not unit_checked:
        check_unit(matrix, unit=config.unit, source=source)
    seen_in = np.bincount(matrix.indices, minlength=matrix.shape[1])
    columns = np.flatnonzero(seen_in >= config.min_cells)
    kept = matrix[:, columns]
    with_expression = np.flatnonzero(np.diff(kept.indptr) > 0)
    reference = Reference(
        X=kept[with_expression],
        genes=tuple(names[column] for column in columns),
        gene_ids=_known_ids(gene_ids, columns),
        cells=with_expression,
        cells_before=matrix.shape[0],
        genes_before=matrix.shape[1],
        sha256=matrix_sha256(matrix, names),
    )
    _check_enough(reference, config, source)
    return reference


def _to_csr(X: Any, source: str) -> sparse.csr_array:
    if getattr(X, "ndim", 0) != 2:
        msg = f"{source} is not two-dimensional. Give a matrix of cells × genes."
        raise ScinnError(msg)
    if np.dtype(X.dtype).kind not in "buif":
        msg = f"{source} holds values of type {X.dtype}; expression is float32, float64 or an integer type."
        raise ScinnError(msg)
    check_exact(X, source=source)
    matrix = sparse.csr_array(X, dtype=np.float32, copy=True)  # what follows must not touch the caller's arrays
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _check_shape(X: sparse.csr_array, genes: list[str], gene_ids: Sequence[str] | None, source: str) -> None:
    if 0 in X.shape:
        msg = f"{source} is empty: it has {X.shape[0]} cells and {X.shape[1]} genes."
        raise ScinnError(msg)
    if len(genes) != X.shape[1]:
        hint = " It looks transposed: pass cells × genes." if len(genes) == X.shape[0] else ""
        msg = f"{source} has {X.shape[1]} columns, but {len(genes)} gene names came with it.{hint}"
        raise ScinnError(msg)
    if gene_ids is not None and len(gene_ids) != len(genes):
        msg = f"{source}: {len(gene_ids)} gene ids came with {len(genes)} gene names. Give one for each gene."
        raise ScinnError(msg)
    if look_like_barcodes(genes):
        msg = (
            f"{source}: its gene names look like cell barcodes ({genes[0]}): pass the transposed matrix, cells × genes."
        )
        raise ScinnError(msg)
    repeated = [gene for gene, count in Counter(genes).items() if count > 1]
    if repeated:
        msg = (
            f"{source}: {len(repeated)} gene name(s) occur more than once, among them {', '.join(repeated[:5])}. "
            "Sum these columns, or make the names unique (adata.var_names_make_unique())."
        )
        raise ScinnError(msg)


def _known_ids(gene_ids: Sequence[str] | None, columns: npt.NDArray[np.intp]) -> tuple[str, ...]:
    if gene_ids is None:
        return ()
    ids = [_VERSION.sub("", str(gene_ids[column])) for column in columns]
    times = Counter(ids)
    known = tuple("" if times[name] > 1 or name.lower() in _NO_ID else name for name in ids)
    return known if any(known) else ()


def _check_enough(reference: Reference, config: Config, source: str) -> None:
    cells, genes = reference.X.shape
    if reference.cells_before < FEWEST_CELLS:
        msg = f"{source} has {reference.cells_before} cell(s); training needs {FEWEST_CELLS} or more."
        raise ScinnError(msg)
    if genes >= 2 and cells < FEWEST_CELLS:
        msg = f"{source} has {cells} cell(s) with any expression; training needs {FEWEST_CELLS} or more."
        raise ScinnError(msg)
    if genes < 2:
        msg = (
            f"{source}: {genes} of {reference.genes_before} genes are seen in {config.min_cells} or more cells; "
            "there is nothing to learn from. Lower min_cells, or check the matrix."
        )
        raise ScinnError(msg)
    if config.clusters is not None and cells < 3 * config.clusters:
        msg = f"{source} has {cells} cells, too few for {config.clusters} clusters: give 3 cells for each or more."
        raise ScinnError(msg)
    shares = scale_rows(reference.X, 1 / depth(reference.X))
    if (shares.max(axis=0).toarray() - shares.min(axis=0).toarray()).max() < _SAME_SHARE:
        msg = f"{source}: all {cells} cells are alike, so there is nothing to learn from."
        raise ScinnError(msg)
