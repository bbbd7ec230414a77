"""The training matrix, written once and read by rows: in memory, or in a temporary file where it is too large for that.

A row lies in one piece, an entry after the other, so that the few rows of a minibatch are read from wherever they are
at a cost that does not depend on how many others there are. They are read, not mapped: what was read before takes no
memory of the process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.csc import naming_full_disk
from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import check_space

if TYPE_CHECKING:
    import numpy.typing as npt

    Rows = npt.NDArray[np.intp]

MEMORY_GB = 1.0
"""Entries that take more than this many gigabytes (10⁹ bytes) go into a temporary file."""

PURPOSE = "keeping the training matrix on disk"

ENTRY = np.dtype([("gene", np.int32), ("value", np.float32)])


class CellStore:
    """Rows of a sparse matrix (cells × genes), float32: appended from first to last, then read in any order.

    Parameters
    ----------
    shape
        Number of cells and genes.
    memory_gb
        What may be kept in memory; beyond it everything is in a temporary file, which has no name where the system
        allows that, so that nothing of it outlives the process.
    expected
        Number of entries that will come at most, where it is known: room for them is looked for before the first.

    Raises
    ------
    ScinnError
        If the folder for temporary files has no room for them.
    """

    def __init__(self, shape: tuple[int, int], *, memory_gb: float = MEMORY_GB, expected: int | None = None) -> None:
        self.shape = shape
        self.starts: npt.NDArray[np.int64] = np.zeros(shape[0] + 1, dtype=np.int64)
        """The number of the first entry of each row, and the number of all entries (cells + 1,)."""
        self._written = 0
        self._folder = Path(tempfile.gettempdir())
        most = _most_bytes(memory_gb)
        needed = (expected or 0) * ENTRY.itemsize
        if needed > most:
            check_space(self._folder, needed, purpose=PURPOSE)
        # A largest size of 0 would mean that there is none.
        self._file = tempfile.SpooledTemporaryFile(max(most, 1), dir=str(self._folder), prefix="scinn-")  # noqa: SIM115
        if needed > most:
            with naming_full_disk(self._folder, PURPOSE):
                self._file.rollover()

    def append(self, rows: sparse.csr_array) -> None:
        """Write the next rows (cells × genes).

        Raises
        ------
        ScinnError
            If there is no room for them.
        """
        entries = np.empty(rows.nnz, ENTRY)
        entries["gene"], entries["value"] = rows.indices, rows.data
        with naming_full_disk(self._folder, PURPOSE):
            self._file.write(entries.tobytes())
        first = self._written
        self._written += rows.shape[0]
        self.starts[first + 1 : self._written + 1] = self.starts[first] + rows.indptr[1:]

    def rows(self, which: Rows) -> sparse.csr_array:
        """Return some rows, in the order in which they are asked for (rows × genes).

        Raises
        ------
        ScinnError
            If the temporary file was damaged.
        """
        starts = self.starts
        pointers = np.concatenate([[0], np.cumsum(starts[which + 1] - starts[which])])
        entries = np.empty(pointers[-1], ENTRY)
        room = entries.view(np.uint8).data
        # Rows that follow each other are read at once.
        cuts = np.flatnonzero(np.diff(which) != 1) + 1
        firsts, lasts = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(which)]])
        places = (starts[which[firsts]] if len(which) else firsts) * ENTRY.itemsize
        for place, begin, end in zip(
            places.tolist(),
            (pointers[firsts] * ENTRY.itemsize).tolist(),
            (pointers[lasts] * ENTRY.itemsize).tolist(),
            strict=True,
        ):
            self._file.seek(place)
            if self._file.readinto(room[begin:end]) != end - begin:
                msg = f"the temporary file in {self._folder} was cut short while it was in use. Fit again."
                raise ScinnError(msg)
        values, genes = (np.ascontiguousarray(entries[part]) for part in ("value", "gene"))
        return sparse.csr_array((values, genes, pointers), shape=(len(which), self.shape[1]))

    def close(self) -> None:
        """Give back the memory, and remove the temporary file."""
        self._file.close()


def _most_bytes(memory_gb: Any) -> int:
    if not isinstance(memory_gb, int | float | np.number) or not 0 <= memory_gb < float("inf"):
        msg = f"memory_gb is {memory_gb!r}; it must be a number of gigabytes, 0 or more."
        raise ScinnError(msg)
    return round(memory_gb * 1e9)
