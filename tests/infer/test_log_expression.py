"""The logarithms are computed outside the graph, where that is what the graph does; otherwise the graph does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from scipy import sparse

import scinn_infer
from scinn_infer import ScinnError, ScinnWarning
from scinn_infer.onnxnodes import multiplied_with
from scinn_infer.onnxpaths import only_paths_to
from scinn_infer.onnxweights import read_weights

OLD_MODELS = sorted((Path(__file__).parent / "old_models").glob("*.onnx"))


def as_the_whole_graph_does(model, X):
    """Return the result of the file as it is."""
    return model.run(X.astype(np.float32), outputs=["imputed"])["imputed"]


def changed(content, change):
    """Return a file whose graph somebody has changed."""
    model = onnx.load_from_string(content)
    change(model.graph)
    return model.SerializeToString()


def test_files_of_scinns_begin_with_them_but_for_the_first(model):
    assert model._log_expression is not None
    found = {path.stem: scinn_infer.load(path)._log_expression is not None for path in OLD_MODELS}
    assert found == {"format_1": False, "format_2": True}  # the first have no layer of components


def test_a_result_is_what_the_graph_makes(model, counts):
    measured = np.arange(60) % 7 > 0
    result = model.impute(
        counts[:, measured], [gene for gene, there in zip(model.genes, measured, strict=True) if there]
    )
    whole = model.run((counts * measured).astype(np.float32), measured.astype(np.float32))["imputed"]
    np.testing.assert_allclose(result, whole[:, measured], rtol=5e-6)


@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_whatever_holds_the_entries_the_result_is_the_same_to_the_bit(model, counts, data):
    """Dense, or sparse with its entries in any order, zeros among them, and some stored in parts."""
    X = counts[:100].astype(np.float32)
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    rows, genes = np.nonzero(X + (random.random(X.shape) < 0.05))
    half = np.floor(X[rows, genes] * data.draw(st.sampled_from([0, 0.5])))
    values = np.concatenate([X[rows, genes] - half, half])
    order = np.lexsort((random.random(values.size), np.tile(rows, 2)))
    indptr = np.concatenate([[0], np.cumsum(2 * np.bincount(rows, minlength=100))])
    parts = sparse.csr_array((values[order], np.tile(genes, 2)[order], indptr), shape=X.shape)
    np.testing.assert_array_equal(parts.toarray(), X)
    result = model.impute(parts, model.genes)
    np.testing.assert_array_equal(result, model.impute(X, model.genes))
    shuffled = random.permutation(60)
    again = model.impute(parts[:, shuffled], [model.genes[gene] for gene in shuffled])
    np.testing.assert_array_equal(again, result[:, shuffled])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_parts_of_an_entry_add_up_whatever_their_type(model, dtype):
    """200 + 100 is no uint8."""
    parts = sparse.csr_array((np.array([200, 100, 7], dtype), [5, 5, 2], [0, 3]), shape=(1, 60))
    whole = np.zeros((1, 60), dtype=np.result_type(dtype, np.int16))
    whole[0, [5, 2]] = 300, 7
    result = model.impute(parts, model.genes)
    np.testing.assert_array_equal(result, model.impute(whole, model.genes))
    assert result[0, 5] == 300
    assert result.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert parts.nnz == 3


def test_what_parts_add_up_to_is_looked_at_as_well(model):
    parts = sparse.csr_array((np.array([2**24, 1], np.int32), [5, 5], [0, 2]), shape=(1, 60))
    with pytest.raises(ScinnError, match="holds the integer 16777217"):
        model.impute(parts, model.genes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_that_are_too_large_together_are_refused(model, dtype):
    parts = sparse.csr_array((np.array([3e38, 3e38, 1], dtype), [5, 5, 2], [0, 0, 3]), shape=(2, 60))
    with pytest.raises(ScinnError, match=r"cell 2, gene GENE6: .* more than float32 can hold"):
        model.impute(parts, model.genes)


def test_a_zero_is_a_zero_whatever_its_sign(model):
    """Of three empty cells, two have entries that are stored and are zero."""
    X = np.zeros((4, 60), np.float32)
    X[3] = 2
    stored = sparse.csr_array((X + 1) * (X > 0))
    signed = sparse.csr_array((np.full(60, -0.0, np.float32), np.arange(60), [0, 60, 60, 60, 60]), shape=(4, 60))
    signed = sparse.vstack([signed[:1], stored[1:]], format="csr")
    with pytest.warns(ScinnWarning, match="no expression"):
        result = model.impute(signed, model.genes)
    assert not np.signbit(result).any()


def test_the_order_of_bytes_does_not_matter(model, counts):
    X = counts * 1.1000000000000001
    swapped = sparse.csr_array(X)
    swapped.data = swapped.data.astype(">f8")  # scipy makes no such matrix itself
    whole = model.impute(X, model.genes, unit_checked=True)
    for form in (X.astype(">f8"), swapped):
        result = model.impute(form, model.genes, unit_checked=True)
        np.testing.assert_array_equal(result, whole)
        assert result.dtype == np.float64


def square_root(graph):
    next(node for node in graph.node if node.op_type == "Log").op_type = "Sqrt"


def other_mean(graph):
    weight = next(tensor for tensor in graph.initializer if tensor.name == "log_mean")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 1, "log_mean"))
    subtraction = next(node for node in graph.node if node.op_type == "Sub")
    subtraction.op_type = "Add"


def no_such_name(graph):
    for parts in (graph.initializer, graph.node):
        for part in parts:
            if part.name == "components":
                part.name = "directions"
    for node in graph.node:
        node.input[:] = ["directions" if name == "components" else name for name in node.input]


def own_size_factor(graph):
    """Use another size factor for what is expected, and one of that name, twice as large, for the fill alone."""
    for node in graph.node:
        node.input[:] = ["real_size" if name == "size_factor" else name for name in node.input]
        node.output[:] = ["real_size" if name == "size_factor" else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(np.array(2, np.float32), "two"))
    at = {output: number for number, node in enumerate(graph.node) for output in node.output}
    imputed = graph.node[at["imputed"]]
    product = graph.node[at[imputed.input[1]]]
    fill, product.input[1] = product.input[1], "larger_fill"
    graph.node.insert(at[product.output[0]], helper.make_node("Mul", [fill, "size_factor"], ["larger_fill"]))
    graph.node.insert(at["real_size"] + 1, helper.make_node("Mul", ["real_size", "two"], ["size_factor"]))


def own_size_factor_for_a_rare_gene(graph):
    """Do so where it makes a difference of less than a millionth, to a value as small."""
    own_size_factor(graph)
    node = next(node for node in graph.node if "larger_fill" in node.output)
    rare = np.zeros((2, 60), np.float32)
    rare[:, 4] = 1, 1e-7
    for name, values in (("others", 1 - rare[0]), ("rare", rare[1])):
        graph.initializer.append(numpy_helper.from_array(values, name))
    place = list(graph.node).index(node)
    graph.node.insert(place, helper.make_node("Mul", [node.input[0], "others"], ["fill_of_others"]))
    graph.node.insert(place, helper.make_node("Mul", ["size_factor", "rare"], ["rare_fill"]))
    node.CopyFrom(helper.make_node("Add", ["fill_of_others", "rare_fill"], ["larger_fill"]))


CHANGES = [square_root, other_mean, no_such_name, own_size_factor, own_size_factor_for_a_rare_gene]


@pytest.mark.parametrize("change", CHANGES)
def test_a_graph_that_begins_otherwise_is_left_to_itself(content, counts, change):
    other = scinn_infer.load(changed(content, change))
    assert other._log_expression is None
    np.testing.assert_allclose(
        other.impute(counts, other.genes), as_the_whole_graph_does(other, counts), rtol=1e-6, atol=1e-12
    )


def test_what_is_given_replaces_what_leads_to_it(content, counts):
    first = multiplied_with(content, "components")
    rest = onnx.load_from_string(only_paths_to(content, ["expected"], given=[first, "size_factor"]))
    onnx.checker.check_model(rest)
    assert {first, "size_factor"} <= {value.name for value in rest.graph.input}
    assert not {"Log", "Div"} & {node.op_type for node in rest.graph.node}
    assert "log_mean" not in {tensor.name for tensor in rest.graph.initializer}


def test_weights_are_read_as_they_are_and_others_left(content):
    graph = onnx.load_from_string(content).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = read_weights(content, ("log_mean", "depth_share", "columns", "nothing"))
    assert sorted(found) == ["depth_share", "log_mean"]  # columns are integers
    for name, weight in found.items():
        np.testing.assert_array_equal(weight, stored[name])
    assert multiplied_with(content, "nothing") is None
