"""What of a result is wanted: some of its genes, only larger values, another precision."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.checks import cell_label
from scinn_infer.columns import GeneColumns, renumbered, result_dtype
from scinn_infer.errors import ScinnError
from scinn_infer.genes import gene_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.columns import Rows
    from scinn_infer.genes import GeneMatch

    Positions = npt.NDArray[np.intp]

DTYPES = ("float16", "float32", "float64")
"""Precisions that a result can have."""

FEWEST_COLUMNS = 2
"""Columns that the network is asked for at least: a product with a single one would round in another way."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What of a result is wanted.

    Attributes
    ----------
    only
        Names of the genes that are wanted, in the order in which they are, as a tuple, whatever they came in; None for
        all.
    min_value
        What is filled below this, in the model's unit, stays zero; values that were observed stay whatever they are.
    dtype
        Precision of the result, by name, whatever it was given as; None for float64 where the batch is, and float32
        otherwise.
    """

    only: Sequence[str] | None = None
    min_value: float = 0
    dtype: npt.DTypeLike | None = None

    def __post_init__(self) -> None:
        if self.only is not None:
            object.__setattr__(self, "only", tuple(gene_names(self.only, argument="only")))
        object.__setattr__(self, "min_value", _least(self.min_value))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", _precision(self.dtype))

    def result_dtype(self, dtype: npt.DTypeLike) -> np.dtype[np.floating[Any]]:
        """Return the precision of the result for a batch of that type."""
        return result_dtype(dtype) if self.dtype is None else np.dtype(str(self.dtype))

    def columns(self, genes: Sequence[str], *, source: str) -> Positions | None:
        """Return which of the batch's columns are wanted, in the order in which they are; None for all.

        Raises
        ------
        ScinnError
            As :func:`find_columns`.
        """
        return None if self.only is None else find_columns(genes, self.only, source=source)


def _least(min_value: Any) -> float:
    """Return a least value as a number."""
    value = float(min_value) if isinstance(min_value, Real) else math.nan
    if not (math.isfinite(value) and value >= 0):
        msg = f"min_value is {min_value!r}; it has to be a number from 0 on, in the model's unit."
        raise ScinnError(msg)
    return value


def _precision(dtype: Any) -> str:
    """Return the name of a precision, which may be given as whatever numpy takes for a type."""
    try:
        name = np.dtype(dtype).name
    except (TypeError, ValueError, SyntaxError):  # what numpy raises depends on how far it can read a text
        name = ""
    if name not in DTYPES:
        msg = f"dtype is {dtype!r}; it is {', '.join(DTYPES)}."
        raise ScinnError(msg)
    return name


WHOLE = Selection()


class UnknownGeneError(ScinnError):
    """A gene is wanted that the batch does not have."""


def find_columns(genes: Sequence[str], only: Sequence[str], *, source: str) -> Positions:
    """Return the columns of the genes that are wanted, in that order. A name that several columns have means them all.

    Parameters
    ----------
    genes
        Names of the batch's columns.
    only
        Names of the genes that are wanted, whether the model knows them or not.
    source
        How messages, at their beginning, name the batch.

    Raises
    ------
    ScinnError
        If none is named or one is named twice.
    UnknownGeneError
        If the batch lacks one; the message tells names that are close.
    """
    if not only:
        msg = "no gene is named of those to impute. Name some, or leave the choice out to impute all."
        raise ScinnError(msg)
    if len(set(only)) < len(only):
        twice = next(gene for gene in only if list(only).count(gene) > 1)
        msg = f"the gene {twice!r} is named twice among those to impute. Name each once."
        raise ScinnError(msg)
    places: dict[str, list[int]] = {gene: [] for gene in only}
    for position, gene in enumerate(genes):
        if gene in places:
            places[gene].append(position)
    unknown = [gene for gene in only if not places[gene]]
    if unknown:
        msg = f"{source} has no gene {unknown[0]!r}{_and_others(unknown)}.{_close(unknown[0], genes)}"
        raise UnknownGeneError(msg)
    return np.array([place for gene in only for place in places[gene]], dtype=np.intp)


def _and_others(unknown: Sequence[str]) -> str:
    return f", nor {len(unknown) - 1:,} more of those that are named" if len(unknown) > 1 else ""


def _close(name: str, genes: Sequence[str]) -> str:
    folded = {gene.casefold(): gene for gene in genes}
    near = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=3)]
    return f" Is {' or '.join(near)} meant?" if near else " Check how the batch writes its genes' names."


class SelectedColumns:
    """The wanted columns of a batch: which of the model's genes they need, and how these become the result.

    Copies of a gene share its value, so those of a wanted column take part, though they are not returned.

    Parameters
    ----------
    match
        How the batch's genes match the model's.
    wanted
        The batch's columns that are wanted, in the order of the result.
    network_keeps
        As for :class:`scinn_infer.columns.GeneColumns`.

    Attributes
    ----------
    wanted
        The batch's columns that are wanted, in the order of the result.
    model_columns
        The model's columns to compute, at least ``FEWEST_COLUMNS`` where it has as many.
    """

    def __init__(self, match: GeneMatch, wanted: Positions, *, network_keeps: bool = True) -> None:
        self.wanted = wanted
        known = np.unique(match.columns[wanted])
        known = known[known >= 0]
        self._batch_columns = np.union1d(wanted, np.flatnonzero(np.isin(match.columns, known)))
        self._order = np.searchsorted(self._batch_columns, wanted)
        others = np.setdiff1d(np.arange(min(FEWEST_COLUMNS, match.measured.size)), known)
        filling = others[: max(FEWEST_COLUMNS - known.size, 0)]
        self.model_columns = np.union1d(known, filling).astype(np.int64)
        columns = match.columns[self._batch_columns]
        columns = np.where(columns < 0, -1, np.searchsorted(self.model_columns, columns))
        measured = np.ones(self.model_columns.size, dtype=np.float32)
        narrow = replace(match, columns=columns, measured=measured)
        self._columns = GeneColumns(narrow, network_keeps=network_keeps)
        self._column = np.full(match.columns.size, -1, dtype=np.int32)
        self._column[self._batch_columns] = np.arange(self._batch_columns.size)

    def of_block(self, block: Rows) -> Rows:
        """Return the wanted columns of a block of the batch (cells × wanted)."""
        return self._wider(block)[:, self._order]

    def to_batch(
        self, result: npt.NDArray[np.float32], block: Rows, *, keep_nonzeros: bool
    ) -> npt.NDArray[np.floating[Any]]:
        """Return the result for a block (cells × wanted), as :meth:`scinn_infer.columns.GeneColumns.to_batch` does.

        Parameters
        ----------
        result
            Of the network, in ``model_columns`` (cells × model columns).
        block
            What the network was given, in all of the batch's genes (cells × genes).
        keep_nonzeros
            Whether the block's non-zero entries stay.
        """
        if self._columns.needs_block(block.dtype, keep_nonzeros=keep_nonzeros):
            block = self._wider(block)
        return self._columns.to_batch(result, block, keep_nonzeros=keep_nonzeros)[:, self._order]

    def _wider(self, block: Rows) -> Rows:
        """Return the columns that are needed (cells × needed)."""
        if isinstance(block, np.ndarray):
            return block[:, self._batch_columns]
        return renumbered(block, self._column, self._batch_columns.size)


def drop_small(values: npt.NDArray[np.floating[Any]], block: Rows, min_value: float) -> None:
    """Set filled values below a limit to zero, in place; where the block has an entry the value stays.

    Parameters
    ----------
    values
        The result (cells × genes).
    block
        What was observed there (cells × genes).
    min_value
        The limit, in the model's unit.
    """
    values[(values < min_value) & ~_is_observed(block)] = 0


def _is_observed(block: Rows) -> npt.NDArray[np.bool_]:
    """Tell where a block is not zero, entries stored once; scipy would sort those for it, which are the caller's."""
    if isinstance(block, np.ndarray):
        return np.asarray(block != 0)
    entries, observed = block.tocoo(copy=False), np.zeros(block.shape, dtype=np.bool_)
    observed[entries.row, entries.col] = entries.data != 0
    return observed


def in_precision(
    values: npt.NDArray[np.floating[Any]],
    block: Rows,
    dtype: np.dtype[np.floating[Any]],
    *,
    batch: Batch,
    genes: Sequence[str],
    first_cell: int,
    keep_nonzeros: bool,
) -> npt.NDArray[np.floating[Any]]:
    """Return a block of the result in another precision.

    Parameters
    ----------
    values
        The result (cells × genes).
    block
        What was observed there (cells × genes).
    dtype
        The precision.
    batch
        What is known of the batch, for messages.
    genes
        Names of these columns.
    first_cell
        Position of the first of these cells.
    keep_nonzeros
        Whether what was observed must survive to the last bit.

    Raises
    ------
    ScinnError
        If it would not, or a value is too large for that precision.
    """
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype, copy=False)
    if dtype.itemsize >= values.dtype.itemsize:
        return narrow
    lost = ~np.isfinite(narrow)
    if keep_nonzeros:
        lost |= _is_observed(block) & (narrow != values)
    if lost.any():
        row, column = np.argwhere(lost)[0]
        cell = cell_label(first_cell + int(row), batch.cell_names)
        msg = (
            f"{batch.source}: the value {values[row, column]:g} of {cell} in gene {genes[column]!r} cannot be stored "
            f"as {dtype} unchanged. Choose a wider --dtype (dtype=), or leave it out."
        )
        raise ScinnError(msg)
    return narrow
