"""What the network fills zeros with, without the passes that put back what is not zero.

A model file takes four passes over a block to keep what was observed::

    imputed = expression + (expression == 0) * fill

To write the block's entries over the fill takes less than half of that, and what is left of the graph needs no dense
block. So the fill is looked for in the graph, and is asked for instead where it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.contract import INPUT_COLUMNS, INPUT_EXPRESSION, OUTPUT_IMPUTED
from scinn_infer.errors import ScinnError
from scinn_infer.onnxnodes import read_nodes
from scinn_infer.onnxweights import read_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scinn_infer.onnxnodes import Node
    from scinn_infer.session import Session

PROBED_CELLS = 2
"""Cells that this is tried on: more than one, since a fill may be of one row for all."""


def find_zero_fill(content: bytes, session: Session, *, output: str, genes: int) -> str | None:
    """Return what a file's graph calls the values that it fills zeros with; None where it does so in another way.

    Parameters
    ----------
    content
        The file, already looked through.
    session
        Runs it.
    output
        The output that is filled: ``"imputed"`` or ``"imputed_columns"``.
    genes
        The number of the model's genes.
    """
    makers = {name: node for node in read_nodes(content) for name in node.outputs}
    for observed, filled in _both_ways(makers.get(output), "Add"):
        for mask, fill in _both_ways(makers.get(filled), "Mul"):
            if (
                _is_observed(observed, makers)
                and _is_zero_mask(mask, observed, makers, content)
                and _fills(fill, output, session, genes)
            ):
                return fill
    return None


def _both_ways(node: Node | None, operator: str) -> Iterator[tuple[str, str]]:
    """Yield the two inputs of a node of that operator, in either order."""
    if node is not None and node.operator == operator and len(node.inputs) == 2:
        first, second = node.inputs
        yield first, second
        yield second, first


def _is_observed(name: str, makers: Mapping[str, Node]) -> bool:
    """Tell whether a value is the expression, or those columns of it that are wanted."""
    node = makers.get(name)
    if node is None:
        return name == INPUT_EXPRESSION
    return node.operator == "Gather" and node.inputs == (INPUT_EXPRESSION, INPUT_COLUMNS)


def _is_zero_mask(name: str, observed: str, makers: Mapping[str, Node], content: bytes) -> bool:
    """Tell whether a value is 1 where what was observed is zero, and 0 elsewhere."""
    cast = makers.get(name)
    if cast is None or cast.operator != "Cast":
        return False
    for one, other in _both_ways(makers.get(cast.inputs[0]), "Equal"):
        weight = read_weights(content, (other,)).get(other)
        if one == observed and weight is not None and not weight.any():
            return True
    return False


def _fills(fill: str, output: str, session: Session, genes: int) -> bool:
    """Tell whether the whole graph's result is the fill where nothing was observed: it could be of one row for all."""
    columns = np.arange(genes)[: None if output == OUTPUT_IMPUTED else 2]
    cells = (np.arange(PROBED_CELLS * genes) % 3).reshape(PROBED_CELLS, genes).astype(np.float32)
    try:
        filled, imputed = session.run((fill, output), {INPUT_EXPRESSION: cells, INPUT_COLUMNS: columns})
    except ScinnError:
        return False
    observed = cells[:, columns]
    return filled.shape == observed.shape and np.array_equal(np.where(observed == 0, filled, observed), imputed)
