"""Observed values are put back outside the graph, where the graph would do just that; otherwise the graph does it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from scipy import sparse

import scinn_infer
from scinn_infer.onnxnodes import read_nodes
from scinn_infer.onnxpaths import only_paths_to


def maker_of(graph, name):
    return next(node for node in graph.node if name in node.output)


def changed(content, change):
    """Return a model whose graph somebody has changed."""
    onnx_model = onnx.load_from_string(content)
    change(onnx_model.graph)
    onnx.checker.check_model(onnx_model)
    return scinn_infer.load(onnx_model.SerializeToString())


def watched(model, monkeypatch):
    """Return the names that the graph is asked for, while it is run."""
    asked, run = [], model._session.run

    def watch(outputs, inputs, **options):
        asked.append((tuple(outputs), "expression" in inputs))
        return run(outputs, inputs, **options)

    monkeypatch.setattr(model._session, "run", watch)
    return asked


def test_neither_the_passes_that_put_back_nor_the_whole_block_is_needed(model, counts, monkeypatch):
    asked = watched(model, monkeypatch)
    model.impute(sparse.csr_array(counts), model.genes)
    model.impute(sparse.csr_array(counts), model.genes, only=model.genes[3:9])
    fills = {model._zero_fill("imputed"), model._zero_fill("imputed_columns")}
    assert set(asked) == {((fill,), False) for fill in fills}
    left = only_paths_to(model._content, fills, given=["size_factor"])
    assert not {"Equal", "Cast"} & {node.operator for node in read_nodes(left)}


def test_what_is_denoised_or_recorded_is_asked_for_as_before(model, counts, monkeypatch):
    asked = watched(model, monkeypatch)
    model.impute(counts, model.genes, policy="denoise")
    model.assess(counts, model.genes)
    assert set(asked) == {(("denoised",), True), (("cluster_probability", "embedding"), True)}


@pytest.mark.parametrize("to", [np.asarray, sparse.csr_array])
def test_every_bit_is_what_the_graph_makes(model, counts, to, monkeypatch):
    """Of a batch with the model's genes, in blocks of which the last is not full."""
    result = model.impute(to(counts), model.genes)
    monkeypatch.setattr(model, "_zero_fills", {"imputed": None})
    np.testing.assert_array_equal(model.impute(to(counts), model.genes), result)


def swap_factors(graph):
    for name in ("imputed", maker_of(graph, "imputed").input[1]):
        node = maker_of(graph, name)
        node.input[:] = list(reversed(node.input))


def test_the_order_of_factors_and_summands_does_not_matter(content, counts, model):
    other = changed(content, swap_factors)
    assert other._zero_fill("imputed") == model._zero_fill("imputed") is not None
    np.testing.assert_array_equal(other.impute(counts, other.genes), model.impute(counts, model.genes))


def ones_are_filled(graph):
    """Compare with one instead of zero: then it is not the zeros that are filled."""
    mask = maker_of(graph, maker_of(graph, "imputed").input[1]).input[0]
    equal = maker_of(graph, maker_of(graph, mask).input[0])
    graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "a_one"))
    equal.input[1] = "a_one"


def filled_by_where(graph):
    product = maker_of(graph, maker_of(graph, "imputed").input[1])
    mask = maker_of(graph, product.input[0]).input[0]
    node = maker_of(graph, "imputed")
    node.CopyFrom(helper.make_node("Where", [mask, product.input[1], "expression"], ["imputed"]))


def one_row_for_all(graph):
    """Fill the zeros of all cells with the same, which is of one row."""
    fill = np.linspace(0.1, 1, 60, dtype=np.float32)[None]
    graph.initializer.append(numpy_helper.from_array(fill, "one_row"))
    maker_of(graph, maker_of(graph, "imputed").input[1]).input[1] = "one_row"


def another_name_first(graph):
    """Add to something that is the expression under another name."""
    place = next(number for number, node in enumerate(graph.node) if "imputed" in node.output)
    graph.node.insert(place, helper.make_node("Identity", ["expression"], ["the_same"]))
    maker_of(graph, "imputed").input[0] = "the_same"


@pytest.mark.parametrize("change", [ones_are_filled, filled_by_where, one_row_for_all, another_name_first])
def test_a_graph_that_fills_otherwise_is_left_to_itself(content, counts, change):
    other = changed(content, change)
    assert other._zero_fill("imputed") is None
    whole = other.run(counts.astype(np.float32), outputs=["imputed"])["imputed"]
    result = other.impute(counts, other.genes)
    np.testing.assert_allclose(np.where(counts == 0, result, 0), np.where(counts == 0, whole, 0), rtol=5e-6)


def between(graph, operator, other, name):
    """Let the fill be something else: what an operation makes of it and of another value."""
    node = maker_of(graph, "imputed")
    product = maker_of(graph, node.input[1])
    place = next(number for number, each in enumerate(graph.node) if each.output == product.output)
    graph.node.insert(place, helper.make_node(operator, [product.input[1], other], [name]))
    maker_of(graph, node.input[1]).input[1] = name


def the_difference_is_filled(graph):
    """At a zero that is the fill itself; elsewhere, where nobody sees it, it may be negative."""
    between(graph, "Sub", "expression", "difference")


def a_zero_with_a_sign_is_filled(graph):
    graph.initializer.append(numpy_helper.from_array(np.array(-0.0, np.float32), "signed_zero"))
    between(graph, "Mul", "signed_zero", "signed")


@pytest.mark.parametrize("change", [the_difference_is_filled, a_zero_with_a_sign_is_filled])
@pytest.mark.parametrize("to", [np.asarray, sparse.csr_array])
def test_a_fill_is_looked_at_only_where_it_is_used(content, counts, change, to):
    other = changed(content, change)
    assert other._zero_fill("imputed") in {"difference", "signed"}
    whole = other.run(counts.astype(np.float32), outputs=["imputed"])["imputed"]
    result = other.impute(to(counts), other.genes)
    np.testing.assert_allclose(result, whole, rtol=5e-6)
    assert not np.signbit(result).any()


def denoised_is_imputed(graph):
    maker_of(graph, "denoised").CopyFrom(helper.make_node("Add", maker_of(graph, "imputed").input, ["denoised"]))


@pytest.mark.parametrize("to", [np.asarray, sparse.csr_array])
def test_where_nothing_is_to_be_kept_the_output_is_taken_as_it_is(content, counts, to):
    other = changed(content, denoised_is_imputed)
    denoised = other.impute(to(counts), other.genes, policy="denoise")
    np.testing.assert_array_equal(denoised, other.impute(to(counts), other.genes))


def test_a_node_that_names_its_operator_twice_is_of_the_last(content):
    """As for every reader of protobuf."""
    first = b"\n" + bytes([len(b"\x22\x04Nope")]) + b"\x22\x04Nope"  # a node whose only field is its operator
    assert [node.operator for node in read_nodes(b"\x3a" + bytes([len(first)]) + first)] == ["Nope"]
    twice = b"\x22\x04Nope\x22\x03Add"
    graph = b"\n" + bytes([len(twice)]) + twice
    assert [node.operator for node in read_nodes(b"\x3a" + bytes([len(graph)]) + graph)] == ["Add"]
    assert {"Add", "Gemm"} <= {node.operator for node in read_nodes(content)}
