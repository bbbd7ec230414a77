"""Notice that a file is cut, written to or replaced while it is read.

HDF5 reads zeros beyond the end of a file that was cut after it was opened, and a text that is cut between two passes
is merely shorter: neither is an error of its own, and the result would be wrong without a word. Nor is it that another
file gets the name of one that is read partly by its descriptor, partly by its name.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import h5py
    import numpy as np

    from scinn_infer.storage import Rows, Storage

T = TypeVar("T")


class Lasting(Protocol):
    """What is read, and must stay what it is until that is over."""

    def check(self) -> None:
        """Refuse to go on with what has changed.

        Raises
        ------
        ScinnError
            If it has.
        """


class Unchanged:
    """A file as it was when its reading began.

    Parameters
    ----------
    file
        Its path, or the descriptor by which it is read: another file under the same name is a change of the path only.
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
            If it has become shorter, was written to or replaced, or is gone.
        """
        try:
            now = os.stat(self._file)  # noqa: PTH116
        except OSError as error:
            msg = f"{self._source} was removed while it was read ({error.strerror}). Start again once it is there."
            raise ScinnError(msg) from error
        before = self._before
        if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
            raise _replaced(self._source)
        if now.st_size < before.st_size or (not self._only_size and now.st_mtime_ns != before.st_mtime_ns):
            how = "cut short" if now.st_size < before.st_size else "written to"
            msg = (
                f"{self._source} was {how} while it was read: it had {before.st_size:,} bytes and has {now.st_size:,}. "
                "Start again once nothing writes to it any more."
            )
            raise ScinnError(msg)


class UnchangedFolder:
    """A folder, and all files in it, as the disk listed them when their reading began.

    Parameters
    ----------
    folder
        Its path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._listed()

    def check(self) -> None:
        """Refuse to go on with a folder in which something has changed.

        Raises
        ------
        ScinnError
            If a file in it was written to, replaced or removed, or has come to it.
        """
        try:
            count, digest = self._listed()
        except FileNotFoundError:
            count, digest = 0, ""
        if count < self._before[0]:
            msg = (
                f"{self._folder} lost a part while it was read: some of its {self._before[0]:,} files are gone. "
                "Start again once nothing changes it."
            )
            raise ScinnError(msg)
        if digest != self._before[1]:
            raise _replaced(self._folder)

    def _listed(self) -> tuple[int, str]:
        """Return how many files there are, and a digest, since of many files no list is kept."""
        count, digest = 0, hashlib.sha256()
        for line in files_as_listed(self._folder):
            digest.update(line + b"\n")
            count += 1
        return count, digest.hexdigest()


def files_as_listed(path: Path) -> Iterator[bytes]:
    """Yield what the disk says of a file, or of all in a folder; wherever that has been moved to."""
    files = sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]
    for file in files:
        found = file.stat()
        yield json.dumps([str(file.relative_to(path)), found.st_size, found.st_mtime_ns]).encode()


class Unwatched:
    """A folder whose reader looks after the files that it needs; others may come and go."""

    def check(self) -> None:
        """Have nothing to refuse."""


@contextmanager
def read_whole(what: Lasting) -> Iterator[None]:
    """Check once the block is over that what it reads is what it was; also where it fails, since that may be why."""
    with telling_change(what):
        yield
    what.check()


@contextmanager
def telling_change(what: Lasting) -> Iterator[None]:
    """Where the block fails and what it reads has changed, tell that."""
    try:
        yield
    except Exception:
        what.check()
        raise


def _replaced(source: str | Path) -> ScinnError:
    return ScinnError(
        f"{source} was replaced or written to while it was read. Start again once nothing changes it any more."
    )


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
