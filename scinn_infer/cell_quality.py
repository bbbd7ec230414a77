"""What the quality-assessment sub-network says of each cell: its cluster, how sure that is, and its drift.

All of it comes from the same run of the network as the imputed values.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.contract import OUTPUT_CLUSTER_PROBABILITY, OUTPUT_EMBEDDING
from scinn_infer.drift import BatchProfile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from scinn_infer.columns import ModelBlock
    from scinn_infer.contract import ModelInfo

    Floats = npt.NDArray[np.float32]

QUALITY_OUTPUTS = (OUTPUT_CLUSTER_PROBABILITY, OUTPUT_EMBEDDING)
"""The model's outputs that this is made of."""

NO_CLUSTER = -1
"""Cluster of a cell without any expression in the model's genes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CellQuality:
    """What is known of the cells of a batch besides their imputed values.

    Attributes
    ----------
    cluster
        The most probable of the clusters that module 1 found among the training cells, counted from 0, the largest;
        -1 for a cell without any expression in the model's genes (cells,).
    confidence
        Its probability, calibrated: of training cells that were held out, those with a confidence of 0.8 were in the
        named cluster in about 80 % of the cases. It takes the cell for one of the tissue: see the drift. In files
        without a cell reference the probability as it is. NaN for a cell without any expression (cells,).
    drift
        How unlike the training data the cell is: the share of the held-out training cells that lie nearer to a
        training cluster in the embedding. Near 0.5 for a typical cell; above 0.99 for one that is rarer than 1 in 100.
        Of n held-out cells nothing above n / (n + 1) can be said. NaN for a cell without any expression (cells,);
        None where the model file has no cell reference.
    cluster_probability
        As the network returns them (cells × clusters).
    embedding
        As the network returns it (cells × d); Pearson correlations between its rows are the predicted similarity.
    """

    cluster: npt.NDArray[np.int32]
    confidence: Floats
    drift: Floats | None
    cluster_probability: Floats
    embedding: Floats

    def __len__(self) -> int:
        return self.cluster.size

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is known, by name: arrays with one entry or row for each cell."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in named.items() if values is not None}


def assess_cells(info: ModelInfo, results: Mapping[str, Floats], expressed: npt.NDArray[np.bool_]) -> CellQuality:
    """Read the quality of cells from what the network returned for them.

    Parameters
    ----------
    info
        What the model says about itself.
    results
        The outputs ``cluster_probability`` (cells × clusters) and ``embedding`` (cells × d).
    expressed
        Whether a cell has any expression in the model's genes (cells,).
    """
    probability, embedding = results[OUTPUT_CLUSTER_PROBABILITY], results[OUTPUT_EMBEDDING]
    reference = info.cell_reference
    confidence = probability.max(axis=1) if reference is None else reference.confidence(probability)
    drift = None if reference is None else reference.drift(reference.distance(embedding))
    return CellQuality(
        cluster=np.where(expressed, probability.argmax(axis=1), NO_CLUSTER).astype(np.int32),
        confidence=np.where(expressed, confidence, np.float32(np.nan)),
        drift=None if drift is None else np.where(expressed, drift, np.float32(np.nan)),
        cluster_probability=probability,
        embedding=embedding,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class SeenCells:
    """What is known of some cells of a batch: their quality, and what tells the batch from the tissue.

    Attributes
    ----------
    quality
        Of each cell.
    depth
        Sum over the model's genes (cells,).
    gene_sum
        Sum over the cells (model genes,).
    """

    quality: CellQuality
    depth: Floats
    gene_sum: Floats


class QualityRecorder:
    """Collects the quality of a batch's cells while their values stream by, and what tells the batch from the tissue.

    Parameters
    ----------
    info
        What the model says about itself.
    profile
        What cells that were recorded before add up to; nothing if not given.
    recorded
        How many of the cells to come are among these: they are passed over.
    """

    def __init__(self, info: ModelInfo, *, profile: BatchProfile | None = None, recorded: int = 0) -> None:
        self._info = info
        self._waiting: list[CellQuality] = []
        self._recorded = recorded
        self.profile = BatchProfile(len(info.genes)) if profile is None else profile

    def look(self, block: ModelBlock, results: Mapping[str, Floats]) -> SeenCells:
        """Return what a block of the batch and the network's results tell of its cells.

        Nothing is recorded yet, so that threads may look at several blocks at once.
        """
        quality = assess_cells(self._info, results, block.depth > 0)
        quality = from_columns({name: part[: block.cells] for name, part in quality.columns().items()})
        gene_sum = block.expression[: block.cells].sum(axis=0)
        return SeenCells(quality=quality, depth=block.depth[: block.cells], gene_sum=gene_sum)

    def record(self, seen: SeenCells) -> None:
        """Add what was seen of a block; the blocks of a batch in their order, those passed over too."""
        if self._recorded:
            self._recorded -= len(seen.depth)
            return
        self.profile.add(seen.gene_sum, seen.depth, seen.quality.drift)
        self._waiting.append(seen.quality)

    @property
    def waiting(self) -> int:
        """How many cells were recorded since the last call of what returns them."""
        return sum(map(len, self._waiting))

    def by_cell(self) -> dict[str, npt.NDArray[Any]]:
        """Return what another run that goes on has to know of the cells since the last call, by name."""
        quality = self.drain()
        return {"depths": self.profile.new_depths(), **(quality.columns() if quality else {})}

    def drain(self) -> CellQuality | None:
        """Return the cells that were recorded since the last call, in order; None if there are none."""
        waiting, self._waiting = self._waiting, []
        return _joined(waiting) if waiting else None


def _joined(parts: Sequence[CellQuality]) -> CellQuality:
    columns = [part.columns() for part in parts]
    return from_columns({name: np.concatenate([each[name] for each in columns]) for name in columns[0]})


def from_columns(columns: Mapping[str, Any]) -> CellQuality:
    """Return what is known from :meth:`CellQuality.columns`."""
    return CellQuality(**{"drift": None, **columns})


@dataclass(frozen=True)
class Places:
    """Where the quality of cells stands in an AnnData object or file: names in ``obs`` and ``obsm``, by field."""

    obs: dict[str, str]
    obsm: dict[str, str]

    @classmethod
    def under(cls, key: str) -> Places:
        """Return the places for results that are called ``key``."""
        return cls(
            obs={name: f"{key}_{name}" for name in ("cluster", "confidence", "drift")},
            obsm={"cluster_probability": f"{key}_cluster_probability", "embedding": f"X_{key}"},
        )

    def record(self, info: ModelInfo) -> dict[str, str]:
        """Return the places of what a model can tell, by field, for the record in ``uns``."""
        obs = {name: f"obs/{place}" for name, place in self.obs.items() if name != "drift" or info.cell_reference}
        return obs | {name: f"obsm/{place}" for name, place in self.obsm.items()}
