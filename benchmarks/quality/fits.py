"""Fits of scINN: each is made once, kept as a model file in the cache, and applied as often as it is asked for."""

from __future__ import annotations

import fcntl
import hashlib
import pickle
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import scinn_infer
import scinn_train
from quality.tasks import CACHE
from scinn_infer.errors import ScinnWarning
from scinn_infer.wholefile import whole_file
from scinn_train.capture import find_capture
from scinn_train.config import Module2Config
from scinn_train.expression import Expression
from scinn_train.module1 import map_cells
from scinn_train.neighbourhood import mean_expression
from scinn_train.normalise import Normalisation, depth, log1p
from scinn_train.provenance import stored_sha256
from scinn_train.reference import prepare
from scinn_train.scale import NetworkScale
from scinn_train.similarity import Similarity

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from quality.data import Dataset
    from scinn_train import Config
    from scinn_train.capture import Capture
    from scinn_train.module1 import CellMap

    Array = npt.NDArray[np.float32]

SOURCES = b"".join(path.read_bytes() for path in sorted(Path(scinn_train.__file__).parent.glob("*.py")))
"""The training code as it was when this process started: other code makes other models."""


def config(train: Dataset, *, seed: int, preset: str = "default", **changes: Any) -> Config:
    """Return a configuration for a dataset: a preset on one thread of the CPU, for the dataset's unit."""
    return scinn_train.Config.preset(preset, unit=train.unit, seed=seed, threads=1, device="cpu", **changes)


def fit(train: Dataset, config: Config) -> Path:
    """Return the model file of a fit; it is made if the same code has not made it of the same cells before.

    Module 1, which takes most of the time, is run once for all configurations that agree in it.
    """
    path = CACHE / "models" / f"{train.name}-{digest(train, config, SOURCES)}.onnx"
    with _locked(path):
        if not path.exists():
            found = cell_map(train, config)
            with _quiet():
                scinn_train.fit(train.X, train.genes, config=config, source=train.name, cell_map=found).export(path)
    return path


def cell_map(train: Dataset, config: Config) -> CellMap:
    """Return what module 1 finds of the cells with any expression; run unless the same code has run it before."""
    ensemble = replace(config, module1=replace(config.module1, whole_ensemble=True), module2=Module2Config())
    path = CACHE / "cell_maps" / f"{train.name}-{digest(train, ensemble, SOURCES)}.pkl"
    with _locked(path):
        if not path.exists():
            reference = prepare(train.X, train.genes, config=ensemble, source=train.name)
            normalisation = Normalisation.from_depths(reference.depth, unit=ensemble.unit)
            found = map_cells(
                reference.X.map(normalisation.normalise).map(log1p),
                config=ensemble.module1,
                clusters=ensemble.clusters,
                seed=ensemble.seed,
                device=torch.device(ensemble.device),
            )
            with whole_file(path) as temporary:
                temporary.write_bytes(pickle.dumps(found))
        found = pickle.loads(path.read_bytes())
    return found if config.module1.whole_ensemble else replace(found, similarity=Similarity([found.latent]))


def apply(model: Path, cells: Dataset, policy: str) -> Array:
    """Impute cells with a model file (cells × genes).

    Parameters
    ----------
    model
        The file.
    cells
        In the model's unit.
    policy
        ``"keep"``: non-zeros as they are. ``"denoise"``: the model's values at the non-zeros as well.
    """
    with _quiet():
        return scinn_infer.load(model, threads=1).impute(cells.X, cells.genes, policy=policy)


def neighbourhood_mean(cells: Dataset, *, seed: int) -> Array:
    """Return the mean depth-normalised expression of each cell's module-1 neighbours (cells × genes)."""
    chosen = config(cells, seed=seed)
    reference = prepare(cells.X, cells.genes, config=chosen, source=cells.name)
    normalisation = Normalisation.from_depths(reference.depth, unit=cells.unit)
    neighbours = cell_map(cells, chosen).similarity.neighbours(chosen.module2.neighbours, seed=seed)
    everyone = Expression.held(normalisation.normalise(cells.X[reference.cells]))
    values = np.zeros(cells.X.shape, dtype=np.float32)
    values[reference.cells] = mean_expression(everyone, neighbours).toarray()
    return values


def counting(train: Dataset, cells: Dataset) -> tuple[Array, Capture]:
    """Return the size factors of some cells (cells,) and how they were counted, as a fit on others finds them."""
    chosen = config(train, seed=0)
    reference = prepare(train.X, train.genes, config=chosen, source=train.name)
    normalisation = Normalisation.from_depths(reference.depth, unit=train.unit)
    scale = NetworkScale.from_cells(reference.X.map(normalisation.normalise))
    in_model = np.isin(cells.genes, reference.genes)
    return normalisation.size_factors(depth(cells.X[:, in_model])), find_capture(scale.molecule, chosen)


def digest(dataset: Dataset, *what: object) -> str:
    """Return a short digest of the expression and of whatever else decides a result."""
    parts = [stored_sha256(Expression.held(dataset.X), dataset.genes), *map(repr, what)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time make a file, so that another that needs it waits rather than makes it too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what scINN says of data that is known, such as cells without expression, out of the progress lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScinnWarning)
        yield
