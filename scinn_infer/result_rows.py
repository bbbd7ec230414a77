"""The rows of a result from file to file: all of them, or those that a run which was stopped has not written."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.cell_quality import NO_CLUSTER, QualityRecorder
from scinn_infer.drift import BatchProfile
from scinn_infer.going_on import EmptyCells, rows_after, rows_before
from scinn_infer.outputs.zarr_store import written_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.model import Model
    from scinn_infer.outputs.extent import Extent
    from scinn_infer.outputs.unfinished import Unfinished
    from scinn_infer.report.apply_watch import ApplyWatch
    from scinn_infer.selection import Selection


def result_rows(
    model: Model,
    matrix: ExpressionMatrix,
    batch: Batch,
    unfinished: Unfinished | None,
    *,
    policy: str,
    selection: Selection,
    key: str,
    extent: Extent,
    recorder: QualityRecorder | None,
    watch: ApplyWatch | None,
    batch_size: int,
) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """Yield the result some rows at a time, from the cell on that is not written yet.

    Whoever has to see all cells sees those before that, too: raw from the input, and imputed from the unfinished store.
    """
    first = unfinished.first if unfinished else 0
    seen_from = 0 if watch or recorder is None else first
    chunks = matrix.chunks(batch_size, start=seen_from)
    rows = watch.see_before(chunks) if watch else chunks
    empty = None
    if unfinished and first:
        known = rows_before(unfinished.reached.by_cell("cluster"), seen_from)
        empty = EmptyCells(batch, count=sum(int(np.count_nonzero(part == NO_CLUSTER)) for part in known))
        rows = rows_after(empty.count(rows), first - seen_from)
        batch = replace(batch, first_cell=first)
    if extent.matrix:
        blocks = model.stream(rows, batch, policy=policy, recorder=recorder, selection=selection)
    else:
        assert recorder is not None  # or there would be nothing to write
        blocks = _without_values(model.record_blocks(rows, batch, recorder))
    values: Iterator[npt.NDArray[np.floating[Any]]]
    if watch:
        blocks = ((first + start, block) for start, block in blocks)
        if unfinished and first:
            blocks = chain(written_blocks(unfinished, key=key, extent=extent, rows=batch_size), blocks)
        values = (block for start, block in watch.see_after(blocks) if start >= first)
    else:
        values = (block for _, block in blocks)
    return values if empty is None else empty.tell(values, cells=matrix.shape[0])


def begin_recorder(model: Model, unfinished: Unfinished | None) -> QualityRecorder:
    """Return what records the quality of the cells, where an earlier run has recorded some from there on."""
    if unfinished is None or not unfinished.before:
        return QualityRecorder(model.info)
    reached = unfinished.reached
    recorded = sum(part.size for part in reached.by_cell("cluster")) - unfinished.first
    profile = BatchProfile.from_arrays(unfinished.before, reached.by_cell("depths"))
    return QualityRecorder(model.info, profile=profile, recorded=recorded)


def _without_values(blocks: Iterable[int]) -> Iterator[tuple[int, npt.NDArray[np.floating[Any]]]]:
    """Yield blocks without columns, one for each number of cells."""
    start = 0
    for cells in blocks:
        yield start, np.empty((cells, 0), dtype=np.float32)
        start += cells
