"""The logarithms that the network begins with, computed of what is not zero alone.

Most entries of a batch are zero, and a zero's logarithm, less its gene's mean, is the same in every cell. The graph of
a model file takes the logarithm of every entry, which is a third of all its work. Here it is taken of the others only,
and handed to the rest of the graph, which cannot tell the difference::

    size       = depth / what the genes that the batch has hold of the target depth
    centred    = ln(1 + x / size) - mean        where x > 0
               =                  - mean        where x = 0, or 0 of a gene that the batch lacks

A file need not begin like that. It is looked for under the names that ``docs/file-format.md`` gives, and relied on only
where it is seen to lead to what the whole graph does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scinn_infer.columns import ModelBlock, csr_of
from scinn_infer.contract import GENE_OUTPUTS, INPUT_EXPRESSION, INPUT_MEASURED
from scinn_infer.errors import ScinnError
from scinn_infer.onnxnodes import multiplied_with
from scinn_infer.onnxweights import read_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.session import Session

    Floats: TypeAlias = npt.NDArray[np.float32]

SIZE_FACTOR, COMPONENTS, LOG_MEAN, DEPTH_SHARE = "size_factor", "components", "log_mean", "depth_share"
"""What the graph calls each cell's size factor, the weights of its first layer, and two more."""

TINY = np.float32(1e-30)
"""Stands in for the size factor of a cell without any expression, as in the graph."""

PROBE_CELLS, PROBE_TOLERANCE = 24, 1e-4
"""Cells that this is tried on, and by how much, relative, the result may differ; rounding makes some 1e-6."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LogExpression:
    """What a file says of the logarithms.

    Attributes
    ----------
    name
        What the graph calls them, once they are centred.
    log_mean
        The mean that is taken off, of each gene (genes,).
    depth_share
        Each gene's part of the target depth (genes,); None where the unit is normalised already.
    """

    name: str
    log_mean: Floats
    depth_share: Floats | None

    def of_batch(self, measured: Floats) -> BatchLogExpression:
        """Return how they are computed in a batch that has these of the model's genes (genes,)."""
        usual_depth = None
        if self.depth_share is not None:
            usual_depth = max(np.float32(measured.astype(np.float64) @ self.depth_share), TINY)
        return BatchLogExpression(self.name, -(measured * self.log_mean), usual_depth)


@dataclass(frozen=True, eq=False)
class BatchLogExpression:
    """How the logarithms of the cells of one batch are computed. Several threads may do it at once.

    Attributes
    ----------
    name
        What the graph calls them.
    of_zero
        What they are where nothing was observed (genes,).
    usual_depth
        The target depth, in the genes that the batch has; None where the unit is normalised already.
    """

    name: str
    of_zero: Floats
    usual_depth: np.float32 | None
    _space: threading.local = field(default_factory=threading.local)

    @property
    def names(self) -> tuple[str, ...]:
        """What the graph calls that which ``of_block`` returns."""
        return self.name, SIZE_FACTOR

    def of_block(self, block: ModelBlock) -> dict[str, Floats]:
        """Return what the graph takes for a block, by its names; the memory is used again for the thread's next one."""
        depth = block.depth[:, None]
        with np.errstate(over="ignore"):  # absurd values are told of where the result is looked at
            size = (depth > 0).astype(np.float32) if self.usual_depth is None else depth / self.usual_depth
        if not hasattr(self._space, "centred"):
            self._space.centred = np.empty(block.shape, dtype=np.float32)
        centred: Floats = self._space.centred
        divisor = np.maximum(size, TINY)
        if (entries := block.entries) is None:
            np.divide(block.expression, divisor, out=centred)
            _log1p(centred)
        else:
            logarithms = entries.data / np.repeat(divisor[: block.cells], np.diff(entries.indptr))
            _log1p(logarithms)
            rows = csr_of(logarithms, entries.indices, entries.indptr, shape=entries.shape)
            rows.toarray(out=centred[: block.cells])
            centred[block.cells :] = 0
        centred += self.of_zero
        return {self.name: centred, SIZE_FACTOR: size}


def _log1p(values: Floats) -> None:
    """Take ln(1 + x) in place, as the graph does: numpy's log1p would round in another way, and takes longer."""
    values += np.float32(1)
    np.log(values, out=values)


def find_log_expression(
    content: bytes, session: Session, *, outputs: tuple[str, ...], genes: int
) -> LogExpression | None:
    """Return what a file says of the logarithms, if it begins with them and goes on from them; otherwise None.

    Parameters
    ----------
    content
        The file, already looked through.
    session
        Runs it.
    outputs
        Which of its outputs are to be the same either way.
    genes
        The number of the model's genes.
    """
    name = multiplied_with(content, COMPONENTS)
    weights = {name: weight.ravel() for name, weight in read_weights(content, (LOG_MEAN, DEPTH_SHARE)).items()}
    if name is None or LOG_MEAN not in weights or any(weight.size != genes for weight in weights.values()):
        return None
    found = LogExpression(name=name, log_mean=weights[LOG_MEAN], depth_share=weights.get(DEPTH_SHARE))
    return found if _leads_to_the_same(found, session, outputs, genes) else None


def _leads_to_the_same(found: LogExpression, session: Session, outputs: tuple[str, ...], genes: int) -> bool:
    """Tell whether the rest of the graph makes of the logarithms what the whole makes of the cells."""
    random = np.random.default_rng(0)
    measured = (random.random(genes) < 0.9).astype(np.float32)
    depth = random.lognormal(sigma=1, size=(PROBE_CELLS, 1))
    depth[0] = 0  # a cell without any expression
    cells: Floats = (random.poisson(depth, (PROBE_CELLS, genes)) * measured).astype(np.float32)
    inputs: dict[str, npt.NDArray[Any]] = {INPUT_EXPRESSION: cells, INPUT_MEASURED: measured}
    batch = found.of_batch(measured)
    given = batch.of_block(ModelBlock(cells, PROBE_CELLS))
    try:
        whole = session.run(outputs, inputs)
        rest = session.run(outputs, inputs | given, given=batch.names)
    except ScinnError:
        return False
    return all(_agree(*both, by_entry=name in GENE_OUTPUTS) for name, *both in zip(outputs, whole, rest, strict=True))


def _agree(one: Floats, other: Floats, *, by_entry: bool) -> bool:
    """Tell whether two results differ by rounding only: relative to each entry, or to the largest of them."""
    if one.shape != other.shape:
        return False
    scale = np.abs(one) if by_entry else np.abs(one).max()
    return bool((np.abs(other - one) <= PROBE_TOLERANCE * scale).all())
