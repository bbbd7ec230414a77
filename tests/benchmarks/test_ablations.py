"""Each variant changes what its name says, and nothing else: the name is all that a reader has to go by."""

import re
from dataclasses import asdict, fields

import numpy as np
import pytest
from quality import ablations
from quality.tasks import Options, Task
from scipy import sparse

from scinn_train import Config
from scinn_train.config import LossWeights, Module2Config

DEFAULT = Config.preset("default")
WEIGHTS, MODULE2 = asdict(DEFAULT.module2.weights), asdict(DEFAULT.module2)
FACTORS = {"off": 0, "× ¼": 0.25, "× 4": 4}
OTHERS = {
    "": {},
    "no capture efficiency": {"module2.capture_efficiency": None},
    "capture efficiency 0.1": {"module2.capture_efficiency": 0.1},
    "capture efficiency 0.2": {"module2.capture_efficiency": 0.2},
    "k × ½": {},
    "k × 1½": {},
    "no gene filter": {"module1.filtered_genes": 10**9},
    "ensemble of one latent": {"module1.networks": 1, "module1.snapshots": 1},
    "similarity of the best latent of nine": {"module1.whole_ensemble": False},
    "trained on 50 % of the cells": {},
    "trained on 50 % of the depth": {},
    "trained on other cells": {},
    "trained on other cells, sequenced deeply": {},
}


@pytest.fixture
def fitted(planted, monkeypatch):
    """Run variants without a fit; return what each would have been fitted on and applied to, and its configuration."""
    seen = {}
    monkeypatch.setattr(ablations.data, "load", lambda name, *, quick: planted)
    monkeypatch.setattr(ablations.fits, "fit", lambda train, config: seen.update(train=train, config=config))
    monkeypatch.setattr(ablations.fits, "cell_map", lambda train, config: type("Map", (), {"clusters": np.arange(6)}))
    monkeypatch.setattr(
        ablations.fits, "apply", lambda model, cells, policy: seen.update(cells=cells) or cells.X.toarray() + 1
    )

    def run(variant, seed=0):
        records = ablations.run(Task("ablations", "planted", "scINN", seed, variant=variant))
        return records, seen

    return run


@pytest.mark.parametrize("name", ablations.VARIANTS)
def test_it_changes_exactly_what_it_says(name):
    assert changed(ablations.VARIANTS[name].change(DEFAULT)) == said(name)


@pytest.mark.parametrize("name", ablations.VARIANTS)
def test_it_changes_one_thing_of_the_default_or_of_the_cells(name):
    variant = ablations.VARIANTS[name]
    differs = (
        bool(changed(variant.change(DEFAULT))),
        variant.clusters is not None,
        variant.divide is not ablations.everything,
    )
    assert sum(differs) == (name != "")


def test_what_a_reader_is_told_of_each_is_plain_and_of_that_one_alone():
    told = [ablations.in_words(name) for name in ablations.VARIANTS]
    assert len({*told}) == len(told)
    assert not [words for words in told if "_" in words or words.startswith("k ")]
    assert ablations.in_words("of an older record") == "of an older record"


def test_every_loss_term_of_the_default_is_varied():
    terms = [field.name for field in fields(LossWeights) if WEIGHTS[field.name]]
    assert terms
    assert {f"{term} term {label}" for term in terms for label in FACTORS} <= {*ablations.VARIANTS}


def test_the_latents_of_the_default_are_nine():
    assert DEFAULT.module1.whole_ensemble
    assert DEFAULT.module1.networks * DEFAULT.module1.snapshots == 9


def test_the_change_is_made_to_the_configuration_that_is_given():
    """A fit has its own seed, unit and threads; a variant must not put the default's in their place."""
    given = Config.preset("default", unit="fpkm", seed=7, threads=1, device="cpu")
    for name, variant in ablations.VARIANTS.items():
        result = variant.change(given)
        assert (result.unit, result.seed, result.threads, result.device) == ("fpkm", 7, 1, "cpu"), name


@pytest.mark.parametrize(
    "name", [name for name, variant in ablations.VARIANTS.items() if variant.change(DEFAULT) != DEFAULT]
)
def test_what_is_fitted_is_the_changed_default(fitted, planted, name):
    records, seen = fitted(name, seed=3)
    assert changed(seen["config"], since=Config.preset("default", seed=3, threads=1, device="cpu")) == said(name)
    assert seen["train"] is seen["cells"] is planted
    assert [(entry["variant"], entry["policy"], entry["seed"]) for entry in records] == [
        (name, "keep", 3),
        (name, "denoise", 3),
    ]


def test_clusters_are_too_few_and_too_many_by_half(fitted, monkeypatch):
    assert fitted("")[1]["config"].clusters is None
    assert fitted("k × ½")[1]["config"].clusters == 3
    assert fitted("k × 1½")[1]["config"].clusters == 9
    monkeypatch.setattr(ablations.fits, "cell_map", lambda train, config: type("Map", (), {"clusters": np.arange(2)}))
    assert fitted("k × ½")[1]["config"].clusters == 2  # fewer are none
    assert fitted("k × 1½")[1]["config"].clusters == 3


def test_half_of_the_cells_are_trained_on_and_all_imputed(fitted, planted):
    seen = fitted("trained on 50 % of the cells")[1]
    assert seen["cells"] is planted
    assert seen["train"].X.shape == (45, 80)
    assert rows_of(seen["train"].X) < rows_of(planted.X)


def test_half_of_the_depth_is_trained_on_and_all_of_it_imputed(fitted, planted):
    seen = fitted("trained on 50 % of the depth")[1]
    assert seen["cells"] is planted
    assert seen["train"].X.shape == planted.X.shape
    assert seen["train"].X.sum() == pytest.approx(0.5 * planted.X.sum(), rel=0.03)
    assert ((planted.X - seen["train"].X).data >= 0).all()


def test_other_cells_are_trained_on_than_imputed_shallow_or_deep(fitted, planted):
    shallow = dict(fitted("trained on other cells")[1])
    deep = dict(fitted("trained on other cells, sequenced deeply")[1])
    assert not rows_of(shallow["train"].X) & rows_of(shallow["cells"].X)
    assert rows_of(shallow["train"].X) | rows_of(shallow["cells"].X) == rows_of(planted.X)
    assert rows_of(deep["train"].X) == rows_of(shallow["train"].reference)  # the same cells
    assert rows_of(deep["cells"].X) == rows_of(shallow["cells"].X)


def test_each_seed_draws_other_halves(fitted):
    first, other = (rows_of(fitted("trained on 50 % of the cells", seed)[1]["train"].X) for seed in (0, 1))
    assert first != other


def test_there_is_a_task_for_every_variant_where_it_makes_sense():
    tasks = ablations.tasks(Options(seeds=(0, 1)))
    keys = {(task.dataset, task.variant, task.seed) for task in tasks}
    assert len(keys) == len(tasks)
    assert {variant for _, variant, _ in keys} == {*ablations.VARIANTS}
    assert {(dataset, "", seed) for dataset, _, seed in keys} >= {
        (dataset, "", seed) for dataset in ablations.DATASETS for seed in (0, 1)
    }
    assert not ablations.tasks(Options(methods=("MAGIC",)))
    assert {task.variant for task in ablations.tasks(Options(quick=True))} == {*ablations.QUICK}


def said(name):
    """Return what the name of a variant says that it changes, by a table of its own."""
    if name in OTHERS:
        return OTHERS[name]
    if match := re.fullmatch(r"(\w+) term (off|× ¼|× 4)", name):
        term, label = match.groups()
        return {f"module2.weights.{term}": FACTORS[label] * WEIGHTS[term]}
    if match := re.fullmatch(r"not (\w+)", name):
        return {f"module2.{match[1]}": False}
    if match := re.fullmatch(r"(\w+) × (½|2)", name):
        setting, label = match.groups()
        return {f"module2.{setting}": round(MODULE2[setting] * {"½": 0.5, "2": 2}[label])}
    assert name in {field.name for field in fields(Module2Config)}, f"nothing is known of the variant {name!r}"
    return {f"module2.{name}": True}


def changed(config, since=DEFAULT):
    """Return each field in which a configuration differs from another, by its path."""
    before = flat(asdict(since))
    return {path: value for path, value in flat(asdict(config)).items() if value != before[path]}


def flat(tree, prefix=""):
    leaves = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves


def rows_of(X: sparse.csr_matrix):
    """Return the cells as a set, to see which of them are there."""
    return {row.tobytes() for row in X.toarray()}
