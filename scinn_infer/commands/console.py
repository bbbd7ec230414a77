"""What the commands print: tables for people, JSON for programs, and in a sentence what went wrong."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scinn_infer.contract import Spread

COMMAND = "scinn.command"
"""Under this name a command's context keeps what was typed (``click.Context.meta``)."""


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_table(
    heading: Sequence[str], sections: Iterable[Sequence[Sequence[str]]], *, whole_names: bool = False
) -> None:
    """Print rows of text under a heading, with a gap between sections; a section without rows is left out.

    Where there is not enough room the text is folded; that of the first column is not if ``whole_names``.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    # Text objects, because brackets in a gene or file name are no markup.
    columns = [Column(Text(printable(title)), overflow="fold") for title in heading]
    columns[0].no_wrap = whole_names
    table = Table(*columns, box=box.SIMPLE)
    for rows in filter(None, sections):
        for name, *values in rows:
            table.add_row(Text(printable(name), style="cyan"), *(Text(printable(value)) for value in values))
        table.add_section()
    Console().print(table)


def printable(text: str) -> str:
    """Keep text that comes from files from steering the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def explain(error: BaseException, *, extra: str = "anndata") -> str:
    """Return in a sentence what went wrong; what nobody has thought of is a bug.

    Parameters
    ----------
    error
        What was raised.
    extra
        The extra of the distribution that brings a package that is missing.
    """
    match error:
        case ScinnError():
            return str(error)
        case ModuleNotFoundError(name=str() as package) if not package.startswith("scinn_"):
            return f'the package {package!r} is not installed. It comes with: pip install "scinn[{extra}]"'
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{os.strerror(error.errno) if error.errno else error}."
        case MemoryError():
            return "there is not enough memory."
    report = "This is a bug: please report it, with what the same command prints under SCINN_DEBUG=1."
    return f"unexpected {type(error).__name__}: {error}. {report}"


def number_text(value: float) -> str:
    """Return a number with the digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def range_text(spread: Spread) -> str:
    """Return between what the middle 90 % lie."""
    return f"{number_text(spread.q05)} to {number_text(spread.q95)}"
