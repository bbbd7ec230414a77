"""The commands ``scinn-train datasets list`` and ``scinn-train datasets fetch``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scinn_infer.wholefile import check_output
from scinn_train.datasets.catalogue import CATALOGUE, Dataset, find
from scinn_train.datasets.loading import load
from scinn_train.writing import write_h5ad


@click.group()
def datasets() -> None:
    """Public single-cell datasets, downloaded, verified and written as .h5ad."""


@datasets.command("list")
@click.option("--json", "as_json", is_flag=True, help="Everything the catalogue knows, as JSON.")
def list_datasets(*, as_json: bool) -> None:
    """List the datasets that can be fetched."""
    if as_json:
        click.echo(json.dumps([_record(entry) for entry in CATALOGUE.values()], indent=2, ensure_ascii=False))
        return
    width = max(map(len, CATALOGUE))
    click.echo(f"{'name':{width}}  {'cells':>5}  {'genes':>6}  {'unit':6}  holds")
    for entry in CATALOGUE.values():
        click.echo(f"{entry.name:{width}}  {entry.cells:5}  {entry.genes:6}  {entry.unit:6}  {entry.holds}")


@datasets.command("fetch")
@click.argument("name")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file to write.  [default: NAME.h5ad in this folder]"
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def fetch_dataset(name: str, *, output: Path | None, overwrite: bool) -> None:
    """Download the dataset NAME and write it as .h5ad.

    Downloads are kept in the user's cache folder, or in the one that SCINN_CACHE names. SCINN_DATA_MIRROR names a
    folder or URL that holds the same files as <dataset>/<file>.
    """
    entry = find(name)
    output = output or Path(f"{entry.name}.h5ad")
    check_output(output, overwrite=overwrite)
    adata = load(entry, progress=True)
    write_h5ad(adata, output, overwrite=overwrite)
    click.echo(f"{output}: {adata.n_obs} cells × {adata.n_vars} genes, {entry.quantity}. Labels: {entry.labels}.")
    click.echo(f"Licence: {entry.licence}. Please cite {entry.citation}.")


def _record(entry: Dataset) -> dict[str, Any]:
    record = asdict(entry)
    del record["read"]
    return record
