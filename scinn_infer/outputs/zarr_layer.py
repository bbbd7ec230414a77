"""A layer in a zarr store, written a whole chunk at a time, so that another run can go on after the last one.

What comes in are the blocks of the streaming core, and a run that goes on begins with a whole one: where a chunk begins
within a block, the rows before it are computed once more and passed over. So each cell goes through the network in the
same place of the same block, whether the run was stopped or not.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scinn_infer.going_on import rows_after
from scinn_infer.outputs.csr import CsrWriter, create_csr
from scinn_infer.outputs.transfer import create_dense
from scinn_infer.stream import BLOCK, reblock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.outputs.extent import Extent
    from scinn_infer.outputs.unfinished import Unfinished

    Blocks = Iterable[npt.NDArray[np.floating[Any]]]

METADATA = {".zarray", ".zattrs", ".zgroup", "zarr.json"}


class ZarrLayer(Protocol):
    """A layer (cells × genes) while it is written."""

    @property
    def written(self) -> int:
        """How much is stored in whole chunks: rows of a dense layer, entries of a sparse one, cells of none."""

    def go_on(self, unfinished: Unfinished) -> None:
        """Take up what another run has left, by what it kept of :meth:`first`, ``written`` and :meth:`by_cell`."""

    def write(self, blocks: Blocks) -> Iterator[None]:
        """Write all blocks, from the cell :meth:`first` on, and pause after each."""

    def first(self) -> int:
        """Return the cell, the first of a block, from which on another run has to compute."""

    def by_cell(self) -> dict[str, npt.NDArray[Any]]:
        """Return what another run has to know of the rows since the last call, by name."""

    def files(self, start: int) -> Iterator[Path]:
        """Yield the files with what was written after ``start``."""

    def rest(self) -> Iterator[Path]:
        """Yield the files that were written at the end and hold none of that."""

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return rows that are written."""


def lay_out_layer(layers: Any, key: str, extent: Extent) -> None:
    """Make the layer, still empty, if there is to be one."""
    if extent.matrix:
        (create_csr if extent.sparse else create_dense)(layers, key, shape=extent.shape, dtype=extent.dtype)


def open_layer(layers: Any, key: str, extent: Extent, store: Path) -> ZarrLayer:
    """Return a layer that :func:`lay_out_layer` has made, to be written."""
    if not extent.matrix:
        return _NoLayer(extent.shape)
    return (_CsrLayer if extent.sparse else _DenseLayer)(layers[key], extent.shape, store)


class _DenseLayer:
    def __init__(self, array: Any, shape: tuple[int, int], store: Path) -> None:
        self._array, self._cells, self._store = array, shape[0], store
        self.written = 0

    def go_on(self, unfinished: Unfinished) -> None:
        self.written = int(unfinished.before["written"])
        _remove_others(self._store / self._array.path, set(self.files(0)))

    def write(self, blocks: Blocks) -> Iterator[None]:
        chunks: Any = reblock(rows_after(blocks, self.written - self.first()), self._array.chunks[0])
        for chunk in chunks:
            stop = self.written + len(chunk)
            self._array[self.written : stop] = chunk
            self.written = stop
            yield
        _check_rows(self.written, self._cells)

    def first(self) -> int:
        return _block_of(self.written, self._cells)

    def by_cell(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def files(self, start: int) -> Iterator[Path]:
        return _chunk_files(self._store, self._array, start, self.written)

    def rest(self) -> Iterator[Path]:
        return iter(())

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        return np.asarray(self._array[start:stop])


class _CsrLayer:
    def __init__(self, group: Any, shape: tuple[int, int], store: Path) -> None:
        self._group, self._cells, self._genes, self._store = group, *shape, store
        self._writer = CsrWriter(group, rows=self._cells)
        self._kept = 0

    @property
    def written(self) -> int:
        return self._writer.written

    def go_on(self, unfinished: Unfinished) -> None:
        entries = np.concatenate([*unfinished.reached.by_cell("entries")])
        self._kept = entries.size
        self._writer.go_on(entries, row=unfinished.first, written=int(unfinished.before["written"]))
        folder = self._store / self._group.path
        _remove_others(folder, set(self.files(0)))
        shutil.rmtree(folder / "indptr", ignore_errors=True)  # which is written once the rest is

    def write(self, blocks: Blocks) -> Iterator[None]:
        for block in blocks:
            self._writer.append(block)
            yield
        _check_rows(self._writer.row, self._cells)
        self._writer.finish()
        yield

    def first(self) -> int:
        begun = self._writer.pointers[: self._writer.row + 1]
        return _block_of(int(np.searchsorted(begun, self.written, side="right")) - 1, self._cells)

    def by_cell(self) -> dict[str, npt.NDArray[Any]]:
        entries = np.diff(self._writer.pointers[self._kept : self._writer.row + 1])
        self._kept = max(self._kept, self._writer.row)
        return {"entries": entries}

    def files(self, start: int) -> Iterator[Path]:
        for part in ("data", "indices"):
            yield from _chunk_files(self._store, self._group[part], start, self.written)

    def rest(self) -> Iterator[Path]:
        folder = self._store / self._group.path
        for part in ("data", "indices"):  # which have grown
            yield from (folder / part / name for name in METADATA)
        yield from (folder / "indptr").rglob("*")

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        pointers = self._writer.pointers[start : stop + 1]
        span = slice(int(pointers[0]), int(pointers[-1]))
        rows = np.zeros((stop - start, self._genes), self._group["data"].dtype)
        rows[np.repeat(np.arange(stop - start), np.diff(pointers)), self._group["indices"][span]] = self._group["data"][
            span
        ]
        return rows


class _NoLayer:
    """What is written where there is no layer: nothing, while the quality of the cells is found out."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._cells = shape[0]
        self.written = 0

    def go_on(self, unfinished: Unfinished) -> None:
        self.written = unfinished.first

    def write(self, blocks: Blocks) -> Iterator[None]:
        for block in blocks:
            self.written += len(block)
            yield
        _check_rows(self.written, self._cells)

    def first(self) -> int:
        return _block_of(self.written, self._cells)

    def by_cell(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def files(self, start: int) -> Iterator[Path]:  # noqa: ARG002 - there are none
        return iter(())

    def rest(self) -> Iterator[Path]:
        return iter(())

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        return np.empty((stop - start, 0), np.float32)


def _block_of(cell: int, cells: int) -> int:
    """Return the first cell of the block that a cell is in; of the last block, where all are done."""
    return min(cell, cells - 1) // BLOCK * BLOCK


def _check_rows(found: int, cells: int) -> None:
    if found != cells:
        msg = f"{found} rows of the layer were written, not {cells}."
        raise RuntimeError(msg)


def _chunk_files(store: Path, array: Any, start: int, stop: int) -> Iterator[Path]:
    """Yield the files of the chunks along the first axis from one place to another."""
    length = array.chunks[0]
    for number in range(start // length, -(-stop // length)):
        yield store / array.path / array.metadata.encode_chunk_key((number,) + (0,) * (array.ndim - 1))


def _remove_others(folder: Path, chunks: set[Path]) -> None:
    """Remove what was begun after the last chunk that counts: half a file would otherwise be read, or stay."""
    found = (entry for entry in folder.rglob("*") if entry.name not in METADATA and entry not in chunks)
    for file in [entry for entry in found if entry.is_file()]:
        file.unlink()
