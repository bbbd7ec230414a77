"""The command ``scinn-train``. Each command's module is loaded when it is called: the help needs no torch."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

from scinn_infer import __version__
from scinn_infer.cli import DEBUG_HINT, main_for
from scinn_infer.commands.completion import completion_command
from scinn_infer.commands.group import CommandGroup

EXIT_CODES = f"""\b
Exit codes: 0 done; 2 refused or bad usage; 130 interrupted;
141 nobody reads the output any more.
{DEBUG_HINT}
"""

COMMANDS = {
    "fit": "scinn_train.cli_fit:fit",
    "evaluate": "scinn_train.cli_evaluate:evaluate",
    "datasets": "scinn_train.datasets.cli:datasets",
    "demo": "scinn_train.cli_demo:demo",
    "completion": "scinn_train.cli:completion",
}


class LazyGroup(CommandGroup):
    """A group that imports a command only when it is asked for, as click's documentation suggests."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: Any = getattr(import_module(module), name)
        return command


@click.group(cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def group() -> None:
    """Fit scINN on one dataset of a tissue and export it as one .onnx file for scinn-infer.

    \b
    Example:

    \b
        scinn-train demo
        scinn-train datasets fetch scmix_5cl_celseq2
        scinn-train fit reference.h5ad -o tissue.onnx --tissue pancreas --species human
        scinn-train evaluate raw.h5ad imputed.h5ad --labels label
    """  # noqa: D301 - \b keeps click from filling the lines


completion = completion_command("scinn-train")


def main() -> int:
    """Run ``scinn-train`` on the process's arguments; return the exit code."""
    # Read when torch loads. Threads that spin while they wait make a training on a shared machine many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return main_for(group, "scinn-train", memory_hint="Fewer cells or genes need less.", extra="train")
