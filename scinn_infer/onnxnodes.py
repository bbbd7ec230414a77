"""What the nodes of a model file do with what, read from its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scinn_infer.onnxweights import parts, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

_NODE = {"input": 1, "output": 2, "op_type": 4}

PRODUCT = "MatMul"


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes
    ----------
    operator
        Its name in ONNX.
    inputs, outputs
        What the graph calls them.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_nodes(content: bytes) -> Iterator[Node]:
    """Yield the nodes of a file that :func:`scinn_infer.onnxfile.check_onnx` lets pass."""
    for node in parts(content, "node"):
        operator = ["", *texts(node, _NODE["op_type"])][-1]  # of a field that is there twice, protobuf takes the last
        yield Node(operator, tuple(texts(node, _NODE["input"])), tuple(texts(node, _NODE["output"])))


def multiplied_with(content: bytes, weight: str) -> str | None:
    """Return what the graph calls the one thing that it multiplies with a weight; None if there are none, or several.

    Parameters
    ----------
    content
        As for :func:`read_nodes`.
    weight
        What the graph calls the second factor of the matrix product.
    """
    nodes = (node for node in read_nodes(content) if node.operator == PRODUCT and node.inputs[1:] == (weight,))
    found = [node.inputs[0] for node in nodes]
    return found[0] if len(found) == 1 else None
