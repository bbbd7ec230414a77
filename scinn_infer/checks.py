"""Refuse values that no expression matrix holds, and data that is not in the unit that it is said to be in."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

from scinn_infer.errors import ScinnError, ScinnWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[Any] | sparse.sparray | sparse.spmatrix

LARGEST_VALUE = float(np.finfo(np.float32).max)
"""Models compute in float32; what is larger would become infinite."""

LARGEST_EXACT_INTEGER = 2**24
"""float32 holds every integer up to this one."""

LOG_COUNTS_BELOW = 25
"""log2(1 + x) of 33 million, which no entry of a count matrix reaches: fractions below it are logarithms."""

LOG_NORMALISED_BELOW = 30
"""A cell's TPM add up to a million, its FPKM to the same order: even 20,000 genes at one level would have 50 each."""


WHOLE_WITHIN = 1e-3
"""Counts that went through a logarithm and back are whole but for rounding."""


def check_unmasked(X: Any, *, source: str) -> None:
    """Refuse a matrix with masked entries, whose values numpy would hand on without the mask.

    Raises
    ------
    ScinnError
        If it has any.
    """
    if np.ma.is_masked(X):
        msg = f"{source} has masked entries; write 0 for what was not seen: X.filled(0)."
        raise ScinnError(msg)


def check_chunk(
    X: Matrix,
    *,
    genes: Sequence[str],
    first_cell: int = 0,
    cell_names: Sequence[str] | None = None,
    source: str = "The matrix",
) -> None:
    """Refuse negative, missing and infinite values.

    Parameters
    ----------
    X
        Some rows of the matrix (cells × genes), in any unit.
    genes
        Names of its columns.
    first_cell
        Position of the first of the rows in the whole matrix.
    cell_names
        Names of all rows of the whole matrix, to name a cell by.
    source
        How the message, at its beginning, names the matrix.

    Raises
    ------
    ScinnError
        If there is such a value, naming the first: its cell and its gene.
    """
    if X.dtype.kind not in "buif" or X.dtype.itemsize > np.dtype(np.float64).itemsize:
        msg = f"{source} holds values of type {X.dtype}; expression is float32, float64 or an integer type."
        raise ScinnError(msg)
    values = stored_values(X)
    if values.size == 0 or values.dtype.kind in "bu":
        return
    # Two passes without a temporary array; a missing value makes both comparisons false.
    if float(values.min()) >= 0 and float(values.max()) <= LARGEST_VALUE:
        return
    row, column, value = _first_refused(X)
    msg = f"{source}: {cell_label(first_cell + row, cell_names)}, gene {genes[column]}: {_refusal(value)}"
    raise ScinnError(msg)


def check_unit(X: Matrix, *, unit: str, source: str = "The matrix") -> None:
    """Refuse logarithms; warn of data that does not look like the unit that it is said to be in.

    Whole numbers are always accepted as counts. Values with fractions are taken for logarithms where the largest is
    below 25 (counts) or 30 (TPM, FPKM).

    Parameters
    ----------
    X
        Some rows of the matrix (cells × genes), without negative or missing values.
    unit
        ``"counts"``, ``"tpm"`` or ``"fpkm"``.
    source
        How messages, at their beginning, name the matrix.

    Raises
    ------
    ScinnError
        If the values look like logarithms.

    Warns
    -----
    ScinnWarning
        If counts have fractions, or TPM or FPKM have none.
    """
    values = stored_values(X)
    values = values[values != 0]
    if values.size == 0:
        return
    fractional = (
        np.abs(values - np.rint(values)) > WHOLE_WITHIN if values.dtype.kind == "f" else np.zeros(1, dtype=bool)
    )
    whole = not fractional.any()
    if not whole and values.max() < (LOG_COUNTS_BELOW if unit == "counts" else LOG_NORMALISED_BELOW):
        wanted = "raw counts" if unit == "counts" else f"{unit.upper()}, not their logarithm"
        msg = (
            f"{source} looks log-transformed or scaled: it has fractions, and no value above {values.max():.3g}. Pass "
            f"{wanted}; they are often kept in a layer or in AnnData.raw."
        )
        raise ScinnError(msg)
    if not whole and unit == "counts":
        msg = (
            f"{source}: {fractional.mean():.0%} of the non-zero values are not whole numbers, although counts are "
            "expected. If they are normalised, pass the raw counts; if they are estimated or corrected, all is well."
        )
        warnings.warn(msg, ScinnWarning, stacklevel=2)
    if whole and unit != "counts":
        msg = f"{source} holds only whole numbers, although {unit.upper()} are expected: are they counts?"
        warnings.warn(msg, ScinnWarning, stacklevel=2)


def check_exact(X: Matrix, *, source: str = "The matrix") -> None:
    """Refuse integers that float32 would round, since a non-zero value has to come back as it was.

    Raises
    ------
    ScinnError
        If an integer matrix holds a value above 2²⁴.
    """
    values = stored_values(X)
    if values.dtype.kind in "ui" and values.size and values.max() > LARGEST_EXACT_INTEGER:
        msg = (
            f"{source} holds the integer {values.max()}, and above {LARGEST_EXACT_INTEGER:,} float32 rounds. Pass it "
            "as float64: X.astype(numpy.float64)."
        )
        raise ScinnError(msg)


def cell_label(row: int, cell_names: Sequence[str] | None) -> str:
    """Return how messages name a cell: by its number, the first being 1, and by its name where that is known."""
    return f"cell {row + 1:,}" if cell_names is None else f"cell {row + 1:,} ({cell_names[row]})"


def stored_values(X: Matrix) -> npt.NDArray[Any]:
    """Return the values of a matrix without copying them: the stored ones of a sparse matrix, in no stated order."""
    if isinstance(X, np.ndarray):
        return np.asarray(X)
    values: npt.NDArray[Any] = (X if X.format in {"csr", "csc", "coo"} else X.tocsr()).data
    return values


def _first_refused(X: Matrix) -> tuple[int, int, float]:
    """Return the row, the column and the value of the first entry that is negative, missing or too large."""
    if isinstance(X, np.ndarray):
        X = X.astype(np.float64)  # scipy has no float16
    entries = sparse.coo_array(X)
    refused = np.flatnonzero(~((entries.data >= 0) & (entries.data <= LARGEST_VALUE)))
    first = refused[np.lexsort((entries.col[refused], entries.row[refused]))[0]]
    return int(entries.row[first]), int(entries.col[first]), float(entries.data[first])


def _refusal(value: float) -> str:
    if np.isnan(value):
        return "the value is missing (NaN). Write 0 for what was not seen, and drop what was not measured."
    if value < 0:
        return f"{value:g}, but expression is never negative. If the matrix was scaled, pass it as it was before."
    return f"{value:g}, which is more than float32 can hold. Look at how the matrix was made."
