"""Names in a file that are read when one is looked at: of cells there may be millions, and most runs need none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Callable


class StoredNames(Sequence[str]):
    """The names, which take no memory until then.

    Parameters
    ----------
    count
        How many there are.
    read
        Returns those from one position to another.
    """

    def __init__(self, count: int, read: Callable[[int, int], list[str]]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            start, stop, step = position.indices(self._count)
            return self._read(start, stop)[::step] if step > 0 else self._read(0, self._count)[position]
        place = range(self._count)[position]  # which refuses what is out of range
        return self._read(place, place + 1)[0]
