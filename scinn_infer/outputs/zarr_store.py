"""Write a zarr store with what the input holds and one more layer, in memory bounded by one chunk of it."""

from __future__ import annotations

import shutil
import stat
import zipfile
from typing import TYPE_CHECKING, Any

from scinn_infer.cell_quality import Places
from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.inputs.zarr_store import folder_inside, import_zarr
from scinn_infer.outputs.csr import write_csr
from scinn_infer.outputs.transfer import fill, rows_of_chunk, write_dense
from scinn_infer.stream import reblock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from scinn_infer.cell_quality import CellQuality, QualityRecorder
    from scinn_infer.h5ad_cells import CellColumns
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.outputs.extent import Extent

NEW_FORMAT = 2
"""Format of a store that is made anew: the one that anndata writes unless asked."""


def zarr_bytes_needed(path: Path, extent: Extent, columns: CellColumns | None = None) -> int:
    """Return how large a store with the new layer will be at most, in bytes; of text, about."""
    files = path.rglob("*") if path.is_dir() else [path]
    there = sum(file.stat().st_size for file in files if file.is_file())
    return there + extent.layer_bytes + extent.shape[0] * (columns.bytes_per_cell if columns else 0)


def write_zarr_with_layer(
    path: Path,
    matrix: ExpressionMatrix,
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    *,
    key: str,
    extent: Extent,
    provenance: Mapping[str, Any],
    recorder: QualityRecorder | None = None,
) -> None:
    """Write a store with everything that the input holds, ``layers[key]`` and ``uns[key]``.

    A zarr store is copied file by file, so that it stays as it is; anything else, and what has only some of its genes,
    becomes a store of zarr format 2.

    Parameters
    ----------
    path
        The folder to make.
    matrix
        The input (cells × genes).
    blocks
        The layer's rows in order, a block at a time (cells × genes).
    key
        Name of the layer and of its record in ``uns``; not taken.
    extent
        What is written.
    provenance
        How the layer was made: the record in ``uns``.
    recorder
        Is told the quality of the cells while the blocks are made, and keeps it until they are; None leaves it out.
    """
    from anndata.io import write_elem

    zarr = import_zarr("writing")
    if recognise(matrix.path) is Format.ZARR and extent.genes is None:
        _copy_store(matrix.path, path)
        consolidated = _is_consolidated(zarr, path)
        root = zarr.open_group(path, mode="r+", use_consolidated=False)
    else:
        consolidated = True  # as anndata does
        root = zarr.open_group(path, mode="w", zarr_format=NEW_FORMAT)
        fill(root, matrix, temporary_folder=path.parent, genes=extent.genes)
    for group in ("layers", "uns"):
        if group not in root:
            write_elem(root, group, {})
    write_elem(root["uns"], key, dict(provenance))
    if not extent.matrix:
        for _ in blocks:
            pass
    elif extent.sparse:
        write_csr(root["layers"], key, blocks, shape=extent.shape, dtype=extent.dtype)
    else:
        chunks: Any = reblock(blocks, rows_of_chunk(extent.shape))
        write_dense(root["layers"], key, chunks, shape=extent.shape, dtype=extent.dtype)
    if recorder and (quality := recorder.drain()):
        _write_quality(root, key, quality)
    if consolidated:  # otherwise what was added would be left out of the list
        zarr.consolidate_metadata(path, zarr_format=root.metadata.zarr_format)


def _write_quality(root: Any, key: str, quality: CellQuality) -> None:
    import pandas as pd
    from anndata.io import write_elem

    places, columns, obs = Places.under(key), quality.columns(), root["obs"]
    categories = [str(number) for number in range(quality.cluster_probability.shape[1])]
    columns["cluster"] = pd.Categorical.from_codes(columns["cluster"], categories=categories)
    there = {name: place for name, place in places.obs.items() if name in columns}
    for name, place in there.items():
        write_elem(obs, place, columns[name])
    obs.attrs["column-order"] = [*obs.attrs.get("column-order", ()), *there.values()]
    if "obsm" not in root:
        write_elem(root, "obsm", {})
    for name, place in places.obsm.items():
        write_elem(root["obsm"], place, columns[name])


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
        unpacked = path.with_name(f"{path.name}.zip")
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
