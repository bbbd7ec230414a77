"""The training cells that are shown, put through the network that is exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scinn_infer.contract import OUTPUT_CLUSTER_PROBABILITY, OUTPUT_EMBEDDING, OUTPUT_IMPUTED
from scinn_infer.report.request import check_genes
from scinn_infer.report.sample import AFTER, CellSample, Watch, choose_genes, spaced
from scinn_train.forward import forward

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_train.result import Result

ROWS_AT_ONCE = 96


@dataclass(frozen=True)
class ShownCells:
    """Some of the training cells.

    Attributes
    ----------
    sample
        Their values before and after.
    embedding
        What the quality network makes of them (cells × d).
    found
        The cluster that it reads from them (cells,).
    """

    sample: CellSample
    embedding: npt.NDArray[np.float32]
    found: npt.NDArray[np.intp]


def show_cells(result: Result, genes: Sequence[str]) -> ShownCells:
    """Impute some of the training cells, evenly spaced over all of them.

    The values of the most variable genes are kept, and of those asked for.

    Raises
    ------
    ScinnError
        If one of these is not among the model's genes.
    """
    check_genes(genes, result.genes)
    weights = result._weights
    rows = spaced(len(result._cells))
    place = {name: number for number, name in enumerate(result.genes)}
    kept = choose_genes(1 / weights.log_scale, always=[place[gene] for gene in genes])  # one over the deviation
    every = np.arange(len(rows))
    watch = Watch(every, columns=np.arange(len(result.genes)), kept=kept)
    embedding, found = [], []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = result._shown[start : start + ROWS_AT_ONCE].toarray()
        with torch.no_grad():
            outputs = forward(weights, torch.from_numpy(block), torch.ones(block.shape[1]))
        watch.before.add(start, block)
        watch.after.add(start, outputs[OUTPUT_IMPUTED].numpy().astype(np.float32))
        embedding.append(outputs[OUTPUT_EMBEDDING].numpy().astype(np.float32))
        found.append(outputs[OUTPUT_CLUSTER_PROBABILITY].numpy().argmax(axis=1))
    sample = CellSample(
        batch_cells=len(result._cells),
        rows=rows,
        names=[f"cell {cell + 1}" for cell in result._cells[rows]],
        genes=result.genes,
        kept=kept,
        before=watch.before.side(),
        after=watch.after.side(),
        unit=result.info.unit,
        after_name=AFTER["keep"],
    )
    return ShownCells(sample, np.concatenate(embedding), np.concatenate(found))
