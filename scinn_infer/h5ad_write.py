"""Write a copy of an ``.h5ad`` file with one more layer, in memory bounded by one block of rows."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_infer.h5ad_cells import contiguous
from scinn_infer.hdf5_write import open_to_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.cell_quality import QualityRecorder
    from scinn_infer.h5ad_cells import CellColumns

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
    if not key or "/" in key or key.strip(".") == "":
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
    source: Path,
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    *,
    key: str,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    provenance: Mapping[str, Any],
    columns: CellColumns | None = None,
    recorder: QualityRecorder | None = None,
) -> None:
    """Copy ``source`` with everything in it, then add ``layers[key]`` and ``uns[key]``.

    The same input gives the same bytes: no times are stored.

    Parameters
    ----------
    path
        Where the copy goes; what is there is lost.
    source
        The ``.h5ad`` file to copy.
    blocks
        The layer's rows in order, a block at a time (cells × genes).
    key
        Name of the layer and of its record in ``uns``; not taken.
    shape, dtype
        The layer's number of cells and genes, and its precision.
    provenance
        How the layer was made: the record in ``uns``.
    columns, recorder
        Where the quality of the cells goes, and what is told it while the blocks are made; None leaves it out.
    """
    shutil.copyfile(source, path)
    _reserve(path, bytes_needed(source, shape[0], shape[0] * shape[1] * dtype.itemsize, columns))
    offset = _lay_out(path, key, shape, dtype, provenance, columns)
    stored = dtype.newbyteorder("<")
    # Straight into the file: when a disk is full, HDF5 keeps what it could not write, and crashes with it at exit.
    with path.open("r+b") as file:
        written = 0
        for block in blocks:
            file.seek(offset + written)
            written += file.write(np.ascontiguousarray(block, dtype=stored).data)
            if columns and recorder and (quality := recorder.drain()):
                columns.write(file, quality)
    if written != shape[0] * shape[1] * dtype.itemsize:
        msg = f"{path}: {written} bytes of layer {key!r} were written, which is not {shape[0]} × {shape[1]} values."
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


def _lay_out(
    path: Path,
    key: str,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    provenance: Mapping[str, Any],
    columns: CellColumns | None,
) -> int:
    """Add everything but the values; return where in the file those of the layer belong."""
    from anndata.io import write_elem

    with open_to_write(path, "r+") as (file, _):
        for group in ("layers", "uns"):
            if group not in file:
                write_elem(file, group, {})
        write_elem(file["uns"], key, dict(provenance))
        layer = contiguous(file["layers"], key, shape, dtype)
        if columns is not None:
            columns.lay_out(file, shape[0])
        return int(layer.id.get_offset())
