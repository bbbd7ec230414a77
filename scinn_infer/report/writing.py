"""Write the page of an imputed batch: while a file is imputed, or of arrays that are in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.anndata import provenance
from scinn_infer.batch import as_rows, open_batch
from scinn_infer.errors import ScinnError
from scinn_infer.genes import REFUSE
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.report.request import ReportRequest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from scinn_infer.cell_quality import CellQuality
    from scinn_infer.checks import Matrix
    from scinn_infer.genes import GeneMatch
    from scinn_infer.model import Model
    from scinn_infer.report.apply_watch import ApplyWatch

ROWS_AT_ONCE = 512


def write(
    path: str | os.PathLike[str],
    model: Model,
    X: Matrix,
    genes: Sequence[str],
    result: npt.NDArray[Any],
    *,
    policy: str = KEEP,
    duplicates: str = REFUSE,
    labels: Sequence[Any] | None = None,
    labels_name: str = "label",
    report_genes: Sequence[str] = (),
    quality: CellQuality | None = None,
    cell_names: Sequence[str] | None = None,
    source: str = "X",
    overwrite: bool = False,
) -> None:
    """Write a page about a batch that was imputed in memory: one HTML file, which loads nothing.

    Parameters
    ----------
    path
        The ``.html`` file to write.
    model
        The model that was applied.
    X
        The batch (cells × genes), in the model's unit, as ``model.impute`` took it.
    genes
        Names of its columns.
    result
        What ``model.impute`` returned (cells × genes).
    policy, duplicates
        What was named there.
    labels
        Known type of each cell (cells,).
    labels_name
        What these types are called.
    report_genes
        Genes to show before and after; the most cluster-specific ones if not given.
    quality
        What else is known of each cell.
    cell_names
        Names of the rows.
    source
        How the page names the batch.
    overwrite
        Whether an existing page may be replaced.

    Raises
    ------
    ScinnError
        If bokeh is not installed, the page cannot be written, the arrays do not fit each other, or a gene is not among
        those that the model knows and the batch has.

    Examples
    --------
    >>> scinn_infer.report.write("batch.html", model, X, genes, model.impute(X, genes))  # doctest: +SKIP
    """
    request = ReportRequest(path=Path(path), genes=tuple(report_genes), overwrite=overwrite)
    request.check()
    find_policy(policy)
    batch = open_batch(model.info, genes, source=source, cell_names=cell_names, duplicates=duplicates)
    rows = as_rows(X, batch)
    if result.shape != rows.shape:
        msg = (
            f"the result is of shape {result.shape}, the batch {rows.shape}; pass what model.impute(X, genes) returned."
        )
        raise ScinnError(msg)
    values = None if labels is None else np.asarray(labels, dtype=object)
    if values is not None and values.shape != rows.shape[:1]:
        msg = f"labels has the shape {values.shape}; give one for each of the {rows.shape[0]:,} cells."
        raise ScinnError(msg)

    from scinn_infer.report.apply_watch import ApplyWatch

    watch = ApplyWatch(model, batch, cells=rows.shape[0], policy=policy, genes=request.genes)
    starts = range(0, rows.shape[0], ROWS_AT_ONCE)
    for _ in watch.see_before(rows[start : start + ROWS_AT_ONCE] for start in starts):
        pass
    for _ in watch.see_after((start, result[start : start + ROWS_AT_ONCE]) for start in starts):
        pass
    known = None if values is None else (labels_name, values)
    record = provenance(model, batch.match, policy=policy, place=source, names_from="genes")
    write_apply_page(
        request, model, watch, batch.match, policy=policy, source=source, record=record, labels=known, quality=quality
    )


def write_apply_page(
    request: ReportRequest,
    model: Model,
    watch: ApplyWatch,
    match: GeneMatch,
    *,
    policy: str,
    source: str,
    record: Mapping[str, Any],
    labels: tuple[str, npt.NDArray[Any]] | None = None,
    quality: CellQuality | None = None,
    warned: Sequence[str] = (),
) -> None:
    """Write the page that was asked for, once the whole batch has passed.

    Parameters
    ----------
    request
        What was asked for.
    model, watch, match
        The model, what was seen of the batch, and how its genes match.
    policy
        Name of the policy.
    source
        How the page names the batch.
    record
        How the result was made.
    labels
        What the known types are called, and that of each cell (cells,).
    quality
        What else is known of each cell.
    warned
        What was warned of, each a sentence.

    Raises
    ------
    ScinnError
        If the page cannot be written.
    """
    from scinn_infer.report.apply_page import build
    from scinn_infer.report.page import write_page

    page = build(
        model,
        watch,
        match,
        policy=find_policy(policy),
        source=source,
        record=record,
        labels=labels,
        genes=request.genes,
        quality=quality,
        warned=warned,
        command=request.command,
    )
    write_page(page, request.path, overwrite=request.overwrite)
