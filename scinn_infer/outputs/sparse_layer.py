"""Write a copy of an ``.h5ad`` file with one more layer that is sparse, or with none, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scinn_infer.hdf5_write import open_to_write
from scinn_infer.outputs.csr import write_csr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import h5py
    import numpy as np
    import numpy.typing as npt

    from scinn_infer.hdf5_write import Written
    from scinn_infer.outputs.addition import Addition


def write_through_hdf5(
    path: Path,
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    addition: Addition,
) -> None:
    """Add a sparse layer, if there is to be one, and what belongs to it to a copy of the input.

    Parameters
    ----------
    path
        The copy.
    blocks
        The layer's rows in order, a block at a time (cells × genes).
    addition
        What is added.

    Raises
    ------
    OSError
        If the disk is full.
    """
    extent = addition.extent
    with open_to_write(path, "r+") as (file, written):
        addition.write_record(file)
        if addition.columns is not None:
            addition.columns.lay_out(file, extent.shape[0])
        rows = _seen(blocks, file, written, addition)
        if extent.matrix:
            write_csr(file["layers"], addition.key, rows, shape=extent.shape, dtype=extent.dtype, compressed=True)
        else:
            for _ in rows:
                pass


def _seen(
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    file: h5py.File,
    written: Written,
    addition: Addition,
) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """Pass the blocks on, while there is room, and write the quality of their cells."""
    columns, recorder = addition.columns, addition.recorder
    for block in blocks:
        written.check()
        yield block
        if columns and recorder and (quality := recorder.drain()):
            columns.write_open(file, quality)
