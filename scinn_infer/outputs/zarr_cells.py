"""The quality of cells in a zarr store, from what was kept of it on the way: one chunk of it is in memory at a time."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from scinn_infer.h5ad_cells import VALUE_DTYPE
from scinn_infer.outputs.transfer import rows_of_chunk, write_dense
from scinn_infer.stream import reblock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from scinn_infer.h5ad_cells import CellColumns
    from scinn_infer.outputs.reached import Reached

ZARR_TEMPORARY = "*.partial"
"""What zarr calls a file until it is whole."""


def write_cells(root: Any, columns: CellColumns, reached: Reached, *, cells: int) -> None:
    """Write what is known of each cell into ``obs`` and ``obsm``, as anndata would.

    Parameters
    ----------
    root
        The store's root, a zarr group.
    columns
        What is written of each cell.
    reached
        Where it was kept, for so many ``cells``.
    """
    from anndata.io import write_elem

    places, obs = columns.places, root["obs"]
    for name, place in places.obs.items():
        parts = reached.by_cell(name)
        if name == "cluster":
            codes, dtype = _add_categories(obs, place, columns.info.clusters)
            _write(codes, "codes", parts, shape=(cells,), dtype=dtype)
        else:
            _write(obs, place, parts, shape=(cells,), dtype=VALUE_DTYPE)
    others = [name for name in obs.attrs.get("column-order", ()) if name not in places.obs.values()]
    obs.attrs["column-order"] = [*others, *places.obs.values()]
    if "obsm" not in root:
        write_elem(root, "obsm", {})
    for name, place in places.obsm.items():
        _write(root["obsm"], place, reached.by_cell(name), shape=(cells, columns.widths[name]), dtype=VALUE_DTYPE)


def remove_cells(path: Path, columns: CellColumns) -> None:
    """Remove from a store what a run that was killed at its very end had begun to write."""
    places = columns.places
    for group, names in (("obs", places.obs), ("obsm", places.obsm)):
        for name in names.values():
            shutil.rmtree(path / group / name, ignore_errors=True)
    for folder in (path, path / "obs", path / "obsm"):
        for file in folder.glob(ZARR_TEMPORARY):
            file.unlink()


def _write(
    group: Any, name: str, parts: Iterable[npt.NDArray[Any]], *, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Write an array in whole chunks, so that its bytes do not depend on when something was kept."""
    chunks: Any = reblock(parts, rows_of_chunk(shape))
    write_dense(group, name, chunks, shape=shape, dtype=dtype)


def _add_categories(obs: Any, name: str, clusters: int) -> tuple[Any, np.dtype[Any]]:
    """Add a categorical column without codes; return its group, and the type of code that anndata stores."""
    import pandas as pd
    from anndata.io import write_elem

    nothing = pd.Categorical([], categories=[str(number) for number in range(clusters)])
    write_elem(obs, name, nothing)
    del obs[name]["codes"]
    return obs[name], nothing.codes.dtype
