"""Options that mean the same on every command that has them.

stdout holds the result that was asked for and nothing else: a table, or one JSON document with ``--json``. All that a
command says along the way, progress bars, warnings and errors go to stderr.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

INPUT = click.Path(path_type=Path, readable=False)
"""A file or folder to read. Whether it is there and may be read is told by who reads it, as for every other trouble."""

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document; docs/commands.md names its keys."
)

unit_option = click.option(
    "--unit-checked", is_flag=True, help="Take the values as they are, even if they look like logarithms."
)


def speaker(*, quiet: bool) -> Callable[[str], None]:
    """Return what tells a sentence on stderr; under ``--quiet``, it tells nobody."""

    def say(sentence: str) -> None:
        if not quiet:
            click.echo(sentence, err=True)

    return say
