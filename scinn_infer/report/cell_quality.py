"""What is known of each cell of a result besides its values: where the model puts it, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class CellQuality:
    """Arrays of all cells of a batch, each None where it is not known; a page shows what is there.

    Attributes
    ----------
    cluster
        The training cluster that the model finds most probable (cells,).
    cluster_probability
        Probability of each training cluster (cells × clusters).
    confidence
        How sure the model is of that cluster, from 0 to 1 (cells,).
    drift
        How far the cell lies from the training data, 0 being amid it (cells,).
    drifted
        Drift from which a cell is taken to be unlike the training data; None for no such line.
    embedding
        The quality network's embedding (cells × d).
    """

    cluster: npt.NDArray[Any] | None = None
    cluster_probability: npt.NDArray[Any] | None = None
    confidence: npt.NDArray[Any] | None = None
    drift: npt.NDArray[Any] | None = None
    drifted: float | None = None
    embedding: npt.NDArray[Any] | None = None
