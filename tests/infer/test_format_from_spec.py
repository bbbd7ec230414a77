"""``docs/file-format.md`` is enough to write a model file from: this writer knows the page and none of scINN's code.

The toy expects of each gene its usual share of a cell's depth.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import scinn_infer
from scinn_infer import ScinnError

SPECIFICATION = (Path(__file__).parents[2] / "docs" / "file-format.md").read_text()

GENES = [f"Gene{number}" for number in range(10)]
MEANS = np.linspace(0.5, 5, 10).astype(np.float32)
SHARES = MEANS / MEANS.sum()
CAPTURED = 0.2
CLUSTERS, D = 2, 3

SPREAD = {"minimum": 1, "q05": 2, "median": 25, "q95": 50.5, "maximum": 60}
REQUIRED = {
    "scinn.format": "3",
    "scinn.genes": json.dumps(GENES),
    "scinn.unit": "counts",
    "scinn.clusters": str(CLUSTERS),
    "scinn.training_data": json.dumps(
        {
            "cells": 100,
            "genes_before_filter": 12,
            "zero_fraction": 0.3,
            "depth": SPREAD,
            "genes_per_cell": SPREAD,
            "gene_mean": MEANS.tolist(),
        }
    ),
}
STATED = {"scinn.capture_efficiency": str(CAPTURED)}

INPUTS = {"expression": ["cells", 10], "measured": [10], "columns": ["columns"]}
INTEGERS = {"columns": TensorProto.INT64}
OUTPUTS = {
    "imputed": ["cells", 10],
    "expected": ["cells", 10],
    "denoised": ["cells", 10],
    "cluster_probability": ["cells", CLUSTERS],
    "embedding": ["cells", D],
    "imputed_columns": ["cells", "columns"],
    "denoised_columns": ["cells", "columns"],
}
CONSTANTS = {
    "measured": np.ones(10),
    "columns": np.array([0]),
    "ones": np.ones((10, 1)),
    "share": SHARES[None],
    "share_column": SHARES[:, None],
    "tiny": np.array(1e-30),
    "zero": np.array(0),
    "one": np.array(1),
    "p": np.array(CAPTURED),
    "q": np.array(1 - CAPTURED),
    "projection": np.linspace(-1, 1, 10 * D).reshape(10, D),
    "logits": np.linspace(-1, 1, D * CLUSTERS).reshape(D, CLUSTERS),
}
NODES = [
    # What the cell would add up to if all genes had been measured, times each gene's share.
    ("MatMul", ["expression", "ones"], "depth"),
    ("MatMul", ["measured", "share_column"], "share_seen"),
    ("Max", ["share_seen", "tiny"], "divisor"),
    ("Div", ["depth", "divisor"], "whole_depth"),
    ("MatMul", ["whole_depth", "share"], "expected"),
    # fill(L) = L q / (1 - q exp(-L))
    ("Neg", ["expected"], "minus"),
    ("Exp", ["minus"], "nothing_seen"),
    ("Mul", ["q", "nothing_seen"], "missed_all"),
    ("Sub", ["one", "missed_all"], "some_seen"),
    ("Mul", ["expected", "q"], "missed"),
    ("Div", ["missed", "some_seen"], "fill"),
    ("Equal", ["expression", "zero"], "is_zero"),
    ("Where", ["is_zero", "fill", "expression"], "imputed"),
    # p x + q L
    ("Mul", ["expression", "p"], "seen"),
    ("Add", ["seen", "missed"], "denoised"),
    ("MatMul", ["imputed", "projection"], "embedding"),
    ("MatMul", ["embedding", "logits"], "scores"),
    ("Softmax", ["scores"], "cluster_probability"),
    ("Gather", ["imputed", "columns"], "imputed_columns"),
    ("Gather", ["denoised", "columns"], "denoised_columns"),
]


def write(*, metadata=None, inputs=INPUTS, outputs=OUTPUTS, types=None, defaults=("measured", "columns")) -> bytes:
    """Return the bytes of the toy, with what is asked for in place of what the page says."""

    def value_info(name, shape):
        return helper.make_tensor_value_info(name, (INTEGERS | (types or {})).get(name, TensorProto.FLOAT), shape)

    constants = [
        numpy_helper.from_array(np.asarray(value, dtype=np.int64 if name in INTEGERS else np.float32), name)
        for name, value in CONSTANTS.items()
        if name not in INPUTS or name in defaults
    ]
    graph = helper.make_graph(
        [
            helper.make_node(operator, sources, [name], name=name, **({"axis": 1} if operator == "Gather" else {}))
            for operator, sources, name in NODES
        ],
        "toy",
        [value_info(*item) for item in inputs.items()],
        [value_info(*item) for item in outputs.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, REQUIRED | STATED if metadata is None else metadata)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def toy() -> scinn_infer.Model:
    content = write()
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    return scinn_infer.load(content, threads=1)


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    return np.random.default_rng(0).poisson(MEANS, (200, 10))


def expected_of(cells, measured=None) -> np.ndarray:
    share = SHARES.astype(np.float64)
    seen = share.sum() if measured is None else share[measured].sum()
    return cells.sum(axis=1, keepdims=True) / seen * share


def filled(cells, expected) -> np.ndarray:
    missed = 1 - CAPTURED
    return np.where(cells == 0, expected * missed / (1 - missed * np.exp(-expected)), cells)


def test_what_the_page_describes_is_loaded_and_imputes(toy, cells):
    expected = expected_of(cells)
    np.testing.assert_allclose(toy.impute(cells, GENES), filled(cells, expected), rtol=1e-5)
    denoised = CAPTURED * cells + (1 - CAPTURED) * expected
    np.testing.assert_allclose(toy.impute(cells, GENES, policy="denoise"), denoised, rtol=1e-5)
    results = toy.run(cells, outputs=["cluster_probability", "embedding"])
    assert {name: value.shape for name, value in results.items()} == {
        "cluster_probability": (200, CLUSTERS),
        "embedding": (200, D),
    }


def test_single_genes_are_those_of_the_whole(toy, cells):
    chosen = toy.impute(cells, GENES, only=["Gene7", "Gene2"])
    np.testing.assert_array_equal(chosen, toy.impute(cells, GENES)[:, [7, 2]])


def test_genes_that_the_batch_lacks_are_unknown_and_an_empty_cell_stays_empty(toy, cells):
    measured = np.arange(10) % 4 > 0
    seen = cells[:, measured].copy()
    seen[7] = 0
    expected = expected_of(seen, measured)[:, measured]
    with pytest.warns(scinn_infer.ScinnWarning):
        imputed = toy.impute(seen, [gene for gene, there in zip(GENES, measured, strict=True) if there])
    np.testing.assert_allclose(imputed, filled(seen, expected), rtol=1e-5)
    assert (imputed[7] == 0).all()


def test_what_may_be_missing_has_the_defaults_of_the_page():
    plain = scinn_infer.load(write(metadata=REQUIRED), threads=1).info
    assert (plain.gene_ids, plain.training, plain.quality, plain.capture_efficiency) == ((), {}, {}, None)
    assert (plain.tissue, plain.species, plain.licence, plain.training_data.sha256) == ("", "", "", "")
    more = {"scinn.of_the_future": "{", "other": "key"}
    assert scinn_infer.load(write(metadata=REQUIRED | more), threads=1).info == plain


def test_order_and_names_of_dimensions_and_further_outputs_do_not_matter(toy, cells):
    outputs = {"depth": [None, 1], **dict(reversed(OUTPUTS.items())), "expected": ["n", 10]}
    other = write(inputs={"columns": [None], "measured": [10], "expression": [None, 10]}, outputs=outputs)
    assert (scinn_infer.load(other, threads=1).impute(cells, GENES) == toy.impute(cells, GENES)).all()


def training_data(**changed) -> str:
    return json.dumps(json.loads(REQUIRED["scinn.training_data"]) | changed)


BREACHES = {
    "a fixed number of cells": ({"inputs": INPUTS | {"expression": [5, 10]}}, "'expression' is of shape"),
    "an open number of genes": ({"inputs": INPUTS | {"expression": ["cells", "genes"]}}, "'expression' is of shape"),
    "one gene too few": ({"metadata": REQUIRED | {"scinn.genes": json.dumps(GENES[1:])}}, "9 genes but 10 gene means"),
    "another number of clusters": ({"metadata": REQUIRED | {"scinn.clusters": "4"}}, "'cluster_probability' is of sh"),
    "no default": ({"defaults": ("columns",)}, "no 'measured' with a default"),
    "no default columns": ({"defaults": ("measured",)}, "no 'columns' with a default"),
    "no columns": (
        {"outputs": {name: OUTPUTS[name] for name in OUTPUTS if name != "imputed_columns"}},
        "no 'imputed_columns'",
    ),
    "a fixed number of columns": ({"outputs": OUTPUTS | {"imputed_columns": ["cells", 1]}}, "'imputed_columns' is of"),
    "a fixed number of columns to ask for": ({"inputs": INPUTS | {"columns": [1]}}, "'columns' is of shape"),
    "a further input": ({"inputs": INPUTS | {"batch": [1]}}, "it asks for 'batch' as well"),
    "no denoised": ({"outputs": {name: OUTPUTS[name] for name in OUTPUTS if name != "denoised"}}, "no 'denoised'"),
    "not a number": ({"metadata": REQUIRED | {"scinn.training_data": training_data(zero_fraction=np.nan)}}, "NaN"),
    "a whole number with a fraction": ({"metadata": REQUIRED | {"scinn.clusters": "2.0"}}, "not an integer"),
    "a gene twice": ({"metadata": REQUIRED | {"scinn.genes": json.dumps(GENES[:9] + GENES[:1])}}, "a gene twice"),
    "too few ids": ({"metadata": REQUIRED | {"scinn.gene_ids": '["ENSG00000000001"]'}}, "10 genes but 1 gene ids"),
    "another unit": ({"metadata": REQUIRED | {"scinn.unit": "cpm"}}, "unit 'cpm' is none of"),
    "no cells": ({"metadata": REQUIRED | {"scinn.training_data": training_data(cells=0)}}, "no training cells"),
    "a negative mean": (
        {"metadata": REQUIRED | {"scinn.training_data": training_data(gene_mean=[-1] * 10)}},
        "negative expression",
    ),
    "no clusters": ({"metadata": REQUIRED | {"scinn.clusters": "0"}}, "0 clusters"),
    "a null character": ({"metadata": REQUIRED | {"scinn.tissue": "a\0b"}}, "null character"),
    **{
        f"no {key}": ({"metadata": {name: REQUIRED[name] for name in REQUIRED if name != key}}, "damaged|not a scINN")
        for key in REQUIRED
    },
}


@pytest.mark.parametrize("case", BREACHES)
def test_what_the_page_forbids_is_refused(case):
    changes, sentence = BREACHES[case]
    with pytest.raises(ScinnError, match=sentence):
        scinn_infer.load(write(**changes))


def test_a_value_that_is_negative_is_refused(cells, monkeypatch):
    monkeypatch.setitem(CONSTANTS, "share", -SHARES[None])
    with pytest.raises(ScinnError, match="returns negative or infinite values for cell 1"):
        scinn_infer.load(write(), threads=1).impute(cells, GENES, policy="denoise")


def test_the_page_lists_every_key_that_is_written(model):
    listed = set(re.findall(r"`(scinn\.\w+)`", "".join(re.findall(r"^\| `scinn.*?\|", SPECIFICATION, re.MULTILINE))))
    assert listed == set(model.info.to_metadata())


def test_the_reader_on_the_page_works(model, content, tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", SPECIFICATION, re.DOTALL)
    (tmp_path / "tissue.onnx").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    names: dict[str, np.ndarray] = {}
    exec(block, names)  # the page's own lines
    assert (names["imputed"] == model.run(names["counts"])["imputed"]).all()
