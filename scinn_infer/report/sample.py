"""A bounded number of cells, kept for the pictures while a batch of any size streams by, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from scinn_infer.columns import Rows

    Array = npt.NDArray[np.float32]
    Vector = npt.NDArray[np.float64]
    Positions = npt.NDArray[np.intp]

CELLS = 2000
GENES = 2000
"""What is kept at most: two arrays of so many cells × so many genes, 16 MB each."""

NEAR_ZERO = 0.5
"""What is less than this much of the unit counts as not seen: a filled zero is hardly ever zero itself."""

PROFILE_DEPTH = 1e4

AFTER = {"keep": "imputed", "denoise": "denoised"}
"""What the values are called that a policy makes."""


@dataclass(frozen=True)
class Side:
    """The kept cells as they are on one side of the imputation.

    Attributes
    ----------
    values
        In the model's unit, at each cell's own depth (cells × kept genes).
    depth
        Sum of each cell over all genes that the model knows (cells,).
    mean
        Mean of each gene over the cells (genes,).
    near_zero
        Share of each gene's entries that are less than ``NEAR_ZERO`` (genes,).
    """

    values: Array
    depth: Vector
    mean: Vector
    near_zero: Vector

    @property
    def profiles(self) -> Array:
        """ln(1 + x) at a depth of 10,000 (cells × kept genes)."""
        factor = np.divide(PROFILE_DEPTH, self.depth, out=np.zeros_like(self.depth), where=self.depth > 0)
        return np.log1p(self.values * factor[:, None].astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class CellSample:
    """Some cells, evenly spaced over a batch, before and after.

    Attributes
    ----------
    batch_cells
        How many cells the batch has.
    rows
        Which of them these are (cells,).
    names
        What the cells are called (cells,).
    genes
        Names of all genes that the model knows and the batch has (genes,).
    kept
        Which of these have their values kept (kept genes,).
    before, after
        Raw and imputed.
    unit
        Of the values.
    after_name
        What the values after are called: imputed or denoised.
    """

    batch_cells: int
    rows: Positions
    names: Sequence[str]
    genes: Sequence[str]
    kept: Positions
    before: Side
    after: Side
    unit: str
    after_name: str

    @property
    def kept_genes(self) -> list[str]:
        """Names of the genes whose values are kept."""
        return [self.genes[gene] for gene in self.kept]

    @property
    def sentence(self) -> str:
        """How many cells and genes the pictures are of, and how these were chosen."""
        cells = f"all {self.batch_cells:,} cells"
        if len(self.rows) < self.batch_cells:
            cells = f"{len(self.rows):,} of the {self.batch_cells:,} cells, evenly spaced over all of them,"
        genes = "" if len(self.kept) == len(self.genes) else f" and {len(self.kept):,} of the {len(self.genes):,} genes"
        return f"Pictures and profiles are of {cells}{genes}."


class Watch:
    """Looks at a batch as it passes, before and after, and keeps the values of the cells and genes that it is told.

    The two sides are seen by themselves, in any chunks: one may be ahead of the other.

    Parameters
    ----------
    rows
        The cells to keep, ascending.
    columns
        The batch's columns that the model knows.
    kept
        Which of these have their values kept.
    """

    def __init__(self, rows: Positions, *, columns: Positions, kept: Positions) -> None:
        self.before = _Collector(rows, columns, kept)
        self.after = _Collector(rows, columns, kept)

    def see_before(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        """Pass the raw rows on (cells × batch genes)."""
        start = 0
        for chunk in chunks:
            self.before.add(start, chunk)
            start += chunk.shape[0]
            yield chunk

    def see_after(
        self, blocks: Iterable[tuple[int, npt.NDArray[np.floating[Any]]]]
    ) -> Iterator[tuple[int, npt.NDArray[np.floating[Any]]]]:
        """Pass the result on (cells × batch genes), with the position of the first cell of each block."""
        for start, block in blocks:
            self.after.add(start, block)
            yield start, block


class _Collector:
    def __init__(self, rows: Positions, columns: Positions, kept: Positions) -> None:
        self._rows, self._columns, self._kept = rows, columns, kept
        self._values = np.zeros((len(rows), len(kept)), dtype=np.float32)
        self._depth = np.zeros(len(rows))
        self._sum = np.zeros(len(columns))
        self._near_zero = np.zeros(len(columns))

    def add(self, start: int, rows: Rows) -> None:
        first, last = np.searchsorted(self._rows, (start, start + rows.shape[0]))
        if first == last:
            return
        known = rows[self._rows[first:last] - start][:, self._columns]
        values = np.asarray(known) if isinstance(known, np.ndarray) else known.toarray()
        self._values[first:last] = values[:, self._kept]
        self._depth[first:last] = values.sum(axis=1, dtype=np.float64)
        self._sum += values.sum(axis=0, dtype=np.float64)
        self._near_zero += (values < NEAR_ZERO).sum(axis=0)

    def side(self) -> Side:
        cells = max(len(self._rows), 1)
        return Side(self._values, self._depth, self._sum / cells, self._near_zero / cells)


def spaced(cells: int, most: int = CELLS) -> Positions:
    """Return which of so many cells to keep: evenly spaced, so that no part of a sorted batch is left out."""
    return np.unique(np.linspace(0, cells - 1, min(cells, most)).round().astype(np.intp))


def choose_genes(score: npt.ArrayLike, *, always: Iterable[int] = (), most: int = GENES) -> Positions:
    """Return which genes to keep: those with the highest score, and some whatever theirs is, ascending."""
    best = np.argsort(-np.asarray(score), kind="stable")[:most]
    return np.unique(np.concatenate([best, np.fromiter(always, dtype=np.intp)]))
