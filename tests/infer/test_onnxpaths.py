"""A file that is cut down to some outputs computes these as the whole does, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest

from scinn_infer import contract
from scinn_infer.onnxpaths import only_paths_to

PAIRS = [*itertools.combinations(contract.OUTPUTS, 1), *itertools.combinations(contract.OUTPUTS, 2)]


def run(content, outputs, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    there = {node.name for node in [*session.get_inputs(), *session.get_overridable_initializers()]}
    return session.run(outputs, {name: value for name, value in inputs.items() if name in there})


@pytest.mark.parametrize("outputs", PAIRS, ids="+".join)
def test_the_outputs_are_the_same_to_the_last_bit(content, counts, outputs):
    pruned = only_paths_to(content, outputs, droppable=["columns"])
    model = onnx.load_from_string(pruned)
    onnx.checker.check_model(model, full_check=True)
    assert {node.name for node in model.graph.output} == set(outputs)
    measured = np.ones(60, np.float32)
    measured[::7] = 0
    inputs = {
        "expression": counts[:96].astype(np.float32) * measured,
        "measured": measured,
        "columns": np.array([4, 9]),
    }
    for whole, part in zip(run(content, outputs, inputs), run(pruned, outputs, inputs), strict=True):
        np.testing.assert_array_equal(part, whole)


def test_nothing_is_left_that_no_output_needs(content):
    whole = onnx.load_from_string(content)
    few = onnx.load_from_string(only_paths_to(content, ["imputed_columns"], droppable=["columns"]))
    used = {name for node in few.graph.node for name in node.input}
    assert {tensor.name for tensor in few.graph.initializer} <= used
    assert "embedding_weight" not in used
    assert not {"imputed", "expected", "embedding"} & {name for node in few.graph.node for name in node.output}
    assert [node.name for node in few.graph.input] == ["expression", "measured", "columns"]
    assert few.metadata_props == whole.metadata_props
    imputed = onnx.load_from_string(only_paths_to(content, ["imputed"], droppable=["columns"]))
    assert [node.name for node in imputed.graph.input] == ["expression", "measured"]


def test_with_all_outputs_nothing_is_lost(content):
    assert onnx.load_from_string(only_paths_to(content, contract.OUTPUTS)) == onnx.load_from_string(content)
