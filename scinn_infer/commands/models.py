"""``scinn-infer models``: the models that have a name."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from scinn_infer.commands.console import number_text, print_json, print_table, printable
from scinn_infer.commands.group import CommandGroup
from scinn_infer.commands.options import json_option, quiet_option
from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from scinn_infer.registry import ModelEntry
    from scinn_infer.store import Found


class RegisteredName(click.ParamType):  # type: ignore[type-arg]  # click before 8.2 has none
    """The name of a model."""

    name = "model"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the names that begin so, of the models that come with scINN: a Tab waits for no other registry."""
        from scinn_infer.store import shipped_models

        with contextlib.suppress(ScinnError):
            names = (found.entry.name for found in shipped_models())
            return [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return []


class ModelName(RegisteredName):
    """A model file, or the name of a model: completed as either."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so; the shell adds the files."""
        return [*super().shell_complete(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


registry_option = click.option(
    "--registry",
    "registries",
    metavar="FOLDER|URL",
    multiple=True,
    help="A registry of models to search before those of SCINN_MODELS and of scINN itself. Can be given several times.",
)
"""The option of every command that takes the name of a model."""


@click.group(cls=CommandGroup, short_help="List, show and fetch the models that have a name.")
def models() -> None:
    """List, show and fetch the models that have a name.

    Wherever a model file is asked for, a name will do. Some models come with scINN; others are listed by registries,
    which --registry and the environment variable SCINN_MODELS name, as a folder or a URL. What is downloaded is kept in
    the user's cache, or in the folder that SCINN_CACHE names, and its SHA-256 is verified at every use.

    \b
    Example:

    \b
        scinn-infer models list
        scinn-infer models show human-pancreas
    """  # noqa: D301 - \b keeps click from filling the lines


@models.command("list")
@registry_option
@json_option
def list_command(registries: tuple[str, ...], as_json: bool) -> None:
    """List the models.

    \b
    Example:

    \b
        scinn-infer models list
        scinn-infer models list --registry /data/our-models
    """  # noqa: D301 - \b keeps click from filling the lines
    from scinn_infer.store import list_models

    found = list_models(registries=registries)
    if as_json:
        print_json([_record(model) for model in found])
        return
    heading = ("name", "of", "platform", "unit", "cells × genes", "file")
    print_table(heading, [[_row(model) for model in found]], whole_names=True)


@models.command()
@click.argument("name", type=RegisteredName())
@registry_option
@json_option
def show(name: str, registries: tuple[str, ...], as_json: bool) -> None:
    """Show what the registry says of the model NAME: its data, its quality, its licence.

    What the file says of itself is shown by 'scinn-infer inspect'.

    \b
    Example:

    \b
        scinn-infer models show human-pancreas
        scinn-infer models show human-pancreas@1 --json
    """  # noqa: D301 - \b keeps click from filling the lines
    from scinn_infer.store import find

    found = find(name, registries=registries)
    if as_json:
        print_json(_record(found))
    else:
        print_table((found.entry.pinned, ""), _sections(found), whole_names=True)


@models.command()
@click.argument("name", type=RegisteredName())
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="A folder to copy the file into.")
@registry_option
@click.option("--overwrite", is_flag=True, help="Replace the file in DIR if it is there.")
@quiet_option
def fetch(name: str, output: Path | None, registries: tuple[str, ...], overwrite: bool, quiet: bool) -> None:
    """Download the model NAME if it is not here yet, verify it, and print its path.

    \b
    Example:

    \b
        scinn-infer models fetch human-pancreas
        scinn-infer models fetch human-pancreas -o .
    """  # noqa: D301 - \b keeps click from filling the lines
    from scinn_infer.store import find

    path = find(name, registries=registries).fetch(progress=not quiet)
    if output is not None:
        path = _copy(path, output, overwrite=overwrite)
    click.echo(path)


def _copy(path: Path, folder: Path, *, overwrite: bool) -> Path:
    from scinn_infer.wholefile import whole_file

    target = folder / path.name
    with whole_file(target, overwrite=overwrite, keep=[path]) as temporary:
        shutil.copyfile(path, temporary)
    return target


def _record(found: Found) -> dict[str, Any]:
    return asdict(found.entry) | {"registry": found.place, "path": str(found.path), "here": found.path.is_file()}


def _row(found: Found) -> tuple[str, ...]:
    entry = found.entry
    sizes = (f"{entry.cells:,} × {entry.genes:,}", f"{_size(entry)}, {_state(found)}")
    return (entry.pinned, f"{entry.species} {entry.tissue}".strip(), entry.platform, entry.unit, *sizes)


def _sections(found: Found) -> list[list[tuple[str, str]]]:
    entry = found.entry
    about = {"about": entry.about, "tissue": entry.tissue, "species": entry.species, "licence": entry.licence}
    data = {
        "platform": entry.platform,
        "unit": f"{entry.unit}, for input and output alike",
        "trained on": f"{entry.cells:,} cells",
        "genes": f"{entry.genes:,}",
        "data": entry.data,
        "licence of the data": entry.data_licence,
        "please cite": entry.citation,
    }
    quality = {score.replace("_", " "): _scores(values) for score, values in entry.quality.items()}
    file = {
        "file": f"{found.path}, {_state(found)}",
        "size": _size(entry),
        "SHA-256": entry.sha256,
        "registry": found.place,
        "card": entry.card,
    }
    return [[(name, text or "not stated") for name, text in part.items()] for part in (about, data, quality, file)]


def _scores(values: dict[str, float]) -> str:
    return ", ".join(f"{printable(name)} {number_text(value)}" for name, value in values.items())


def _size(entry: ModelEntry) -> str:
    from rich.filesize import decimal

    return decimal(entry.size)


def _state(found: Found) -> str:
    return "here" if found.path.is_file() else "to fetch"
