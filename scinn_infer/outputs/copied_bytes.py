"""How much room what an input holds takes once it is copied, element by element: what is packed is not any more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.inputs.opening import open_anndata
from scinn_infer.outputs.csr import CHUNK_VALUES
from scinn_infer.outputs.extent import INDEX_BYTES, POINTER_BYTES
from scinn_infer.outputs.transfer import SPARSE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

AXES_OF_GENES = {"X": (1,), "layers": (1,), "var": (0,), "varm": (0,), "varp": (0, 1)}
"""Which axes of what an input holds are its genes."""

TEXT_BYTES = 48
"""What HDF5 takes for a text besides its letters, at most: where it is, how long, and what rounding up leaves empty."""

LOOKED_AT = 50
"""Texts at the beginning and at the end of a column whose length is looked at."""

ROOM_FOR_ELEMENT = 1 << 12
"""What an array or a group takes besides its values: 4 kB."""


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """Which axes of an element become shorter.

    Attributes
    ----------
    genes, kept
        How many genes the input has, and how many of them stay.
    axes
        Which axes are the genes.
    """

    genes: int
    kept: int
    axes: tuple[int, ...]

    def shape(self, shape: Iterable[int]) -> tuple[int, ...]:
        """Return what is left of a shape."""
        lengths = enumerate(int(length) for length in shape)
        return tuple(self.kept if axis in self.axes and length == self.genes else length for axis, length in lengths)


def copied_bytes(path: Path, genes: npt.NDArray[np.intp] | None, *, of: int) -> int:
    """Return what all that an ``.h5ad`` file or a zarr store holds takes in a copy, at most, in bytes; of text, about.

    Parameters
    ----------
    path
        The file or store.
    genes
        Which genes are copied; all if not given.
    of
        How many genes it has.
    """
    kept = of if genes is None else genes.size
    with naming_damage(str(path)), open_anndata(path) as root:
        return sum(
            _bytes(root[name], Narrowing(genes=of, kept=kept, axes=AXES_OF_GENES.get(name, ()))) for name in root
        )


def sparse_bytes(shape: tuple[int, ...], stored: int, itemsize: int) -> int:
    """Return what a sparse matrix (rows × columns) takes by rows, of which so many entries are stored at most."""
    entries = min(stored, math.prod(shape))
    in_chunks = -(-entries // CHUNK_VALUES) * CHUNK_VALUES
    return in_chunks * (itemsize + INDEX_BYTES) + (shape[0] + 1) * POINTER_BYTES + 4 * ROOM_FOR_ELEMENT


def text_bytes(count: int, some: Iterable[Any]) -> int:
    """Return what so many texts take, by the longest of some of them."""
    return count * (TEXT_BYTES + max((len(_encoded(text)) for text in some), default=0))


def _bytes(element: Any, narrowing: Narrowing) -> int:
    if not hasattr(element, "keys"):
        return ROOM_FOR_ELEMENT + _array_bytes(element, narrowing)
    if element.attrs.get("encoding-type") in SPARSE:
        shape, values = narrowing.shape(element.attrs["shape"]), element["data"]
        return sparse_bytes(shape, int(values.shape[0]), values.dtype.itemsize)
    return ROOM_FOR_ELEMENT + sum(_bytes(element[name], narrowing) for name in element)


def _array_bytes(array: Any, narrowing: Narrowing) -> int:
    if array.shape is None:  # HDF5's way to store nothing
        return 0
    count = math.prod(narrowing.shape(array.shape))
    dtype = np.dtype(array.dtype)
    rest = min(count, CHUNK_VALUES)  # of the last chunk, which is stored whole
    if dtype.kind in "OTSU":
        return text_bytes(count, _some_texts(array)) + rest if count else 0
    return (count + rest) * dtype.itemsize


def _some_texts(array: Any) -> Iterable[Any]:
    if not array.shape:
        return [array[()]]
    ends = (array[:LOOKED_AT], array[-LOOKED_AT:] if array.shape[0] > LOOKED_AT else array[:0])
    return (text for end in ends for text in np.asarray(end).ravel())


def _encoded(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()
