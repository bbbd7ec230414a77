"""Matrices whose entries come in an order of their own, written once to a temporary file and then read by rows."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.checks import LARGEST_EXACT_INTEGER
from scinn_infer.csc import RowBuckets, naming_full_disk
from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt
    from scipy import sparse

    Entry = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
    """Rows, columns and values of some entries."""

PURPOSE = "re-ordering a matrix"


class Spooled:
    """A storage that is filled when its first rows are asked for, in one pass through the file.

    Parameters
    ----------
    entries
        Yields the rows, columns and values of some entries at a time, in any order; zeros may be left out.
    shape
        Number of rows and columns.
    dtype
        Type of the values.
    storage
        What it is called.
    folder
        Where the temporary file lives. It has no name there, so that nothing of it outlives the process.
    """

    def __init__(
        self,
        entries: Callable[[], Iterator[Entry]],
        *,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        storage: str,
        folder: Path,
    ) -> None:
        self.shape, self.dtype, self.storage, self.stored = shape, dtype, storage, 0
        self._entries, self._folder = entries, folder
        self._buckets: RowBuckets | None = None

    def rows(self, start: int, stop: int) -> sparse.csr_array:
        """Return the rows ``start`` to ``stop``."""
        if self._buckets is None:
            with _Spool(self.shape, self.dtype, self._folder) as spool:
                for rows, columns, values in self._entries():
                    spool.add(rows, columns, values)
                self.stored = spool.stored
                self._buckets = RowBuckets(spool, folder=self._folder, purpose=PURPOSE)
        return self._buckets.rows(start, stop)

    def close(self) -> None:
        """Remove the temporary file."""
        if self._buckets is not None:
            self._buckets.close()


class _Spool:
    """Entries in a temporary file, in the order in which they came."""

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], folder: Path) -> None:
        self.shape, self.dtype, self.stored = shape, dtype, 0
        self._record = np.dtype([("row", np.int32), ("column", np.int32), ("value", dtype)])
        self._folder = folder
        with naming_full_disk(folder, PURPOSE):
            self._file = tempfile.TemporaryFile(dir=folder, prefix="scinn-")  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        records = np.empty(len(values), self._record)
        records["row"], records["column"], records["value"] = rows, columns, values
        with naming_full_disk(self._folder, PURPOSE):
            self._file.write(records.tobytes())
        self.stored += len(records)

    def indices(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        return self._read(start, stop)["row"]

    def columns(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        return self._read(start, stop)["column"]

    def values(self, start: int, stop: int) -> npt.NDArray[Any]:
        return self._read(start, stop)["value"]

    def _read(self, start: int, stop: int) -> npt.NDArray[np.void]:
        self._file.seek(start * self._record.itemsize)
        return np.frombuffer(self._file.read((stop - start) * self._record.itemsize), self._record)


def as_float32(values: npt.NDArray[np.float64], *, source: str) -> npt.NDArray[np.float32]:
    """Return the numbers of a text as scanpy reads them too.

    Raises
    ------
    ScinnError
        If float32 would round a whole number.
    """
    large = values[np.isfinite(values) & (values > LARGEST_EXACT_INTEGER)]  # infinite ones are refused by cell and gene
    if large.size:
        msg = (
            f"{source} holds the value {large[0]:.15g}; of a text, numbers up to {LARGEST_EXACT_INTEGER:,} are read. "
            "Look at how it was made; if the value is right, write the matrix as float64 into an .h5ad."
        )
        raise ScinnError(msg)
    return values.astype(np.float32)
