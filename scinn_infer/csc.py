"""Rows of a matrix that is stored by columns (CSC), in bounded memory.

A row of such a matrix is scattered over the whole file. Its entries are therefore dealt, in two passes over the file,
into buckets of consecutive rows within one temporary file; rows are then read from the few buckets that hold them.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import check_space

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

BUCKET_ROWS = 256
"""Rows of a bucket: a usual chunk, and the least that is read back at once."""

PIECE = 1 << 20
"""Entries that are dealt at a time: about 50 MB at work."""


class StoredByColumns(Protocol):
    """A matrix (rows × columns) whose stored entries can be read in order of their columns."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    stored: int
    """Number of stored entries."""

    def pointers(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return at which entry each of the columns ``start`` to ``stop - 1`` begins."""

    def indices(self, start: int, stop: int) -> npt.NDArray[np.integer[Any]]:
        """Return the row of each entry from ``start`` to ``stop``."""

    def values(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the value of each entry from ``start`` to ``stop``."""


class RowBuckets:
    """The entries of a matrix that is stored by columns, grouped by row in a temporary file.

    Parameters
    ----------
    matrix
        What is dealt into buckets. It is read through once for the rows and once for everything.
    folder
        Where the temporary file lives. It has no name there, so that nothing of it outlives the process.

    Raises
    ------
    ScinnError
        If the folder has no room for it.
    """

    def __init__(self, matrix: StoredByColumns, *, folder: Path) -> None:
        self._shape = matrix.shape
        self._record = np.dtype([("row", np.int32), ("column", np.int32), ("value", matrix.dtype)])
        check_space(folder, matrix.stored * self._record.itemsize, purpose="re-ordering a matrix stored by columns")
        self._first = np.concatenate([[0], np.cumsum(_entries_per_bucket(matrix))])
        self._last_read: tuple[int, sparse.csr_array] | None = None
        self._folder = folder
        with _naming(folder):
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

    def _deal(self, matrix: StoredByColumns) -> None:
        filled = self._first[:-1].copy()
        for piece in _pieces(matrix):
            edges = piece.indptr[np.append(np.arange(0, piece.shape[0], BUCKET_ROWS), piece.shape[0])]
            records = np.empty(piece.nnz, self._record)
            records["row"] = np.repeat(np.arange(piece.shape[0]) % BUCKET_ROWS, np.diff(piece.indptr))
            records["column"] = piece.indices
            records["value"] = piece.data
            for bucket in np.flatnonzero(np.diff(edges)):
                share = records[edges[bucket] : edges[bucket + 1]]
                self._write(share, int(filled[bucket]))
                filled[bucket] += len(share)
        with _naming(self._folder):
            self._file.flush()

    def _write(self, records: npt.NDArray[np.void], position: int) -> None:
        with _naming(self._folder):
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
def _naming(folder: Path) -> Iterator[None]:
    """Tell a failure to write the temporary file from one to read the matrix."""
    try:
        yield
    except OSError as error:
        msg = f"re-ordering a matrix stored by columns failed to write to {folder}: {error.strerror}. Make room there."
        raise ScinnError(msg) from error


def _entries_per_bucket(matrix: StoredByColumns) -> npt.NDArray[np.int64]:
    buckets = -(-matrix.shape[0] // BUCKET_ROWS)
    counts = np.zeros(buckets, np.int64)
    for start in range(0, matrix.stored, PIECE):
        rows = matrix.indices(start, min(start + PIECE, matrix.stored))
        counts += np.bincount(rows // BUCKET_ROWS, minlength=buckets)
    return counts


def _pieces(matrix: StoredByColumns) -> Iterator[sparse.csr_array]:
    """Yield the matrix as a sum of matrices of its shape, each with the entries of a few consecutive columns."""
    pointers = np.append(matrix.pointers(0, matrix.shape[1]), matrix.stored)
    for start in range(0, matrix.stored, PIECE):
        stop = min(start + PIECE, matrix.stored)
        within = np.clip(pointers, start, stop) - start
        entries = (matrix.values(start, stop), matrix.indices(start, stop), within)
        yield sparse.csc_array(entries, shape=matrix.shape).tocsr()
