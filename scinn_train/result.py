"""What a fit returns: all that was found and trained, and what can be made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_train import export
from scinn_train.half_precision import FLOAT32

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy.typing as npt
    from scipy import sparse

    from scinn_infer.contract import ModelInfo
    from scinn_train.graph import NetworkWeights
    from scinn_train.module1 import CellMap
    from scinn_train.quality import Recovery
    from scinn_train.training import Epoch

    Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """A fitted scINN: what module 1 found, how module 2 was trained, and the model that can be exported.

    Of the expression, 2,000 cells at most are kept: for the proof of the model file, and for a page about the fit.

    Attributes
    ----------
    clusters
        Module-1 cluster of each cell, 0 the largest; -1 for a cell without any expression (cells,).
    latent
        The latent of module 1 that agrees best with the clusters; NaN for a cell without any expression
        (cells × latents).
    history
        One entry for each epoch of module 2: the loss by its named terms, on training and on held-out cells.
    best_epoch
        The entry of the history at which the network was kept.
    cell_map
        All of what module 1 found, of the cells with any expression: another fit of the same data can begin with it.
    recovery
        How well hidden entries of held-out cells are predicted.
    info
        What the model file will say of itself.
    seconds
        Time that each module took.
    """

    clusters: npt.NDArray[np.intp]
    latent: Array
    history: list[Epoch]
    best_epoch: int
    info: ModelInfo
    seconds: dict[str, float]
    cell_map: CellMap
    recovery: Recovery
    _weights: NetworkWeights
    _cells: npt.NDArray[np.intp]
    _shown: sparse.csr_array

    @property
    def genes(self) -> tuple[str, ...]:
        """The model's genes: those seen in enough training cells."""
        return self.info.genes

    def similarity(self, rows: npt.ArrayLike, columns: npt.ArrayLike) -> Array:
        """Return the module-1 similarity of some cells with others.

        Parameters
        ----------
        rows, columns
            Indices of cells, counted from 0: one, or a list.

        Returns
        -------
            Pearson correlation of their latents, averaged over the ensemble, in [-1, 1] (rows × columns); NaN for a
            cell without any expression.

        Raises
        ------
        ScinnError
            If one is no index of a cell.
        """
        position = np.full(len(self.clusters), -1, dtype=np.intp)
        position[self._cells] = np.arange(len(self._cells))
        first, second = (position[_cell_indices(cells, of=len(position))] for cells in (rows, columns))
        values = self.cell_map.similarity.between(first, second)
        values[first < 0] = np.nan
        values[:, second < 0] = np.nan
        return values

    def to_bytes(self, *, weights: str = FLOAT32) -> bytes:
        """Return what :meth:`export` writes: the model file, once it is proven.

        Parameters
        ----------
        weights
            As for :meth:`export`.

        Raises
        ------
        ScinnError
            If it does not do what the network does.
        """
        return export.serialise(self._weights, self.info, proof=self._shown, storage=weights)

    def export(self, path: str | os.PathLike[str], *, weights: str = FLOAT32, overwrite: bool = False) -> None:
        """Write the model file; it appears under its name only once it is proven (``scinn_train.export``).

        Parameters
        ----------
        path
            Where to write it.
        weights
            How the large matrices are stored: ``"float32"``, or ``"float16"`` for a file of about half the size, whose
            values differ in the fourth digit (``scinn_train.half_precision``).
        overwrite
            Whether an existing file may be replaced.

        Raises
        ------
        ScinnError
            If the file exists, cannot be written, or does not do what the network does; if there is no such storage.
        """
        proof = self._shown
        export.export(self._weights, self.info, path, proof=proof, storage=weights, overwrite=overwrite)

    def write_report(
        self,
        path: str | os.PathLike[str],
        *,
        labels: Sequence[Any] | None = None,
        labels_name: str = "label",
        genes: Sequence[str] = (),
        overwrite: bool = False,
    ) -> None:
        """Write a page about the fit: one HTML file, which loads nothing (``scinn_train.fit_report``).

        Parameters
        ----------
        path
            The ``.html`` file to write.
        labels
            Known type of each cell (cells,), to colour by.
        labels_name
            What these types are called.
        genes
            Genes to show before and after; the most cluster-specific ones if not given.
        overwrite
            Whether an existing page may be replaced.

        Raises
        ------
        ScinnError
            If bokeh is not installed, the page cannot be written, there is not one label for each cell, or a gene is
            not one of the model's.
        """
        from scinn_infer.report.request import ReportRequest
        from scinn_train.fit_report import write_fit_page

        request = ReportRequest(path=Path(path), genes=tuple(genes), overwrite=overwrite)
        request.check()
        write_fit_page(self, request, labels=None if labels is None else (labels_name, labels))


def _cell_indices(cells: npt.ArrayLike, *, of: int) -> npt.NDArray[np.intp]:
    """Return indices of cells (cells,), if they are: whole numbers from 0 on, each below their number."""
    indices = np.atleast_1d(np.asarray(cells))
    if indices.size == 0:
        return np.empty(0, dtype=np.intp)
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= of:
        msg = f"{cells!r} is no index of a cell, nor a list of them: there are {of} cells, counted from 0."
        raise ScinnError(msg)
    return indices.astype(np.intp)
