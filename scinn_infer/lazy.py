"""Matrices that an AnnData object refers to without holding them in memory: backed by a file, or of dask."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scinn_infer.batch import sample_spans
from scinn_infer.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scinn_infer.checks import Matrix

ROWS_READ = 384
"""Rows that are read together where nothing else is said: each access to a file has its cost."""


@dataclass(frozen=True, kw_only=True)
class LazyMatrix:
    """A matrix (cells × genes) whose rows are had when they are asked for.

    Attributes
    ----------
    shape, dtype
        Of the matrix.
    bounds
        Rows at which it is best cut, from 0 to the number of cells.
    rows
        Returns the rows from one to before another (cells × genes).
    close
        Drops what was made for reading.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    bounds: tuple[int, ...]
    rows: Callable[[int, int], Matrix]
    close: Callable[[], None] = lambda: None

    def chunks(self) -> Iterator[Matrix]:
        """Yield all rows, some at a time (cells × genes)."""
        for start, stop in pairwise(self.bounds):
            yield self.rows(start, stop)

    def sample(self) -> Iterator[tuple[int, Matrix]]:
        """Yield some rows from all over the matrix (cells × genes), with the position of the first of each few."""
        for start, stop in sample_spans(self.shape[0]):
            yield start, self.rows(start, stop)


def as_lazy(X: Any, *, source: str) -> LazyMatrix | None:
    """Return a matrix that is not in memory as one whose rows can be asked for, and None for any other.

    Parameters
    ----------
    X
        What an AnnData object holds as ``X`` or as a layer.
    source
        How messages name it.

    Raises
    ------
    ScinnError
        If it is in a file that is damaged.
    """
    if isinstance(X, np.ndarray | sparse.sparray | sparse.spmatrix) or len(getattr(X, "shape", ())) != 2:
        return None
    if hasattr(X, "compute") and hasattr(X, "chunks"):  # dask, also of what anndata reads lazily
        bounds = tuple(int(bound) for bound in np.cumsum((0, *X.chunks[0])))
        return _lazy(X, bounds, lambda start, stop: X[start:stop].compute())
    element = getattr(X, "group", X)
    if type(element).__module__.startswith("h5py"):
        storage = open_storage(element, source=source, temporary_folder=Path(tempfile.gettempdir()))
        return replace(_lazy(storage, _even_bounds(X.shape[0]), storage.rows), close=storage.close)
    if type(element).__module__.startswith("zarr"):
        if getattr(X, "format", "") == "csc":  # its rows are scattered over the whole store
            X = X.to_memory().tocsr()
        return _lazy(X, _even_bounds(X.shape[0]), lambda start, stop: X[start:stop])
    return None


def _lazy(X: Any, bounds: tuple[int, ...], rows: Callable[[int, int], Matrix]) -> LazyMatrix:
    return LazyMatrix(shape=(int(X.shape[0]), int(X.shape[1])), dtype=np.dtype(X.dtype), bounds=bounds, rows=rows)


def _even_bounds(cells: int) -> tuple[int, ...]:
    return (*range(0, cells, ROWS_READ), cells)
