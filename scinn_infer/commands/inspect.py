"""``scinn-infer inspect``: everything that a model file knows about itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from scinn_infer.commands.console import number_text, print_json, print_table, range_text
from scinn_infer.commands.models import ModelName, registry_option
from scinn_infer.commands.options import json_option
from scinn_infer.drift import LEAST_HELD_OUT, can_judge

if TYPE_CHECKING:
    from scinn_infer.contract import ModelInfo, Spread

GENES_SHOWN = 5


@click.command(short_help="Show everything that a model file knows about itself.")
@click.argument("model", type=ModelName())
@registry_option
@json_option
def inspect(model: str, registries: tuple[str, ...], as_json: bool) -> None:
    """Show everything that MODEL, a file or a name, knows about itself.

    \b
    Example:

    \b
        scinn-infer inspect tissue.onnx
        scinn-infer inspect tissue.onnx --json | jq .training_data.depth
    """  # noqa: D301 - \b keeps click from filling the lines
    from scinn_infer.model import load
    from scinn_infer.store import resolve

    path = resolve(model, registries=registries, progress=not as_json)
    loaded = load(path)
    size = path.stat().st_size
    if as_json:
        print_json({"file": str(path), "bytes": size, "sha256": loaded.sha256, **asdict(loaded.info)})
    else:
        print_table((str(path), ""), _sections(loaded.info, size, loaded.sha256))


def _sections(info: ModelInfo, size: int, sha256: str) -> list[list[tuple[str, str]]]:
    from rich.filesize import decimal

    about = [
        ("tissue", info.tissue or "not stated"),
        ("species", info.species or "not stated"),
        ("licence", info.licence or "not stated"),
        ("unit", f"{info.unit}, for input and output alike"),
        ("capture", _captured(info)),
    ]
    file = [("format", str(info.format)), ("size", decimal(size)), ("SHA-256", sha256)]
    training = [(_name(key), _text(value)) for key, value in info.training.items()]
    quality = [(_name(key), _text(value)) for key, value in info.quality.items()]
    return [about, file, _genes(info), _training_data(info), training, quality]


def _genes(info: ModelInfo) -> list[tuple[str, str]]:
    shown = ", ".join(info.genes[:GENES_SHOWN]) + (", …" if len(info.genes) > GENES_SHOWN else "")
    known = sum(map(bool, info.gene_ids))
    return [
        ("genes", f"{len(info.genes):,} ({shown})"),
        ("Ensembl ids", f"known for {known:,} of them" if known else "not known"),
        ("clusters", f"{info.clusters:,}"),
    ]


def _training_data(info: ModelInfo) -> list[tuple[str, str]]:
    data = info.training_data
    return [
        ("trained on", f"{data.cells:,} cells × {data.genes_before_filter:,} genes"),
        ("depth, in these genes", _spread(data.depth)),
        ("genes in a cell", _spread(data.genes_per_cell)),
        ("zeros", f"{data.zero_fraction:.1%}"),
        ("matrix SHA-256", data.sha256 or "not stated"),
        ("drift is told by", _reference(info)),
    ]


def _reference(info: ModelInfo) -> str:
    if info.cell_reference is None:
        return "nothing: the file has no cell reference"
    held_out = f"{info.cell_reference.held_out_cells:,} cells held out of the training"
    return held_out if can_judge(info) else f"nothing: {held_out}, and {LEAST_HELD_OUT} are needed"


def _captured(info: ModelInfo) -> str:
    if info.molecule_value is not None:
        what = "reads" if info.unit == "counts" else info.unit.upper()
        return f"one captured molecule shows as about {info.molecule_value:.3g} {what}"
    if info.capture_efficiency is None:
        return "not taken into account: zeros are filled with the expression that the model expects"
    share = info.capture_efficiency
    return f"{share:.3g}: of every 100 RNA molecules in a cell about {100 * share:.3g} are taken to be counted"


def _spread(spread: Spread) -> str:
    return f"median {number_text(spread.median)}; 90 % of the cells {range_text(spread)}"


def _name(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    """Return a value of free metadata as one line; what is nested is listed."""
    if isinstance(value, dict):
        return ", ".join(f"{_name(key)} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return number_text(value) if isinstance(value, float) else str(value)
