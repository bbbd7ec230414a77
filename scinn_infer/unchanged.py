"""Notice that a file is cut or written to while it is read.

HDF5 reads zeros beyond the end of a file that was cut after it was opened, and a text that is cut between two passes
is merely shorter: neither is an error of its own, and the result would be wrong without a word.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import h5py
    import numpy as np

    from scinn_infer.storage import Rows, Storage

T = TypeVar("T")


class Unchanged:
    """A file as it was when its reading began.

    Parameters
    ----------
    file
        Its path, or the descriptor by which it is read: another file under the same name is no change then.
    source
        How messages name it.
    only_size
        Whether its time may change: that of a file which this process writes to as well.
    """

    def __init__(self, file: Path | int, *, source: str, only_size: bool = False) -> None:
        self._file, self._source, self._only_size = file, source, only_size
        self._before = os.stat(file)  # noqa: PTH116 - of a descriptor too

    def check(self) -> None:
        """Refuse to go on with a file that has changed.

        Raises
        ------
        ScinnError
            If it has become shorter or was written to, or is gone.
        """
        try:
            now = os.stat(self._file)  # noqa: PTH116
        except OSError as error:
            msg = f"{self._source} was removed while it was read ({error.strerror}). Start again once it is there."
            raise ScinnError(msg) from error
        before = self._before
        if now.st_size < before.st_size or (not self._only_size and now.st_mtime_ns != before.st_mtime_ns):
            how = "cut short" if now.st_size < before.st_size else "written to"
            msg = (
                f"{self._source} was {how} while it was read: it had {before.st_size:,} bytes and has {now.st_size:,}. "
                "Start again once nothing writes to it any more."
            )
            raise ScinnError(msg)


def watched(storage: Storage, file: h5py.File, *, source: str) -> Storage:
    """Return the storage of a matrix in an HDF5 file, watched for changes of the file."""
    return _Watched(storage, watched_rows(storage.rows, file, source=source))


def watched_rows(read: Callable[[int, int], T], file: h5py.File, *, source: str) -> Callable[[int, int], T]:
    """Return what reads rows of an HDF5 file and hands them out only while the file is what it was."""
    if file.driver != "sec2":  # others have no descriptor of a file
        return read
    unchanged = Unchanged(file.id.get_vfd_handle(), source=source, only_size=file.mode != "r")

    def rows(start: int, stop: int) -> T:
        try:
            return read(start, stop)
        finally:  # of both, it is the reason that is told
            unchanged.check()

    return rows


class _Watched:
    """A storage whose rows are read in another way."""

    def __init__(self, storage: Storage, rows: Callable[[int, int], Rows]) -> None:
        self._storage, self.rows = storage, rows
        self.shape, self.storage = storage.shape, storage.storage
        self.dtype: np.dtype[Any] = storage.dtype

    @property
    def stored(self) -> int:
        """Number of stored entries."""
        return self._storage.stored

    def close(self) -> None:
        self._storage.close()
