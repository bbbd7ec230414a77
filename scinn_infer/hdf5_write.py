"""Write through HDF5 in such a way that a disk that fills up, or a quota, is an error and nothing worse.

HDF5 keeps what it could not write, tries again when the file is closed, and crashes with it when the process ends. So
it is never told: from the first failure on, what it writes goes nowhere, into a file that is given up afterwards.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from scinn_infer.h5ad import import_io

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

    import h5py


@contextmanager
def open_to_write(path: Path, mode: str) -> Iterator[tuple[h5py.File, Written]]:
    """Give an HDF5 file to write to, and what tells whether all has been written so far.

    Parameters
    ----------
    path
        The file.
    mode
        ``"w"`` for a new one, ``"r+"`` for one that is there.

    Raises
    ------
    OSError
        If something could not be written, at the end of the block if not before.
    """
    h5py = import_io("writing")
    with path.open("w+b" if mode == "w" else "r+b", buffering=0) as file:
        written = Written(file)
        try:
            with h5py.File(written, mode) as opened:
                yield opened, written
        except Exception:
            written.check()  # whatever h5py says: it may have missed what was forgotten
            raise
        written.check()


class Written:
    """What h5py takes for a file: it writes through until that fails, and from then on forgets what it is given."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._failure: BaseException | None = None
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def check(self) -> None:
        """Raise what went wrong so far, an interruption for one.

        Raises
        ------
        OSError
            If something could not be written.
        """
        if self._failure is not None:
            raise self._failure

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer from where the file stands."""
        seen = 0
        with self._kept_from_hdf5():
            while seen < len(buffer) and (count := self._file.readinto(buffer[seen:])):
                seen += count
        buffer[seen:] = bytes(len(buffer) - seen)  # HDF5 takes what nobody has written for zeros
        return len(buffer)

    def write(self, data: memoryview) -> int:
        """Write all of some data where the file stands, or forget it."""
        written = 0
        with self._kept_from_hdf5():
            while written < len(data) and self._failure is None:
                written += self._file.write(data[written:])
        return len(data)

    def truncate(self, size: int) -> int:
        """Give the file a size."""
        with self._kept_from_hdf5():
            if self._failure is None:
                self._file.truncate(size)
        return size

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    @contextmanager
    def _kept_from_hdf5(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._failure = self._failure or error
