"""Which chunks of a zarr array are stored: zarr reads one that is not there as zeros, without a word.

A store may leave out chunks that hold nothing but zeros, so a missing file need not be a loss. In a sparse matrix it
nearly always is, since what is stored is not zero; where it cannot be told, it is said.
"""

from __future__ import annotations

import zipfile
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Place = tuple[int, ...]
    """The position of a chunk among the others, along each axis."""


class StoredChunks:
    """The chunks of an array, each with a file or an entry of its own.

    Parameters
    ----------
    array
        A zarr array.
    source
        How messages name what it belongs to.

    Attributes
    ----------
    count
        How many chunks there can be.
    missing
        Those that are not there.
    """

    def __init__(self, array: Any, source: str) -> None:
        self._array, self._source = array, source
        self._size = tuple(max(1, size) for size in getattr(array, "shards", None) or array.chunks)
        self._is_there = _look_up(array.store)
        places = list(self._places(0, array.shape[0]))
        self.count = len(places)
        self.missing = frozenset(place for place in places if not self._has(place))

    def check(self, start: int, stop: int) -> None:
        """Refuse to take a chunk for zeros that was there in the beginning.

        Parameters
        ----------
        start, stop
            What was read along the first axis.

        Raises
        ------
        ScinnError
            If one of its chunks has gone since.
        """
        for place in self._places(start, stop):
            if place not in self.missing and not self._has(place):
                msg = (
                    f"{self._source} lost a part while it was read: the chunk {self._key(place)} is not there any "
                    "more. Start again with a whole store."
                )
                raise ScinnError(msg)

    def spans(self) -> list[tuple[int, int]]:
        """Return from where to where, along the first axis, chunks are missing."""
        size = self._size[0]
        firsts = sorted({place[0] for place in self.missing})
        return [(first * size, min((first + 1) * size, self._array.shape[0])) for first in firsts]

    def _places(self, start: int, stop: int) -> Iterator[Place]:
        if stop > start:
            rows = range(start // self._size[0], (stop - 1) // self._size[0] + 1)
            others = zip(self._array.shape[1:], self._size[1:], strict=True)
            yield from product(rows, *(range(-(-length // size)) for length, size in others))

    def _key(self, place: Place) -> str:
        key = self._array.metadata.encode_chunk_key(place)
        return f"{self._array.path}/{key}" if self._array.path else str(key)

    def _has(self, place: Place) -> bool:
        return self._is_there(self._key(place))


def _look_up(store: Any) -> Callable[[str], bool]:
    """Return what tells whether a store has a key, without reading it."""
    import zarr

    if isinstance(store, zarr.storage.LocalStore):
        return lambda key: (store.root / key).is_file()
    if isinstance(store, zarr.storage.ZipStore):
        with zipfile.ZipFile(store.path) as archive:
            names = frozenset(archive.namelist())
        return names.__contains__
    return lambda _: True


def check_compressed(arrays: Mapping[str, Any], chunks: Mapping[str, StoredChunks], *, minor: int, source: str) -> None:
    """Refuse a sparse matrix of which chunks are missing that cannot have been zeros.

    Parameters
    ----------
    arrays, chunks
        ``data``, ``indices`` and ``indptr``, and which of their chunks are there.
    minor
        Number of columns of a CSR matrix, of rows of a CSC matrix.
    source
        How the message names it.

    Raises
    ------
    ScinnError
        If values are missing; or indices or pointers, unless a chunk of zeros makes sense there: a single entry in each
        of some rows, in the first column, or rows in the beginning without any.
    """
    lost = {
        "data": bool(chunks["data"].missing),
        "indptr": any(_first_after(arrays["indptr"], stop) > minor for _, stop in chunks["indptr"].spans()),
        "indices": any(_most_in_a_row(arrays["indptr"], span) > 1 for span in chunks["indices"].spans()),
    }
    for part, is_lost in lost.items():
        if is_lost:
            count, there = len(chunks[part].missing), chunks[part].count
            refuse_missing(f"{source} is damaged: of its {part}", count, there)


def refuse_missing(what: str, count: int, there: int) -> None:
    """Refuse an array of which so many chunks are missing.

    Raises
    ------
    ScinnError
        In any case.
    """
    msg = f"{what}, {count:,} of {there:,} chunk(s) are missing. Copy or write the store again."
    raise ScinnError(msg)


def _first_after(pointers: Any, stop: int) -> int:
    return int(pointers[stop]) if stop < pointers.shape[0] else 0


def _most_in_a_row(pointers: Any, span: tuple[int, int]) -> int:
    """Return how many of the entries from one position to another are in one row, at most."""
    return int(np.diff(np.clip(pointers[0 : pointers.shape[0]], *span)).max(initial=0))
