"""Sparse matrices by rows (CSR) in anndata's layout, written some rows at a time into an HDF5 file or a zarr store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from scinn_infer.storage import Rows

CHUNK_VALUES = 1 << 18
"""Values of a chunk: 1 MB of float32."""

COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
"""Of HDF5, which every reader knows; zarr compresses by itself."""


def write_csr(
    group: Any,
    name: str,
    chunks: Iterable[Rows],
    *,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    compressed: bool = False,
) -> None:
    """Write a matrix (rows × columns) of which some rows come at a time; of dense rows, what is not zero.

    Parameters
    ----------
    group, name
        Where it goes.
    chunks
        The rows in order.
    shape, dtype
        The matrix's shape, and the type in which its values are stored.
    compressed
        Whether an HDF5 file is to hold it compressed.
    """
    writer = CsrWriter(create_csr(group, name, shape=shape, dtype=dtype, compressed=compressed), rows=shape[0])
    for chunk in chunks:
        writer.append(chunk)
    writer.finish()


def create_csr(group: Any, name: str, *, shape: tuple[int, int], dtype: np.dtype[Any], compressed: bool = False) -> Any:
    """Make an empty matrix, as :func:`write_csr` does, for a :class:`CsrWriter` to fill; return its group."""
    target = group.create_group(name)
    encode(target, "csr_matrix", "0.1.0")
    target.attrs["shape"] = list(shape)
    for part, kind in {"data": dtype, "indices": np.dtype(np.int32)}.items():
        create(target, part, (0,), kind, (CHUNK_VALUES,), compressed=compressed)
    return target


class CsrWriter:
    """Fills a matrix (rows × columns) some rows at a time, in whole chunks of values.

    Parameters
    ----------
    group
        The matrix, as :func:`create_csr` makes it.
    rows
        How many rows there will be.

    Attributes
    ----------
    row
        How many there are.
    pointers
        Where the entries of each of these begin and end (rows + 1,).
    """

    def __init__(self, group: Any, *, rows: int) -> None:
        self._group = group
        self.row, self.pointers = 0, np.zeros(rows + 1, np.int64)
        self._parts = {part: _Growing(group[part]) for part in ("data", "indices")}

    @property
    def written(self) -> int:
        """How many entries are stored; others wait until there is a chunk of them."""
        return self._parts["data"].written

    def go_on(self, entries: npt.NDArray[np.integer[Any]], *, row: int, written: int) -> None:
        """Take up what another has left.

        Parameters
        ----------
        entries
            How many entries each row has, of those that are known.
        row
            The row that comes next; its entries may be stored already.
        written
            How many entries are stored.
        """
        self.row = row
        self.pointers[1 : row + 1] = np.cumsum(entries[:row])
        for growing in self._parts.values():
            growing.go_on(written, first=int(self.pointers[row]))

    def append(self, chunk: Rows) -> None:
        """Add some rows; of dense ones, what is not zero."""
        rows = sparse.csr_array(chunk)
        self.pointers[self.row + 1 : self.row + 1 + rows.shape[0]] = self.pointers[self.row] + rows.indptr[1:]
        for part, growing in self._parts.items():
            growing.append(getattr(rows, part))
        self.row += rows.shape[0]

    def finish(self) -> None:
        """Store what waits, and where each row begins."""
        for growing in self._parts.values():
            growing.flush()
        pointers = self.pointers
        create(self._group, "indptr", pointers.shape, pointers.dtype, (min(len(pointers), CHUNK_VALUES),))[:] = pointers


class _Growing:
    """An array that is written in whole chunks, each once: one that is compressed would be packed anew each time."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._waiting: list[npt.NDArray[Any]] = []
        self._size = self._over = 0
        self.written = 0

    def go_on(self, written: int, *, first: int) -> None:
        """Pass over what comes from ``first`` on until what is written ends."""
        self.written, self._over = written, written - first

    def append(self, values: npt.NDArray[Any]) -> None:
        over = min(self._over, values.size)
        self._over -= over
        self._waiting.append(values[over:])
        self._size += values.size - over
        if self._size >= CHUNK_VALUES:
            self._write(self._size - self._size % CHUNK_VALUES)

    def flush(self) -> None:
        if self._size:
            self._write(self._size)

    def _write(self, count: int) -> None:
        values = np.concatenate(self._waiting)
        start, stop = self.written, self.written + count
        if self._array.shape[0] < stop:
            self._array.resize((stop,))
        self._array[start:stop] = values[:count]
        self._waiting, self._size, self.written = [values[count:].copy()], self._size - count, stop


def create(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...],
    *,
    compressed: bool = False,
) -> Any:
    """Make an array that can grow in its first dimension, in a group of an HDF5 file or a zarr store."""
    if hasattr(group, "create_array"):  # zarr
        return group.create_array(name, shape=shape, dtype=dtype, chunks=chunks)
    packing: dict[str, Any] = COMPRESSION if compressed else {}
    return group.create_dataset(name, shape=shape, dtype=dtype, chunks=chunks, maxshape=(None, *shape[1:]), **packing)


def encode(element: Any, kind: str, version: str) -> None:
    """Say of an element what it is, as anndata does."""
    element.attrs["encoding-type"] = kind
    element.attrs["encoding-version"] = version
