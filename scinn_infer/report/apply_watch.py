"""What a report needs to see of a batch while it is imputed, in memory that does not grow with its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.columns import GeneColumns, in_whole
from scinn_infer.contract import OUTPUT_CLUSTER_PROBABILITY
from scinn_infer.report.request import check_genes
from scinn_infer.report.sample import AFTER, CellSample, Watch, choose_genes, spaced
from scinn_infer.summary import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.columns import Rows
    from scinn_infer.model import Model

    Blocks = Iterator[tuple[int, npt.NDArray[np.floating[Any]]]]


class ApplyWatch:
    """Sees a batch before and after, and keeps what a page shows of it.

    Parameters
    ----------
    model
        The model that is applied.
    batch
        What is known of the batch.
    cells
        How many cells it has.
    policy
        Name of the policy.
    genes
        Genes whose values are to be kept whatever their expression.

    Raises
    ------
    ScinnError
        If the model does not know one of these genes, or the batch lacks it.
    """

    def __init__(self, model: Model, batch: Batch, *, cells: int, policy: str, genes: Sequence[str] = ()) -> None:
        known = np.flatnonzero(batch.match.columns >= 0)
        self._columns = known[np.argsort(batch.match.columns[known])]  # in the model's order
        self._names = [batch.genes[column] for column in self._columns]
        check_genes(genes, self._names)
        mean = np.asarray(model.info.training_data.gene_mean)[batch.match.columns[self._columns]]
        place = {name: number for number, name in enumerate(self._names)}
        self._kept = choose_genes(mean, always=[place[gene] for gene in genes])
        self._rows = spaced(cells)
        self._watch = Watch(self._rows, columns=self._columns, kept=self._kept)
        self._clusters = np.zeros(len(self._rows), dtype=np.intp)
        self._model, self._batch, self._cells, self._policy = model, batch, cells, policy
        self.tally = Tally(batch.match)

    def see_before(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        """Pass the raw rows on (cells × batch genes)."""
        start = 0
        for chunk in self._watch.see_before(chunks):
            self.tally.add(chunk)
            self._find_clusters(start, chunk)
            start += chunk.shape[0]
            yield chunk

    def see_after(self, blocks: Blocks) -> Blocks:
        """Pass the result on (cells × batch genes), with the position of the first cell of each block."""
        yield from self._watch.see_after(blocks)

    @property
    def clusters(self) -> npt.NDArray[np.intp]:
        """Training cluster that the model finds most probable for each kept cell, 0 the largest (cells,)."""
        return self._clusters

    def sample(self) -> CellSample:
        """Return the kept cells, once all have passed."""
        names = self._batch.cell_names
        return CellSample(
            batch_cells=self._cells,
            rows=self._rows,
            names=[f"cell {row + 1}" if names is None else str(names[row]) for row in self._rows],
            genes=self._names,
            kept=self._kept,
            before=self._watch.before.side(),
            after=self._watch.after.side(),
            unit=self._batch.unit,
            after_name=AFTER[self._policy],
        )

    def _find_clusters(self, start: int, chunk: Rows) -> None:
        first, last = np.searchsorted(self._rows, (start, start + chunk.shape[0]))
        if first == last:
            return
        rows = in_whole(chunk[self._rows[first:last] - start])
        space = np.empty((last - first, len(self._model.genes)), dtype=np.float32)
        block = GeneColumns(self._batch.match).to_model(rows, space=space)
        found = self._model.run(block.expression, self._batch.match.measured, outputs=(OUTPUT_CLUSTER_PROBABILITY,))
        self._clusters[first:last] = found[OUTPUT_CLUSTER_PROBABILITY].argmax(axis=1)
