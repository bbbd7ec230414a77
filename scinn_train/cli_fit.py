"""``scinn-train fit``: from a reference in a file to a model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scinn_infer.commands.console import print_json
from scinn_infer.commands.options import INPUT, json_option, quiet_option, speaker, unit_option
from scinn_infer.contract import UNITS
from scinn_infer.errors import ScinnError
from scinn_infer.inputs.opening import files_of
from scinn_infer.labels import read_labels
from scinn_infer.progress import busy
from scinn_infer.report.request import check_genes, from_options, page_after
from scinn_infer.wholefile import check_output
from scinn_train.cell_store import MEMORY_GB
from scinn_train.checkpoint import SUFFIX, check_checkpoint, discard
from scinn_train.config import AUTO, COUNTED, DEVICES, PRESETS, Config
from scinn_train.half_precision import FLOAT32, STORAGES
from scinn_train.reading import open_reference
from scinn_train.reference import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scinn_train.result import Result


@click.command(short_help="Fit scINN on a reference and export it as one .onnx file.")
@click.argument("reference", type=INPUT)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The model file to write (.onnx).")
@click.option("--layer", metavar="NAME", help="Layer with the expression.  [default: X]")
@click.option("--transpose", is_flag=True, help="The rows of a .csv or .tsv table are genes, not cells.")
@click.option("--gene-column", metavar="NAME", help="Column of var with the genes' names.  [default: the index]")
@click.option(
    "--gene-ids",
    metavar="NAME",
    help="Column of var with the genes' Ensembl ids, so that the model knows batches by either.  [default: "
    "gene_ids, if there; otherwise, with --gene-column, the index if it holds ids]",
)
@click.option("--unit", type=click.Choice(UNITS), default="counts", show_default=True, help="Unit of the expression.")
@click.option("--clusters", metavar="K", type=click.IntRange(min=2), help="Number of clusters.  [default: chosen]")
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    default="default",
    show_default=True,
    help="'paper' is the published objective alone, for comparison.",
)
@click.option(
    "--counted",
    type=click.Choice(COUNTED),
    default=AUTO,
    show_default=True,
    help="What a count is: a molecule (UMI) or a read. 'auto' tells by how often rare genes are zero.",
)
@click.option(
    "--capture-efficiency",
    metavar="P|none",
    help="Share of a cell's molecules that are taken to be counted: it sets the level of the filled zeros. 'none' "
    "takes what is expected as it is.  [default: the preset's, 0.15]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every random step.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPU threads.  [default: all it may use]")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where torch computes.")
@click.option(
    "--memory",
    "memory_gb",
    metavar="GB",
    type=click.FloatRange(min=0),
    default=MEMORY_GB,
    show_default=True,
    help="Gigabytes of REFERENCE, 8 bytes a non-zero entry, that are kept in memory; a larger one is kept in a "
    "temporary file.",
)
@click.option(
    "--weights",
    type=click.Choice(STORAGES),
    default=FLOAT32,
    show_default=True,
    help="How the file stores its large matrices: 'float16' halves its size; values differ in the fourth digit.",
)
@click.option("--tissue", default="", help="Stored in the model file.")
@click.option("--species", default="", help="Stored in the model file.")
@click.option("--licence", default="", help="Stored in the model file.")
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE", help="A page (.html) about the fit to write."
)
@click.option("--report-genes", metavar="A,B,C", help="Genes that it shows.  [default: the most cluster-specific]")
@click.option("--labels", metavar="COLUMN", help="Column of obs with the known cell types, for the report.")
@unit_option
@click.option("--overwrite", is_flag=True, help="Replace the outputs, and a checkpoint, if they exist.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of a fit that was stopped, if there is one.")
@json_option
@quiet_option
def fit(
    *,
    reference: Path,
    output: Path,
    layer: str | None,
    transpose: bool,
    gene_column: str | None,
    gene_ids: str | None,
    unit: str,
    clusters: int | None,
    preset: str,
    counted: str,
    capture_efficiency: str | None,
    seed: int,
    threads: int | None,
    device: str,
    memory_gb: float,
    weights: str,
    tissue: str,
    species: str,
    licence: str,
    report: Path | None,
    report_genes: str | None,
    labels: str | None,
    unit_checked: bool,
    overwrite: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit scINN on the cells of REFERENCE and write the model file.

    REFERENCE is an .h5ad file, a zarr store, a 10x Genomics .h5 file or folder with matrix.mtx, a loom file, or a table
    as .csv or .tsv; its content tells which.

    The expression must be in the unit that is given, neither log-transformed nor scaled. Depth normalisation and the
    logarithm are part of the model. Counts of few genes that were corrected to fractions can look like logarithms, and
    are refused unless --unit-checked says that they are not.

    While it runs, what has been reached is kept in a folder OUTPUT.checkpoint. After a kill or Ctrl-C the same command
    with --resume goes on from there, and makes the same file as if it had never been stopped.

    \b
    Example:

    \b
        scinn-train fit reference.h5ad -o tissue.onnx --tissue pancreas --species human
        scinn-train fit smartseq.h5ad -o tissue.onnx --layer tpm --unit tpm
        scinn-train fit reference.h5ad -o tissue.onnx --report fit.html --labels cell_type
        scinn-train fit reference.h5ad -o tissue.onnx --resume
    """  # noqa: D301 - \b keeps click from filling the lines
    inputs = files_of(reference)
    check_output(output, overwrite=overwrite, keep=inputs)
    request = from_options(report, genes=report_genes, labels=labels, overwrite=overwrite)
    if request:
        request.check(keep=inputs, beside=[output])
    checkpoint = output.with_name(output.name + SUFFIX)
    check_checkpoint(checkpoint, resume=resume or overwrite)
    config = Config.preset(
        preset,
        unit=unit,
        counted=counted,
        clusters=clusters,
        seed=seed,
        threads=threads,
        device=device,
        tissue=tissue,
        species=species,
        licence=licence,
    )
    if capture_efficiency is not None:
        config = replace(config, module2=replace(config.module2, capture_efficiency=_efficiency(capture_efficiency)))
    say = speaker(quiet=quiet)
    types = (labels, read_labels(reference, labels)) if labels else None
    from scinn_train.fitting import fit_reference

    with open_reference(
        reference, layer=layer, transpose=transpose, gene_column=gene_column, gene_ids=gene_ids
    ) as given:
        for sentence in given.notes:
            say(sentence)
        prepared = prepare(
            given.X,
            given.genes,
            config=config,
            gene_ids=given.gene_ids,
            cell_names=given.cells,
            source=given.source,
            memory_gb=memory_gb,
            unit_checked=unit_checked,
            progress=not quiet,
        )
    try:
        with prepared:
            if request:
                check_genes(request.genes, prepared.genes)
            if not resume:
                discard(checkpoint)
            result = fit_reference(
                prepared,
                config=config,
                source=given.source,
                checkpoint=checkpoint,
                resume=resume,
                progress=not quiet,
            )
        with busy("proving the model file", enabled=not quiet):
            result.export(output, weights=weights, overwrite=overwrite)
    except KeyboardInterrupt:
        if checkpoint.exists():
            click.echo(
                f"{checkpoint} holds what was reached: the same command with --resume goes on from there.", err=True
            )
        raise
    discard(checkpoint)
    for sentence in _report(result, output):
        say(sentence)
    if as_json:
        print_json(_document(result, output))
    if request:
        from scinn_train.fit_report import write_fit_page

        with page_after(output):
            write_fit_page(result, request, labels=types, source=f"{reference.name}: {layer or 'X'}")
        say(f"wrote {request.path}: open it in a browser")


def _efficiency(text: str) -> float | None:
    try:
        return None if text.lower() == "none" else float(text)
    except ValueError as error:
        msg = f"--capture-efficiency is {text!r}; it must be a number, or 'none'."
        raise ScinnError(msg) from error


def _report(result: Result, output: Path) -> Iterator[str]:
    data, quality = result.info.training_data, result.info.quality
    yield f"{data.cells:,} cells × {len(result.genes):,} genes (of {data.genes_before_filter:,}), {result.info.unit}"
    if result.info.unit == "counts" and result.info.molecule_value is not None:
        value = f"{result.info.molecule_value:.3g}"
        yield f"the counts are taken for reads, of which one molecule shows as {value} (--counted molecules: for UMIs)"
    yield f"module 1: {result.info.clusters} clusters, {result.seconds['module 1']:.1f} s"
    yield f"module 2: {len(result.history)} epochs, best {result.best_epoch + 1}, {result.seconds['module 2']:.1f} s"
    told = "too few, or too much alike, to tell how well they are predicted"
    if quality.keys() >= {"masked_correlation", "gene_mean_correlation", "masked_deviance_explained"}:
        told = (
            f"correlation {quality['masked_correlation']:.3f} (gene mean {quality['gene_mean_correlation']:.3f}), "
            f"{quality['masked_deviance_explained']:.1%} of the gene mean's deviance explained"
        )
    yield f"held-out cells ({quality['held_out_cells']:.0f}), hidden entries: {told}"
    yield f"wrote {output}, {output.stat().st_size / 1e6:.1f} MB"


def _document(result: Result, output: Path) -> dict[str, Any]:
    data = result.info.training_data
    return {
        "file": str(output),
        "bytes": output.stat().st_size,
        "cells": data.cells,
        "genes": len(result.genes),
        "genes_before_filter": data.genes_before_filter,
        "unit": result.info.unit,
        "clusters": result.info.clusters,
        "epochs": len(result.history),
        "best_epoch": result.best_epoch + 1,
        "seconds": {name.replace(" ", "_"): round(seconds, 3) for name, seconds in result.seconds.items()},
        "quality": result.info.quality,
    }
