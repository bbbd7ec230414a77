"""Apply a model from file to file, in memory bounded by one chunk of cells."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scinn_infer.anndata import provenance
from scinn_infer.batch import check_sample, open_batch
from scinn_infer.cell_quality import Places, QualityRecorder
from scinn_infer.columns import result_dtype
from scinn_infer.drift import find_doubt
from scinn_infer.errors import ScinnWarning
from scinn_infer.genes import REFUSE
from scinn_infer.h5ad_cells import CellColumns
from scinn_infer.inputs.matrix import preparation
from scinn_infer.inputs.opening import open_matrix
from scinn_infer.inputs.recognise import files_of
from scinn_infer.labels import read_labels
from scinn_infer.outputs import check_key, check_place, read_quality, write_result
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.progress import busy, track
from scinn_infer.report.apply_watch import ApplyWatch
from scinn_infer.report.hearing import hear_warnings
from scinn_infer.report.writing import write_apply_page
from scinn_infer.stream import BLOCK

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from scinn_infer.genes import GeneMatch
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.model import Model
    from scinn_infer.report.request import ReportRequest

CELLS_READ = 4 * BLOCK
"""Cells that are read together if not stated otherwise: each access to a file has its cost."""


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
    batch_size: int | None = None,
    overwrite: bool = False,
    report: ReportRequest | None = None,
    say: Callable[[str], object] | None = None,
    progress: bool = False,
) -> None:
    """Write a copy of a file with the imputed values as one more layer, as ``.h5ad`` or as a zarr store.

    Every format that :func:`scinn_infer.inputs.open_matrix` tells is read.

    The layer is in the input's unit and order and at each cell's own depth; dense, float64 where the input is and
    float32 otherwise. Everything else in the file is kept as it is, and ``uns[key_added]`` says how the layer was made.
    Of an input that is neither an ``.h5ad`` file nor a zarr store, the matrix becomes ``X`` (CSR), and what it says of
    the genes ``var``. The output appears when it is whole.

    Parameters
    ----------
    model
        The model.
    path
        The file or folder with the batch, in the model's unit.
    output
        The ``.h5ad`` file to write, or the zarr store if the name ends in ``.zarr``.
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
    batch_size
        Number of cells to read at a time; it does not change the result.
    overwrite
        Whether an existing ``output`` may be replaced. The input is never.
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
        nothing is written then. Nor is it if a report is wanted that cannot be made.

    Warns
    -----
    ScinnWarning
        If the batch lacks more than 20 % of the model's genes or may be in another unit, or if cells have no expression
        in the model's genes (they stay as they are); if the cells do not look like the tissue that the model knows.
    """
    find_policy(policy)  # refused before anything is read
    path, output = Path(path), Path(output)
    inputs = [*files_of(path), *([model.path] if model.path else [])]
    check_place(output, overwrite=overwrite, keep=inputs)
    if report:
        report.check(keep=inputs, beside=[output])
    opened = open_matrix(
        path, layer=layer, transpose=transpose, gene_column=gene_column, temporary_folder=output.resolve().parent
    )
    with opened as matrix, hear_warnings() as warned:
        check_key(path, key_added, quality=quality)
        labels = (report.labels, read_labels(path, report.labels)) if report and report.labels else None
        shape, dtype = matrix.shape, result_dtype(matrix.dtype)
        batch = open_batch(
            model.info,
            matrix.genes,
            source=matrix.source,
            cell_names=matrix.cell_names,
            duplicates=duplicates,
            table=matrix.gene_table,
        )
        watch = ApplyWatch(model, batch, cells=shape[0], policy=policy, genes=report.genes) if report else None
        if say:
            for sentence in _findings(matrix, batch.match):
                say(sentence)
        with busy("looking at some cells", enabled=progress):  # of a matrix stored by columns, this re-orders all
            batch = replace(batch, unit_checked=check_sample(matrix.sample(), batch))
        recorder = QualityRecorder(model.info) if quality else None
        columns = CellColumns(key_added, model.info, model.embedding_width) if quality else None
        chunks = matrix.chunks(batch_size or CELLS_READ)
        blocks = model.stream(watch.see_before(chunks) if watch else chunks, batch, policy=policy, recorder=recorder)
        values = track(
            (block for _, block in (watch.see_after(blocks) if watch else blocks)),
            description="imputing",
            total=shape[0],
            size=len,
            enabled=progress,
        )
        place = "X" if layer is None else f"layers/{layer}"
        record = provenance(model, batch.match, policy=policy, place=place, names_from=matrix.gene_table.origin)
        if quality:
            record["cell_quality"] = Places.under(key_added).record(model.info)
        write_result(
            output,
            matrix,
            values,
            key=key_added,
            dtype=dtype,
            provenance=record,
            columns=columns,
            recorder=recorder,
            overwrite=overwrite,
            keep=inputs,
        )
        if recorder and (sentence := find_doubt(recorder.profile, model.info, batch.match, source=batch.source)):
            warnings.warn(sentence, ScinnWarning, stacklevel=2)
        if report and watch:
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


def _findings(matrix: ExpressionMatrix, match: GeneMatch) -> Iterator[str]:
    yield from matrix.notes
    yield match.sentence
    if sentence := preparation(matrix):
        yield sentence
