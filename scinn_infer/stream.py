"""The streaming core: row chunks of a batch in, row chunks of the result out, in memory bounded by the chunk.

The rows that come in, however they are cut, are cut anew into blocks of one fixed size, and the network only ever sees
such blocks, the last one filled up with empty cells. So a cell's result depends on nothing but the cell: not on the
size of the chunks, nor on the cells around it. (onnxruntime multiplies matrices some rows at a time and treats rows
that are left over differently, which shows in the seventh digit.)
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.batch import as_rows, tell_empty_cells
from scinn_infer.checks import LARGEST_VALUE, cell_label, check_chunk, check_exact, check_unit, stored_values
from scinn_infer.columns import GeneColumns
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.selection import WHOLE, SelectedColumns, drop_small, in_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.checks import Matrix
    from scinn_infer.columns import Rows
    from scinn_infer.selection import Selection

    Network = Callable[[npt.NDArray[np.float32], int], npt.NDArray[np.float32]]

BLOCK = 96
"""Rows that the network sees at a time: enough to keep the processor busy, few enough for its cache, and a multiple of
the 4, 6, 8, 12 or 16 rows that matrix products take together on today's processors."""


def impute_stream(
    chunks: Iterable[Matrix],
    batch: Batch,
    network: Network,
    *,
    keep_nonzeros: bool,
    batch_size: int,
    selection: Selection = WHOLE,
    selected: SelectedColumns | None = None,
) -> Iterator[tuple[int, npt.NDArray[np.floating[Any]]]]:
    """Yield the result of a batch some rows at a time, with the position of the first of them.

    Parameters
    ----------
    chunks
        The batch's rows in order, cut in any way (cells × genes), in the model's unit.
    batch
        What is known of the batch besides.
    network
        Maps ``BLOCK`` rows in the model's unit and gene order, of which a number are cells and the others fill up, to
        the output (rows × model genes, or those that ``selected`` needs).
    keep_nonzeros
        Whether non-zero entries come back as they were, to the last bit.
    batch_size
        Number of rows to yield at a time.
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
    start = 0
    blocks = _impute_blocks(chunks, batch, network, keep_nonzeros=keep_nonzeros, selection=selection, selected=selected)
    for result in reblock(blocks, batch_size):
        yield start, result
        start += result.shape[0]
    if start == 0:
        msg = f"{batch.source} has no cells."
        raise ScinnError(msg)


def reblock(chunks: Iterable[Rows], rows: int) -> Iterator[Rows]:
    """Cut chunks anew into blocks of ``rows`` rows, the last of what is left; a chunk of that size passes uncopied."""
    pieces: list[Rows] = []
    waiting = 0
    for chunk in chunks:
        start = 0
        while start < chunk.shape[0]:
            stop = min(start + rows - waiting, chunk.shape[0])
            pieces.append(chunk if stop - start == chunk.shape[0] else chunk[start:stop])
            waiting += stop - start
            start = stop
            if waiting == rows:
                yield _stack(pieces)
                pieces, waiting = [], 0
    if pieces:
        yield _stack(pieces)


def _stack(pieces: list[Rows]) -> Rows:
    if len(pieces) == 1:
        return pieces[0]
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    return sparse.csr_array(sparse.vstack(pieces, format="csr"))


def _checked(blocks: Iterable[Rows], batch: Batch) -> Iterator[tuple[int, Rows]]:
    """Yield each block, once its values are found to be sound, with the position of its first cell."""
    first_cell, unit_checked = batch.first_cell or 0, batch.unit_checked
    for block in blocks:
        check_chunk(block, genes=batch.genes, first_cell=first_cell, cell_names=batch.cell_names, source=batch.source)
        check_exact(block, source=batch.source)
        if not unit_checked and stored_values(block).any():  # the first block with any expression tells
            check_unit(block, unit=batch.unit, source=batch.source)
            unit_checked = True
        yield first_cell, block
        first_cell += block.shape[0]


def expression_blocks(
    chunks: Iterable[Matrix], batch: Batch, columns: GeneColumns
) -> Iterator[tuple[int, Rows, npt.NDArray[np.float32]]]:
    """Yield a batch as the network takes it, once its values are found to be sound.

    Parameters
    ----------
    chunks
        The batch's rows in order, cut in any way (cells × genes), in the model's unit.
    batch
        What is known of the batch besides.
    columns
        Where its genes stand in the model.

    Yields
    ------
    first_cell : int
        Position of the first cell of the block.
    block : numpy.ndarray or scipy.sparse.csr_array
        Up to ``BLOCK`` rows of the batch (cells × genes).
    expression : numpy.ndarray
        The same, in the model's genes, and empty rows up to ``BLOCK``; it is used again for the next block.

    Raises
    ------
    ScinnError
        As :func:`impute_stream`, except for a batch without cells.

    Warns
    -----
    ScinnWarning
        As :func:`impute_stream`.
    """
    blocks = reblock((as_rows(chunk, batch) for chunk in chunks), BLOCK)
    expression = np.empty((BLOCK, batch.match.measured.size), dtype=np.float32)
    seen = empty = 0
    for first_cell, block in _checked(blocks, batch):
        cells = block.shape[0]
        columns.to_model(block, out=expression[:cells])
        seen += cells
        empty += cells - np.count_nonzero(expression[:cells].max(axis=1))
        expression[cells:] = 0
        yield first_cell, block, expression
    if batch.first_cell is None and seen and (sentence := tell_empty_cells(empty, cells=seen, source=batch.source)):
        warnings.warn(sentence, ScinnWarning, stacklevel=2)


def _impute_blocks(
    chunks: Iterable[Matrix],
    batch: Batch,
    network: Network,
    *,
    keep_nonzeros: bool,
    selection: Selection,
    selected: SelectedColumns | None,
) -> Iterator[npt.NDArray[np.floating[Any]]]:
    columns = GeneColumns(batch.match)
    places = selection.columns(batch.genes, source=batch.source)
    genes = batch.genes if places is None else [batch.genes[place] for place in places]
    for first_cell, block, expression in expression_blocks(chunks, batch, columns):
        result = network(expression, block.shape[0])[: block.shape[0]]
        _check_result(result, first_cell, batch)
        values = (selected or columns).to_batch(result, block, keep_nonzeros=keep_nonzeros)
        if selection.min_value or selection.dtype is not None:
            seen = selected.of_block(block) if selected else block
            if selection.min_value:
                drop_small(values, seen, selection.min_value)
            dtype = selection.result_dtype(block.dtype)
            values = in_precision(
                values, seen, dtype, batch=batch, genes=genes, first_cell=first_cell, keep_nonzeros=keep_nonzeros
            )
        yield values


def _check_result(result: npt.NDArray[np.float32], first_cell: int, batch: Batch) -> None:
    if result.min() >= 0 and result.max() <= LARGEST_VALUE:  # false where a value is not a number
        return
    row = int(np.flatnonzero(~((result >= 0) & (result <= LARGEST_VALUE)).all(axis=1))[0])
    cell = cell_label(first_cell + row, batch.cell_names)
    msg = (
        f"{batch.source}: the model returns negative or infinite values for {cell}. If the cell holds no absurdly "
        "large values the model is damaged: fetch or export it again."
    )
    raise ScinnError(msg)
