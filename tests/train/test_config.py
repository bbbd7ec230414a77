"""What a configuration may hold, and what is refused before anything is read."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scinn_train
from scinn_train import Config, LossWeights, Module1Config, Module2Config, ScinnError

NO_WHOLE_NUMBERS = ("3", 3.0, math.nan, True, np.True_, [3])
NO_NUMBERS = ("0.2", True, np.True_, math.nan, math.inf, -math.inf, 10**400, 1j, [0.2])
NO_TEXT = (None, 3, ["lung"], b"lung", "lu\0ng", "lung\udcff")

SMALLEST = {
    Config: {"clusters": 2, "seed": 0, "min_cells": 1, "threads": 1},
    Module1Config: {
        "filtered_genes": 1,
        "filter_hidden": 2,
        "filter_epochs": 1,
        "filter_repeats": 1,
        "networks": 1,
        "snapshots": 1,
        "warmup_epochs": 0,
        "latent_epochs": 0,
        "batch_norm_above": 0,
        "smallest_batch": 1,
        "most_clusters": 2,
        "large": 0,
    },
    Module2Config: {
        "components": 1,
        "hidden": 2,
        "bottleneck": 1,
        "embedding": 2,
        "neighbours": 1,
        "batch_size": 1,
        "epochs": 1,
        "fewest_steps": 0,
        "most_steps": 1,
        "patience": 1,
    },
}
"""Whole numbers, and where they begin."""

WITHIN = {
    Module2Config: {
        "entry_dropout": st.floats(0, 1, exclude_max=True),
        "gene_dropout": st.floats(0, 1),
        "learning_rate": st.floats(0, exclude_min=True, allow_infinity=False),
        "weight_decay": st.floats(0, allow_infinity=False),
        "held_out": st.floats(0, 0.9, exclude_min=True),
        "capture_efficiency": st.none() | st.floats(0.02, 1, exclude_max=True),
    },
    LossWeights: {
        name: st.floats(0, allow_infinity=False) | st.integers(0, 9)
        for name in ("clusters", "similarity", "neighbourhood", "masked")
    },
}
"""Other numbers, and what they may be."""

BEYOND = {
    Module2Config: {
        "entry_dropout": (-1, -1e-9, 1, 2),
        "gene_dropout": (-1, 1.1, 5),
        "learning_rate": (-1, 0),
        "weight_decay": (-1,),
        "held_out": (-1, 0, 0.0, 0.91, 0.99, 1.0),
        "capture_efficiency": (0, 0.001, 1, 1.5),
    },
    LossWeights: dict.fromkeys(("clusters", "similarity", "neighbourhood", "masked"), (-1, -0.1)),
}

OTHERS = {
    Config: {
        "unit": ("log", 3, None, ["counts"], np.array(["counts", "tpm"])),
        "counted": ("umis", None),
        "device": ("tpu", None),
        "tissue": NO_TEXT,
        "species": NO_TEXT,
        "licence": NO_TEXT,
        "module1": (None, {}, Module2Config()),
        "module2": (None, {}, Module1Config()),
    },
    Module1Config: {"whole_ensemble": (1, "yes", None)},
    Module2Config: {"fixed_components": (0, "no", None), "weights": (None, {"masked": 1.0}, 1.0)},
}

REFUSED = [
    *((kind, name, value) for kind, names in SMALLEST.items() for name in names for value in NO_WHOLE_NUMBERS),
    *(
        (kind, name, less)
        for kind, names in SMALLEST.items()
        for name, least in names.items()
        for less in (least - 1, -9)
    ),
    *((kind, name, value) for kind, names in WITHIN.items() for name in names for value in NO_NUMBERS),
    *(
        (kind, name, value)
        for table in (BEYOND, OTHERS)
        for kind, names in table.items()
        for name, values in names.items()
        for value in values
    ),
]


def test_no_field_is_left_out():
    for kind in (Config, Module1Config, Module2Config, LossWeights):
        tried = {name for table in (SMALLEST, WITHIN, OTHERS) for name in table.get(kind, {})}
        assert tried == {field.name for field in fields(kind)}


@pytest.mark.parametrize(("kind", "name", "value"), REFUSED)
def test_what_makes_no_sense_is_refused_by_name(kind, name, value):
    named = f"weights.{name}" if kind is LossWeights else name
    with pytest.raises(ScinnError, match=rf"^{named} is [^\0]+; it must be .+\.$"):
        kind(**{name: value})


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        (Config, {"unit": "log"}, "unit is 'log'; it must be one of counts, tpm, fpkm."),
        (Config, {"device": "tpu"}, "device is 'tpu'; it must be one of auto, cpu, cuda."),
        (Config, {"clusters": "3"}, "clusters is '3'; it must be None, or a whole number, 2 or more."),
        (Config, {"seed": 1.0}, "seed is 1.0; it must be a whole number, 0 or more."),
        (Config, {"tissue": "a\0"}, r"tissue is 'a\\x00'; it must be text that can be written as UTF-8, without null"),
        (Config, {"module1": {}}, "module1 is {}; it must be a scinn_train.Module1Config."),
        (Module1Config, {"whole_ensemble": 1}, "whole_ensemble is 1; it must be True or False."),
        (Module2Config, {"held_out": 1}, "held_out is 1; it must be a number, above 0 and 0.9 or less."),
        (Module2Config, {"capture_efficiency": 1}, "it must be None, or a number, 0.02 or more and below 1."),
        (LossWeights, {"masked": -1}, "weights.masked is -1; it must be a number, 0 or more."),
    ],
)
def test_the_sentence_says_what_would_make_sense(kind, changes, sentence):
    with pytest.raises(ScinnError, match=sentence):
        kind(**changes)


@given(st.data())
def test_whatever_is_within_its_bounds_is_taken_as_it_is(data):
    kind = data.draw(st.sampled_from([Config, Module1Config, Module2Config, LossWeights]))
    ranges = {name: st.integers(least) for name, least in SMALLEST.get(kind, {}).items()} | WITHIN.get(kind, {})
    if kind is Module1Config:
        ranges["smallest_batch"] = st.integers(2)  # with one cell there is no batch norm: below
    if kind is LossWeights:
        ranges["masked"] = st.floats(1e-9, 1e9)  # one of them has to be above 0
    if kind is Config:
        text = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
        ranges |= {"tissue": text, "species": text, "licence": text, "clusters": st.none() | st.integers(2)}
    values = data.draw(st.fixed_dictionaries({}, optional=ranges))
    taken = kind(**values)
    for name, value in values.items():
        assert getattr(taken, name) == value
        assert type(getattr(taken, name)) is type(value)


def test_numbers_of_numpy_become_those_of_python():
    """No JSON file can hold them, and a checkpoint would be of another fit."""
    given = Config(
        clusters=np.int32(4),
        seed=np.uint8(3),
        module1=Module1Config(filtered_genes=np.int64(40), whole_ensemble=np.False_),
        module2=Module2Config(
            epochs=np.int64(3),
            held_out=np.float64(0.25),
            capture_efficiency=np.float32(0.5),
            weights=LossWeights(masked=np.float16(2), clusters=np.int8(1)),
        ),
    )
    plain = Config(
        clusters=4,
        seed=3,
        module1=Module1Config(filtered_genes=40, whole_ensemble=False),
        module2=Module2Config(
            epochs=3, held_out=0.25, capture_efficiency=0.5, weights=LossWeights(masked=2.0, clusters=1)
        ),
    )
    assert repr(given) == repr(plain)
    assert json.dumps(asdict(given)) == json.dumps(asdict(plain))


def test_minibatches_of_one_cell_go_without_batch_norm():
    assert Module1Config(smallest_batch=1).smallest_batch == 1
    assert Module1Config(smallest_batch=1, batch_norm_above=99).batch_size(100) == 2
    assert Module1Config(smallest_batch=2, batch_norm_above=0).batch_size(1) == 2
    for above in (10, 98):
        with pytest.raises(ScinnError, match=f"smallest_batch is 1 and batch_norm_above {above}"):
            Module1Config(smallest_batch=1, batch_norm_above=above)


def test_a_loss_without_any_weight_is_refused():
    nothing = dict.fromkeys(("clusters", "similarity", "neighbourhood", "masked"), 0)
    with pytest.raises(ScinnError, match="every weight of the loss is 0"):
        LossWeights(**nothing)
    for name in nothing:
        assert getattr(LossWeights(**nothing | {name: 0.5}), name) == 0.5


@pytest.mark.parametrize("unit", ["tpm", "fpkm"])
def test_tpm_and_fpkm_are_not_of_molecules(unit):
    with pytest.raises(ScinnError, match=f"unit '{unit}' and counted 'molecules' exclude each other"):
        Config(unit=unit, counted="molecules")
    for counted in ("auto", "reads"):
        assert Config(unit=unit, counted=counted).counted == counted


def test_presets():
    assert Config.preset("default", seed=3) == Config(seed=3)
    with pytest.raises(ScinnError, match="default, paper"):
        Config.preset("fast")
    with pytest.raises(ScinnError, match="clusters is 1"):
        Config.preset("paper", clusters=1)


@pytest.mark.parametrize("config", [{}, {"seed": 1}, "default", Module2Config()])
def test_fit_takes_nothing_else_for_a_configuration(reference, config):
    X, genes, _ = reference
    with pytest.raises(ScinnError, match=r"config is of type \w+; it must be a scinn_train.Config"):
        scinn_train.fit(X, genes, config=config)


def test_the_fewest_cells_can_be_fitted_with_the_most_of_them_held_out(reference, quick):
    X, genes, _ = reference
    config = replace(quick, module2=replace(quick.module2, held_out=0.9, epochs=1, fewest_steps=4))
    result = scinn_train.fit(X[:20], genes, config=config)
    assert result.info.quality["held_out_cells"] == 18
    assert result.to_bytes()


def test_a_learning_rate_that_is_far_too_high_is_said_to_be(reference, quick, fitted):
    X, genes, _ = reference
    config = replace(quick, module2=replace(quick.module2, learning_rate=1e6))
    with pytest.raises(ScinnError, match=r"the training diverged.* Try a smaller learning rate"):
        scinn_train.fit(X, genes, config=config, cell_map=fitted.cell_map)
