"""Apply a model from file to file, in memory bounded by one chunk of cells."""

from __future__ import annotations

import warnings
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.anndata import provenance
from scinn_infer.arguments import check_count
from scinn_infer.batch import check_sample, open_batch
from scinn_infer.cell_quality import Places
from scinn_infer.drift import find_doubt
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.genes import REFUSE
from scinn_infer.h5ad_cells import CellColumns
from scinn_infer.inputs.matrix import preparation
from scinn_infer.inputs.opening import as_it_is, files_of, open_matrix
from scinn_infer.labels import read_labels
from scinn_infer.outputs import (
    begin_result,
    check_key,
    check_place,
    is_zarr,
    read_quality,
    result_bytes,
    write_result,
)
from scinn_infer.outputs.addition import Addition
from scinn_infer.outputs.extent import Extent
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.progress import busy, track
from scinn_infer.report.apply_watch import ApplyWatch
from scinn_infer.report.hearing import hear_warnings
from scinn_infer.report.request import page_after
from scinn_infer.report.writing import write_apply_page
from scinn_infer.result_rows import begin_recorder, result_rows
from scinn_infer.run_identity import identify
from scinn_infer.selection import WHOLE, Selection
from scinn_infer.stream import STRIP
from scinn_infer.unchanged import read_whole, telling_change

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.genes import GeneMatch
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.model import Model
    from scinn_infer.outputs.unfinished import Unfinished
    from scinn_infer.report.request import ReportRequest
    from scinn_infer.unchanged import Lasting

CELLS_READ = 2 * STRIP
"""Cells that are read together if not stated otherwise: each access to a file has its cost."""

LARGE = 10**9
"""Bytes of an output from which on its size is told before the work begins."""

SPARE = 1.1
"""What a sparse layer is allowed for, over what a sample of cells tells."""


def apply_file(
    model: Model,
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    policy: str = KEEP,
    layer: str | None = None,
    transpose: bool = False,
    gene_column: str | None = None,
    duplicates: str = REFUSE,
    key_added: str = "scinn",
    quality: bool = True,
    only: Sequence[str] | None = None,
    write_matrix: bool = True,
    min_value: float = 0,
    dtype: npt.DTypeLike | None = None,
    batch_size: int | None = None,
    unit_checked: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    keep: Sequence[Path] = (),
    report: ReportRequest | None = None,
    say: Callable[[str], object] | None = None,
    progress: bool = False,
) -> None:
    """Write a copy of a file with the imputed values as one more layer, as ``.h5ad`` or as a zarr store.

    Every format that :func:`scinn_infer.inputs.open_matrix` tells is read.

    The layer is in the input's unit and order and at each cell's own depth; unless asked for otherwise dense, float64
    where the input is and float32 elsewhere. Everything else in the file is kept as it is, and ``uns[key_added]`` says
    how the layer was made. Of an input that is neither an ``.h5ad`` file nor a zarr store, the matrix becomes ``X``
    (CSR), and what it says of the genes ``var``. The output appears when it is whole.

    Parameters
    ----------
    model
        The model.
    path
        The file or folder with the batch, in the model's unit.
    output
        The ``.h5ad`` file to write, or the zarr store if the name ends in ``.zarr``. A name that ends as another
        format's is refused.
    policy
        ``"keep"``: non-zeros are kept bit for bit; zeros are filled with values that can stand beside these, so that a
        cell adds up to more than it did. ``"denoise"``: every entry of the genes that the model knows is the model's,
        those observed too; a cell adds up to about what it did.
    layer
        The layer to impute; ``X`` if not given.
    transpose
        Whether the rows of a table (``.csv``, ``.tsv``) are the genes, not the cells.
    gene_column
        Column of ``var`` with the names of the genes; its index if not given. Of 10x Genomics' files the index is the
        symbols, and the ids are in ``"gene_ids"``.
    duplicates
        Whether columns that name the same gene of the model are refused or summed: ``"refuse"`` or ``"sum"``, as for
        :meth:`scinn_infer.Model.impute`.
    key_added
        Name of the new layer, which the file must not have yet.
    quality
        Whether the quality of the cells (:class:`scinn_infer.cell_quality.CellQuality`) is written as well:
        ``obs["KEY_cluster"]``, ``obs["KEY_confidence"]``, ``obs["KEY_drift"]``, ``obsm["KEY_cluster_probability"]`` and
        ``obsm["X_KEY"]``, with ``key_added`` for KEY; none of which the file must have yet.
    only
        Names of the genes that are wanted, whether the model knows them or not; all if not given. The output has these
        alone, in that order, in all that has the shape of ``X``. Without ``quality`` no others are computed either.
    write_matrix
        Whether there is a layer at all; without it the quality is all that is added.
    min_value
        Filled values below this, in the model's unit, stay zero, and the layer is stored sparse (CSR) and compressed.
        What was observed stays.
    dtype
        Precision of the layer: ``"float16"``, ``"float32"`` or ``"float64"``, or numpy's type. Under ``"keep"``, a
        batch is refused of which an observed value would change.
    batch_size
        Number of cells to read at a time; it does not change the result.
    unit_checked
        Whether the batch is known to be in the model's unit: it is then taken as it is, even where it looks like
        logarithms.
    overwrite
        Whether an existing ``output`` may be replaced, and what an unfinished run has reached. The input is never.
    resume
        Whether to go on where a run to the same zarr store was stopped, if one was: the result is the same, to the last
        byte, as that of a run that was not. What a run has reached is in a folder ``OUTPUT.part`` until it is done.
    report
        A page about the batch and its result to write besides; it appears once the output is there.
    say
        Is told what is found out about the batch, a sentence at a time.
    progress
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ScinnError
        If there is no such policy, the input cannot be read or does not fit the model, or the output cannot be written;
        nothing is written then. Nor is it if a report is wanted that cannot be made, or if a run was stopped and this
        one is another (of another model, input or setting), or does not say whether to ``resume`` it.

    Warns
    -----
    ScinnWarning
        If the batch lacks more than 20 % of the model's genes or may be in another unit, or if cells have no expression
        in the model's genes (they stay as they are); if the cells do not look like the tissue that the model knows.
    """
    find_policy(policy)  # refused before anything is read
    selection = Selection(only=only, min_value=min_value, dtype=dtype)
    cells_read = CELLS_READ if batch_size is None else check_count(batch_size, "batch_size")
    _check_settings(selection, write_matrix=write_matrix, quality=quality, report=report)
    options = {
        "--policy": policy,
        "--layer": layer,
        "--transpose": transpose,
        "--gene-column": gene_column,
        "what becomes of duplicates": duplicates,
        "--key-added": key_added,
        "--quality": quality,
        "--genes": selection.only,
        "whether there is a matrix": write_matrix,
        "--min-value": selection.min_value,
        "--dtype": selection.dtype,
    }
    path, output = Path(path), Path(output)
    inputs = [*files_of(path), *([model.path] if model.path else []), *keep]
    check_place(output, overwrite=overwrite, keep=inputs, resume=resume)
    if report:
        report.check(keep=inputs, beside=[output])
    lasting = as_it_is(path)
    opened = open_matrix(
        path, layer=layer, transpose=transpose, gene_column=gene_column, temporary_folder=output.resolve().parent
    )
    with opened as matrix, hear_warnings() as warned:
        check_key(matrix, output, key_added, quality=quality)
        labels = (report.labels, read_labels(path, report.labels)) if report and report.labels else None
        batch = _look(matrix, model, duplicates=duplicates, unit_checked=unit_checked, say=say, progress=progress)
        watch = ApplyWatch(model, batch, cells=matrix.shape[0], policy=policy, genes=report.genes) if report else None
        extent = _extent(model, matrix, batch, selection, policy=policy, write_matrix=write_matrix)
        columns = CellColumns(key_added, model.info, model.embedding_width) if quality else None
        with telling_change(lasting):
            needs = result_bytes(output, matrix, extent, columns)
            identity = identify(model, matrix, options) if is_zarr(output) else {}
        if say and needs > LARGE:
            say(_size_sentence(output, needs))
        place = "X" if layer is None else f"layers/{layer}"
        record = provenance(model, batch.match, policy=policy, place=place, names_from=matrix.gene_table.origin)
        if selection != WHOLE or not write_matrix:
            record["selection"] = _selected(selection, write_matrix=write_matrix)
        if quality:
            record["cell_quality"] = Places.under(key_added).record(model.info)
        with begin_result(
            output,
            identity=identity,
            resume=resume,
            overwrite=overwrite,
            keep=inputs,
            needs=needs,
        ) as unfinished:
            if say and resume:
                say(_resumed_sentence(output, unfinished, cells=matrix.shape[0]))
            recorder = begin_recorder(model, unfinished) if quality else None
            values = result_rows(
                model,
                matrix,
                batch,
                unfinished,
                policy=policy,
                selection=selection,
                key=key_added,
                extent=extent,
                recorder=recorder,
                watch=watch,
                batch_size=cells_read,
            )
            values = track(
                values,
                description="imputing",
                total=matrix.shape[0] - (unfinished.first if unfinished else 0),
                size=len,
                enabled=progress,
            )
            with ExitStack() as copying:
                copying.enter_context(busy("copying the input", enabled=progress))
                write_result(
                    output,
                    matrix,
                    _once_asked_for(values, copying, lasting if path.is_dir() else None),
                    Addition(key=key_added, extent=extent, provenance=record, columns=columns, recorder=recorder),
                    lasting=lasting,
                    unfinished=unfinished,
                    overwrite=overwrite,
                    keep=inputs,
                )
        if recorder and (sentence := find_doubt(recorder.profile, model.info, batch.match, source=batch.source)):
            warnings.warn(sentence, ScinnWarning, stacklevel=2)
        if report and watch:
            with page_after(output):
                write_apply_page(
                    report,
                    model,
                    watch,
                    batch.match,
                    policy=policy,
                    source=f"{path.name}: {layer or 'X'}",
                    record=record,
                    labels=labels,
                    quality=read_quality(output, key_added) if quality else None,
                    warned=warned,
                )


def _look(
    matrix: ExpressionMatrix,
    model: Model,
    *,
    duplicates: str,
    unit_checked: bool,
    say: Callable[[str], object] | None,
    progress: bool,
) -> Batch:
    """Return what is known of the batch once its genes are matched and some of its cells are looked at."""
    batch = open_batch(
        model.info,
        matrix.genes,
        source=matrix.source,
        cell_names=matrix.cell_names,
        duplicates=duplicates,
        table=matrix.gene_table,
        unit_checked=unit_checked,
    )
    if say:
        for sentence in _findings(matrix, batch.match):
            say(sentence)
    with busy("looking at some cells", enabled=progress):  # of a matrix stored by columns, this re-orders all
        return replace(batch, unit_checked=check_sample(matrix.sample(), batch))


def _once_asked_for(
    values: Iterable[npt.NDArray[np.floating[Any]]], copying: ExitStack, lasting: Lasting | None
) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """Yield the values; what comes before any is asked for, the copying of the input, is over then.

    A store is read by its name to the end, and so has to last that long.
    """
    copying.close()
    with read_whole(lasting) if lasting else nullcontext():
        yield from values


def _check_settings(selection: Selection, *, write_matrix: bool, quality: bool, report: ReportRequest | None) -> None:
    """Refuse settings that contradict each other."""
    problem = ""
    if not write_matrix and not quality:
        problem = (
            "with neither the matrix nor the quality of the cells there is nothing to write. Leave out one of both"
        )
    elif not write_matrix and selection != WHOLE:
        problem = "without the matrix there is nothing that genes, a least value or a precision could be chosen for"
    elif report and (selection.only is not None or not write_matrix):
        problem = "a report shows all genes of the result. Ask for it without a choice of genes, and with the matrix"
    elif selection.min_value and selection.dtype == "float16":
        problem = "a layer of which small values are left out is sparse, and of float16 there are no sparse matrices"
    if problem:
        msg = f"these settings do not go together: {problem}."
        raise ScinnError(msg)


def _extent(
    model: Model, matrix: ExpressionMatrix, batch: Batch, selection: Selection, *, policy: str, write_matrix: bool
) -> Extent:
    """Return what is to be written; how dense a sparse layer will be is seen from some cells."""
    genes = selection.columns(batch.genes, source=batch.source)
    sparse = selection.min_value > 0
    density = 1.0
    if sparse:
        sample = (rows for _, rows in matrix.sample())
        blocks = model.stream(sample, replace(batch, first_cell=0), policy=policy, selection=selection)
        shares = [np.count_nonzero(block) / max(block.size, 1) for _, block in blocks]
        density = min(SPARE * float(np.mean(shares)), 1)
    return Extent(
        shape=(matrix.shape[0], matrix.shape[1] if genes is None else genes.size),
        dtype=selection.result_dtype(matrix.dtype),
        matrix=write_matrix,
        sparse=sparse,
        genes=genes,
        density=density,
    )


def _selected(selection: Selection, *, write_matrix: bool) -> dict[str, Any]:
    """Return what was chosen of the result, for the record in ``uns``."""
    chosen = {"matrix": write_matrix, "min_value": selection.min_value, "dtype": selection.dtype or ""}
    return chosen | {"genes": "all" if selection.only is None else "those in var"}


def _resumed_sentence(output: Path, unfinished: Unfinished | None, *, cells: int) -> str:
    if unfinished and unfinished.first:
        return f"Going on with {output} after {unfinished.first:,} of {cells:,} cells."
    return f"There is nothing of {output} to go on with: starting from the first cell."


def _size_sentence(output: Path, needs: int) -> str:
    from rich.filesize import decimal

    return (
        f"Writing {output} takes up to {decimal(needs)}. Less is written of some genes (--genes), without small values "
        "(--min-value) or without the matrix (--no-matrix)."
    )


def _findings(matrix: ExpressionMatrix, match: GeneMatch) -> Iterator[str]:
    yield from matrix.notes
    yield match.sentence
    if sentence := preparation(matrix):
        yield sentence
