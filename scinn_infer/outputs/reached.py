"""What a run has reached, in a few small files, so that another can go on from there after a kill at any moment.

There is one file of what is known of the whole, which is replaced at each step, and others of what is known of the
cells, each of the cells since the one before. The first names how many of the others count, so that all of them agree.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import whole_file
from scinn_infer.wholefolder import flush_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[Any]]

SECONDS_BETWEEN = 1.0
"""How often something is kept, at most: what a kill costs."""

COST_BETWEEN = 20
"""How many times what it takes to keep something passes before it is done again, on however slow a disk."""

STATE, CELLS = "reached.npz", "cells"
"""Names of the file of the whole, and of the folder of the others."""

_PIECES = "pieces"


class Reached:
    """Keeps arrays in a folder, and reads what an earlier run has kept there.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._state, self._cells = folder / STATE, folder / CELLS
        self._pieces = self._on_disk = 0
        self._kept, self._cost = time.monotonic(), 0.0

    def is_there(self) -> bool:
        """Tell whether anything is kept."""
        return self._state.exists()

    def read(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is known of the whole, by name, once all that is kept is found to be sound.

        Raises
        ------
        ScinnError
            If some of it cannot be read.
        """
        if not self.is_there():
            return {}
        with self._naming_damage():
            whole = _load(self._state)
            self._pieces = self._on_disk = int(whole.pop(_PIECES))
            for number in range(self._pieces):
                _load(self._piece(number))
        return whole

    def by_cell(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Yield what is known of the cells under a name, in the pieces that were added; nothing if none is.

        Whoever joins them has something that grows with the cells.

        Raises
        ------
        ScinnError
            If it cannot be read.
        """
        for number in range(self._pieces):
            with self._naming_damage(), np.load(self._piece(number)) as piece:
                values = piece.get(name)
            if values is not None:
                yield values

    def is_due(self) -> bool:
        """Tell whether it is time to keep something again."""
        return time.monotonic() - self._kept >= max(SECONDS_BETWEEN, COST_BETWEEN * self._cost)

    def add(self, by_cell: Arrays) -> None:
        """Put away what is known of the next cells, so that it need not stay in memory; it counts once it is kept."""
        self._cells.mkdir(exist_ok=True)
        with self._piece(self._pieces).open("wb") as file:  # in place: what an earlier run left there does not count
            _save(file, by_cell)
        self._pieces += 1

    def keep(self, whole: Arrays) -> None:
        """Keep what is known now.

        Parameters
        ----------
        whole
            In place of what was known of the whole; it goes with the cells that were added.
        """
        started = time.monotonic()
        flush_files(self._piece(number) for number in range(self._on_disk, self._pieces))
        with whole_file(self._state, overwrite=True) as temporary, temporary.open("wb") as file:
            _save(file, {**whole, _PIECES: np.array(self._pieces)})
        self._on_disk = self._pieces
        self._kept = time.monotonic()
        self._cost = self._kept - started

    @contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            msg = (
                f"{self._state.parent} cannot be read, so the run cannot go on from it. Start again with --overwrite "
                "instead of --resume."
            )
            raise ScinnError(msg) from error

    def _piece(self, number: int) -> Path:
        return self._cells / f"{number:06d}.npz"


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path) as file:
        return dict(file)


def _save(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    np.savez(file, **arrays)
