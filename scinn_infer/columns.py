"""Move values between the genes of a batch, in its order, and those of the model, in its own."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.genes import GeneMatch

    CSR: TypeAlias = sparse.csr_array[Any, tuple[int, int]]
    Floats: TypeAlias = npt.NDArray[np.float32]
    Rows: TypeAlias = npt.NDArray[Any] | CSR


def result_dtype(dtype: npt.DTypeLike) -> np.dtype[np.floating[Any]]:
    """Return a result's precision: float64 for float64, so that non-zeros come back exactly; otherwise float32."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def csr_of(
    values: npt.NDArray[Any],
    indices: npt.NDArray[np.integer[Any]],
    indptr: npt.NDArray[np.integer[Any]],
    *,
    shape: tuple[int, int],
) -> CSR:
    """Return a CSR matrix of parts of one that is sound: scipy would look at them again, and copy them."""
    rows = copy.copy(_no_entries(shape))
    rows.data, rows.indices, rows.indptr = values, indices, indptr
    return rows


@lru_cache(maxsize=8)
def _no_entries(shape: tuple[int, int]) -> CSR:
    """Return an empty CSR matrix: to make one takes scipy longer than to copy it."""
    return sparse.csr_array(shape)


class ModelBlock:
    """A block of a batch as the network takes it.

    Parameters
    ----------
    space
        Holds it (rows × model genes): written already, or written over with the entries, where these are given, when
        it is first asked for. It is used again for another block.
    cells, entries
        As below.

    Attributes
    ----------
    cells
        How many of the rows are cells; those that are left are empty ones.
    entries
        What may not be zero (cells × model genes), each place once; None where that is not known.
    """

    def __init__(self, space: Floats, cells: int, *, entries: CSR | None = None) -> None:
        self._space = space
        self.cells = cells
        self.entries = entries
        # Not cached properties: those have one lock for all threads before Python 3.12, which a fork may find held.
        self._depth: Floats | None = None
        self._unwritten = entries

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and model genes."""
        rows, genes = self._space.shape
        return rows, genes

    @property
    def expression(self) -> Floats:
        """In the model's unit and genes (rows × model genes)."""
        if self._unwritten is not None:
            self._unwritten.toarray(out=self._space[: self.cells])
            self._space[self.cells :] = 0
            self._unwritten = None
        return self._space

    @property
    def depth(self) -> Floats:
        """Sum over the model's genes (rows,); infinite where a cell holds absurd values.

        Whole numbers add up to the same in whichever order, up to 2⁵³; others are added in that of the model's genes.
        """
        if self._depth is None:
            self._depth = self._sum()
        return self._depth

    def _sum(self) -> Floats:
        if self.entries is not None and (self.entries.data == np.rint(self.entries.data)).all():
            total = np.zeros(len(self._space))
            starts, stops = self.entries.indptr[:-1], self.entries.indptr[1:]
            if (some := np.flatnonzero(starts < stops)).size:
                total[some] = np.add.reduceat(self.entries.data, starts[some], dtype=np.float64)
        else:
            total = self.expression.sum(axis=1, dtype=np.float64)
        with np.errstate(over="ignore"):
            return (total + 0.0).astype(np.float32)  # a sum of zeros with a sign has none


class GeneColumns:
    """Where each gene of a batch stands in the model, and the other way round.

    Sparse entries are renumbered, dense columns gathered; where the batch has the model's genes in the model's order,
    and no others, nothing is moved.

    Columns that name the same gene of the model are its copies. The model sees their sum, and the copies of the result
    add up to the gene's value: see ``to_batch``.

    Parameters
    ----------
    match
        How the batch's genes match the model's.
    network_keeps
        Whether the network's result has the block's non-zero entries as they are in single precision.
    """

    def __init__(self, match: GeneMatch, *, network_keeps: bool = True) -> None:
        self._network_keeps = network_keeps
        self._model_genes = match.measured.size
        self._known = match.columns >= 0
        self._all_known = bool(self._known.all())
        self._same = np.array_equal(match.columns, np.arange(self._model_genes))
        self._model_column = match.columns.astype(np.int32)  # as narrow as the indices that it renumbers
        self._missing = np.flatnonzero(match.measured == 0)
        self._batch_column = np.zeros(self._model_genes, dtype=np.intp)  # any column for a gene that is missing
        self._batch_column[match.columns[self._known]] = np.flatnonzero(self._known)
        self._copies = _Copies(match.columns)

    def to_model(self, block: Rows, *, space: Floats) -> ModelBlock:
        """Return a block of the batch (cells × genes) in the model's genes; those that it lacks are zero.

        Parameters
        ----------
        block
            Some cells, each entry stored once.
        space
            What is returned is kept there, at the latest when it is asked for (rows × model genes); rows that are left
            are empty cells.
        """
        cells = block.shape[0]
        dense = space[:cells]
        if not isinstance(block, np.ndarray):
            in_model = ModelBlock(space, cells, entries=self._entries(block))
            if not self._copies:
                return in_model
            dense = in_model.expression[:cells]
        elif self._same:
            dense[...] = block
        else:
            dense[...] = np.take(block, self._batch_column, axis=1, mode="wrap")
            dense[:, self._missing] = 0
        if self._copies:
            dense[:, self._copies.genes] = self._copies.sums(self._copies.observed(block))
        space[cells:] = 0
        return ModelBlock(space, cells)

    def to_batch(
        self, result: npt.NDArray[np.float32], block: Rows, *, keep_nonzeros: bool
    ) -> npt.NDArray[np.floating[Any]]:
        """Return the network's result for a block in the batch's genes (cells × genes).

        Parameters
        ----------
        result
            Of the network (cells × model genes); it is returned itself where nothing has to be moved.
        block
            What the network was given, in the batch's genes (cells × genes), each entry stored once.
        keep_nonzeros
            Whether the block's non-zero entries stay, and not only those in genes that the model does not know. Where
            the network keeps them, a float64 block still holds more digits than it has seen.

        Notes
        -----
        Where the copies of a gene add up to zero, the first of them gets the gene's value and the others zero. Where
        they do not, and ``keep_nonzeros``, all of them stay as they are; otherwise the value is shared among them in
        the ratio of what was observed.
        """
        dtype = result_dtype(block.dtype)
        result = np.ascontiguousarray(result)  # of what is in another order numpy would keep that, and write to a copy
        # "wrap" looks for no column beyond the last, which takes numpy half as long again, and takes -1 for the last.
        if self._same:
            values = result.astype(dtype, copy=False)
        else:
            source = result if self._all_known else _with_zeros(result)
            values = np.take(source, self._model_column, axis=1, mode="wrap").astype(dtype, copy=False)
        if self._copies_nonzeros(dtype, keep_nonzeros=keep_nonzeros):
            _copy_nonzeros(block, values, where=True if keep_nonzeros else ~self._known)
        if self._copies:
            self._copies.fill(values, result, block, keep_nonzeros=keep_nonzeros)
        return values

    def needs_block(self, dtype: npt.DTypeLike, *, keep_nonzeros: bool) -> bool:
        """Return whether ``to_batch`` looks at the values of a block of that type."""
        return bool(self._copies) or self._copies_nonzeros(result_dtype(dtype), keep_nonzeros=keep_nonzeros)

    def _copies_nonzeros(self, dtype: np.dtype[np.floating[Any]], *, keep_nonzeros: bool) -> bool:
        kept = self._network_keeps and dtype == np.float32
        return not self._all_known or (keep_nonzeros and not kept)

    def _entries(self, block: CSR) -> CSR:
        """Return the entries of sparse rows in single precision, but for those in genes that the model lacks."""
        values = block.data.astype(np.float32, copy=False)
        rows = csr_of(values, block.indices, block.indptr, shape=block.shape)
        return rows if self._same else renumbered(rows, self._model_column, self._model_genes)


def _with_zeros(result: Floats) -> Floats:
    """Return a result (cells × genes) with a last column of zeros, for genes that the model does not know.

    To take it for each of them is twice as fast as to write only the other columns of the batch.
    """
    cells, genes = result.shape
    wider = np.empty((cells, genes + 1), dtype=np.float32)
    wider[:, :genes] = result
    wider[:, genes] = 0
    return wider


def renumbered(rows: CSR, column: npt.NDArray[np.int32], width: int) -> CSR:
    """Return sparse rows with other columns.

    Parameters
    ----------
    rows
        The rows (cells × genes).
    column
        The new column of each gene, or -1 if it is left out (genes,).
    width
        The number of new columns.
    """
    values, columns, indptr = rows.data, column.take(rows.indices, mode="wrap"), rows.indptr  # twice as fast as [...]
    if columns.size and columns.min() < 0:
        kept = np.flatnonzero(columns >= 0)
        values, columns, indptr = values.take(kept), columns.take(kept), np.searchsorted(kept, indptr)
    # scipy before 1.12 wants both of one type.
    return csr_of(values, columns, indptr.astype(columns.dtype, copy=False), shape=(rows.shape[0], width))


def in_whole(rows: Rows) -> Rows:
    """Return rows (cells × genes) in which each entry is stored once, in whichever order."""
    if isinstance(rows, np.ndarray) or rows.has_canonical_format or not _has_parts(rows):
        return rows
    whole = rows.astype(np.int64 if rows.dtype.kind in "bui" else rows.dtype)  # small integers could not hold the sum
    whole.sum_duplicates()
    return whole


def _has_parts(rows: CSR) -> bool:
    """Tell whether an entry is stored in several parts: to look for the same place is faster than to sort them all."""
    positions, numbers = _positions(rows), np.arange(rows.nnz, dtype=np.int32)
    last = np.empty(rows.shape[0] * rows.shape[1], dtype=np.int32)  # the number of the last entry in each place
    last[positions] = numbers
    return bool((last[positions] != numbers).any())


def _positions(rows: CSR) -> npt.NDArray[np.intp]:
    """Return where the entries of sparse rows stand in the rows one after another (entries,)."""
    cells, width = rows.shape
    return np.repeat(np.arange(0, cells * width, width), np.diff(rows.indptr)) + rows.indices


def _copy_nonzeros(
    block: Rows, values: npt.NDArray[np.floating[Any]], *, where: npt.NDArray[np.bool_] | Literal[True]
) -> None:
    """Overwrite values (cells × genes) with the block's where those are not zero, in all genes or in some.

    Of the latter, the values are zero.
    """
    if isinstance(block, np.ndarray):
        if where is True:  # the same as to copy them, in a sixth of the time
            values *= block == 0
            values += block
        else:
            values[:, where] = block[:, where]
        return
    positions = _positions(block)
    copied = block.data != 0
    if where is not True:
        copied &= where[block.indices]
    if copied.all():  # to pick them all takes longer than to look
        values.reshape(-1)[positions] = block.data
    else:
        values.reshape(-1)[positions[copied]] = block.data[copied]


class _Copies:
    """The columns of a batch of which several name the same gene of the model; false if there are none.

    Parameters
    ----------
    columns
        For each gene of the batch its column in the model, or -1 (genes,).

    Attributes
    ----------
    genes
        The model's columns that have copies, ascending (copied genes,).
    """

    def __init__(self, columns: npt.NDArray[np.intp]) -> None:
        genes, times = np.unique(columns[columns >= 0], return_counts=True)
        self.genes = genes[times > 1]
        self._columns = np.flatnonzero(np.isin(columns, self.genes))
        self._gene = np.searchsorted(self.genes, columns[self._columns])
        self._is_first = np.zeros(self._columns.size, dtype=bool)
        self._is_first[np.unique(self._gene, return_index=True)[1]] = True
        members = (np.ones(self._gene.size), (np.arange(self._gene.size), self._gene))
        self._membership = sparse.csr_array(members, shape=(self._gene.size, self.genes.size))

    def __bool__(self) -> bool:
        return bool(self.genes.size)

    def observed(self, block: Rows) -> npt.NDArray[np.float64]:
        """Return the copies' columns of a block (cells × copies), dense."""
        columns = block[:, self._columns]
        return np.asarray(columns if isinstance(columns, np.ndarray) else columns.toarray(), dtype=np.float64)

    def sums(self, observed: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return for each gene the sum of its copies (cells × copied genes)."""
        return np.asarray(observed @ self._membership)

    def fill(
        self,
        values: npt.NDArray[np.floating[Any]],
        result: npt.NDArray[np.float32],
        block: Rows,
        *,
        keep_nonzeros: bool,
    ) -> None:
        """Write the copies' columns of the values (cells × genes), as ``GeneColumns.to_batch`` says."""
        observed = self.observed(block)
        sums = self.sums(observed)[:, self._gene]
        gene_values = result[:, self.genes[self._gene]].astype(np.float64)
        shared = observed if keep_nonzeros else gene_values * observed / np.where(sums > 0, sums, 1)
        values[:, self._columns] = np.where(sums > 0, shared, gene_values * self._is_first)
