"""Write a copy of an ``.h5ad`` file with one more layer that is sparse, or with none, in bounded memory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from scinn_infer.hdf5_write import open_to_write
from scinn_infer.outputs.csr import write_csr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import h5py
    import numpy as np
    import numpy.typing as npt

    from scinn_infer.cell_quality import QualityRecorder
    from scinn_infer.h5ad_cells import CellColumns
    from scinn_infer.hdf5_write import Written
    from scinn_infer.outputs.extent import Extent


def write_through_hdf5(
    path: Path,
    source: Path,
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    *,
    key: str,
    extent: Extent,
    provenance: Mapping[str, Any],
    columns: CellColumns | None = None,
    recorder: QualityRecorder | None = None,
) -> None:
    """Copy ``source`` with everything in it, then add ``layers[key]`` if there is to be one, and ``uns[key]``.

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
    extent
        What is written.
    provenance
        How the layer was made: the record in ``uns``.
    columns, recorder
        Where the quality of the cells goes, and what is told it while the blocks are made; None leaves it out.

    Raises
    ------
    OSError
        If the disk is full.
    """
    from anndata.io import write_elem

    shutil.copyfile(source, path)
    with open_to_write(path, "r+") as (file, written):
        for group in ("layers", "uns"):
            if group not in file:
                write_elem(file, group, {})
        write_elem(file["uns"], key, dict(provenance))
        if columns is not None:
            columns.lay_out(file, extent.shape[0])
        rows = _seen(blocks, file, written, columns, recorder)
        if extent.matrix:
            write_csr(file["layers"], key, rows, shape=extent.shape, dtype=extent.dtype, compressed=True)
        else:
            for _ in rows:
                pass


def _seen(
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    file: h5py.File,
    written: Written,
    columns: CellColumns | None,
    recorder: QualityRecorder | None,
) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """Pass the blocks on, while there is room, and write the quality of their cells."""
    for block in blocks:
        written.check()
        yield block
        if columns and recorder and (quality := recorder.drain()):
            columns.write_open(file, quality)
