"""Make the shipped models: train, measure on unseen cells, write file, registry, card and golden values.

    python models/build.py                    # all of them
    python models/build.py human-pancreas     # one or some
    python models/build.py --texts            # no training: write anew what recipes.toml says

The same data and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads, as scinn-train does

import numpy as np
from cards import card, with_table
from recipes import LICENCE, MODELS, SEED, Recipe, load_cells, read_recipes, unseen
from unseen import measure

import scinn_infer
import scinn_train
from scinn_infer.registry import REGISTRY_VERSION, ModelEntry, parse_registry

if TYPE_CHECKING:
    import anndata

REGISTRY = MODELS / "registry.json"
PAGE = MODELS.parent / "docs" / "models.md"
GOLDEN = MODELS.parent / "tests" / "models" / "golden"
GOLDEN_CELLS, GOLDEN_GENES = 6, 30


def main() -> None:
    """Build what the command line asks for."""
    recipes = read_recipes()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(recipes)}; all if none is given")
    parser.add_argument("--texts", action="store_true", help="train nothing, write the texts")
    options = parser.parse_args()
    if unknown := set(options.names) - set(recipes):
        parser.error(f"there is no recipe for {', '.join(sorted(unknown))}")
    for name in [] if options.texts else options.names or recipes:
        build(recipes[name])
    write_texts()


def build(recipe: Recipe) -> None:
    """Train one model, and write everything that follows from it but its card."""
    cells = load_cells(recipe)
    held = unseen(recipe, cells)
    seen, new = cells[~held].copy(), cells[held].copy()
    print(f"{recipe.name}: {seen.n_obs} cells to train on, {new.n_obs} unseen", flush=True)
    config = scinn_train.Config(
        seed=SEED, threads=1, device="cpu", tissue=recipe.tissue, species=recipe.species, licence=LICENCE
    )
    result = scinn_train.fit(seen, config=config, progress=True)
    path = MODELS / recipe.file
    path.parent.mkdir(exist_ok=True)
    result.export(path, weights="float16", overwrite=True)
    model = scinn_infer.load(path, threads=1)
    with TemporaryDirectory() as folder:
        result.export(Path(folder) / "whole.onnx")
        quality = measure(model, scinn_infer.load(Path(folder) / "whole.onnx", threads=1), seen, new)
    write_golden(recipe.name, model, new)
    write_registry(entry_of(recipe, model, path.stat().st_size, quality))
    print(f"{recipe.name}: {path.stat().st_size / 1e6:.1f} MB", *(f"{k}: {v}" for k, v in quality.items()), sep="\n  ")


def entry_of(recipe: Recipe, model: scinn_infer.Model, size: int, quality: dict[str, dict[str, float]]) -> ModelEntry:
    """Return what the registry says of a model."""
    return ModelEntry(
        **said(recipe),
        sha256=model.sha256,
        size=size,
        unit=model.info.unit,
        cells=model.info.training_data.cells,
        genes=len(model.genes),
        licence=LICENCE,
        quality=quality,
    )


def said(recipe: Recipe) -> dict[str, Any]:
    """Return what the registry takes from a recipe."""
    texts = ("about", "tissue", "species", "platform", "data", "data_licence", "citation")
    return {key: getattr(recipe, key) for key in ("name", "version", "file", "card", *texts)}


def write_registry(*changed: ModelEntry) -> None:
    """Put entries into the registry; models without a recipe are dropped from it."""
    entries = {entry.name: entry for entry in (*read_registry(), *changed)}
    models = [asdict(entries[name]) | {"url": entries[name].url or None} for name in read_recipes() if name in entries]
    _write_json(REGISTRY, {"version": REGISTRY_VERSION, "models": models})


def read_registry() -> tuple[ModelEntry, ...]:
    """Return the entries that are there already."""
    return parse_registry(REGISTRY.read_bytes(), source=str(REGISTRY)) if REGISTRY.exists() else ()


def write_texts() -> None:
    """Write what the recipes say into the registry, then the cards, and the table in the documentation."""
    recipes = read_recipes()
    write_registry(*(replace(entry, **said(recipes[entry.name])) for entry in read_registry() if entry.name in recipes))
    entries = read_registry()
    for entry in entries:
        info = scinn_infer.load(MODELS / entry.file, threads=1).info
        (MODELS / entry.card).write_text(card(entry, recipes[entry.name], info), encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), entries), encoding="utf-8")


def write_golden(name: str, model: scinn_infer.Model, new: anndata.AnnData) -> None:
    """Write what the model makes of a few values of unseen cells: whoever applies it later has to get the same."""
    rows = np.linspace(0, new.n_obs - 1, GOLDEN_CELLS).astype(int)
    by_mean = np.argsort(-np.array(model.info.training_data.gene_mean), kind="stable")
    genes = [model.genes[gene] for gene in by_mean[np.linspace(0, len(by_mean) // 4, GOLDEN_GENES).astype(int)]]
    columns = new.var_names.get_indexer(genes)
    golden: dict[str, Any] = {"sha256": model.sha256, "cells": list(new.obs_names[rows]), "genes": genes}
    for policy in ("keep", "denoise"):
        values = model.impute(new.X[rows], new.var_names, policy=policy)[:, columns]
        golden[policy] = [[float(f"{value:.6g}") for value in row] for row in values]
    GOLDEN.mkdir(parents=True, exist_ok=True)
    _write_json(GOLDEN / f"{name}.json", golden)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
