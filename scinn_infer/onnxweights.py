"""Weights of a model file, and what else its graph holds, read from its bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.onnxfile import GRAPH, MODEL, fields, message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import numpy.typing as npt

_TENSOR = {"dims": 1, "data_type": 2, "name": 8, "raw_data": 9}
_FLOAT = 1
"""The number that ONNX gives to float32."""


def read_weights(content: bytes, names: Collection[str]) -> dict[str, npt.NDArray[np.float32]]:
    """Return those of some weights that a file holds as float32, by name.

    Parameters
    ----------
    content
        The bytes of a file that :func:`scinn_infer.onnxfile.check_onnx` lets pass.
    names
        What the graph calls them.
    """
    found = {}
    for tensor in parts(content, "initializer"):
        name = "".join(texts(tensor, _TENSOR["name"]))
        if name in names and (array := _array(tensor)) is not None:
            found[name] = array
    return found


def texts(value: memoryview, field: int) -> list[str]:
    """Return the texts of a field of a message."""
    return [str(message(text), "utf-8") for number, text in fields(value) if number == field]


def _array(tensor: memoryview) -> npt.NDArray[np.float32] | None:
    """Return a tensor; None if it is not of float32, or stored in another way than as raw bytes."""
    shape, raw, is_float = [], None, False
    for number, value in fields(tensor):
        if isinstance(value, int):
            is_float |= number == _TENSOR["data_type"] and value == _FLOAT
            shape += [value] * (number == _TENSOR["dims"])
        elif number == _TENSOR["raw_data"]:
            raw = value
    if raw is None or not is_float or len(raw) != math.prod(shape) * 4:
        return None
    return np.frombuffer(bytes(raw), dtype="<f4").astype(np.float32).reshape(shape)


def parts(content: bytes, part: str) -> Iterator[memoryview]:
    """Yield the parts of a file's graph that are of one kind: a name of :data:`scinn_infer.onnxfile.GRAPH`."""
    for number, graph in fields(memoryview(content)):
        if number == MODEL["graph"]:
            yield from (message(value) for field, value in fields(message(graph)) if field == GRAPH[part])
