"""Genes that a user asks for on the command line: a file with one to a line, or names with commas between them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scinn_infer.errors import ScinnError
from scinn_infer.selection import UnknownGeneError

if TYPE_CHECKING:
    from collections.abc import Iterator

BETWEEN_NAMES = re.compile(r"[,\r\n]")
"""A list that a shell puts in place, ``"$(cat genes.txt)"``, has the ends of its lines."""


@dataclass(frozen=True)
class AskedGenes:
    """Genes that are asked for.

    Attributes
    ----------
    names
        Their names, in the order in which they are wanted.
    file
        Where they were read from; None if they were named themselves.
    """

    names: tuple[str, ...]
    file: Path | None = None


def read_asked_genes(text: str) -> AskedGenes:
    """Return the genes, from the file where there is one of that name.

    Raises
    ------
    ScinnError
        If there is no text, or the file cannot be read or is no text.
    """
    if not text.strip():
        msg = "no gene is named with --genes. Name some, with commas between them, or a text file with one to a line."
        raise ScinnError(msg)
    path = Path(text)
    if _is_there(path):
        return AskedGenes(_without_blanks(_lines(path)), path)
    return AskedGenes(_without_blanks(BETWEEN_NAMES.split(text)))


@contextmanager
def naming_no_file(asked: AskedGenes | None) -> Iterator[None]:
    """Say of a single name that the batch lacks that it is no file's either: perhaps one was meant.

    Raises
    ------
    ScinnError
        If the block finds that a gene is unknown.
    """
    try:
        yield
    except UnknownGeneError as error:
        if asked is None or asked.file is not None or len(asked.names) > 1:
            raise
        msg = f"{error} There is no file {asked.names[0]!r} either."
        raise ScinnError(msg) from error


def _is_there(path: Path) -> bool:
    """Whether there is something to read; a folder that is called as a gene hides no gene."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # too long for a file's name, for one
        return False


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}. Name a text file with one gene to a line."
        raise ScinnError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is no text in UTF-8. Name a text file with one gene to a line."
        raise ScinnError(msg) from error


def _without_blanks(names: list[str]) -> tuple[str, ...]:
    return tuple(stripped for name in names if (stripped := name.strip()))
