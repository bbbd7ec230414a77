"""Completion with Tab: the script for a shell, and the answers that it asks the program for."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class, shell_complete

SHELLS = ("bash", "zsh", "fish")

HELP = """Print the script that completes commands, options and files with Tab, for bash, zsh or fish.

Keep it where the shell looks for such scripts, and open a new shell. bash needs version 4.4 and the package
bash-completion; zsh needs 'fpath+=~/.zfunc' before compinit in ~/.zshrc.

\b
Example:

\b
    {program} completion bash > ~/.local/share/bash-completion/completions/{program}
    {program} completion zsh > ~/.zfunc/_{program}
    {program} completion fish > ~/.config/fish/completions/{program}.fish
"""


def completion_command(program: str) -> click.Command:
    """Return the command ``completion`` of a program."""

    @click.command(
        "completion",
        help=HELP.format(program=program),
        short_help="Print the script that completes with Tab in bash, zsh or fish.",
    )
    @click.argument("shell", type=click.Choice(SHELLS))
    @click.pass_context
    def completion(ctx: click.Context, shell: str) -> None:
        kind = get_completion_class(shell)
        assert kind is not None
        script = kind(ctx.find_root().command, {}, program, _variable(program)).source()
        click.echo(script.rstrip("\n"))

    return completion


def answer_shell(group: click.Group, program: str) -> int | None:
    """Answer a shell's script that asks what could come next; return the exit code, or None if none has asked."""
    instruction = os.environ.get(_variable(program))
    if not instruction:
        return None
    return shell_complete(group, {}, program, _variable(program), instruction)


def _variable(program: str) -> str:
    """Return the environment variable through which click's scripts ask."""
    return f"_{program.replace('-', '_')}_COMPLETE".upper()
