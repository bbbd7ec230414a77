"""The commands ``scinn-train datasets list`` and ``scinn-train datasets fetch``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scinn_infer.commands.console import print_json
from scinn_infer.commands.group import CommandGroup
from scinn_infer.commands.options import json_option, quiet_option, speaker
from scinn_infer.progress import busy
from scinn_infer.wholefile import HDF5_SUFFIXES, check_output, check_suffix
from scinn_train.datasets.catalogue import CATALOGUE, Dataset, find
from scinn_train.datasets.loading import load
from scinn_train.writing import write_h5ad


def complete_name(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the datasets whose names begin like this, for completion with Tab."""
    return [name for name in CATALOGUE if name.startswith(incomplete)]


@click.group(cls=CommandGroup)
def datasets() -> None:
    """Public single-cell datasets, downloaded, verified and written as .h5ad.

    \b
    Example:

    \b
        scinn-train datasets list
        scinn-train datasets fetch scmix_5cl_celseq2
    """  # noqa: D301 - \b keeps click from filling the lines


@datasets.command("list")
@json_option
def list_datasets(*, as_json: bool) -> None:
    """List the datasets that can be fetched.

    \b
    Example:

    \b
        scinn-train datasets list
        scinn-train datasets list --json | jq '.[].name'
    """  # noqa: D301 - \b keeps click from filling the lines
    if as_json:
        print_json([_record(entry) for entry in CATALOGUE.values()])
        return
    width = max(map(len, CATALOGUE))
    click.echo(f"{'name':{width}}  {'cells':>5}  {'genes':>6}  {'unit':6}  holds")
    for entry in CATALOGUE.values():
        click.echo(f"{entry.name:{width}}  {entry.cells:5}  {entry.genes:6}  {entry.unit:6}  {entry.holds}")


@datasets.command("fetch")
@click.argument("name", shell_complete=complete_name)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The .h5ad to write.  [default: NAME.h5ad in this folder]"
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@quiet_option
def fetch_dataset(name: str, *, output: Path | None, overwrite: bool, quiet: bool) -> None:
    """Download the dataset NAME and write it as .h5ad.

    Downloads are kept in the user's cache folder, or in the one that SCINN_CACHE names. SCINN_DATA_MIRROR names a
    folder or URL that holds the same files as <dataset>/<file>.

    \b
    Example:

    \b
        scinn-train datasets fetch scmix_5cl_celseq2
        scinn-train datasets fetch goolam -o embryo.h5ad --overwrite
    """  # noqa: D301 - \b keeps click from filling the lines
    entry = find(name)
    output = output or Path(f"{entry.name}.h5ad")
    check_output(output, overwrite=overwrite)
    check_suffix(output, suffixes=HDF5_SUFFIXES, written="an .h5ad file", endings=".h5ad")
    say = speaker(quiet=quiet)
    adata = load(entry, progress=not quiet)
    with busy(f"writing {output}", enabled=not quiet):
        write_h5ad(adata, output, overwrite=overwrite)
    say(f"{output}: {adata.n_obs} cells × {adata.n_vars} genes, {entry.quantity}. Labels: {entry.labels}.")
    say(f"Licence: {entry.licence}. Please cite {entry.citation}.")


def _record(entry: Dataset) -> dict[str, Any]:
    record = asdict(entry)
    del record["read"]
    return record
