"""How a matrix lies in an HDF5 file or a zarr store, dense, CSR or CSC, and how its rows are read from there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

import numpy as np
from scipy import sparse

from scinn_infer.batch import sample_spans
from scinn_infer.csc import RowBuckets
from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.held_rows import HeldRows
from scinn_infer.unchanged import watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    import h5py
    import numpy.typing as npt

    Rows: TypeAlias = npt.NDArray[Any] | sparse.csr_array

POINTERS_AT_A_TIME = 1 << 17
"""How many row or column pointers are checked at once: 1 MB."""


class Storage(Protocol):
    """What a matrix is (rows × columns), and its rows, however it is stored."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    storage: str

    @property
    def stored(self) -> int:
        """Number of stored entries."""

    def rows(self, start: int, stop: int) -> Rows:
        """Return the rows ``start`` to ``stop``."""

    def close(self) -> None:
        """Drop what was made for reading."""


class StoredRows(ABC):
    """How the rows of a matrix in a file are handed out, whatever the file is; a context manager.

    Attributes
    ----------
    source
        How messages name the matrix.
    shape
        Number of cells and genes.
    """

    source: str
    shape: tuple[int, int]
    _storage: Storage

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the file, and drop temporary ones."""

    def rows(self, start: int, stop: int) -> Rows:
        """Return the cells ``start`` to ``stop`` (cells × genes), as stored: a CSR array or a dense one.

        Raises
        ------
        ScinnError
            If the file is damaged there.
        """
        with naming_damage(self.source):
            return self._storage.rows(start, stop)

    def chunks(self, batch_size: int, *, start: int = 0) -> Iterator[Rows]:
        """Yield all cells from ``start`` on, ``batch_size`` at a time (cells × genes); memory is bounded by that.

        Raises
        ------
        ScinnError
            If the file is damaged.
        """
        for first in range(start, self.shape[0], batch_size):
            yield self.rows(first, min(first + batch_size, self.shape[0]))

    def sample(self) -> Iterator[tuple[int, Rows]]:
        """Yield some cells from all over the matrix (cells × genes), with the position of the first of each few.

        Raises
        ------
        ScinnError
            If the file is damaged there.
        """
        for start, stop in sample_spans(self.shape[0]):
            yield start, self.rows(start, stop)


def open_storage(element: h5py.Group | h5py.Dataset, *, source: str, temporary_folder: Path) -> Storage:
    """Return the storage of one element of an HDF5 file or a zarr store, in anndata's encoding.

    Raises
    ------
    ScinnError
        If it is no matrix of numbers, contradicts itself, or is compressed with what is not installed.
    """
    encoding = element.attrs.get("encoding-type", "")
    if encoding == "csr_matrix":
        return _watched(_Csr(_Compressed(element, element.attrs["shape"], source, major=0)), element, source)
    if encoding == "csc_matrix":
        compressed = _Compressed(element, element.attrs["shape"], source, major=1)
        return _watched(_Csc(compressed, temporary_folder), element, source)
    if hasattr(element, "shape") and len(element.shape) == 2:
        return _watched(_Dense(element, source), element, source)
    msg = f"{source} is stored as {encoding or 'something else'!r}, not as a dense, CSR or CSC matrix."
    raise ScinnError(msg)


def open_csr(group: h5py.Group, shape: tuple[int, int], *, source: str) -> Storage:
    """Return the storage of the three arrays of a CSR matrix (rows × columns), whose shape is known from elsewhere.

    Raises
    ------
    ScinnError
        As :func:`open_storage`.
    """
    return _watched(_Csr(_Compressed(group, shape, source, major=0)), group, source)


def _watched(storage: Storage, element: h5py.Group | h5py.Dataset, source: str) -> Storage:
    return watched(storage, element.file, source=source) if hasattr(element, "id") else storage


class _Dense:
    storage = "dense"

    def __init__(self, dataset: h5py.Dataset, source: str) -> None:
        self._dataset = unpacked_once(dataset, source)
        self.shape = (int(dataset.shape[0]), int(dataset.shape[1]))
        self.dtype = working_dtype(dataset.dtype, source)
        self.stored = self.shape[0] * self.shape[1]

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        return np.asarray(self._dataset[start:stop], dtype=self.dtype)

    def close(self) -> None:
        pass


class _Csr:
    storage = "csr"

    def __init__(self, compressed: _Compressed) -> None:
        self._compressed = compressed
        self.shape, self.dtype, self.stored = compressed.shape, compressed.dtype, compressed.stored

    def rows(self, start: int, stop: int) -> sparse.csr_array:
        pointers = self._compressed.pointers(start, stop + 1)
        first, last = int(pointers[0]), int(pointers[-1])
        entries = self._compressed.values(first, last), self._compressed.indices(first, last), pointers - first
        return sparse.csr_array(entries, shape=(stop - start, self.shape[1]))

    def close(self) -> None:
        pass


class _Csc:
    storage = "csc"

    def __init__(self, compressed: _Compressed, folder: Path) -> None:
        self._compressed = compressed
        self._folder = folder
        self._buckets: RowBuckets | None = None
        self.shape, self.dtype, self.stored = compressed.shape, compressed.dtype, compressed.stored

    def rows(self, start: int, stop: int) -> sparse.csr_array:
        if self._buckets is None:
            self._buckets = RowBuckets(self._compressed, folder=self._folder)
        return self._buckets.rows(start, stop)

    def close(self) -> None:
        if self._buckets is not None:
            self._buckets.close()


class _Compressed:
    """The three arrays of a CSR (``major`` 0) or CSC (``major`` 1) matrix, checked as they are read.

    scipy's compiled routines trust pointers and indices: a wrong one reads or writes outside of their arrays.
    """

    def __init__(self, group: h5py.Group, shape: Sequence[int], source: str, *, major: int) -> None:
        self._source = source
        self._values, self._indices, self._pointers = (
            unpacked_once(group[name], source) for name in ("data", "indices", "indptr")
        )
        rows, columns = shape
        self.shape = (int(rows), int(columns))
        self.dtype = working_dtype(self._values.dtype, source)
        self.stored = int(self._values.shape[0])
        self._minor = self.shape[1 - major]
        self._check(self._indices.shape == self._values.shape, "it has not as many indices as values")
        self._check(self._pointers.shape == (self.shape[major] + 1,), "its indptr has the wrong length")
        self._check(
            self._indices.dtype.kind in "iu" and self._pointers.dtype.kind in "iu", "its indices are no integers"
        )
        self._check_pointers()

    def columns(self, start: int, stop: int) -> npt.NDArray[np.integer[Any]]:
        """Return the column of each entry of a CSC matrix."""
        return np.searchsorted(self._all_pointers[1:], np.arange(start, stop), side="right")

    @cached_property
    def _all_pointers(self) -> npt.NDArray[np.int64]:
        return self.pointers(0, self._pointers.shape[0])

    def pointers(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        return np.asarray(self._pointers[start:stop], dtype=np.int64)

    def indices(self, start: int, stop: int) -> npt.NDArray[np.integer[Any]]:
        indices = self._indices[start:stop]
        self._check(not indices.size or 0 <= indices.min() <= indices.max() < self._minor, "an index is out of range")
        return np.asarray(indices, dtype=np.int32)

    def values(self, start: int, stop: int) -> npt.NDArray[Any]:
        return np.asarray(self._values[start:stop], dtype=self.dtype)

    def _check_pointers(self) -> None:
        before = 0
        count = self._pointers.shape[0]
        self._check(
            int(self._pointers[0]) == 0 and int(self._pointers[-1]) == self.stored,
            "its indptr does not span the values",
        )
        for start in range(0, count, POINTERS_AT_A_TIME):
            pointers = self.pointers(start, min(start + POINTERS_AT_A_TIME, count))
            self._check(before <= pointers[0] and bool((np.diff(pointers) >= 0).all()), "its indptr is not ascending")
            before = int(pointers[-1])

    def _check(self, holds: bool, problem: str) -> None:
        if not holds:
            msg = f"{self._source} is damaged: {problem}. Copy or write the file again."
            raise ScinnError(msg)


def working_dtype(stored: np.dtype[Any], source: str) -> np.dtype[Any]:
    """Return the native type for stored values; scipy has no sparse matrices of half precision."""
    if stored.kind == "b":
        return np.dtype(np.uint8)
    if stored.kind not in "iuf" or stored.itemsize > 8:
        msg = f"{source} holds values of type {stored}, not numbers of up to 64 bits."
        raise ScinnError(msg)
    return np.dtype(np.float32) if stored.itemsize == 2 and stored.kind == "f" else stored.newbyteorder("=")


def unpacked_once(dataset: h5py.Dataset, source: str) -> Any:
    """Return what reads an array of an HDF5 file along its first axis, and unpacks each chunk once on the way.

    HDF5 by itself keeps so little of what it has unpacked that rows of wide chunks would be unpacked with each read.

    Raises
    ------
    ScinnError
        If it is compressed with what is not installed.
    """
    if not hasattr(dataset, "id"):  # zarr's are such already
        return dataset
    check_filters(dataset, source)
    return _Unpacked(dataset)


def unpacked_together(dataset: h5py.Dataset, *, axis: int = 0) -> int:
    """Return how many rows of an array of an HDF5 file are unpacked together, or columns (``axis`` 1)."""
    is_packed = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
    return int(dataset.chunks[axis]) if is_packed else 1


class _Unpacked:
    """An array of an HDF5 file, compressed or not."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self.shape, self.dtype = dataset.shape, dataset.dtype
        chunk = unpacked_together(dataset)
        self._held = HeldRows(lambda *rows: dataset[slice(*rows)], shape=self.shape, dtype=self.dtype, chunk=chunk)

    def __getitem__(self, key: int | slice) -> Any:
        return self._held.rows(*key.indices(self.shape[0])[:2]) if isinstance(key, slice) else self._dataset[key]


def check_filters(dataset: h5py.Dataset, source: str) -> None:
    """Refuse a compression that HDF5 has no plugin for; hdf5plugin brings the usual ones, where it is installed."""
    if not hasattr(dataset, "id"):  # zarr brings its own
        return
    import h5py

    settings = dataset.id.get_create_plist()
    for code, _, _, name in (settings.get_filter(number) for number in range(settings.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            with suppress(ImportError):
                import_module("hdf5plugin")  # registers its filters
        if not h5py.h5z.filter_avail(code):
            msg = f"{source} is compressed with {name.decode(errors='replace') or code}: pip install hdf5plugin"
            raise ScinnError(msg)
