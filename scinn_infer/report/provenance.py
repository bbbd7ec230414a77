"""How a result was made, as tables of names and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scinn_infer.report.page import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def table(record: Mapping[str, Any], *, caption: str, folded: bool = False) -> Table:
    """Return a nested record as one table, a row for each value that is not empty."""
    return Table((), list(_rows(record)), caption=caption, folded=folded)


def _rows(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        name = f"{above}{str(key).replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _rows(value, f"{name}: ")
        elif value != "":
            yield name, "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
