"""Write the page of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.report.request import ReportRequest
    from scinn_train.result import Result


def write_fit_page(
    result: Result,
    request: ReportRequest,
    *,
    labels: tuple[str, npt.ArrayLike] | None = None,
    source: str = "",
) -> None:
    """Write the page that was asked for.

    Parameters
    ----------
    result
        The fit.
    request
        What was asked for; its ``labels`` is a file's column, which the caller has read.
    labels
        What the known types are called, and that of each cell of the reference (cells,).
    source
        How the page names the reference.

    Raises
    ------
    ScinnError
        If the page cannot be written, there is not one label for each cell, or a gene is not one of the model's.
    """
    known = None if labels is None else (labels[0], np.asarray(labels[1], dtype=object))
    if known is not None and known[1].shape != result.clusters.shape:
        msg = f"labels has the shape {known[1].shape}; give one for each of the {len(result.clusters):,} cells."
        raise ScinnError(msg)
    from scinn_infer.report.page import write_page
    from scinn_train.fit_report.page import build

    page = build(result, labels=known, genes=request.genes, command=request.command, source=source)
    write_page(page, request.path, overwrite=request.overwrite)
