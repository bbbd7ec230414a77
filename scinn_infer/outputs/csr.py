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
    target = group.create_group(name)
    encode(target, "csr_matrix", "0.1.0")
    target.attrs["shape"] = list(shape)
    pointers = np.zeros(shape[0] + 1, np.int64)
    kinds = {"data": dtype, "indices": np.dtype(np.int32)}
    parts = {
        part: _Growing(create(target, part, (0,), kind, (CHUNK_VALUES,), compressed=compressed))
        for part, kind in kinds.items()
    }
    row = stored = 0
    for chunk in chunks:
        rows = sparse.csr_array(chunk)
        pointers[row + 1 : row + 1 + rows.shape[0]] = stored + rows.indptr[1:]
        for part, growing in parts.items():
            growing.append(getattr(rows, part))
        row, stored = row + rows.shape[0], stored + rows.nnz
    for growing in parts.values():
        growing.flush()
    create(target, "indptr", pointers.shape, pointers.dtype, (min(len(pointers), CHUNK_VALUES),))[:] = pointers


class _Growing:
    """An array that is written in whole chunks, each once: one that is compressed would be packed anew each time."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._waiting: list[npt.NDArray[Any]] = []
        self._size = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        self._waiting.append(values)
        self._size += values.size
        if self._size >= CHUNK_VALUES:
            self._write(self._size - self._size % CHUNK_VALUES)

    def flush(self) -> None:
        if self._size:
            self._write(self._size)

    def _write(self, count: int) -> None:
        values = np.concatenate(self._waiting)
        start = self._array.shape[0]
        self._array.resize((start + count,))
        self._array[start : start + count] = values[:count]
        self._waiting, self._size = [values[count:].copy()], self._size - count


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
