"""The models that come with scINN: the files are what the registry and the cards say, and do what they did."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
from cards import card, table
from recipes import LICENCE, MODELS, load_cells, read_recipes, unseen

import scinn_infer
from scinn_infer import ScinnError, store
from scinn_infer.registry import parse_registry

REPOSITORY = MODELS.parent
GOLDEN = Path(__file__).parent / "golden"
LARGEST = 8_000_000

ENTRIES = {entry.name: entry for entry in parse_registry((MODELS / "registry.json").read_bytes(), source="registry")}
RECIPES = read_recipes()


@pytest.fixture(params=list(ENTRIES))
def entry(request):
    return ENTRIES[request.param]


@pytest.fixture
def model(entry):
    return scinn_infer.load(MODELS / entry.file, threads=1)


def test_every_recipe_has_its_model_and_every_model_its_recipe():
    assert list(ENTRIES) == list(RECIPES)
    assert {path.stem for path in MODELS.glob("*/*.onnx")} == set(RECIPES)
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(RECIPES)


def test_the_registry_states_the_file(entry, model):
    content = (MODELS / entry.file).read_bytes()
    assert entry.sha256 == hashlib.sha256(content).hexdigest()
    assert entry.size == len(content) <= LARGEST
    assert (entry.unit, entry.genes) == (model.info.unit, len(model.genes))
    assert entry.cells == model.info.training_data.cells
    assert (entry.tissue, entry.species, entry.licence) == (model.info.tissue, model.info.species, model.info.licence)
    assert entry.licence == LICENCE
    assert entry.quality["hidden_entries"]["model"] == model.info.quality["masked_correlation"]
    assert all((entry.about, entry.platform, entry.data, entry.data_licence, entry.citation))


def test_the_file_is_portable_onnx(entry):
    file = onnx.load(MODELS / entry.file, load_external_data=False)
    onnx.checker.check_model(file, full_check=True)
    assert not file.functions
    assert {node.domain for node in file.graph.node} == {""}


def test_the_card_and_the_table_are_what_is_measured(entry, model):
    assert (MODELS / entry.card).read_text() == card(entry, RECIPES[entry.name], model.info)
    assert table(list(ENTRIES.values())) in (REPOSITORY / "docs" / "models.md").read_text()


def test_it_is_better_than_what_it_is_compared_with(entry):
    # What raw data is better in is said in the card; a model that predicts molecules worse than a mean is not shipped.
    for score in ("gene_by_gene", "cell_by_cell", "hidden_entries"):
        values = entry.quality[score]
        assert values.get("denoised", values.get("model")) > values["gene mean"]
    assert max(entry.quality["largest_difference_to_float32"].values()) < 5e-3


def test_the_name_is_the_file(entry, model, monkeypatch, tmp_path):
    monkeypatch.delenv("SCINN_MODELS", raising=False)
    monkeypatch.setenv("SCINN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert scinn_infer.load(entry.name, threads=1).sha256 == model.sha256
    assert not (tmp_path / "cache").exists()


def test_a_folder_of_the_same_name_is_not_the_model(entry, monkeypatch):
    monkeypatch.chdir(MODELS)
    assert store.resolve(entry.name) == MODELS / entry.file


def test_the_wheel_takes_them_along():
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken = {path for pattern in wheel["include"] for path in REPOSITORY.glob(pattern.removeprefix("/"))}
    assert {MODELS / "registry.json", *(MODELS / entry.file for entry in ENTRIES.values())} <= taken
    assert MODELS / "tiny.onnx" not in taken


def test_a_damaged_file_is_not_loaded(entry, monkeypatch, tmp_path):
    folder = tmp_path / "models"
    (folder / entry.file).parent.mkdir(parents=True)
    (folder / "registry.json").write_bytes((MODELS / "registry.json").read_bytes())
    content = bytearray((MODELS / entry.file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / entry.file).write_bytes(content)
    monkeypatch.setenv("SCINN_MODELS", str(folder))
    with pytest.raises(ScinnError, match="has the SHA-256"):
        scinn_infer.load(entry.name)


@pytest.mark.data
def test_cells_never_seen_become_what_they_became(entry, model, data_folder):
    golden = json.loads((GOLDEN / f"{entry.name}.json").read_text())
    recipe = RECIPES[entry.name]
    cells = load_cells(recipe)
    new = cells[unseen(recipe, cells)]
    assert golden["sha256"] == entry.sha256
    assert set(golden["cells"]) <= set(new.obs_names)
    batch = new[golden["cells"]].copy()
    for policy in ("keep", "denoise"):
        scinn_infer.impute(batch, model, policy=policy, key_added=policy)
        imputed = batch[:, golden["genes"]].layers[policy]
        np.testing.assert_allclose(imputed, np.array(golden[policy]), atol=1e-3, rtol=1e-4)
    raw = batch.X.toarray()
    assert (batch.layers["keep"][raw > 0] == raw[raw > 0]).all()
    assert model.info.training_data.cells == (~unseen(recipe, cells)).sum()
