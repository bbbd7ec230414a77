"""Rows of an array that is stored in chunks, read in such a way that each chunk is unpacked once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

MOST_HELD = 1 << 28
"""Bytes of an array that are in memory at a time, at most, besides the rows that are asked for: 256 MB."""


class HeldRows:
    """An array (rows × …) that is read in order, some rows at a time; the chunks of the last of them are held unpacked.

    The chunks beside each other are held as a whole, or as many of their rows as :data:`MOST_HELD` has room for: of
    larger ones each is unpacked once for so many rows.

    Parameters
    ----------
    read
        Returns the rows from one position to another, and unpacks the chunks that they are in.
    shape, dtype
        What the array is.
    chunk
        Rows of a chunk.
    """

    def __init__(
        self, read: Callable[[int, int], npt.NDArray[Any]], *, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: int
    ) -> None:
        self._read, self.shape, self.dtype = read, shape, dtype
        row_bytes = max(math.prod(shape[1:]) * dtype.itemsize, 1)
        self._step = max(1, min(chunk, MOST_HELD // row_bytes))
        self._first, self._held = 0, np.empty((0, *shape[1:]), dtype)

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the rows ``start`` to ``stop`` (rows × …)."""
        step = self._step
        if start % step == 0 and (stop % step == 0 or stop == self.shape[0]):  # whole chunks: there is nothing to hold
            return np.asarray(self._read(start, stop))
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        position = start
        while position < stop:
            first = position - position % step
            whole = stop - stop % step
            if position == first < whole:
                rows[position - start : whole - start] = self._read(position, whole)
                position = whole
                continue
            end = min(first + step, stop)
            rows[position - start : end - start] = self._hold(first)[position - first : end - first]
            position = end
        return rows

    def _hold(self, first: int) -> npt.NDArray[Any]:
        if self._first != first or not len(self._held):
            self._held = self._held[:0].copy()  # before the next are read, so that only one lot is in memory
            self._held = np.asarray(self._read(first, min(first + self._step, self.shape[0])))
            self._first = first
        return self._held
