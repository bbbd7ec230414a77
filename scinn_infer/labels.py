"""The known types of a file's cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    import os

    import numpy.typing as npt


def read_labels(path: str | os.PathLike[str], column: str) -> npt.NDArray[Any]:
    """Return a column of ``obs`` of an ``.h5ad`` file or a zarr store (cells,).

    Raises
    ------
    ScinnError
        If there is no such column; the message lists those that there are.
    """
    from anndata.io import read_elem

    from scinn_infer.inputs.opening import open_anndata
    from scinn_infer.inputs.recognise import Format, recognise

    kind = recognise(Path(path))
    if kind not in {Format.H5AD, Format.ZARR}:
        msg = f"{path} is {kind.value}, which holds no types of its cells: leave --labels out."
        raise ScinnError(msg)
    try:
        with open_anndata(Path(path)) as root:
            obs = read_elem(root["obs"])
    except Exception as error:  # h5py and anndata raise all sorts of things over a damaged table
        msg = f"{path}: obs cannot be read ({str(error).splitlines()[0]}). Write the file again."
        raise ScinnError(msg) from error
    if column not in obs:
        columns = f"has the columns: {', '.join(map(str, obs.columns))}" if len(obs.columns) else "has no columns"
        msg = f"{path}: there is no column {column!r} in obs; it {columns}. Name one with --labels."
        raise ScinnError(msg)
    return np.asarray(obs[column], dtype=object)
