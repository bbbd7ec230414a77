"""The streaming core: row chunks of a batch in, row chunks of the result out, in memory bounded by the chunk.

The rows that come in, however they are cut, are cut anew into blocks of one fixed size, and the network only ever sees
such blocks, the last one filled up with empty cells. So a cell's result depends on nothing but the cell: not on the
size of the chunks, nor on the cells around it. (onnxruntime multiplies matrices some rows at a time and treats rows
that are left over differently, which shows in the seventh digit.)

Some blocks in a row, a strip, are worked on in one thread from their raw values to their result, and other strips in
others meanwhile; so a result does not depend on the number of threads either. The caller's own thread reads the chunks,
and writes what it is given.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from scipy import sparse

from scinn_infer.batch import as_rows, tell_empty_cells
from scinn_infer.checks import LARGEST_VALUE, cell_label, check_chunk, check_exact, check_unit, stored_values
from scinn_infer.columns import GeneColumns, ModelBlock, csr_of, in_whole
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.in_order import in_order
from scinn_infer.selection import WHOLE, SelectedColumns, drop_small, in_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.cell_quality import QualityRecorder, SeenCells
    from scinn_infer.checks import Matrix
    from scinn_infer.columns import Rows
    from scinn_infer.selection import Selection

    T = TypeVar("T")
    Floats: TypeAlias = npt.NDArray[np.float32]
    Values: TypeAlias = npt.NDArray[np.floating[Any]]
    Seen: TypeAlias = SeenCells | None
    Network: TypeAlias = Callable[[ModelBlock], tuple[Floats, Seen]]

BLOCK = 24
"""Rows that the network sees at a time: enough for the products, few enough for the processor's cache, and a multiple
of the 4, 6, 8 or 12 rows that onnxruntime's products take together."""

LARGEST_BITS = int(np.float32(LARGEST_VALUE).view(np.uint32))
"""The largest float32 read as an integer, which is below all that are negative, infinite or not a number: one pass over
a result tells whether it has any of these."""

STRIP = 8 * BLOCK
"""Rows that a thread is given at a time: handing them over, and looking at their values, has a cost each time."""


def impute_stream(
    chunks: Iterable[Matrix],
    batch: Batch,
    network: Network,
    *,
    keep_nonzeros: bool,
    network_keeps: bool = True,
    batch_size: int,
    threads: int = 1,
    recorder: QualityRecorder | None = None,
    selection: Selection = WHOLE,
    selected: SelectedColumns | None = None,
) -> Iterator[tuple[int, Values]]:
    """Yield the result of a batch some rows at a time, with the position of the first of them.

    Parameters
    ----------
    chunks
        The batch's rows in order, cut in any way (cells × genes), in the model's unit.
    batch
        What is known of the batch besides.
    network
        Maps a block of ``BLOCK`` rows to the output (rows × model genes, or those that ``selected`` needs), and to what
        was seen of its cells.
    keep_nonzeros
        Whether non-zero entries come back as they were, to the last bit.
    network_keeps
        Whether the network's output has them as they are in single precision.
    batch_size
        Number of rows to yield at a time.
    threads
        How many strips are worked on at a time, each in a thread of its own. It does not change the result.
    recorder
        Is told what was seen of the cells, block by block in their order.
    selection
        What of the result is wanted.
    selected
        Its columns, where these are not all.

    Raises
    ------
    ScinnError
        If the values cannot be expression in the model's unit, or there are no cells, or (once all are seen) none that
        has any expression in the genes that the model knows.

    Warns
    -----
    ScinnWarning
        If some cells have none there, once all are seen.
    """
    columns = GeneColumns(batch.match, network_keeps=network_keeps)
    genes = [batch.genes[place] for place in selected.wanted] if selected else batch.genes

    def impute(first_cell: int, block: Rows, in_model: ModelBlock) -> tuple[Values, Seen]:
        result, seen = network(in_model)
        values = (selected or columns).to_batch(result[: block.shape[0]], block, keep_nonzeros=keep_nonzeros)
        _check_result(values, first_cell, batch)
        if not selection.min_value and selection.dtype is None:
            return values, seen
        observed = selected.of_block(block) if selected else block
        if selection.min_value:
            drop_small(values, observed, selection.min_value)
        dtype = selection.result_dtype(block.dtype)
        narrow = in_precision(
            values, observed, dtype, batch=batch, genes=genes, first_cell=first_cell, keep_nonzeros=keep_nonzeros
        )
        return narrow, seen

    blocks = _recorded(for_each_block(chunks, batch, columns, impute, threads=threads), recorder)
    start = 0
    for result in reblock(blocks, batch_size):
        yield start, result
        start += result.shape[0]
    if start == 0:
        msg = f"{batch.source} has no cells."
        raise ScinnError(msg)


def _recorded(blocks: Iterable[tuple[int, tuple[Values, Seen]]], recorder: QualityRecorder | None) -> Iterator[Values]:
    """Yield each block's values, once what was seen of its cells is recorded."""
    for _, (values, seen) in blocks:
        if recorder is not None and seen is not None:
            recorder.record(seen)
        yield values


def reblock(chunks: Iterable[Rows], rows: int) -> Iterator[Rows]:
    """Cut chunks anew into blocks of ``rows`` rows, the last of what is left; a chunk of that size passes uncopied."""
    pieces: list[Rows] = []
    waiting = 0
    for chunk in chunks:
        start = 0
        while start < chunk.shape[0]:
            stop = min(start + rows - waiting, chunk.shape[0])
            pieces.append(chunk if stop - start == chunk.shape[0] else _cut(chunk, start, stop))
            waiting += stop - start
            start = stop
            if waiting == rows:
                yield _stack(pieces)
                pieces, waiting = [], 0
    if pieces:
        yield _stack(pieces)


def _cut(rows: Rows, start: int, stop: int) -> Rows:
    """Return some of the rows, without copying them."""
    if isinstance(rows, np.ndarray):
        return rows[start:stop]
    first, last = rows.indptr[start], rows.indptr[stop]
    indptr = rows.indptr[start : stop + 1] - first
    return csr_of(rows.data[first:last], rows.indices[first:last], indptr, shape=(stop - start, rows.shape[1]))


def _stack(pieces: list[Rows]) -> Rows:
    if len(pieces) == 1:
        return pieces[0]
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    return sparse.csr_array(sparse.vstack(pieces, format="csr"))


def for_each_block(
    chunks: Iterable[Matrix],
    batch: Batch,
    columns: GeneColumns,
    work: Callable[[int, Rows, ModelBlock], T],
    *,
    threads: int = 1,
) -> Iterator[tuple[int, T]]:
    """Do something to each block of a batch, as the network takes it, once its values are found to be sound.

    Parameters
    ----------
    chunks
        The batch's rows in order, cut in any way (cells × genes), in the model's unit.
    batch
        What is known of the batch besides.
    columns
        Where its genes stand in the model.
    work
        Takes the position of a block's first cell; the block, up to ``BLOCK`` rows of the batch (cells × genes), each
        entry stored once; and the same as the network takes it, in memory that is used again for another block.
    threads
        How many strips are worked on at a time.

    Yields
    ------
    cells : int
        Number of cells of the block.
    result
        What ``work`` returned, of the blocks in their order.

    Raises
    ------
    ScinnError
        As :func:`impute_stream`, except for a batch without cells.

    Warns
    -----
    ScinnWarning
        As :func:`impute_stream`.
    """
    space = threading.local()

    def work_on(strip: tuple[int, Rows]) -> list[tuple[int, int, T]]:
        first_cell, given = strip
        _check_values(given, first_cell, batch)
        rows = in_whole(given)
        if rows is not given:  # a sum can be too large where its parts are not
            _check_values(rows, first_cell, batch)
        if not hasattr(space, "expression"):
            space.expression = np.empty((BLOCK, batch.match.measured.size), dtype=np.float32)
        done = []
        for start in range(0, rows.shape[0], BLOCK):
            block = _cut(rows, start, min(start + BLOCK, rows.shape[0]))
            in_model = columns.to_model(block, space=space.expression)
            expressed = int(np.count_nonzero(in_model.depth))
            done.append((block.shape[0], expressed, work(first_cell + start, block, in_model)))
        return done

    seen = empty = 0
    strips = in_order(work_on, _numbered(chunks, batch), threads=threads)
    for cells, expressed, result in itertools.chain.from_iterable(strips):
        seen += cells
        empty += cells - expressed
        yield cells, result
    if batch.first_cell is None and seen and (sentence := tell_empty_cells(empty, cells=seen, source=batch.source)):
        warnings.warn(sentence, ScinnWarning, stacklevel=2)


def _numbered(chunks: Iterable[Matrix], batch: Batch) -> Iterator[tuple[int, Rows]]:
    """Yield the strips of a batch, with the position of the first cell, once they are known to be in its unit."""
    first_cell, unit_checked = batch.first_cell or 0, batch.unit_checked
    for strip in reblock((as_rows(chunk, batch) for chunk in chunks), STRIP):
        if not unit_checked:
            _check_values(strip, first_cell, batch)
            if stored_values(strip).any():  # the first strip with any expression tells
                check_unit(strip, unit=batch.unit, source=batch.source)
                unit_checked = True
        yield first_cell, strip
        first_cell += strip.shape[0]


def _check_values(block: Rows, first_cell: int, batch: Batch) -> None:
    check_chunk(block, genes=batch.genes, first_cell=first_cell, cell_names=batch.cell_names, source=batch.source)
    check_exact(block, source=batch.source)


def _check_result(values: Values, first_cell: int, batch: Batch) -> None:
    """Refuse values that are no expression: what the model returned, since the batch's own have been looked at."""
    if values.dtype == np.float32 and int(values.view(np.uint32).max()) <= LARGEST_BITS:
        return
    refused = np.flatnonzero(~((values >= 0) & (values <= LARGEST_VALUE)).all(axis=1))
    if not refused.size:
        values += 0.0  # a zero with a sign, if there is one, becomes one without
        return
    row = int(refused[0])
    cell = cell_label(first_cell + row, batch.cell_names)
    msg = (
        f"{batch.source}: the model returns negative or infinite values for {cell}. If the cell holds no absurdly "
        "large values the model is damaged: fetch or export it again."
    )
    raise ScinnError(msg)
