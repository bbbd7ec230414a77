"""The pages on the command line say what the programs do."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from scinn_infer import cli
from scinn_train.cli import group as train_group

PROGRAMS = {"scinn-infer": cli.group, "scinn-train": train_group}
REPOSITORY = Path(__file__).parents[2]
COMMANDS = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
TROUBLESHOOTING = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = [path for package in ("scinn_infer", "scinn_train") for path in sorted((REPOSITORY / package).rglob("*.py"))]


def texts() -> list[str]:
    """Return every text of the source as a message would show it, with … for what is filled in."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def fragments() -> list[str]:
    headings = re.findall(r"^### (.*)$", TROUBLESHOOTING, flags=re.MULTILINE)
    assert all("`" in heading for heading in headings)
    return [fragment for heading in headings for fragment in re.findall(r"`([^`]+)`", heading)]


@pytest.fixture(scope="module")
def source() -> list[str]:
    return texts()


def test_the_page_quotes_each_message_once():
    assert len(fragments()) == len(set(fragments())) > 50


@pytest.mark.parametrize("fragment", fragments())
def test_every_quoted_message_is_in_the_source(source, fragment):
    assert any(fragment in text for text in source)


def table(heading: str) -> dict[str, str]:
    """Return first and second column of the table under a heading of the page on commands."""
    section = COMMANDS.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (.+) \|$", section, flags=re.MULTILINE)
    return {first.strip(): second for first, second in rows if set(first.strip()) != {"-"}}


def test_the_exit_codes_are_those_of_the_programs():
    from scinn_infer.commands.check import EXIT_CODES

    told = {int(code) for code in table("Exit codes") if code.isdigit()}
    own = {value for name, value in vars(cli).items() if name.startswith("EXIT_") and isinstance(value, int)}
    assert told == own | set(EXIT_CODES.values())


def test_every_environment_variable_is_told_and_every_one_told_is_there():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    used = set(re.findall(r'"(SCINN_[A-Z_]+|ORT_[A-Z_]+|OMP_[A-Z_]+)"', text))
    told = {name.strip("`") for name in table("Environment variables")}
    assert {"SCINN_CACHE", "SCINN_DATA_MIRROR", "SCINN_DEBUG"} <= used <= told
    assert {name for name in told if name.startswith("SCINN_")} <= used


def test_both_programs_are_on_the_page():
    blocks = re.findall(r"::: mkdocs-click\n(?: {4}:\w+: .*\n)+", COMMANDS)
    modules = {re.search(r":module: (\S+)", block)[1]: re.search(r":prog_name: (\S+)", block)[1] for block in blocks}
    assert modules == {"scinn_infer.cli": "scinn-infer", "scinn_train.cli": "scinn-train"}


def told(capfd, program: str, *words: object):
    """Return the JSON document of a command."""
    cli.main_for(PROGRAMS[program], program, [*map(str, words), "--json"])
    return json.loads(capfd.readouterr().out)


@pytest.mark.parametrize("verdict", ["fits", "other", "not there"])
def test_the_keys_of_check(capfd, tiny, batches, verdict, documented_keys):
    document = told(capfd, "scinn-infer", "check", tiny, batches.get(verdict, "none.h5ad"))
    assert set(document) == documented_keys("scinn-infer check")
    page = COMMANDS.partition("### `scinn-infer check --json`")[2].partition("###")[0]
    for part in ("input", "model", "genes", "batch"):
        assert all(f"`{key}`" in page for key in document[part] or ())


def test_the_keys_of_inspect(capfd, tiny, documented_keys):
    document = told(capfd, "scinn-infer", "inspect", tiny)
    assert set(document) == documented_keys("scinn-infer inspect")


def test_the_keys_of_the_list_of_datasets(capfd, documented_keys):
    for document in told(capfd, "scinn-train", "datasets", "list"):
        assert set(document) == documented_keys("scinn-train datasets list")
