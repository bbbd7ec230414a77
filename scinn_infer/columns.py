"""Move values between the genes of a batch, in its order, and those of the model, in its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.genes import GeneMatch

    CSR: TypeAlias = sparse.csr_array[Any, tuple[int, int]]
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
    rows = sparse.csr_array(shape, dtype=values.dtype)
    rows.data, rows.indices, rows.indptr = values, indices, indptr
    return rows


@dataclass(frozen=True, eq=False)
class Entries:
    """Where the rows of a block may not be zero.

    Attributes
    ----------
    positions
        In the rows one after another (entries,).
    per_row
        How many of them are in each row (rows,).
    """

    positions: npt.NDArray[np.intp]
    per_row: npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelBlock:
    """A block of a batch as the network takes it.

    Attributes
    ----------
    expression
        In the model's unit and genes, with empty cells up to a fixed number of rows (rows × model genes).
    cells
        How many of the rows are cells.
    entries
        Where it may not be zero; None where that is not known.
    """

    expression: npt.NDArray[np.float32]
    cells: int
    entries: Entries | None = None

    @cached_property
    def depth(self) -> npt.NDArray[np.float32]:
        """Sum over the model's genes (rows,); infinite where a cell holds absurd values."""
        with np.errstate(over="ignore"):
            return np.asarray(self.expression.sum(axis=1))


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
    """

    def __init__(self, match: GeneMatch) -> None:
        self._model_genes = match.measured.size
        self._known = match.columns >= 0
        self._all_known = bool(self._known.all())
        self._same = np.array_equal(match.columns, np.arange(self._model_genes))
        self._model_column = np.maximum(match.columns, 0).astype(np.int32)  # as narrow as the indices it renumbers
        self._missing = np.flatnonzero(match.measured == 0)
        self._batch_column = np.zeros(self._model_genes, dtype=np.intp)  # any column for a gene that is missing
        self._batch_column[match.columns[self._known]] = np.flatnonzero(self._known)
        self._copies = _Copies(match.columns)

    def to_model(self, block: Rows, *, out: npt.NDArray[np.float32]) -> ModelBlock:
        """Return a block of the batch (cells × genes) in the model's genes; those that it lacks are zero.

        Parameters
        ----------
        block
            Some cells.
        out
            Is written over, and is the expression of what is returned (rows × model genes); rows that are left are
            empty cells.
        """
        cells = block.shape[0]
        dense, sparse_rows = out[:cells], None
        if not isinstance(block, np.ndarray):
            sparse_rows = self._renumber(block)
            sparse_rows.toarray(out=dense)
        elif self._same:
            dense[...] = block
        else:
            dense[...] = np.take(block, self._batch_column, axis=1, mode="wrap")
            dense[:, self._missing] = 0
        if self._copies:
            dense[:, self._copies.genes] = self._copies.sums(self._copies.observed(block))
        out[cells:] = 0
        if sparse_rows is None:
            return ModelBlock(expression=out, cells=cells)
        per_row = np.zeros(len(out), dtype=np.intp)
        per_row[:cells] = np.diff(sparse_rows.indptr)
        positions = np.repeat(np.arange(0, out.size, out.shape[1]), per_row) + sparse_rows.indices
        return ModelBlock(expression=out, cells=cells, entries=Entries(positions, per_row))

    def to_batch(
        self, result: npt.NDArray[np.float32], block: Rows, *, keep_nonzeros: bool
    ) -> npt.NDArray[np.floating[Any]]:
        """Return the network's result for a block in the batch's genes (cells × genes).

        Parameters
        ----------
        result
            Of the network (cells × model genes); it is returned itself where nothing has to be moved.
        block
            What the network was given, in the batch's genes (cells × genes).
        keep_nonzeros
            Whether the block's non-zero entries stay, and not only those in genes that the model does not know. The
            network keeps them too, but a float64 block holds more digits than it has seen.

        Notes
        -----
        Where the copies of a gene add up to zero, the first of them gets the gene's value and the others zero. Where
        they do not, and ``keep_nonzeros``, all of them stay as they are; otherwise the value is shared among them in
        the ratio of what was observed.
        """
        dtype = result_dtype(block.dtype)
        # All columns are there: "wrap" looks for none beyond the last, which takes numpy half as long again.
        if not self._all_known:
            values = np.zeros(block.shape, dtype=dtype)
            values[:, self._known] = np.take(result, self._model_column[self._known], axis=1, mode="wrap")
        elif not self._same:
            values = np.take(result, self._model_column, axis=1, mode="wrap").astype(dtype, copy=False)
        else:
            values = result.astype(dtype, copy=False)
        if self._copies_nonzeros(dtype, keep_nonzeros=keep_nonzeros):
            _copy_nonzeros(block, values, where=True if keep_nonzeros else ~self._known)
        if self._copies:
            self._copies.fill(values, result, block, keep_nonzeros=keep_nonzeros)
        return values

    def needs_block(self, dtype: npt.DTypeLike, *, keep_nonzeros: bool) -> bool:
        """Return whether ``to_batch`` looks at the values of a block of that type."""
        return bool(self._copies) or self._copies_nonzeros(result_dtype(dtype), keep_nonzeros=keep_nonzeros)

    def _copies_nonzeros(self, dtype: np.dtype[np.floating[Any]], *, keep_nonzeros: bool) -> bool:
        return not self._all_known or (keep_nonzeros and dtype == np.float64)

    def _renumber(self, block: CSR) -> CSR:
        """Return sparse rows in the model's genes, without entries in genes that it does not know."""
        values, indices, indptr = block.data.astype(np.float32, copy=False), block.indices, block.indptr
        if not self._all_known:
            kept = np.flatnonzero(self._known[indices])
            values, indices, indptr = values[kept], indices[kept], np.searchsorted(kept, indptr)
        if not self._same:
            indices = self._model_column[indices]
        return csr_of(values, indices, indptr, shape=(block.shape[0], self._model_genes))


def _copy_nonzeros(
    block: Rows, values: npt.NDArray[np.floating[Any]], *, where: npt.NDArray[np.bool_] | Literal[True]
) -> None:
    """Overwrite values (cells × genes) with the block's where those are not zero, in all genes or in some."""
    if isinstance(block, np.ndarray):
        np.copyto(values, block, where=(block != 0) & where)
        return
    if not (block.has_canonical_format and block.data.all()):
        block = block.copy()  # the caller's stays as it is
        block.sum_duplicates()
        block.eliminate_zeros()
    cells, genes = block.shape
    positions = np.repeat(np.arange(cells) * genes, np.diff(block.indptr)) + block.indices
    copied = slice(None) if where is True else where[block.indices]
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
