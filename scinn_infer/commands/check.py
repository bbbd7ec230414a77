"""``scinn-infer check``: tell whether a model fits a file's cells."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from scinn_infer.commands.console import number_text, print_json, print_table, printable, range_text
from scinn_infer.commands.models import ModelName, registry_option
from scinn_infer.commands.options import INPUT, json_option, quiet_option, unit_option
from scinn_infer.drift import LEAST_HELD_OUT, UNLIKE
from scinn_infer.errors import RoomError, ScinnError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scinn_infer.contract import ModelInfo
    from scinn_infer.genes import GeneMatch
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.model import Model
    from scinn_infer.suitability import Suitability
    from scinn_infer.summary import BatchSummary

EXIT_CODES = {"fits": 0, "usable with warnings": 1, "refused": 2}


@click.command(short_help="Tell whether a model fits new cells: exit code 0, 1 or 2.")
@click.argument("model", type=ModelName())
@click.argument("new", type=INPUT)
@click.option("--layer", metavar="NAME", help="The layer to check; X if not given.")
@click.option("--transpose", is_flag=True, help="The rows of a .csv or .tsv table are genes, not cells.")
@click.option("--gene-column", metavar="NAME", help="Column of var with the genes' names; the index if not given.")
@click.option(
    "--sum-duplicates", is_flag=True, help="Sum columns that name the same gene of MODEL, instead of refusing them."
)
@unit_option
@registry_option
@json_option
@quiet_option
def check(
    model: str,
    new: Path,
    layer: str | None,
    transpose: bool,
    gene_column: str | None,
    sum_duplicates: bool,
    unit_checked: bool,
    registries: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Tell whether MODEL, a file or a name, fits the cells in NEW before it is applied.

    NEW may be in any format that 'scinn-infer apply' reads.

    Holds the genes, the unit, the depth, the genes per cell, the zeros, the mean expression per gene and each cell
    against what the model was trained on, and says how sure it is where the cells do not look like the tissue. Every
    value is looked at; nothing is written.

    Exit codes: 0 fits; 1 usable with warnings; 2 refused, also for what cannot be read.

    \b
    Example:

    \b
        scinn-infer check tissue.onnx new.h5ad
        scinn-infer check tissue.onnx new.h5ad --layer counts --json | jq .warnings
    """  # noqa: D301 - \b keeps click from filling the lines
    from scinn_infer.genes import REFUSE, SUM
    from scinn_infer.inputs.opening import open_matrix
    from scinn_infer.model import load
    from scinn_infer.store import resolve
    from scinn_infer.suitability import examine

    try:
        loaded = load(resolve(model, registries=registries, progress=not quiet))
        duplicates = SUM if sum_duplicates else REFUSE
        with open_matrix(new, layer=layer, transpose=transpose, gene_column=gene_column) as matrix:
            found = examine(loaded, matrix, duplicates=duplicates, unit_checked=unit_checked, progress=not quiet)
    except ScinnError as error:
        # Whoever reads the documents of many batches finds the reason in each; a full disk is no reason of a batch's.
        if as_json and not isinstance(error, RoomError):
            print_json(_document_unread(str(error), new, layer))
        raise
    if as_json:
        print_json(_document(found, matrix, loaded, layer))
    else:
        _print(found, matrix, loaded.info)
    return EXIT_CODES[found.verdict]


def _document(found: Suitability, matrix: ExpressionMatrix, model: Model, layer: str | None) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "refusals": found.refusals,
        "warnings": found.warnings,
        "input": {
            "file": str(matrix.path),
            "layer": layer,
            "cells": matrix.shape[0],
            "genes": matrix.shape[1],
            "storage": matrix.storage,
            "dtype": str(matrix.dtype),
            "notes": matrix.notes,
        },
        "model": {
            "file": model.source,
            "sha256": model.sha256,
            "unit": model.info.unit,
            "tissue": model.info.tissue,
            "species": model.info.species,
            "genes": len(model.genes),
        },
        "genes": {"names_from": matrix.gene_table.origin, **_gene_report(found.match)},
        "batch": _numbers(found.batch),
        "training": _numbers(found.training),
        "profile_correlation": found.profile_correlation,
        "drift": found.drift and found.drift.document(),
    }


def _document_unread(sentence: str, new: Path, layer: str | None) -> dict[str, Any]:
    """Return the document about a batch or a model that cannot be read: the same keys, and only the reason is known."""
    unknown = dict.fromkeys(("cells", "genes", "storage", "dtype"))
    return {
        "verdict": "refused",
        "refusals": [sentence],
        "warnings": [],
        "input": {"file": str(new), "layer": layer, **unknown, "notes": []},
        **dict.fromkeys(("model", "genes", "batch", "training", "profile_correlation", "drift")),
    }


def _gene_report(match: GeneMatch) -> dict[str, Any]:
    return {
        "compared_by": match.by,
        "matched": match.matched,
        "overlap": match.overlap,
        "training_expression_share": match.expression_share,
        "missing": match.missing,
        "extra": match.extra,
        "duplicated": match.duplicated,
        "summed": match.summed,
        "notes": match.notes,
    }


def _numbers(summary: BatchSummary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    fields = ("cells", "empty_cells", "zero_fraction")
    spreads = {"depth": asdict(summary.depth), "genes_per_cell": asdict(summary.genes_per_cell)}
    return {name: getattr(summary, name) for name in fields} | spreads


def _print(found: Suitability, matrix: ExpressionMatrix, info: ModelInfo) -> None:
    sizes = [
        ("cells", f"{matrix.shape[0]:,}", f"{info.training_data.cells:,}"),
        ("genes", f"{matrix.shape[1]:,}", f"{len(info.genes):,}"),
    ]
    print_table(("", "this batch", "the model's training"), [sizes, _compared(found.batch, found.training)])
    for sentence in (*matrix.notes, found.match.sentence):
        click.echo(printable(sentence))
    if found.profile_correlation is not None:
        click.echo(f"Mean expression per gene correlates with the training data's by {found.profile_correlation:.2f}.")
    if found.drift:
        usual = f"of held-out training cells {1 - UNLIKE:.0%} are"
        click.echo(f"{found.drift.share:.0%} of the cells are unlike the training data; {usual}.")
    elif not found.refusals:
        click.echo(f"How many cells are unlike the training data is not known: {_why_no_drift(info)}.")
    for kind, sentences in {"refused": found.refusals, "warning": found.warnings}.items():
        for sentence in sentences:
            click.echo(f"{kind}: {printable(sentence)}")
    click.echo(f"Verdict: {found.verdict}.")


def _why_no_drift(info: ModelInfo) -> str:
    if info.cell_reference is None:
        return "the model file has no reference for it"
    held_out = info.cell_reference.held_out_cells
    return f"the model was held against {held_out:,} cells not trained on, and {LEAST_HELD_OUT} are needed"


def _compared(batch: BatchSummary | None, training: BatchSummary | None) -> list[tuple[str, str, str]]:
    """Return the rows that compare the two, over the genes that both have."""
    if batch is None or training is None:
        return []
    rows: list[tuple[str, Callable[[BatchSummary], str]]] = [
        ("depth: median", lambda summary: number_text(summary.depth.median)),
        ("depth: 90 % of the cells", lambda summary: range_text(summary.depth)),
        ("genes in a cell: median", lambda summary: number_text(summary.genes_per_cell.median)),
        ("genes in a cell: 90 % of the cells", lambda summary: range_text(summary.genes_per_cell)),
        ("zeros", lambda summary: f"{summary.zero_fraction:.1%}"),
        ("cells without expression", lambda summary: f"{summary.empty_cells:,}"),
    ]
    return [(name, text(batch), text(training)) for name, text in rows]
