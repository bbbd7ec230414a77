"""Expression of many cells that is never there as a whole: rows are read, and brought to a scale, when they are needed.

What a step works on (normalised, its logarithm, some genes of that) is a chain of functions of rows, not a copy of the
matrix. Statistics over all cells are made chunk by chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from scipy import sparse

    from scinn_train.cell_store import CellStore

    Rows = npt.NDArray[np.intp]

CHUNK_ENTRIES = 1 << 22
"""Stored entries that are looked at together where all cells are gone through: 32 MB, and a few times that at work."""


@dataclass(frozen=True)
class Expression:
    """Expression of some cells (cells × genes).

    Attributes
    ----------
    genes
        Number of genes.
    entries
        Stored entries that reading each cell takes (cells,).
    rows
        Returns some cells, in the order in which they are asked for (rows × genes), CSR.
    """

    genes: int
    entries: npt.NDArray[np.int64]
    rows: Callable[[Rows], sparse.csr_array]

    @classmethod
    def stored(cls, store: CellStore) -> Self:
        """Return what is in a store, as it is there."""
        return cls(store.shape[1], np.diff(store.starts), store.rows)

    @classmethod
    def held(cls, X: sparse.csr_array) -> Self:
        """Return a matrix that is in memory."""
        return cls(X.shape[1], np.diff(X.indptr).astype(np.int64), lambda which: X[which])

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and genes."""
        return len(self.entries), self.genes

    def map(self, change: Callable[[sparse.csr_array], sparse.csr_array]) -> Expression:
        """Return the expression on another scale: ``change`` gets rows, and looks at each by itself."""
        return Expression(self.genes, self.entries, lambda which: change(self.rows(which)))

    def with_genes(self, kept: npt.NDArray[np.intp]) -> Expression:
        """Return the expression of some genes, in ascending order."""
        if len(kept) == self.genes:
            return self
        return Expression(len(kept), self.entries, lambda which: self.rows(which)[:, kept])

    def with_cells(self, kept: Rows) -> Expression:
        """Return the expression of some cells."""
        if len(kept) == len(self.entries) and (np.diff(kept) == 1).all():
            return self
        return Expression(self.genes, self.entries[kept], lambda which: self.rows(kept[which]))

    def chunks(self) -> Iterator[sparse.csr_array]:
        """Yield all cells, from first to last, so many at a time that memory is bounded whatever their number."""
        for start, stop in self._spans():
            yield self.rows(np.arange(start, stop))

    def _spans(self) -> Iterator[tuple[int, int]]:
        before = np.concatenate([[0], np.cumsum(self.entries)])
        start, cells = 0, len(self.entries)
        while start < cells:
            stop = int(np.searchsorted(before, before[start] + CHUNK_ENTRIES, side="right")) - 1
            stop = max(stop, start + 1)
            yield start, stop
            start = stop
