"""``scinn-infer apply``: impute a file's cells."""

from __future__ import annotations

import os
from pathlib import Path

import click

from scinn_infer.commands.models import ModelName, registry_option
from scinn_infer.commands.options import INPUT, quiet_option, speaker, unit_option
from scinn_infer.policies import KEEP, POLICIES

POLICY_HELP = " ".join(f"{name}: {policy.meaning}." for name, policy in POLICIES.items())


@click.command(short_help="Impute new cells, from file to file.")
@click.argument("model", type=ModelName())
@click.argument("new", type=INPUT)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .h5ad or .zarr to write.")
@click.option("--policy", type=click.Choice(list(POLICIES)), default=KEEP, show_default=True, help=POLICY_HELP)
@click.option("--layer", metavar="NAME", help="The layer to impute; X if not given.")
@click.option("--transpose", is_flag=True, help="The rows of a .csv or .tsv table are genes, not cells.")
@click.option("--gene-column", metavar="NAME", help="Column of var with the genes' names; the index if not given.")
@click.option(
    "--sum-duplicates", is_flag=True, help="Sum columns that name the same gene of MODEL, instead of refusing them."
)
@unit_option
@click.option("--key-added", metavar="NAME", default="scinn", show_default=True, help="Name of the new layer.")
@click.option(
    "--quality/--no-quality",
    default=True,
    show_default=True,
    help="Whether to add the cluster, confidence and drift of each cell to obs, and the embedding to obsm.",
)
@click.option("--genes", metavar="FILE|A,B,C", help="Write these genes only: names, or a file with one to a line.")
@click.option("--no-matrix", is_flag=True, help="Write no layer, only what is told of each cell in obs and obsm.")
@click.option(
    "--min-value",
    type=click.FloatRange(0),
    metavar="T",
    default=0,
    help="Leave filled values below T zero, and store the layer sparse.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    help="Precision of the layer.  [default: float64 where the input is, or float32]",
)
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N", help="Cells to take at a time: less needs less memory."
)
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Threads; all that this process may use if not given."
)
@registry_option
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="A page (.html) about it to write too.")
@click.option("--report-genes", metavar="A,B,C", help="Genes that it shows.  [default: the most cluster-specific]")
@click.option("--labels", metavar="COLUMN", help="Column of obs with the known cell types, for the report.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists. The input is never replaced.")
@click.option("--resume", is_flag=True, help="Go on where a run to the same .zarr was stopped, if one was.")
@quiet_option
def apply(
    model: str,
    new: Path,
    output: Path,
    policy: str,
    layer: str | None,
    transpose: bool,
    gene_column: str | None,
    sum_duplicates: bool,
    unit_checked: bool,
    key_added: str,
    quality: bool,
    genes: str | None,
    no_matrix: bool,
    min_value: float,
    dtype: str | None,
    batch_size: int | None,
    threads: int | None,
    registries: tuple[str, ...],
    report: Path | None,
    report_genes: str | None,
    labels: str | None,
    overwrite: bool,
    resume: bool,
    quiet: bool,
) -> None:
    """Impute the cells in NEW with MODEL: fill their zeros, or denoise all their values (--policy).

    NEW is an .h5ad file, a zarr store, a 10x Genomics .h5 file or folder with matrix.mtx, a loom file, or a table as
    .csv or .tsv; its content tells which.

    MODEL is a file, or the name of a model: 'scinn-infer models list' shows them.

    The output is a copy of NEW with one more layer (--key-added), dense, in the unit of NEW and at each cell's own
    depth, and a record of how it was made in uns; all else in the file is kept as it is. It is an .h5ad file, or a zarr
    store if its name ends in .zarr. Filled zeros can stand beside the values that are kept, so a cell adds up to more
    than it did; denoised, it adds up to about what it did. Genes that MODEL does not know stay as they are. Memory is
    bounded by --batch-size and the size of compressed chunks, whatever the number of cells; the result depends on
    neither.

    Unless --no-quality is given, obs gets the cluster of each cell (KEY_cluster), how sure that is (KEY_confidence) and
    how unlike the training data the cell is (KEY_drift: 0.5 is typical, above 0.99 rarer than 1 in 100), and obsm the
    cluster probabilities (KEY_cluster_probability) and the embedding (X_KEY), with --key-added for KEY. A batch that
    does not look like the tissue of MODEL gets a warning that says how sure that is.

    The layer is as large as cells times genes, 48 GB for a million cells and 12,000 genes, unless less is asked for.
    With --genes the output has these genes alone, and with --no-quality as well the others are not even computed. With
    --min-value what is filled below T stays zero. With --no-matrix there is no layer. What was observed is kept in each
    case: --dtype float16 refuses a batch with counts that it cannot hold, unless they are denoised.

    The values have to be in the unit that MODEL was trained on, which 'scinn-infer inspect' tells: for counts, the raw
    ones, neither normalised nor log-transformed. They are often kept in a layer: see --layer. Counts of few genes that
    were corrected to fractions can look like logarithms, and are refused unless --unit-checked says that they are not.

    Columns that are summed stay columns of their own: together they have the value of the gene. Where they are zero
    together the first gets it; elsewhere they stay as they are, or with --policy denoise share it as they did.

    The output appears when it is whole. A killed run leaves what was there before, and at most a file OUTPUT.*.part.
    Of a zarr store it leaves OUTPUT.part, with what was reached: the same command with --resume goes on from there, and
    makes the same store, byte for byte, as if it had never been stopped.

    \b
    Example:

    \b
        scinn-infer apply tissue.onnx new.h5ad -o imputed.h5ad
        scinn-infer apply tissue.onnx new.h5ad -o imputed.h5ad --layer counts --threads 4
        scinn-infer apply tissue.onnx new.h5ad -o denoised.h5ad --policy denoise
        scinn-infer apply tissue.onnx new.h5ad -o imputed.h5ad --report report.html --labels cell_type
        scinn-infer apply tissue.onnx new.h5ad -o markers.h5ad --genes INS,GCG --no-quality
        scinn-infer apply tissue.onnx filtered_feature_bc_matrix/ -o imputed.h5ad
        scinn-infer apply tissue.onnx genes_by_cells.csv.gz --transpose -o imputed.zarr
        scinn-infer apply tissue.onnx new.h5ad -o imputed.zarr --resume
    """  # noqa: D301 - \b keeps click from filling the lines
    # Each worker of zarr's would hold on to memory of its own; one is as fast, since chunks are wanted one at a time.
    os.environ.setdefault("ZARR_THREADING__MAX_WORKERS", "1")

    from scinn_infer.apply import apply_file
    from scinn_infer.asked_genes import naming_no_file, read_asked_genes
    from scinn_infer.genes import REFUSE, SUM
    from scinn_infer.model import load
    from scinn_infer.outputs.unfinished import has_reached, unfinished_folder
    from scinn_infer.report.request import from_options
    from scinn_infer.store import resolve

    say = speaker(quiet=quiet)
    asked = None if genes is None else read_asked_genes(genes)
    try:
        with naming_no_file(asked):
            apply_file(
                load(resolve(model, registries=registries, progress=not quiet), threads=threads),
                new,
                output,
                policy=policy,
                layer=layer,
                transpose=transpose,
                gene_column=gene_column,
                duplicates=SUM if sum_duplicates else REFUSE,
                key_added=key_added,
                quality=quality,
                only=None if asked is None else asked.names,
                write_matrix=not no_matrix,
                min_value=min_value,
                dtype=dtype,
                batch_size=batch_size,
                unit_checked=unit_checked,
                overwrite=overwrite,
                resume=resume,
                keep=[asked.file] if asked and asked.file else [],
                report=from_options(report, genes=report_genes, labels=labels, overwrite=overwrite),
                say=say,
                progress=not quiet,
            )
    except KeyboardInterrupt:
        if has_reached(output):
            folder = unfinished_folder(output)
            click.echo(f"{folder} holds what was reached: the same command with --resume goes on from there.", err=True)
        raise
    if no_matrix:
        say(f"Wrote {output}: what is told of each cell is in obs and obsm, and there is no layer.")
    else:
        say(f"Wrote {output}: the imputed values are in layers[{key_added!r}]; {POLICIES[policy].meaning}.")
    if report:
        say(f"Wrote {report}: open it in a browser.")
