"""Every command of both programs explains itself, in the same way, with examples that are true."""

from __future__ import annotations

import inspect
import re
import shlex

import click
import pytest

from scinn_infer.cli import group as infer_group
from scinn_infer.cli import main_for
from scinn_train.cli import group as train_group

PROGRAMS = {"scinn-infer": infer_group, "scinn-train": train_group}


def walk(group: click.Group, path: tuple[str, ...]):
    """Yield every command within a group, those of groups within it too, with what is typed to reach it."""
    yield path, group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = {" ".join(path): command for program, group in PROGRAMS.items() for path, command in walk(group, (program,))}


def examples(command: click.Command) -> list[str]:
    """Return the lines of the section of examples, which both the help and Markdown show as a block of its own."""
    text = inspect.cleandoc(command.help or "")
    section = re.search(r"^\x08\nExample:\n\n\x08\n((?: {4}\S.*\n?)+)", text, flags=re.MULTILINE)
    return section[1].strip().splitlines() if section else []


def option(command: click.Command, name: str) -> click.Option | None:
    return next((option for option in command.params if name in option.opts), None)


def test_the_walk_reaches_commands_of_groups_within_groups():
    assert {"scinn-infer check", "scinn-train fit", "scinn-train datasets fetch"} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_examples(path):
    lines = examples(COMMANDS[path])
    assert lines, f"the help of {path!r} has no section like that of 'scinn-infer apply': \\b, Example:, \\b, 4 spaces"
    assert all(line.strip().startswith(path) for line in lines)


@pytest.mark.parametrize("line", [line.strip() for command in COMMANDS.values() for line in examples(command)])
def test_every_example_can_be_typed(line):
    typed = re.split(r"\s(?:[|>]|&&)\s", line)[0]
    program, *words = shlex.split(typed)
    command: click.Command | None = PROGRAMS[program]
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, line
    command.make_context(command.name, words)  # parses, and runs nothing


@pytest.mark.parametrize("path", COMMANDS)
def test_options_that_many_have_mean_the_same(path):
    command = COMMANDS[path]
    quiet, as_json = option(command, "--quiet"), option(command, "--json")
    if quiet is not None:
        assert quiet.is_flag
        assert "-q" in quiet.opts
        assert quiet.help == "Say nothing but warnings and errors."
    if as_json is not None:
        assert as_json.is_flag
        assert as_json.help.startswith("Print one JSON document")


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_is_shown_and_fits_a_terminal(path, capfd):
    program, *words = path.split()
    assert main_for(PROGRAMS[program], program, [*words, "--help"]) == 0
    shown, said = capfd.readouterr()
    assert said == ""
    assert shown.startswith(f"Usage: {path} ")
    assert "Example:" in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_exit_codes_are_in_the_help(program, capfd):
    main_for(PROGRAMS[program], program, ["--help"])
    epilog = " ".join(capfd.readouterr().out.partition("Exit codes:")[2].split())
    for code in ("0 done", "2 refused", "130 interrupted", "141 nobody reads"):
        assert code in epilog
    assert ("1 usable with warnings" in epilog) == (program == "scinn-infer")


@pytest.mark.parametrize(
    ("program", "words", "sentence"),
    [
        ("scinn-infer", ["inspct"], "No such command 'inspct'. Did you mean 'inspect'? See: scinn-infer --help"),
        ("scinn-infer", ["fit"], "No such command 'fit'. There are: apply, check, "),
        ("scinn-train", ["evalute"], "No such command 'evalute'. Did you mean 'evaluate'? See: scinn-train --help"),
        (
            "scinn-train",
            ["datasets", "fecth"],
            "No such command 'fecth'. Did you mean 'fetch'? See: scinn-train datasets",
        ),
        ("scinn-infer", ["check", "--layr", "x"], "No such option"),
        ("scinn-infer", ["--versoin"], "No such option"),
    ],
)
def test_what_is_not_there_gets_the_closest_that_is(program, words, sentence, capfd):
    assert main_for(PROGRAMS[program], program, words) == 2
    shown, said = capfd.readouterr()
    assert shown == ""
    assert sentence in said
    assert said.count("\n") == 1
    if "option" in sentence:
        assert "--layer" in said or "--version" in said
