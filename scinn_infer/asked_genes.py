"""Genes that a user asks for on the command line: a file with one to a line, or names with commas between them."""

from __future__ import annotations

from pathlib import Path

from scinn_infer.errors import ScinnError


def read_asked_genes(text: str) -> tuple[str, ...]:
    """Return the names, from the file where there is one of that name.

    Raises
    ------
    ScinnError
        If the file cannot be read, or is no text.
    """
    path = Path(text)
    if "," in text or not path.exists():
        return tuple(name.strip() for name in text.split(",") if name.strip())
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}. Name a text file with one gene to a line."
        raise ScinnError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is no text in UTF-8. Name a text file with one gene to a line."
        raise ScinnError(msg) from error
    return tuple(line.strip() for line in lines if line.strip())
