"""The known types of a file's cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    import os

    import numpy.typing as npt


def read_labels(path: str | os.PathLike[str], column: str) -> npt.NDArray[Any]:
    """Return a column of ``obs`` of an ``.h5ad`` file (cells,).

    Raises
    ------
    ScinnError
        If there is no such column; the message lists those that there are.
    """
    import h5py
    from anndata.io import read_elem

    try:
        with h5py.File(path) as file:
            obs = read_elem(file["obs"])
    except Exception as error:  # h5py and anndata raise all sorts of things over a damaged table
        msg = f"{path}: obs cannot be read ({str(error).splitlines()[0]}). Write the file again."
        raise ScinnError(msg) from error
    if column not in obs:
        columns = f"has the columns: {', '.join(map(str, obs.columns))}" if len(obs.columns) else "has no columns"
        msg = f"{path}: there is no column {column!r} in obs; it {columns}. Name one with --labels."
        raise ScinnError(msg)
    return np.asarray(obs[column], dtype=object)
