"""Write AnnData objects as ``.h5ad``, whole or not at all."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    import os

    from anndata import AnnData


def write_h5ad(adata: AnnData, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a compressed ``.h5ad`` file.

    Its content is made in memory: HDF5 crashes the process when a disk fills up under it.

    Parameters
    ----------
    adata
        What to write.
    path
        The file.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    ScinnError
        If the file cannot be written; what was there before is unchanged then.
    """
    import h5py
    from anndata.io import write_elem

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        write_elem(file, "/", adata, dataset_kwargs={"compression": "gzip"})
    with whole_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content.getbuffer())
