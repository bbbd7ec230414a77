"""Tables as ``.csv`` and ``.tsv``: a line of names, then a line for each cell, or (transposed) for each gene.

Two passes: the first one finds the names and lines of the wrong length, the second the numbers.
"""

from __future__ import annotations

import csv
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.inputs.matrix import FileMatrix
from scinn_infer.inputs.names import all_numbers, first_repeated, heads_names, look_like_cells, look_like_genes
from scinn_infer.inputs.recognise import open_text
from scinn_infer.inputs.spool import Spooled, as_float32
from scinn_infer.unchanged import Unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scinn_infer.inputs.spool import Entry

    Line = tuple[int, str, str]
    """The number of a line in the file, the name in front, and the rest."""

ENTRIES_AT_A_TIME = 1 << 20
"""About 30 MB at work, if a line has no more."""

MOST_LINES_OF_A_NAME = 16
"""Lines that a name in quotes may go over; a quote that ends later is a slip."""


def open_delimited(path: Path, *, transpose: bool, temporary_folder: Path) -> FileMatrix:
    """Open a table of cells × genes, or of genes × cells if it is to be transposed, as cells × genes.

    Values are separated by tabs if the first line has any, otherwise by commas. The first line names the columns, with
    or without a field above the names of the rows.

    Raises
    ------
    ScinnError
        If lines differ in length, rows and columns seem to be taken for each other, or the lines seem to have no names.
    """
    with naming_damage(str(path)):
        table = _Table(path)
    genes, cells = (table.rows, table.columns) if transpose else (table.columns, table.rows)
    notes = _check_names(path, table, of="genes" if transpose else "cells")
    _check_direction(path, genes, cells, transpose=transpose)
    storage = Spooled(
        lambda: (entry if not transpose else (entry[1], entry[0], entry[2]) for entry in table.entries()),
        shape=(len(cells), len(genes)),
        dtype=np.dtype(np.float32),
        storage="text",
        folder=temporary_folder,
    )
    return FileMatrix(path, source=str(path), storage=storage, genes=genes, cells=cells, notes=notes)


def _check_names(path: Path, table: _Table, *, of: str) -> list[str]:
    """Refuse a table whose first column seems to be values; return what is to be said of one where it may be.

    A table that was written without its index has a value in front of each line, and a gene would be lost unseen.
    """
    if heads_names(table.corner) or not all_numbers(table.rows):
        return []
    if (name := first_repeated(table.rows)) is None:
        return [f"{path}: the numbers in the first column, {table.corner[:40]!r}, are taken for the names of the {of}."]
    msg = (
        f"{path}: its lines have no names in front: the first column, {table.corner[:40]!r}, holds numbers, some of "
        f"them more than once, such as {name[:40]}. Write it with the names of the {of} in front (in pandas without "
        f"index=False); if these numbers are the names, call that column {of.removesuffix('s')!r}."
    )
    raise ScinnError(msg)


def _check_direction(path: Path, genes: list[str], cells: list[str], *, transpose: bool) -> None:
    if not look_like_cells(genes) and not (look_like_genes(cells) and not look_like_genes(genes)):
        return
    rows, columns = ("genes", "cells") if transpose else ("cells", "genes")
    advice = "leave --transpose out" if transpose else "give --transpose (transpose=True)"
    msg = (
        f"{path}: its rows are taken for {rows} and its columns for {columns}, such as {genes[0]!r} for a gene and "
        f"{cells[0]!r} for a cell. It seems to be the other way round: {advice}."
    )
    raise ScinnError(msg)


class _Table:
    """The names of a table, and its numbers when they are asked for.

    ``corner`` is the field above the names of the rows; empty if there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._unchanged = path, Unchanged(path, source=str(path))
        names = self._header()
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            msg = f"{path} has one line only; expected are the names of the columns, then a line for each row."
            raise ScinnError(msg)
        count = self._count(first[2])
        self.corner, self.columns = (names[0], names[1:]) if len(names) == count + 1 else ("", names)
        self.rows = []
        for number, name, rest in chain([first], lines):
            if self._count(rest) != len(self.columns):
                self._refuse_length(number, name, self._count(rest))
            self.rows.append(name)

    def entries(self) -> Iterator[Entry]:
        """Yield rows, columns and values of what is not zero."""
        lines, at_a_time = self._lines(), max(1, ENTRIES_AT_A_TIME // len(self.columns))
        start = 0
        while some := list(islice(lines, at_a_time)):
            values = as_float32(self._parse(some), source=str(self._path))
            row, column = np.nonzero(values)
            yield row + start, column, values[row, column]
            start += len(some)
        self._unchanged.check()

    def _header(self) -> list[str]:
        """Return the names of the columns, and find out what separates them and where the first row begins."""
        with open_text(self._path) as file:
            texts = (text for _, text in self._texts(file))
            line = next(texts).removeprefix("\ufeff")
            if "\r" in line.rstrip("\r\n") and '"' not in line:
                msg = f"{self._path}: its lines end in CR alone, as on old Macs. Write it with LF at their ends."
                raise ScinnError(msg)
            self._delimiter = "\t" if "\t" in line else ","
            reader = csv.reader(chain([line], islice(texts, MOST_LINES_OF_A_NAME)), delimiter=self._delimiter)
            names = next(reader, [])
        if reader.line_num > MOST_LINES_OF_A_NAME:
            msg = f"{self._path}: a quote in its first line does not end. Write it again."
            raise ScinnError(msg)
        self._header_lines = reader.line_num
        return names

    def _texts(self, file: BinaryIO) -> Iterator[tuple[int, str]]:
        """Yield the number and the text of each line."""
        for number, line in enumerate(file, 1):
            try:
                yield number, line.decode("utf-8")
            except UnicodeDecodeError as error:
                msg = f"{self._path}: line {number:,} is text in another encoding than UTF-8. Write it again as UTF-8."
                raise ScinnError(msg) from error

    def _lines(self) -> Iterator[Line]:
        with open_text(self._path) as file:
            texts = islice(self._texts(file), self._header_lines, None)
            for number, text in texts:
                line = text
                while line.startswith('"') and _end_of_quote(line) < 0:  # a name may go over several lines
                    following = next(texts, None)
                    if following is None or following[0] >= number + MOST_LINES_OF_A_NAME:
                        self._refuse_quote(number)
                    line += following[1]
                if line := line.rstrip("\r\n"):
                    yield (number, *self._split(line))

    def _split(self, text: str) -> tuple[str, str]:
        """Return the name in front of a line, and the rest; a name in quotes as :mod:`csv` reads it."""
        quoted = ""
        if text.startswith('"'):
            end = _end_of_quote(text)
            quoted, text = text[1:end].replace('""', '"'), text[end + 1 :]
        name, _, rest = text.partition(self._delimiter)
        return quoted + name, rest

    def _fields(self, text: str) -> list[str]:
        return next(csv.reader([text], delimiter=self._delimiter), [])

    def _count(self, rest: str) -> int:
        return len(self._fields(rest)) if '"' in rest else rest.count(self._delimiter) + 1

    def _parse(self, lines: list[Line]) -> np.ndarray:
        """Return the numbers of some lines (lines × columns)."""
        try:
            return np.loadtxt(
                [rest for _, _, rest in lines], delimiter=self._delimiter, comments=None, quotechar='"', ndmin=2
            ).reshape(len(lines), len(self.columns))
        except ValueError:
            self._refuse_value(lines)

    def _refuse_quote(self, number: int) -> NoReturn:
        msg = f"{self._path}: line {number:,} begins with a quote that does not end. Write it again."
        raise ScinnError(msg)

    def _refuse_length(self, number: int, name: str, count: int) -> NoReturn:
        msg = (
            f"{self._path}: line {number:,} ({name[:40]}) has {count:,} values, and there are {len(self.columns):,} "
            "names in the first line. Copy or write it again."
        )
        raise ScinnError(msg)

    def _refuse_value(self, lines: list[Line]) -> NoReturn:
        """Name the first value that is no number: its line and its column."""
        for number, name, rest in lines:
            for column, field in enumerate(self._fields(rest)):
                try:
                    float(field)
                except ValueError:
                    what = f"{field[:40]!r}, which is no number" if field.strip() else "empty"
                    msg = (
                        f"{self._path}: line {number:,} ({name[:40]}), column {column + 2:,} "
                        f"({self.columns[column]}): the value is {what}. Leave text out, and write 0 for what was not "
                        "seen."
                    )
                    raise ScinnError(msg) from None
        msg = f"{self._path}: lines {lines[0][0]:,} to {lines[-1][0]:,} cannot be read. Write it again."
        raise ScinnError(msg)


def _end_of_quote(text: str) -> int:
    """Return where the quote ends with which a text begins, or -1; two quotes within are one that is meant."""
    end = text.find('"', 1)
    while end >= 0 and text.startswith('""', end):
        end = text.find('"', end + 2)
    return end
