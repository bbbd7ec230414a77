"""The quality of cells in an ``.h5ad`` file: laid out in ``obs`` and ``obsm`` before it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from scinn_infer.cell_quality import NO_CLUSTER, CellQuality, Places
from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from scinn_infer.contract import ModelInfo

BYTES_PER_NUMBER = 4
CLUSTER_DTYPE = np.dtype("<i2")
VALUE_DTYPE = np.dtype("<f4")


@dataclass
class CellColumns:
    """What is written of each cell, and where in the file that belongs once it is laid out.

    Attributes
    ----------
    key
        Name of the result, from which those of the columns follow.
    info
        What the model says about itself.
    width
        Width of the embedding.
    """

    key: str
    info: ModelInfo
    width: int

    def __post_init__(self) -> None:
        self._offsets: dict[str, int] = {}
        self._written = 0

    @property
    def places(self) -> Places:
        """Where what the model can tell of a cell belongs in ``obs`` and ``obsm``."""
        places = Places.under(self.key)
        if self.info.cell_reference is None:
            del places.obs["drift"]
        return places

    @property
    def widths(self) -> dict[str, int]:
        """How wide what belongs in ``obsm`` is, by name."""
        return {"cluster_probability": self.info.clusters, "embedding": self.width}

    @property
    def bytes_per_cell(self) -> int:
        """What a cell takes in the file, at most."""
        return BYTES_PER_NUMBER * (3 + self.info.clusters + self.width)

    def lay_out(self, file: h5py.File, cells: int) -> None:
        """Add everything but the values to a file that is open for writing."""
        from anndata.io import write_elem

        if "obsm" not in file:
            write_elem(file, "obsm", {})
        places, obs = self.places, file["obs"]
        self._offsets = {
            name: _categories(obs, place, cells, self.info.clusters)
            if name == "cluster"
            else _array(obs, place, (cells,), VALUE_DTYPE)
            for name, place in places.obs.items()
        }
        for name, place in places.obsm.items():
            self._offsets[name] = _array(file["obsm"], place, (cells, self.widths[name]), VALUE_DTYPE)
        order = [name.decode() if isinstance(name, bytes) else str(name) for name in obs.attrs.get("column-order", ())]
        obs.attrs["column-order"] = np.array([*order, *places.obs.values()], dtype=_text_dtype())

    def write(self, file: BinaryIO, quality: CellQuality) -> None:
        """Write the next cells into the file, which is open without HDF5."""
        for name, values in quality.columns().items():
            stored = np.ascontiguousarray(values, dtype=CLUSTER_DTYPE if name == "cluster" else VALUE_DTYPE)
            file.seek(self._offsets[name] + self._written * (stored.nbytes // len(quality)))
            file.write(stored.data)
        self._written += len(quality)

    def write_open(self, file: h5py.File, quality: CellQuality) -> None:
        """Write the next cells into the file, which is open with HDF5."""
        places = Places.under(self.key)
        for name, values in quality.columns().items():
            element = file["obs"][places.obs[name]] if name in places.obs else file["obsm"][places.obsm[name]]
            array = element["codes"] if name == "cluster" else element
            array[self._written : self._written + len(quality)] = values
        self._written += len(quality)


def quality_in(root: Any, key: str) -> CellQuality:
    """Return what was written of the cells, but for what is wide: probabilities and embedding have no columns."""
    places, obs = Places.under(key), root["obs"]
    cluster = np.asarray(obs[places.obs["cluster"]]["codes"][:], dtype=np.int32)
    nothing = np.empty((cluster.size, 0), dtype=np.float32)
    return CellQuality(
        cluster=cluster,
        confidence=obs[places.obs["confidence"]][:],
        drift=obs[places.obs["drift"]][:] if places.obs["drift"] in obs else None,
        cluster_probability=nothing,
        embedding=nothing,
    )


def check_free_places(root: Any, path: str | Path, key: str) -> None:
    """Refuse a name for the results from which a name follows that is taken in a file or store of anndata's.

    Raises
    ------
    ScinnError
        If it has such a column of ``obs``, or such an entry of ``obsm``.
    """
    places = Places.under(key)
    for group, names in (("obs", places.obs.values()), ("obsm", places.obsm.values())):
        taken = [name for name in names if group in root and name in root[group]]
        if taken:
            msg = (
                f"{path} has {group}/{taken[0]} already. Choose another name for the result with --key-added, or "
                "leave the quality of the cells out with --no-quality."
            )
            raise ScinnError(msg)


def _categories(obs: h5py.Group, name: str, cells: int, clusters: int) -> int:
    """Add a categorical column; return where its codes belong. A cell without cluster has the code -1."""
    from anndata.io import write_elem

    assert NO_CLUSTER == -1  # what the format has for a missing value
    group = obs.create_group(name)
    group.attrs["encoding-type"] = "categorical"
    group.attrs["encoding-version"] = "0.2.0"
    group.attrs["ordered"] = False
    write_elem(group, "categories", np.array([str(number) for number in range(clusters)], dtype=object))
    return _array(group, "codes", (cells,), CLUSTER_DTYPE)


def _array(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    array = contiguous(group, name, shape, dtype)
    return int(array.id.get_offset())


def contiguous(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """Make an array in anndata's encoding that lies in one piece, and has its place in the file at once."""
    import h5py

    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    settings.set_obj_track_times(False)
    stored = h5py.h5t.py_create(dtype.newbyteorder("<"))
    space = h5py.h5s.create_simple(shape)
    array = h5py.Dataset(h5py.h5d.create(group.id, name.encode(), stored, space, settings))
    array.attrs["encoding-type"] = "array"
    array.attrs["encoding-version"] = "0.2.0"
    return array


def _text_dtype() -> Any:
    import h5py

    return h5py.string_dtype()
