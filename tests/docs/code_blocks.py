"""Find the code blocks of a Markdown page, and what the page says of them.

- ``python`` blocks and ``bash`` blocks are run, in order, in one folder; the ``python`` blocks share their names.
- A ``python`` block that begins with ``>>>`` is a doctest.
- A ``text`` block with ``title="output"`` is what the block above it prints.
- ``<!-- setup`` … ``-->`` holds Python that is run, and that a reader does not see.
- ``<!-- not run: reason -->`` above a block keeps it from being run, as ``sh`` does in place of ``bash``.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMENT = re.compile(r"<!--\s*(?P<kind>setup|not run:)(?P<text>.*?)-->", re.DOTALL)
FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<ticks>```+)[ ]*(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=ticks)[ ]*$",
    re.DOTALL | re.MULTILINE,
)
INDENTED_COMMAND = re.compile(r"^(?: {4}|\t)(?:scinn-\w+|pip|make|python) .*$", re.MULTILINE)
SHELLS = ("sh", "shell", "console")


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes
    ----------
    kind
        ``"python"``, ``"doctest"``, ``"bash"``, ``"output"``, or ``"not run"``.
    code
        Its text, without the indentation that it shares.
    line
        The line of the page on which the text begins.
    """

    kind: str
    code: str
    line: int

    @property
    def first_line(self) -> str:
        """Its first line, without the comment at its end."""
        return self.code.strip().split("\n")[0].split("  #")[0].rstrip()


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page that matter here, in order."""
    return [block for block in _blocks(page) if block.kind != "other"]


def commands_outside_of_fences(page: str) -> list[str]:
    """Return commands in indented code, which nobody would run."""
    return [match.group().strip() for match in INDENTED_COMMAND.finditer(FENCE.sub("", page))]


def _blocks(page: str) -> Iterator[Block]:
    reason = ""
    position = 0
    while match := _next(page, position):
        line = page.count("\n", 0, match.start()) + 2
        if match.re is COMMENT:
            reason = match["text"].strip() if match["kind"] == "not run:" else ""
            if match["kind"] == "setup":
                yield Block("python", textwrap.dedent(match["text"]), line)
        else:
            between = page[position : match.start()].strip()
            yield Block(_kind(match, reason if not between else ""), textwrap.dedent(match["body"]), line)
            reason = ""
        position = match.end()


def _next(page: str, position: int) -> re.Match[str] | None:
    found = [match for pattern in (COMMENT, FENCE) if (match := pattern.search(page, position))]
    return min(found, key=lambda match: match.start(), default=None)


def _kind(fence: re.Match[str], reason: str) -> str:
    language, _, options = fence["info"].strip().partition(" ")
    if language in SHELLS or (language in ("bash", "python") and reason):
        return "not run"
    if language == "python":
        return "doctest" if fence["body"].lstrip().startswith(">>>") else "python"
    if language == "bash":
        return "bash"
    return "output" if language == "text" and 'title="output"' in options else "other"
