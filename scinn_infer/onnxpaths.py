"""A model file with nothing in it but the paths that lead to some of its outputs, from its inputs or from half-way.

onnxruntime computes everything that a file holds, whichever outputs are asked for: its builds for inference ignore the
run option that says otherwise. So what is not wanted, or known already, is taken out before the file is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scinn_infer.onnxfile import GRAPH, MODEL, fields, message
from scinn_infer.onnxweights import texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

_NAME = {"initializer": 8, "input": 1, "output": 1}
_NODE = {"input": 1, "output": 2}
_VARINT, _LENGTH = 0, 2

_MATRIX = bytes.fromhex("120a 0a08 0801 1204 0a00 0a00")
"""The type of a value in the graph (ValueInfoProto.type): a tensor of float32 with two dimensions of any size."""


def only_paths_to(
    content: bytes, outputs: Iterable[str], *, droppable: Iterable[str] = (), given: Iterable[str] = ()
) -> bytes:
    """Return a model file's bytes without the nodes and weights that none of the outputs needs.

    Parameters
    ----------
    content
        The bytes of a file that :func:`scinn_infer.onnxfile.check_onnx` lets pass.
    outputs
        Names of the outputs to keep, and of float32 matrices within the graph that become outputs.
    droppable
        Names of the inputs that go as well where nothing needs them; the others stay.
    given
        Names of float32 matrices within the graph that become inputs, so that nothing that leads to them is needed.
    """
    kept: list[bytes | memoryview] = []
    for number, value in fields(memoryview(content)):
        if number == MODEL["graph"]:
            value = memoryview(_prune(message(value), set(outputs), set(droppable), given=set(given)))
        kept += _encoded(number, value)
    return b"".join(kept)


def _prune(graph: memoryview, outputs: set[str], droppable: set[str], *, given: set[str]) -> bytes:
    parts = list(fields(graph))
    nodes = [message(value) for number, value in parts if number == GRAPH["node"]]
    needed, kept_nodes = _needed(nodes, outputs, given)
    inputs = {_name(message(value), "input") for number, value in parts if number == GRAPH["input"]}
    values = needed | (inputs - droppable)
    there = {GRAPH["initializer"]: ("initializer", values), GRAPH["input"]: ("input", values)}
    there[GRAPH["output"]] = ("output", outputs)
    kept: list[bytes | memoryview] = []
    position = 0
    for number, value in parts:
        if number == GRAPH["node"]:
            keep = position in kept_nodes
            position += 1
        else:
            keep = number not in there or _name(message(value), there[number][0]) in there[number][1]
        if keep:
            kept += _encoded(number, value)
    there_already = {_name(message(value), "output") for number, value in parts if number == GRAPH["output"]}
    for name in sorted(given):
        kept += _encoded(GRAPH["input"], _value(name))
    for name in sorted(outputs - there_already):
        kept += _encoded(GRAPH["output"], _value(name))
    return b"".join(kept)


def _value(name: str) -> memoryview:
    """Return what says that there is a float32 matrix of that name."""
    text = memoryview(name.encode())
    return memoryview(b"".join([*_encoded(_NAME["input"], text), _MATRIX]))


def _needed(nodes: Sequence[memoryview], outputs: Set[str], given: Set[str]) -> tuple[set[str], set[int]]:
    """Return the names of all values that lead to the outputs, and the positions of the nodes that make them."""
    maker = {name: position for position, node in enumerate(nodes) for name in texts(node, _NODE["output"])}
    values, waiting, kept = set(outputs), list(outputs), set()
    while waiting:
        name = waiting.pop()
        position = maker.get(name)
        if position is None or position in kept or name in given:
            continue
        kept.add(position)
        new = set(texts(nodes[position], _NODE["input"])) - values
        values |= new
        waiting += new
    return values, kept


def _name(value: memoryview, kind: str) -> str:
    return next(iter(texts(value, _NAME[kind])), "")


def _encoded(number: int, value: int | memoryview) -> list[bytes | memoryview]:
    if isinstance(value, int):
        return [_varint(number << 3 | _VARINT), _varint(value)]
    return [_varint(number << 3 | _LENGTH), _varint(len(value)), value]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
