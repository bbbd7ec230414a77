"""Module 1: which cells are alike.

log expression → gene filter → latent ensemble → clusters of each latent → consensus, similarity
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.progress import track
from scinn_train import clustering
from scinn_train.checkpoint import Checkpoint
from scinn_train.consensus import combine
from scinn_train.gene_filter import gene_scores, select_genes
from scinn_train.latent import latent_ensemble
from scinn_train.normalise import to_unit_range
from scinn_train.randomness import derive
from scinn_train.similarity import Similarity

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from scinn_train.config import Module1Config
    from scinn_train.expression import Expression

    Array = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.intp]


@dataclass(frozen=True)
class CellMap:
    """What module 1 knows of the cells.

    Attributes
    ----------
    clusters
        Consensus cluster of each cell, 0 the largest (cells,).
    latent
        The member of the latent ensemble whose clusters agree best with the consensus (cells × latents).
    similarity
        Pearson correlation of the cells' latents, for any pairs.
    sha256
        Digest of the training matrix, where the fit is known that it comes from.
    made_with
        ``module1``, the configuration, ``clusters``, what was asked for, and ``seed``, where they are known.
    """

    clusters: Labels
    latent: Array
    similarity: Similarity
    sha256: str = ""
    made_with: dict[str, Any] | None = None

    def digest(self) -> str:
        """Return what tells this map from any other: a SHA-256 of all that module 2 takes from it."""
        parts = (self.clusters, self.latent, self.similarity.directions)
        return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def map_cells(
    log_expression: Expression,
    *,
    config: Module1Config,
    clusters: int | None,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    progress: bool = False,
) -> CellMap:
    """Find clusters and similarity of the training cells.

    Parameters
    ----------
    log_expression
        Logarithm of one plus the normalised expression (cells × genes).
    clusters
        Number of clusters; None chooses it.
    checkpoint
        Where the gene filter, each latent network and the clusters are kept as soon as they are there.
    """
    checkpoint = checkpoint or Checkpoint()
    scaled = log_expression.map(to_unit_range)
    kept = np.arange(scaled.shape[1])
    if scaled.shape[1] > config.filtered_genes:
        (scores,) = checkpoint.remember(
            "gene filter", lambda: [gene_scores(scaled, config=config, seed=seed, device=device, progress=progress)]
        )
        kept = select_genes(scores, count=config.filtered_genes)
    latents = latent_ensemble(
        scaled.with_genes(kept), config=config, seed=seed, device=device, checkpoint=checkpoint, progress=progress
    )
    clusterings = checkpoint.remember(
        "clusters", lambda: _cluster(latents, config=config, clusters=clusters, seed=seed, progress=progress)
    )
    consensus = combine(clusterings, clusters=clusters)
    best = latents[consensus.best]
    return CellMap(
        clusters=consensus.labels,
        latent=best,
        similarity=Similarity(latents if config.whole_ensemble else [best]),
        made_with={"module1": asdict(config), "clusters": clusters, "seed": seed},
    )


def _cluster(
    latents: list[Array], *, config: Module1Config, clusters: int | None, seed: int, progress: bool
) -> list[Labels]:
    """Cluster each latent; of many cells a sample, the same for all latents, and the rest by vote."""
    cells = len(latents[0])
    random = np.random.default_rng(derive(seed, "cluster sample"))
    sample = np.sort(random.permutation(cells)[: clustering.CLUSTERED_AT_ONCE])
    components = clusters or config.most_clusters
    drawn = track(latents, description="neighbour graphs", total=len(latents), unit="latents", enabled=progress)
    graphs = [clustering.SpectralGraph.from_latent(latent[sample], components=components) for latent in drawn]
    kmeans_seed = derive(seed, "k-means")
    last_of_each_network = graphs[config.snapshots - 1 :: config.snapshots]  # the others are close to it
    number = clusters or clustering.choose_clusters(
        last_of_each_network, most=config.most_clusters, seed=kmeans_seed, progress=progress
    )
    pairs = list(zip(latents, graphs, strict=True))
    described = track(pairs, description="cells to clusters", total=len(pairs), unit="latents", enabled=progress)
    return [clustering.vote(latent, sample, graph.cut(number, seed=kmeans_seed)) for latent, graph in described]
