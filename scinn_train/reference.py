"""The training matrix: checked, and brought to the one form in which the rest of the package knows it."""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from scinn_infer.checks import check_chunk, check_exact, check_unit
from scinn_infer.errors import ScinnError
from scinn_infer.genes import gene_names, look_like_barcodes
from scinn_infer.progress import busy, track
from scinn_train.bounds import TEXT, is_storable
from scinn_train.cell_store import MEMORY_GB, CellStore
from scinn_train.expression import CHUNK_ENTRIES, Expression
from scinn_train.normalise import cells_with, column_sums, depth, scale_rows
from scinn_train.provenance import stored_sha256
from scinn_train.reading import in_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from scinn_train.config import Config
    from scinn_train.reading import RowBlocks

FEWEST_CELLS = 20
"""Below this number of cells neither neighbourhoods nor held-out cells mean anything."""

SMALLEST_MEAN, LARGEST_MEAN = 1e-2, 1e12
"""Between these lies the mean of the values that are not zero, whatever the unit: beyond them logarithms lose their
digits. Shares of a cell's total, for one, lie below."""

_VERSION = re.compile(r"\.\d+$")
_NO_ID = ("", "nan", "none", "na", "<na>")  # how pandas writes that an id is not known
_SAME_SHARE = 1e-7  # cells whose shares of their depth differ by less than this in every gene are alike


@dataclass(frozen=True)
class Reference:
    """A training matrix that has passed every check; a context manager, which gives back what it is kept in.

    Attributes
    ----------
    X
        Non-negative expression of the cells with any expression and of the model's genes (cells × genes).
    genes, gene_ids
        Names of the model's genes, and their Ensembl ids where known (else empty).
    cells
        Rows of the caller's matrix that the rows of X are: those without any expression in these genes are left out.
    depth, genes_per_cell
        Sum and number of the non-zero entries of each row of X (cells,).
    gene_mean
        Mean of each column of X (genes,).
    cells_before, genes_before
        Shape of the caller's matrix.
    sha256
        Digest of the caller's matrix.
    """

    X: Expression
    genes: tuple[str, ...]
    gene_ids: tuple[str, ...]
    cells: npt.NDArray[np.intp]
    depth: npt.NDArray[np.float64]
    genes_per_cell: npt.NDArray[np.int64]
    gene_mean: npt.NDArray[np.float64]
    cells_before: int
    genes_before: int
    sha256: str
    _store: CellStore

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()


def prepare(
    X: Any,
    genes: Sequence[str],
    *,
    config: Config,
    gene_ids: Sequence[str] | None = None,
    cell_names: Sequence[str] | None = None,
    source: str = "the matrix",
    unit_checked: bool = False,
    memory_gb: float = MEMORY_GB,
    progress: bool = False,
) -> Reference:
    """Check a training matrix and choose the model's cells and genes.

    It is read once, and kept as it is: what follows reads rows of that.

    Parameters
    ----------
    X
        Non-negative expression (cells × genes) in ``config.unit``, as :class:`scinn_train.reading.ReferenceMatrix` has
        it.
    genes, gene_ids
        Names of the columns, and their Ensembl ids where known.
    cell_names
        Names of the rows, for messages.
    source
        How messages name the matrix.
    unit_checked
        Whether it is known to be in that unit; otherwise logarithms are refused.
    memory_gb
        Gigabytes of entries that may be kept in memory; more of them go into a temporary file.
    progress
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ScinnError
        If it cannot be trained on, or there is no room for it; the message says why, and what to do.
    """
    names = gene_names(genes)
    _check_text("name", names, source)
    _check_text("id", [] if gene_ids is None else list(map(str, gene_ids)), source)
    with in_blocks(X, source=source) as given:
        _check_type(given.dtype, source)
        _check_shape(given.shape, names, gene_ids, source)
        if cell_names is not None and len(cell_names) != given.shape[0]:
            msg = f"{source} has {given.shape[0]} cells, but {len(cell_names)} cell names came with it."
            raise ScinnError(msg)
        store = CellStore(given.shape, memory_gb=memory_gb, expected=given.stored)
        seen_in = np.zeros(given.shape[1], dtype=np.int64)
        try:
            checked = _checked(given, names, cell_names=cell_names, source=source)
            for rows in track(
                checked,
                description="reading",
                total=given.shape[0],
                size=lambda rows: rows.shape[0],
                enabled=progress,
            ):
                store.append(rows)
                seen_in += cells_with(rows)
            with busy("checking the reference", enabled=progress):
                return _choose(
                    store, names, gene_ids, seen_in=seen_in, config=config, source=source, unit_checked=unit_checked
                )
        except BaseException:
            store.close()
            raise


def _checked(
    given: RowBlocks, genes: list[str], *, cell_names: Sequence[str] | None, source: str
) -> Iterator[sparse.csr_array]:
    """Yield the rows of a matrix as float32, without explicit zeros, once their values are those of expression."""
    start = 0
    for block in given.blocks:
        check_exact(block, source=source)
        rows = sparse.csr_array(block, dtype=np.float32, copy=True)  # the caller's arrays must not be touched
        rows.sum_duplicates()
        rows.eliminate_zeros()
        check_chunk(rows, genes=genes, first_cell=start, cell_names=cell_names, source=source)
        yield rows
        start += rows.shape[0]


def _choose(
    store: CellStore,
    names: list[str],
    gene_ids: Sequence[str] | None,
    *,
    seen_in: npt.NDArray[np.int64],
    config: Config,
    source: str,
    unit_checked: bool,
) -> Reference:
    """Choose the model's genes, of which it is known how many cells show them, and the cells that express any."""
    everything = Expression.stored(store)
    if not unit_checked:
        check_unit(_spaced_values(everything), unit=config.unit, source=source)
    columns = np.flatnonzero(seen_in >= config.min_cells)
    X = everything.with_genes(columns)
    genes_per_cell, depths, gene_sum = _count(X)
    cells = np.flatnonzero(genes_per_cell > 0)
    reference = Reference(
        X=X.with_cells(cells),
        genes=tuple(names[column] for column in columns),
        gene_ids=_known_ids(gene_ids, columns),
        cells=cells,
        depth=depths[cells],
        genes_per_cell=genes_per_cell[cells],
        gene_mean=gene_sum / max(len(cells), 1),
        cells_before=len(depths),
        genes_before=len(names),
        sha256=stored_sha256(everything, names),
        _store=store,
    )
    _check_enough(reference, config, source)
    return reference


def _count(X: Expression) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the number of genes seen in each cell and its depth (cells,), and the sum over each gene (genes,)."""
    genes_per_cell, depths = np.zeros(X.shape[0], dtype=np.int64), np.zeros(X.shape[0])
    gene_sum, start = np.zeros(X.genes), 0
    for rows in X.chunks():
        chunk = slice(start, start + rows.shape[0])
        genes_per_cell[chunk], depths[chunk] = np.diff(rows.indptr), depth(rows)
        gene_sum += column_sums(rows)
        start = chunk.stop
    return genes_per_cell, depths, gene_sum


def _spaced_values(X: Expression) -> npt.NDArray[np.float32]:
    """Return the values of all cells, or where these are many, of cells from all over the matrix."""
    cells = X.shape[0]
    step = max(1, -(-int(X.entries.sum()) // CHUNK_ENTRIES))
    return X.rows(np.arange(0, cells, step)).data


def _check_type(dtype: Any, source: str) -> None:
    if np.dtype(dtype).kind not in "buif":
        msg = f"{source} holds values of type {dtype}; expression is float32, float64 or an integer type."
        raise ScinnError(msg)


def _check_shape(shape: tuple[int, int], genes: list[str], gene_ids: Sequence[str] | None, source: str) -> None:
    cells, columns = shape
    if 0 in shape:
        msg = f"{source} is empty: it has {cells} cells and {columns} genes."
        raise ScinnError(msg)
    if len(genes) != columns:
        hint = " It looks transposed: pass cells × genes." if len(genes) == cells else ""
        msg = f"{source} has {columns} columns, but {len(genes)} gene names came with it.{hint}"
        raise ScinnError(msg)
    if isinstance(gene_ids, str | bytes):
        msg = f"{source}: gene_ids is a text, {gene_ids!r}. Pass a list with one id for each gene."
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


def _check_text(kind: str, names: list[str], source: str) -> None:
    """Refuse what the model file could not hold before anything is trained."""
    for number, name in enumerate(names, start=1):
        if not is_storable(name):
            msg = f"{source}: the {kind} of gene {number} is {reprlib.repr(name)}; it must be {TEXT.words}. Change it."
            raise ScinnError(msg)


def _known_ids(gene_ids: Sequence[str] | None, columns: npt.NDArray[np.intp]) -> tuple[str, ...]:
    if gene_ids is None:
        return ()
    ids = [_VERSION.sub("", str(gene_ids[column])) for column in columns]
    times = Counter(ids)
    known = tuple("" if times[name] > 1 or name.lower() in _NO_ID else name for name in ids)
    return known if any(known) else ()


def _check_enough(reference: Reference, config: Config, source: str) -> None:
    from scinn_train.clustering import CLUSTERED_AT_ONCE  # loads scikit-learn

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
    clustered = min(cells, CLUSTERED_AT_ONCE)
    if config.clusters is not None and clustered < 3 * config.clusters:
        sample = "" if clustered == cells else f", of which {clustered} are clustered and the others join them"
        msg = (
            f"{source} has {cells} cells{sample}: too few for {config.clusters} clusters. Ask for "
            f"{clustered // 3} or fewer: each takes 3 cells."
        )
        raise ScinnError(msg)
    mean = float(reference.depth.sum() / reference.genes_per_cell.sum())
    if not SMALLEST_MEAN <= mean <= LARGEST_MEAN:
        size = "small" if mean < SMALLEST_MEAN else "large"
        msg = (
            f"{source}: values are far too {size} for {config.unit}, with a mean of {mean:.2g} of those that are not "
            "zero. Pass them as they were counted, not shares of a total nor anything else that was scaled."
        )
        raise ScinnError(msg)
    if _alike(reference.X):
        msg = f"{source}: all {cells} cells are alike, so there is nothing to learn from."
        raise ScinnError(msg)


def _alike(X: Expression) -> bool:
    """Tell whether all cells have the same shares of their depth."""
    least, most = np.full(X.genes, np.inf), np.zeros(X.genes)
    for rows in X.chunks():
        shares = scale_rows(rows, 1 / depth(rows))
        least = np.minimum(least, shares.min(axis=0).toarray())
        most = np.maximum(most, shares.max(axis=0).toarray())
        if (most - least).max() >= _SAME_SHARE:
            return False
    return True
