"""What ``var`` calls the genes of a batch: its index or the column that the caller names, and what else it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class GeneTable:
    """The table ``var`` of a batch, read when it is looked at.

    Attributes
    ----------
    read
        Returns the table (genes × columns).
    source
        How messages, at their beginning, name what the table belongs to.
    option
        How the caller names a column, with ``{}`` where the name stands: ``--gene-column {}``.
    column
        The column that the caller named; None for the index.
    """

    read: Callable[[], pd.DataFrame]
    source: str
    option: str
    column: str | None = None

    @property
    def origin(self) -> str:
        """Where the names come from, in words."""
        return "the index of var" if self.column is None else f"var[{self.column!r}]"

    def names(self) -> list[str]:
        """Return the genes' names. Where the column has none, a gene keeps its name in the index.

        Raises
        ------
        ScinnError
            If there is no such column, or it holds no text; the message lists the columns that do.
        """
        var = self.read()
        if self.column is None:
            return _index(var)
        return _column(var, self.column, source=self.source)

    def others(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield the other names that the table has for the genes: where they are, how to ask for them, the names."""
        try:
            var = self.read()
        except ModuleNotFoundError:  # of a table or an mtx folder it is a hint, and not worth a package
            return
        if self.column is not None:
            yield "the index of var", f"leave {self.option.format(self.column)} out", _index(var)
        for column in _text_columns(var):
            if column != self.column:
                yield f"var[{column!r}]", self.option.format(column), _column(var, column, source=self.source)


def _index(var: pd.DataFrame) -> list[str]:
    return [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in var.index]


def _column(var: pd.DataFrame, column: str, *, source: str) -> list[str]:
    there = _text_columns(var)
    if column not in there:
        listed = f"Columns of names: {', '.join(there)}." if there else "var has no column of names."
        found = f"var[{column!r}] holds no names, but {var[column].dtype}" if column in var.columns else ""
        msg = f"{source}: {found or f'there is no var column {column!r}'}. {listed} Without one, the index is taken."
        raise ScinnError(msg)
    values = zip(var[column].isna(), var[column], _index(var), strict=True)
    return [name if missing or not value.strip() else value for missing, value, name in values]


def _text_columns(var: pd.DataFrame) -> list[str]:
    """Return the columns that hold text, as such or as categories, whatever of it is missing."""
    return [column for column in var.columns if isinstance(column, str) and _is_text(var[column])]


def _is_text(values: pd.Series) -> bool:
    from pandas.api.types import infer_dtype

    return infer_dtype(values.astype(object), skipna=True) == "string"
