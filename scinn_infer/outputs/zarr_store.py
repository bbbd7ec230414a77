"""Write a zarr store with what the input holds and one more layer, in memory bounded by one chunk of it."""

from __future__ import annotations

import shutil
import stat
import zipfile
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.inputs.zarr_store import folder_inside, import_zarr
from scinn_infer.outputs.filling import fill
from scinn_infer.outputs.zarr_cells import remove_cells, write_cells
from scinn_infer.outputs.zarr_layer import lay_out_layer, open_layer
from scinn_infer.unchanged import read_whole
from scinn_infer.wholefolder import flush, flush_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.h5ad_cells import CellColumns
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.outputs.addition import Addition
    from scinn_infer.outputs.extent import Extent
    from scinn_infer.outputs.unfinished import Unfinished
    from scinn_infer.outputs.zarr_layer import ZarrLayer
    from scinn_infer.unchanged import Lasting

NEW_FORMAT = 2
"""Format of a store that is made anew: the one that anndata writes unless asked."""

MOST_WAITING = 1 << 13
"""Cells whose quality is in memory, at most, but for those of a chunk of the layer."""


def zarr_bytes_needed(path: Path, extent: Extent, columns: CellColumns | None = None) -> int:
    """Return how large a store with the new layer will be at most, in bytes; of text, about."""
    files = path.rglob("*") if path.is_dir() else [path]
    there = sum(file.stat().st_size for file in files if file.is_file())
    return there + extent.layer_bytes + extent.shape[0] * (columns.bytes_per_cell if columns else 0)


def write_zarr_with_layer(
    unfinished: Unfinished,
    matrix: ExpressionMatrix,
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    addition: Addition,
    *,
    lasting: Lasting,
) -> None:
    """Write a store with everything that the input holds, and what is added to it.

    A zarr store is copied file by file, so that it stays as it is; anything else, and what has only some of its genes,
    becomes a store of zarr format 2.

    Parameters
    ----------
    unfinished
        The folder to make, or to go on with. What is reached meanwhile is kept there.
    matrix
        The input (cells × genes).
    blocks
        The layer's rows in order, a block at a time (cells × genes), from the cell on that ``unfinished`` says.
    addition
        What is added.
    lasting
        The input as it was before it was opened.

    Raises
    ------
    ScinnError
        If the input has changed.
    """
    zarr = import_zarr("writing")
    path, before = unfinished.path, unfinished.before
    key, extent = addition.key, addition.extent
    columns, recorder = addition.columns, addition.recorder
    with read_whole(lasting):
        consolidated = before["consolidated"] if before else _lay_out(path, matrix, addition)
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    layer = open_layer(root["layers"], key, extent, path)
    if before:
        layer.go_on(unfinished)
        if columns:
            remove_cells(path, columns)
    on_disk = layer.written

    def keep() -> None:
        nonlocal on_disk
        flush_files(layer.files(on_disk))
        on_disk = layer.written
        whole = {"first": np.array(layer.first()), "written": np.array(on_disk), "consolidated": np.array(consolidated)}
        if recorder:
            whole |= recorder.profile.arrays()
        unfinished.reached.add(layer.by_cell() | (recorder.by_cell() if recorder else {}))
        unfinished.reached.keep(whole)

    for _ in layer.write(blocks):
        if recorder and recorder.waiting >= MOST_WAITING:
            unfinished.reached.add(recorder.by_cell())
        if layer.written > on_disk and unfinished.reached.is_due():
            keep()
    keep()
    if columns:
        write_cells(root, columns, unfinished.reached, cells=extent.shape[0])
    if consolidated:  # otherwise what was added would be left out of the list
        zarr.consolidate_metadata(path, zarr_format=root.metadata.zarr_format)
    _flush_rest(path, layer)


def written_blocks(
    unfinished: Unfinished, *, key: str, extent: Extent, rows: int
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield what an earlier run has written of the layer, with the position of the first of so many rows each."""
    root = import_zarr("writing").open_group(unfinished.path, mode="r", use_consolidated=False)
    layer = open_layer(root["layers"], key, extent, unfinished.path)
    layer.go_on(unfinished)
    for start in range(0, unfinished.first, rows):
        yield start, layer.rows(start, min(start + rows, unfinished.first))


def _lay_out(path: Path, matrix: ExpressionMatrix, addition: Addition) -> bool:
    """Make the store but for what is not known yet; return whether it has a list of all that is in it."""
    zarr = import_zarr("writing")
    extent = addition.extent
    if recognise(matrix.path) is Format.ZARR and extent.genes is None:
        _copy_store(matrix.path, path)
        consolidated = _is_consolidated(zarr, path)
        root = zarr.open_group(path, mode="r+", use_consolidated=False)
    else:
        consolidated = True  # as anndata does
        root = zarr.open_group(path, mode="w", zarr_format=NEW_FORMAT)
        fill(root, matrix, temporary_folder=path.parent, genes=extent.genes)
    addition.write_record(root)
    lay_out_layer(root["layers"], addition.key, extent)
    flush(path)
    return consolidated


def _flush_rest(path: Path, layer: ZarrLayer) -> None:
    """Flush what was written at last: the copy of the input and whole chunks of the layer are on the disk already."""
    columns = (file for group in ("obs", "obsm") for file in (path / group).rglob("*"))
    flush_files(file for file in chain(path.iterdir(), columns, layer.rest()) if file.is_file())


def _copy_store(source: Path, path: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, path, copy_function=shutil.copyfile)
        for folder in (path, *(entry for entry in path.rglob("*") if entry.is_dir())):
            folder.chmod(folder.stat().st_mode | stat.S_IRWXU)  # the input may be one that nobody may write to
        return
    inside = folder_inside(source)
    with zipfile.ZipFile(source) as archive:
        if not inside:
            archive.extractall(path)
            return
        unpacked = path.with_name(f"{path.name}.part")
        try:
            archive.extractall(unpacked)
            (unpacked / inside).rename(path)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)


def _is_consolidated(zarr: Any, path: Path) -> bool:
    try:
        zarr.open_group(path, mode="r", use_consolidated=True)
    except ValueError:
        return False
    return True
