"""The exported network as an ONNX graph, written node by node from plain numpy weights.

Written by hand rather than traced from torch, because the graph is the contract: its names, its one overridable default
and its operator set stay what ``docs/file-format.md`` says whatever torch does next, and the same weights give the same
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scinn_infer import contract
from scinn_train.capture import Capture
from scinn_train.half_precision import FLOAT32

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

TINY = 1e-30
"""Stands in for the size factor of a cell without any expression, so that it stays finite and its values at zero."""


NORM_EPSILON = 1e-5
"""torch's, added to the variance in the layer normalisation."""


@dataclass(frozen=True)
class NetworkWeights:
    """Weights of the imputation and quality-assessment sub-networks, as float32 arrays.

    Attributes
    ----------
    depth_share
        Each gene's mean share of a cell's depth (genes,), summing to 1: the part of the depth that is unseen when it
        is missing.
    target_depth
        Depth that every cell is brought to, or None where the unit is normalised already (TPM, FPKM).
    log_mean, log_scale
        Standardisation of the logarithmic expression (genes,): ``(log(1 + x) - log_mean) * log_scale``.
    components
        Directions that the first layer projects onto (genes × components).
    encoder_weight, encoder_bias
        Components to the first hidden layer (components × hidden), (hidden,).
    norm_weight, norm_bias
        Scale and shift of the layer normalisation of the first hidden layer (hidden,), (hidden,).
    hidden_weight, hidden_bias
        First to second hidden layer (hidden × bottleneck), (bottleneck,).
    decoder_weight, decoder_bias
        Second hidden layer to the logarithm of the expected expression (bottleneck × genes), (genes,).
    embedding_weight, embedding_bias
        Quality network: standardised imputed log expression to the embedding (genes × d), (d,).
    cluster_weight, cluster_bias
        Quality network: embedding to cluster logits (d × clusters), (clusters,).
    capture
        How the data was counted (``scinn_train.capture``).
    """

    depth_share: Array
    target_depth: float | None
    log_mean: Array
    log_scale: Array
    components: Array
    encoder_weight: Array
    encoder_bias: Array
    norm_weight: Array
    norm_bias: Array
    hidden_weight: Array
    hidden_bias: Array
    decoder_weight: Array
    decoder_bias: Array
    embedding_weight: Array
    embedding_bias: Array
    cluster_weight: Array
    cluster_bias: Array
    capture: Capture = field(default_factory=Capture)


def build(weights: NetworkWeights, info: contract.ModelInfo, *, storage: str = FLOAT32) -> onnx.ModelProto:
    """Return the model file's content for one set of weights.

    Parameters
    ----------
    weights
        The trained weights; genes in the order of ``info.genes``.
    info
        The metadata to store.
    storage
        How the large matrices are stored: one of ``scinn_train.half_precision.STORAGES``.
    """
    graph = _Graph(storage)
    size = _size_factor(graph, weights)
    divisor = graph.node("Max", size, graph.scalar(TINY))
    log_expression = graph.node(
        "Log", graph.node("Add", graph.node("Div", contract.INPUT_EXPRESSION, divisor), graph.scalar(1.0))
    )
    _imputation_network(graph, weights, log_expression, size)
    _quality_network(graph, weights, divisor)
    return _model(graph, info, weights)


class _Graph:
    """Nodes and constants, collected in order."""

    def __init__(self, storage: str) -> None:
        self.storage = storage
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[np.generic]] = {}

    def node(self, op: str, *inputs: str, name: str | None = None, **attributes: float) -> str:
        output = name or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        self.constants[name] = np.ascontiguousarray(value, dtype=dtype)
        return name

    def matrix(self, name: str, value: Array) -> str:
        """Add a large matrix: stored as asked for, float32 in the computation."""
        if self.storage == FLOAT32:
            return self.constant(name, value)
        stored = self.constant(f"{name}_{self.storage}", value, self.storage)
        return self.node("Cast", stored, name=name, to=int(TensorProto.FLOAT))

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{value:g}", np.float32(value))


def _size_factor(graph: _Graph, weights: NetworkWeights) -> str:
    """Each cell's depth over the target depth (cells × 1), with what the missing genes would have held added to it.

    For units that are normalised already it is one. A cell without any expression gets zero whatever the unit, and with
    it nothing but zeros: there is nothing to tell its expression from.
    """
    # A matrix product sums each row in the same order wherever it stands in memory; ReduceSum does not.
    ones = graph.constant("ones", np.ones((len(weights.log_mean), 1)))
    depth = graph.node("MatMul", contract.INPUT_EXPRESSION, ones)
    if weights.target_depth is None:
        some = graph.node("Greater", depth, graph.scalar(0.0))
        return graph.node("Cast", some, name="size_factor", to=int(TensorProto.FLOAT))
    share = graph.constant("depth_share", weights.depth_share[:, None] * np.float32(weights.target_depth))
    expected_depth = graph.node("MatMul", contract.INPUT_MEASURED, share)
    return graph.node("Div", depth, graph.node("Max", expected_depth, graph.scalar(TINY)), name="size_factor")


def _imputation_network(graph: _Graph, weights: NetworkWeights, log_expression: str, size: str) -> None:
    """f_I: the expected expression of every gene, and what follows from it for zeros and for all entries."""
    # The scale is folded into the weights, the mean is not: taking it off first keeps the sum over genes accurate. A
    # missing gene, of which neither value nor mean is counted, then stands at its mean: unknown.
    mean = graph.node("Mul", contract.INPUT_MEASURED, graph.constant("log_mean", weights.log_mean))
    components = graph.matrix("components", weights.components * weights.log_scale[:, None])
    projected = graph.node("MatMul", graph.node("Sub", log_expression, mean), components)
    encoder = graph.constant("encoder_weight", weights.encoder_weight)
    hidden = graph.node("Gemm", projected, encoder, graph.constant("encoder_bias", weights.encoder_bias))
    norm_weight = graph.constant("norm_weight", weights.norm_weight)
    norm_bias = graph.constant("norm_bias", weights.norm_bias)
    hidden = graph.node("LayerNormalization", hidden, norm_weight, norm_bias, epsilon=NORM_EPSILON, axis=-1)
    hidden = graph.node("Tanh", hidden)
    hidden_weight = graph.constant("hidden_weight", weights.hidden_weight)
    hidden = graph.node(
        "Tanh", graph.node("Gemm", hidden, hidden_weight, graph.constant("hidden_bias", weights.hidden_bias))
    )
    decoder = graph.matrix("decoder_weight", weights.decoder_weight)
    bias = graph.constant("decoder_bias", weights.decoder_bias)
    decoded = _decode(graph, hidden, decoder, bias, size, name=contract.OUTPUT_EXPECTED)
    names = (contract.OUTPUT_IMPUTED, contract.OUTPUT_DENOISED)
    _captured(graph, weights.capture, contract.INPUT_EXPRESSION, decoded, names=names)
    # The same once more for single genes: only what leads to an output that is asked for is computed.
    some_decoder = graph.node("Gather", decoder, contract.INPUT_COLUMNS, axis=1)
    some_bias = graph.node("Gather", bias, contract.INPUT_COLUMNS, axis=0)
    some_observed = graph.node("Gather", contract.INPUT_EXPRESSION, contract.INPUT_COLUMNS, axis=1)
    some_decoded = _decode(graph, hidden, some_decoder, some_bias, size)
    some_names = (contract.OUTPUT_IMPUTED_COLUMNS, contract.OUTPUT_DENOISED_COLUMNS)
    _captured(graph, weights.capture, some_observed, some_decoded, names=some_names)


def _decode(
    graph: _Graph, hidden: str, decoder: str, bias: str, size: str, *, name: str | None = None
) -> tuple[str, str]:
    """Return what is expected of the genes of which the decoder has the weights, at target and at own depth."""
    rate = graph.node("Exp", graph.node("Gemm", hidden, decoder, bias))
    return rate, graph.node("Mul", rate, size, name=name)


def _captured(
    graph: _Graph, capture: Capture, observed: str, decoded: tuple[str, str], *, names: tuple[str, str]
) -> None:
    """Turn the expected expression into the value of a zero that is filled, and of an entry that is denoised.

    The formulas, and why, are those of ``scinn_train.capture``.
    """
    imputed, denoised = names
    rate, expected = decoded
    # 1 where nothing was seen. x + 0 is x to the last bit, and Where takes onnxruntime longer than all that is here.
    dropout = graph.node("Cast", graph.node("Equal", observed, graph.scalar(0.0)), to=int(TensorProto.FLOAT))
    if capture.molecule is not None:
        molecule = graph.constant("molecule_value", np.float32(capture.molecule))
        fill = graph.node("Div", expected, graph.node("Add", graph.node("Div", rate, molecule), graph.scalar(1.0)))
        graph.node("Add", observed, graph.node("Mul", dropout, fill), name=imputed)
        seen = graph.node("Mul", observed, graph.node("Div", rate, graph.node("Add", rate, molecule)))
        graph.node("Add", fill, seen, name=denoised)
        return
    if capture.efficiency is None:
        graph.node("Add", observed, graph.node("Mul", dropout, expected), name=imputed)
        graph.node("Identity", expected, name=denoised)
        return
    missed = 1 - capture.efficiency
    nothing_seen = graph.node("Exp", graph.node("Neg", expected))
    divisor = graph.node("Sub", graph.constant("one_over_missed", np.float32(1 / missed)), nothing_seen)
    fill = graph.node("Div", expected, divisor)
    graph.node("Add", observed, graph.node("Mul", dropout, fill), name=imputed)
    seen = graph.node("Mul", observed, graph.constant("captured", np.float32(capture.efficiency)))
    unseen = graph.node("Mul", expected, graph.constant("missed", np.float32(missed)))
    graph.node("Add", seen, unseen, name=denoised)


def _quality_network(graph: _Graph, weights: NetworkWeights, divisor: str) -> None:
    """f_P: embedding and clusters, read from the imputed matrix alone."""
    normalised = graph.node("Div", contract.OUTPUT_IMPUTED, divisor)
    log_imputed = graph.node("Log", graph.node("Add", normalised, graph.scalar(1.0)))
    centred = graph.node("Sub", log_imputed, graph.constant("log_mean", weights.log_mean))
    embedding_bias = graph.constant("embedding_bias", weights.embedding_bias)
    embedding_weight = graph.matrix("embedding_weight", weights.embedding_weight * weights.log_scale[:, None])
    graph.node("Gemm", centred, embedding_weight, embedding_bias, name=contract.OUTPUT_EMBEDDING)
    cluster_weight = graph.constant("cluster_weight", weights.cluster_weight)
    cluster_bias = graph.constant("cluster_bias", weights.cluster_bias)
    logits = graph.node("Gemm", contract.OUTPUT_EMBEDDING, cluster_weight, cluster_bias)
    graph.node("Softmax", logits, name=contract.OUTPUT_CLUSTER_PROBABILITY, axis=1)


def _model(graph: _Graph, info: contract.ModelInfo, weights: NetworkWeights) -> onnx.ModelProto:
    genes = len(info.genes)
    widths: dict[str, int | str] = {
        contract.OUTPUT_IMPUTED: genes,
        contract.OUTPUT_EXPECTED: genes,
        contract.OUTPUT_DENOISED: genes,
        contract.OUTPUT_CLUSTER_PROBABILITY: weights.cluster_bias.size,
        contract.OUTPUT_EMBEDDING: weights.embedding_bias.size,
        **dict.fromkeys(contract.COLUMN_OUTPUTS.values(), "columns"),
    }
    # An initializer that is also a graph input is a default that a caller may override.
    graph.constant(contract.INPUT_MEASURED, np.ones(genes))
    graph.constant(contract.INPUT_COLUMNS, [0], np.int64)
    inputs = [
        helper.make_tensor_value_info(contract.INPUT_EXPRESSION, TensorProto.FLOAT, ["cells", genes]),
        helper.make_tensor_value_info(contract.INPUT_MEASURED, TensorProto.FLOAT, [genes]),
        helper.make_tensor_value_info(contract.INPUT_COLUMNS, TensorProto.INT64, ["columns"]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["cells", widths[name]]) for name in contract.OUTPUTS
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "scinn", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", contract.OPSET)],
        ir_version=contract.IR_VERSION,
        producer_name="scinn",
    )
    helper.set_model_props(model, info.to_metadata())
    return model
