"""Run the code blocks of one page, in the folder in which this is called: ``python run_page.py PAGE``.

A process of its own for each page: what a page imports, sets or breaks is nobody else's.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from code_blocks import Block, blocks_of

NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?![\w.]*\w)")
RELATIVE, ABSOLUTE = 0.15, 0.06
"""How far a figure may be from the page's: training gives others on other processors."""


def run(page: Path) -> None:
    """Run all blocks in order; the first that fails ends it, with the line of the page."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks_of(page.read_text(encoding="utf-8")):
        where = f"{page.name}, line {block.line}"
        if block.kind == "python":
            printed = run_python(block, names, where)
        elif block.kind == "doctest":
            run_doctest(block, names, where)
        elif block.kind == "bash":
            printed = run_bash(block, where)
        elif block.kind == "output" and not agree(block.code, printed):
            raise SystemExit(f"{where}: the page says\n{block.code}\nbut what is printed is\n{printed}")


def run_python(block: Block, names: dict[str, Any], where: str) -> str:
    padding = "\n" * (block.line - 1)  # so that a traceback names the line of the page
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exec(compile(padding + block.code, where.split(",")[0], "exec"), names)
    return stdout.getvalue()


def run_doctest(block: Block, names: dict[str, Any], where: str) -> None:
    test = doctest.DocTestParser().get_doctest(block.code, names, where, where, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    if runner.run(test, clear_globs=False).failed:
        raise SystemExit(f"{where}: a doctest fails.")
    names.update(test.globs)


def run_bash(block: Block, where: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{where}: exit code {done.returncode} of\n{block.code}\nwhich says\n{done.stdout}")
    return done.stdout


def agree(said: str, printed: str) -> bool:
    """Tell whether what a page says is printed is that: the same words, near figures; ``...`` stands for anything."""
    pattern = r"\s+".join(map(_word_pattern, said.split()))
    match = re.fullmatch(rf"\s*{pattern}\s*", printed, re.DOTALL)
    return bool(match) and all(
        abs(_value(one) - _value(other)) <= max(RELATIVE * abs(_value(one)), ABSOLUTE)
        for one, other in zip(NUMBER.findall(said), match.groups(), strict=True)
    )


def _word_pattern(word: str) -> str:
    parts = re.split(rf"({NUMBER.pattern}|\.\.\.)", word)
    return "".join(map(_part_pattern, parts))


def _part_pattern(part: str) -> str:
    if part == "...":
        return r".*?"
    return r"(-?\d[\d,]*(?:\.\d+)?)" if NUMBER.fullmatch(part) else re.escape(part)


def _value(number: str) -> float:
    return float(number.replace(",", ""))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
