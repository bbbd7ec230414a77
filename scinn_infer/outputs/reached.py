"""What a run has reached, in a few small files, so that another can go on from there after a kill at any moment.

There is one file of what is known of the whole, which is replaced at each step, and one more at each step of what is
known of the cells since the last. The first names how many of the others count, so that all of them agree.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
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
        self._pieces = 0
        self._kept, self._cost = time.monotonic(), 0.0

    def is_there(self) -> bool:
        """Tell whether anything is kept."""
        return self._state.exists()

    def read(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is kept, by name: arrays of the whole as they were last, those of the cells one after another.

        Raises
        ------
        ScinnError
            If it cannot be read.
        """
        if not self.is_there():
            return {}
        by_cell: defaultdict[str, list[npt.NDArray[Any]]] = defaultdict(list)
        try:
            whole = _load(self._state)
            self._pieces = int(whole.pop(_PIECES))
            for number in range(self._pieces):
                for name, values in _load(self._piece(number)).items():
                    by_cell[name].append(values)
        except Exception as error:
            msg = (
                f"{self._state.parent} cannot be read, so the run cannot go on from it. Start again with --overwrite "
                "instead of --resume."
            )
            raise ScinnError(msg) from error
        return whole | {name: np.concatenate(parts) for name, parts in by_cell.items()}

    def is_due(self) -> bool:
        """Tell whether it is time to keep something again."""
        return time.monotonic() - self._kept >= max(SECONDS_BETWEEN, COST_BETWEEN * self._cost)

    def keep(self, whole: Arrays, by_cell: Arrays) -> None:
        """Keep what is known now.

        Parameters
        ----------
        whole
            In place of what was known of the whole.
        by_cell
            Behind what was known of the cells.
        """
        started = time.monotonic()
        self._cells.mkdir(exist_ok=True)
        _save(self._piece(self._pieces), by_cell)
        _save(self._state, {**whole, _PIECES: np.array(self._pieces + 1)})
        self._pieces += 1
        self._kept = time.monotonic()
        self._cost = self._kept - started

    def _piece(self, number: int) -> Path:
        return self._cells / f"{number:06d}.npz"


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path) as file:
        return dict(file)


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    with whole_file(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
