"""What the shipped models are made from: ``recipes.toml``, the cells that it names, and those that are kept unseen."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt

from scinn_train import datasets
from scinn_train.datasets.download import MIRROR_VARIABLE

MODELS = Path(__file__).parent
LICENCE = "BSD-3-Clause"

RANDOM = "random"
HELD_OUT_SHARE = 0.3
SEED = 0

DATA_FOLDER = MODELS.parents[1] / "shared" / "datasets"
"""Where the data is if ``SCINN_DATA_MIRROR`` names no other folder; if neither is there, it is downloaded."""


@dataclass(frozen=True)
class Recipe:
    """One model.

    Attributes
    ----------
    name, version, about, tissue, species, platform, citation, data, data_licence
        As the registry states them (``scinn_infer.registry.ModelEntry``).
    dataset
        Name of the dataset: in the catalogue, or a prepared file.
    hold_out
        The batch that is kept unseen, or ``"random"`` for three in ten of the cells with each label.
    held_out_is
        The same in words.
    purpose, limits, not_for
        What the card says of them.
    """

    name: str
    version: int
    about: str
    tissue: str
    species: str
    platform: str
    dataset: str
    hold_out: str
    held_out_is: str
    purpose: str
    limits: list[str]
    not_for: list[str]
    data: str = ""
    data_licence: str = ""
    citation: str = ""

    @property
    def file(self) -> str:
        """The model file, within the folder of the models."""
        return f"{self.name}/{self.name}.onnx"

    @property
    def card(self) -> str:
        """The model card, within the folder of the models."""
        return f"{self.name}/README.md"


def read_recipes() -> dict[str, Recipe]:
    """Return the recipe of every shipped model, by name."""
    tables = tomllib.loads((MODELS / "recipes.toml").read_text(encoding="utf-8"))
    return {name: _with_catalogue(Recipe(name=name, **fields)) for name, fields in tables.items()}


def _with_catalogue(recipe: Recipe) -> Recipe:
    """Take from the catalogue what it says of the data."""
    if recipe.data:
        return recipe
    entry = datasets.CATALOGUE[recipe.dataset]
    licence = f"{entry.licence}, as the repository states that it was taken from"
    return replace(recipe, data=f"{recipe.dataset}: {entry.holds}", data_licence=licence, citation=entry.citation)


def load_cells(recipe: Recipe) -> anndata.AnnData:
    """Return all cells of a recipe's dataset, downloaded if need be; ``X`` holds counts (cells × genes)."""
    if recipe.dataset in datasets.CATALOGUE:
        if DATA_FOLDER.is_dir():
            os.environ.setdefault(MIRROR_VARIABLE, str(DATA_FOLDER))
        return datasets.load(recipe.dataset, progress=True)
    folder = Path(os.environ.get(MIRROR_VARIABLE, DATA_FOLDER))
    path = folder / "prepared" / f"{recipe.dataset}.h5ad"
    if not path.exists():
        msg = (
            f"{recipe.dataset} is not in the download catalogue: {path} is needed. {MIRROR_VARIABLE} names its folder."
        )
        raise SystemExit(msg)
    return anndata.read_h5ad(path)


def unseen(recipe: Recipe, cells: anndata.AnnData) -> npt.NDArray[np.bool_]:
    """Return which cells are kept from the training (cells,)."""
    if recipe.hold_out != RANDOM:
        return np.asarray(cells.obs["batch"] == recipe.hold_out)
    held = np.zeros(cells.n_obs, dtype=bool)
    random = np.random.default_rng(SEED)
    for rows in cells.obs.groupby("label", observed=True).indices.values():
        held[random.choice(rows, round(len(rows) * HELD_OUT_SHARE), replace=False)] = True
    return held
