"""Write a copy of an ``.h5ad`` file with one more layer, in memory bounded by one block of rows."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.arguments import is_text
from scinn_infer.errors import ScinnError
from scinn_infer.h5ad_cells import contiguous
from scinn_infer.hdf5_write import open_to_write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.h5ad_cells import CellColumns
    from scinn_infer.outputs.addition import Addition

ROOM_FOR_NAMES = 1 << 20
"""What the new entries take besides the values, at most: 1 MB."""

CANNOT_RESERVE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems answer that cannot set room aside."""


def check_name(key: str) -> None:
    """Refuse what cannot be the name of a layer.

    Raises
    ------
    ScinnError
        If it cannot.
    """
    if not key or "/" in key or key.strip(".") == "" or not is_text(key):
        msg = f"{key!r} is no name for a layer."
        raise ScinnError(msg)


def check_free(root: Any, path: str | os.PathLike[str], key: str) -> None:
    """Refuse a name that is taken in a file or store of anndata's.

    Raises
    ------
    ScinnError
        If it has a layer or an entry of ``uns`` of that name.
    """
    for group in ("layers", "uns"):
        if group in root and key in root[group]:
            msg = f"{path} has {group}/{key} already. Choose another name for the result with --key-added."
            raise ScinnError(msg)


def bytes_needed(path: Path, cells: int, layer_bytes: int, columns: CellColumns | None = None) -> int:
    """Return how large the copy with its new layer and columns will be at most, in bytes."""
    return path.stat().st_size + layer_bytes + cells * (columns.bytes_per_cell if columns else 0) + ROOM_FOR_NAMES


def write_with_layer(
    path: Path,
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    addition: Addition,
) -> None:
    """Add a dense layer and what belongs to it to a copy of the input.

    The same input gives the same bytes: no times are stored.

    Parameters
    ----------
    path
        The copy.
    blocks
        The layer's rows in order, a block at a time (cells × genes).
    addition
        What is added.
    """
    extent, columns, recorder = addition.extent, addition.columns, addition.recorder
    _reserve(path, bytes_needed(path, extent.shape[0], extent.layer_bytes, columns))
    offset = _lay_out(path, addition)
    stored = extent.dtype.newbyteorder("<")
    # Straight into the file: when a disk is full, HDF5 keeps what it could not write, and crashes with it at exit.
    with path.open("r+b") as file:
        written = 0
        for block in blocks:
            file.seek(offset + written)
            written += file.write(np.ascontiguousarray(block, dtype=stored).data)
            if columns and recorder and (quality := recorder.drain()):
                columns.write(file, quality)
    if written != extent.layer_bytes:
        cells, genes = extent.shape
        msg = f"{path}: {written} bytes of layer {addition.key!r} were written, which is not {cells} × {genes} values."
        raise RuntimeError(msg)


def _reserve(path: Path, size: int) -> None:
    """Have the disk set room aside for a file to grow into, so that it runs out of it now or never."""
    if not hasattr(os, "posix_fallocate"):  # macOS and Windows
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in CANNOT_RESERVE:
                raise


def _lay_out(path: Path, addition: Addition) -> int:
    """Add everything but the values; return where in the file those of the layer belong."""
    extent = addition.extent
    with open_to_write(path, "r+") as (file, _):
        addition.write_record(file)
        layer = contiguous(file["layers"], addition.key, extent.shape, extent.dtype)
        if addition.columns is not None:
            addition.columns.lay_out(file, extent.shape[0])
        return int(layer.id.get_offset())
