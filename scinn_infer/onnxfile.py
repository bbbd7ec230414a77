"""Look through an ONNX file before a runtime is let near it.

A model file comes from someone else. onnxruntime follows references to other files on the disk, loads operators of
other domains and allocates what a tensor says that it needs; none of that is part of a scINN model, so a file that asks
for it is refused. The few fields that matter are read straight from the protobuf wire format: that needs no onnx
package, copies nothing, and goes no deeper than the tables below, because what could be nested further is refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Field = tuple[int, int | memoryview]

MAXIMUM_BYTES = 2**31 - 1
"""The most that a protobuf message may hold."""

DOMAINS = (b"", b"ai.onnx")
"""Names of the one operator domain that every ONNX runtime brings."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES = 10

# Field numbers of onnx.proto3.
MODEL = {"ir_version": 1, "graph": 7, "opset_import": 8, "metadata_props": 14, "training_info": 20, "functions": 25}
_OPSET = {"domain": 1}
GRAPH = {"node": 1, "initializer": 5, "input": 11, "output": 12, "value_info": 13, "sparse_initializer": 15}
_NODE = {"attribute": 5, "domain": 7}
_ATTRIBUTE = {"t": 5, "g": 6, "tensors": 10, "graphs": 11, "sparse_tensor": 22, "sparse_tensors": 23}
_TENSOR = {"dims": 1, "external_data": 13, "data_location": 14}

# Fields that hold names, which onnxruntime stumbles over where they are no text.
_NODE_TEXT = (1, 2, 3, 4)
_TENSOR_TEXT = (8,)
_VALUE_TEXT = (1,)
_METADATA_TEXT = (1, 2)


def read_onnx(path: Path) -> bytes:
    """Return the bytes of a file, and no more of a large one than tells that it is too large.

    Raises
    ------
    ScinnError
        If it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            msg = f"{path} is a folder or a device; a model is one .onnx file. Check the name."
            raise ScinnError(msg)
        with path.open("rb") as file:
            return file.read(MAXIMUM_BYTES + 1)  # one more, so that a larger file is seen to be larger
    except FileNotFoundError as error:
        msg = f"{path} is not there. Check the name."
        raise ScinnError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise ScinnError(msg) from error


def check_onnx(content: bytes, *, source: str) -> None:
    """Refuse a file that is not ONNX, is cut short, or asks for anything beyond plain operators and its own weights.

    Whether it is a scINN model is not asked here.

    Parameters
    ----------
    content
        The bytes of the file.
    source
        How messages name the file.

    Raises
    ------
    ScinnError
        If the file is refused.
    """
    if not content:
        msg = f"{source} is empty (0 bytes). Fetch or export the model again."
        raise ScinnError(msg)
    if len(content) > MAXIMUM_BYTES:
        msg = f"{source} has {len(content):,} bytes; an ONNX file has at most {MAXIMUM_BYTES:,}."
        raise ScinnError(msg)
    try:
        _check_model(memoryview(content))
    except _DamageError as error:
        msg = f"{source} is not an ONNX model, or is truncated or damaged ({error}). Fetch or export the model again."
        raise ScinnError(msg) from None
    except _ForbiddenError as error:
        msg = f"{source} is refused: {error}. A scINN model never does. Fetch or export the model again."
        raise ScinnError(msg) from None


class _DamageError(Exception):
    """The bytes are not what the format says."""


class _ForbiddenError(Exception):
    """The file asks for something that a model file has no business with."""


def _check_model(model: memoryview) -> None:
    times = {"ir_version": 0, "graph": 0}
    for number, value in fields(model):
        if number == MODEL["ir_version"]:
            times["ir_version"] += 1
        elif number == MODEL["graph"]:
            times["graph"] += 1
            _check_graph(message(value))
        elif number == MODEL["opset_import"]:
            _check_domain(message(value), _OPSET["domain"])
        elif number == MODEL["metadata_props"]:
            _check_text(message(value), _METADATA_TEXT)
        elif number == MODEL["functions"]:
            msg = "it defines operators of its own"
            raise _ForbiddenError(msg)
        elif number == MODEL["training_info"]:
            msg = "it carries a training program"
            raise _ForbiddenError(msg)
    for name, count in times.items():
        if count != 1:
            msg = f"the field {name} is there {count} times instead of once"
            raise _DamageError(msg)


def _check_graph(graph: memoryview) -> None:
    for number, value in fields(graph):
        if number == GRAPH["node"]:
            _check_node(message(value))
        elif number == GRAPH["initializer"]:
            _check_tensor(message(value))
        elif number in (GRAPH["input"], GRAPH["output"], GRAPH["value_info"]):
            _check_text(message(value), _VALUE_TEXT)
        elif number == GRAPH["sparse_initializer"]:
            _refuse_sparse()


def _check_node(node: memoryview) -> None:
    _check_text(node, _NODE_TEXT)
    _check_domain(node, _NODE["domain"])
    for number, value in fields(node):
        if number == _NODE["attribute"]:
            _check_attribute(message(value))


def _check_attribute(attribute: memoryview) -> None:
    for number, value in fields(attribute):
        if number in (_ATTRIBUTE["t"], _ATTRIBUTE["tensors"]):
            _check_tensor(message(value))
        elif number in (_ATTRIBUTE["g"], _ATTRIBUTE["graphs"]):
            msg = "it contains a graph within its graph, as loops and branches do"
            raise _ForbiddenError(msg)
        elif number in (_ATTRIBUTE["sparse_tensor"], _ATTRIBUTE["sparse_tensors"]):
            _refuse_sparse()


def _check_tensor(tensor: memoryview) -> None:
    _check_text(tensor, _TENSOR_TEXT)
    dims: list[int] = []
    for number, value in fields(tensor):
        if number == _TENSOR["external_data"] or (number == _TENSOR["data_location"] and value != 0):
            msg = "it takes weights from another file"
            raise _ForbiddenError(msg)
        if number == _TENSOR["dims"]:
            dims += [value] if isinstance(value, int) else _varints(value)
    # Eight elements to the byte is the densest that any type is stored.
    if math.prod(dims) > 8 * len(tensor):
        msg = f"a tensor of shape {tuple(dims[:8])} is stored in {len(tensor):,} bytes"
        raise _DamageError(msg)


def _check_text(part: memoryview, texts: tuple[int, ...]) -> None:
    for number, value in fields(part):
        if number in texts:
            try:
                str(message(value), "utf-8")
            except UnicodeDecodeError:
                msg = "a name or a piece of its metadata is not text"
                raise _DamageError(msg) from None


def _check_domain(part: memoryview, field: int) -> None:
    for number, value in fields(part):
        if number == field and bytes(message(value)) not in DOMAINS:
            name = bytes(message(value))[:40].decode(errors="replace")
            msg = f"it uses operators of the domain {name!r}, which onnxruntime alone does not define"
            raise _ForbiddenError(msg)


def _refuse_sparse() -> None:
    msg = "it has sparse weights, which are as large in memory as they claim to be"
    raise _ForbiddenError(msg)


def message(value: int | memoryview) -> memoryview:
    """Return the value of a field that has to be a message."""
    if isinstance(value, int):
        msg = "a number stands where a message belongs"
        raise _DamageError(msg)
    return value


def fields(content: memoryview) -> Iterator[Field]:
    """Yield the number and the value of each field: an integer, or the bytes of all that is longer."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            msg = "a field has the number 0"
            raise _DamageError(msg)
        if wire_type == _VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        if wire_type == _LENGTH:
            length, position = _varint(content, position)
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            msg = f"a field has the unknown type {wire_type}"
            raise _DamageError(msg)
        if length > len(content) - position:
            msg = f"a field of {length:,} bytes begins {len(content) - position:,} bytes before the end"
            raise _DamageError(msg)
        yield number, content[position : position + length]
        position += length


def _varints(packed: memoryview) -> list[int]:
    values = []
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        values.append(value)
    return values


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the integer that starts at a position, seven bits to the byte, and the position after it."""
    value = 0
    for count, byte in enumerate(message[position : position + _VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position + count + 1
    msg = "an integer does not end"
    raise _DamageError(msg)
