"""What a run passes over and looks at again where it goes on after another that was stopped."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.batch import tell_empty_cells
from scinn_infer.errors import ScinnWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.columns import Rows

    Blocks = Iterator[npt.NDArray[np.floating[Any]]]


def rows_after(blocks: Iterable[Rows], count: int) -> Iterator[Rows]:
    """Yield blocks of rows without the first ``count`` rows."""
    for block in blocks:
        over = min(count, block.shape[0])
        count -= over
        if over < block.shape[0]:
            yield block[over:] if over else block


def rows_before(blocks: Iterable[Rows], count: int) -> Iterator[Rows]:
    """Yield blocks of rows up to the first ``count`` rows."""
    for block in blocks:
        if count <= 0:
            return
        yield block[:count]
        count -= block.shape[0]


class EmptyCells:
    """Counts the cells without any expression in the model's genes, of which the streaming core tells of a whole only.

    Parameters
    ----------
    batch
        What is known of the batch.
    count
        How many there are among the cells that do not pass.
    """

    def __init__(self, batch: Batch, *, count: int) -> None:
        self._source, self._known = batch.source, (batch.match.columns >= 0).astype(np.float32)
        self._count = count

    def count(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        """Pass the raw rows on (cells × batch genes)."""
        for chunk in chunks:
            self._count += chunk.shape[0] - int(np.count_nonzero(chunk @ self._known))
            yield chunk

    def tell(self, blocks: Blocks, *, cells: int) -> Blocks:
        """Pass the result on, and then warn of the empty ones among so many cells.

        Raises
        ------
        ScinnError
            If all cells are empty.
        """
        yield from blocks
        if sentence := tell_empty_cells(self._count, cells=cells, source=self._source):
            warnings.warn(sentence, ScinnWarning, stacklevel=2)
