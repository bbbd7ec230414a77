"""Rows of a matrix whose entries are not stored row by row, in bounded memory.

A row of such a matrix, by columns (CSC) or in no order at all, is scattered over the whole file. Its entries are
therefore dealt, in two passes over the file, into buckets of consecutive rows within one temporary file; rows are then
read from the few buckets that hold them.
"""

from __future__ import annotations

import errno
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from scinn_infer.errors import RoomError
from scinn_infer.wholefile import check_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

BUCKET_ROWS = 256
"""Rows of a bucket: a usual chunk, and the least that is read back at once."""

PIECE = 1 << 20
"""Entries that are dealt at a time: about 50 MB at work."""

PURPOSE = "re-ordering a matrix stored by columns"

FULL = (errno.ENOSPC, errno.EDQUOT)
"""A full disk, and a quota that is used up."""


class Entries(Protocol):
    """A matrix (rows × columns) whose stored entries can be read in the order in which they are stored."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    stored: int
    """Number of stored entries."""

    def indices(self, start: int, stop: int) -> npt.NDArray[np.integer[Any]]:
        """Return the row of each entry from ``start`` to ``stop``."""

    def columns(self, start: int, stop: int) -> npt.NDArray[np.integer[Any]]:
        """Return the column of each entry from ``start`` to ``stop``."""

    def values(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the value of each entry from ``start`` to ``stop``."""


class RowBuckets:
    """The entries of a matrix that is not stored by rows, grouped by row in a temporary file.

    Parameters
    ----------
    matrix
        What is dealt into buckets. It is read through once for the rows and once for everything.
    folder
        Where the temporary file lives. It has no name there, so that nothing of it outlives the process.
    purpose
        What that is for, at the beginning of a message that the folder has no room.

    Raises
    ------
    ScinnError
        If the folder has no room for it.
    """

    def __init__(self, matrix: Entries, *, folder: Path, purpose: str = PURPOSE) -> None:
        self._shape = matrix.shape
        self._record = np.dtype([("row", np.int32), ("column", np.int32), ("value", matrix.dtype)])
        needed = matrix.stored * self._record.itemsize
        check_space(folder, needed, purpose=purpose, elsewhere=_elsewhere(folder))
        self._first = np.concatenate([[0], np.cumsum(_entries_per_bucket(matrix))])
        self._last_read: tuple[int, sparse.csr_array] | None = None
        self._folder, self._purpose = folder, purpose
        with naming_full_disk(folder, purpose):
            self._file = tempfile.TemporaryFile(dir=folder, prefix="scinn-")  # noqa: SIM115 - closed by close()
        try:
            self._deal(matrix)
        except BaseException:
            self.close()
            raise

    def rows(self, start: int, stop: int) -> sparse.csr_array:
        """Return the rows ``start`` to ``stop`` (rows × columns)."""
        first, last = start // BUCKET_ROWS, (stop - 1) // BUCKET_ROWS
        buckets = [self._bucket(number) for number in range(first, last + 1)]
        together: sparse.csr_array = sparse.vstack(buckets, format="csr")
        return together[start - first * BUCKET_ROWS : stop - first * BUCKET_ROWS]

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def _deal(self, matrix: Entries) -> None:
        filled = self._first[:-1].copy()
        buckets = np.arange(filled.size + 1)
        for start in range(0, matrix.stored, PIECE):
            stop = min(start + PIECE, matrix.stored)
            records = np.empty(stop - start, self._record)
            rows = matrix.indices(start, stop)
            records["row"] = rows % BUCKET_ROWS
            records["column"] = matrix.columns(start, stop)
            records["value"] = matrix.values(start, stop)
            # Sorting is several times as fast for numbers of 16 bits, which is enough for 16 million cells.
            bucket_of = (rows // BUCKET_ROWS).astype(np.min_scalar_type(filled.size))
            order = np.argsort(bucket_of, kind="stable")
            edges = np.searchsorted(bucket_of[order], buckets)
            for bucket in np.flatnonzero(np.diff(edges)):
                share = records[order[edges[bucket] : edges[bucket + 1]]]
                self._write(share, int(filled[bucket]))
                filled[bucket] += len(share)
        with naming_full_disk(self._folder, self._purpose):
            self._file.flush()

    def _write(self, records: npt.NDArray[np.void], position: int) -> None:
        with naming_full_disk(self._folder, self._purpose):
            self._file.seek(position * self._record.itemsize)
            self._file.write(records.tobytes())

    def _bucket(self, number: int) -> sparse.csr_array:
        if self._last_read is not None and self._last_read[0] == number:
            return self._last_read[1]
        first, last = int(self._first[number]), int(self._first[number + 1])
        self._file.seek(first * self._record.itemsize)
        records = np.frombuffer(self._file.read((last - first) * self._record.itemsize), self._record)
        shape = (min(BUCKET_ROWS, self._shape[0] - number * BUCKET_ROWS), self._shape[1])
        bucket = sparse.coo_array((records["value"], (records["row"], records["column"])), shape=shape).tocsr()
        self._last_read = number, bucket
        return bucket


@contextmanager
def naming_full_disk(folder: Path, purpose: str = PURPOSE) -> Iterator[None]:
    """Tell a failure to write the temporary file from one to read the matrix.

    Raises
    ------
    ScinnError
        If the block cannot write.
    """
    try:
        yield
    except OSError as error:
        advice = "make room there" if error.errno in FULL else _elsewhere(folder)
        msg = f"{purpose} failed to write to {folder}: {error.strerror}. {advice[0].upper()}{advice[1:]}."
        raise RoomError(msg) from error


def _elsewhere(folder: Path) -> str:
    """Return how another folder is chosen: that for temporary files by the system, that of the output by its name."""
    by = "TMPDIR" if folder == Path(tempfile.gettempdir()) else "the output's name"
    return f"choose a folder that can be written to, by {by}"


def _entries_per_bucket(matrix: Entries) -> npt.NDArray[np.int64]:
    buckets = -(-matrix.shape[0] // BUCKET_ROWS)
    counts = np.zeros(buckets, np.int64)
    for start in range(0, matrix.stored, PIECE):
        rows = matrix.indices(start, min(start + PIECE, matrix.stored))
        counts += np.bincount(rows // BUCKET_ROWS, minlength=buckets)
    return counts
