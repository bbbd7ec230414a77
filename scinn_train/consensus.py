"""Module 1, step 4: one clustering from many.

The clusterings of the ensemble are compared by their adjusted Rand index, the most coherent group of them decides how
many clusters there are, and weighted meta-clustering combines them all: clusters of clusters, joined by Ward's method
on their weighted Jaccard similarity, with a majority vote for each cell (scDHA, Tran et al., Nat Commun 2021, Methods).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Labels = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Consensus:
    """The combined clustering.

    Attributes
    ----------
    labels
        Cluster of each cell, 0 the largest (cells,).
    best
        The member of the ensemble whose clustering agrees best with the consensus.
    agreement
        Adjusted Rand index of each member's clustering with the consensus (members,).
    """

    labels: Labels
    best: int
    agreement: npt.NDArray[np.float64]


def combine(clusterings: Sequence[Labels], *, clusters: int | None = None) -> Consensus:
    """Combine several clusterings of the same cells into one.

    Parameters
    ----------
    clusterings
        Labels of the cells, one array (cells,) for each member of the ensemble.
    clusters
        The number of clusters to end with; when None, the mean of the most coherent group plus one.
    """
    agreement = _pairwise(clusterings)
    if clusters is None:
        kept = _most_coherent(agreement)
        clusters = round(float(np.mean([len(np.unique(clusterings[member])) for member in kept]))) + 1
    labels = _by_size(_meta_cluster(clusterings, clusters))
    with_consensus = np.array([adjusted_rand_score(labels, member) for member in clusterings])
    return Consensus(labels=labels, best=int(with_consensus.argmax()), agreement=with_consensus)


def _pairwise(clusterings: Sequence[Labels]) -> npt.NDArray[np.float64]:
    members = len(clusterings)
    agreement = np.eye(members)
    for first in range(members):
        for second in range(first):
            score = adjusted_rand_score(clusterings[first], clusterings[second])
            agreement[first, second] = agreement[second, first] = score
    return agreement


def _most_coherent(agreement: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Cut the members into two groups by their agreement; of those with two members or more keep the more coherent."""
    members = len(agreement)
    if members < 4:
        return np.arange(members)
    tree = hierarchy.linkage(squareform(1 - agreement, checks=False), method="average")
    group = hierarchy.fcluster(tree, 2, criterion="maxclust")
    candidates = [np.flatnonzero(group == label) for label in np.unique(group)]
    candidates = [chosen for chosen in candidates if len(chosen) > 1]
    return max(candidates, key=lambda chosen: _mean_agreement(agreement, chosen))


def _mean_agreement(agreement: npt.NDArray[np.float64], chosen: npt.NDArray[np.intp]) -> float:
    block = agreement[np.ix_(chosen, chosen)]
    return float(block[~np.eye(len(chosen), dtype=bool)].mean())


def _meta_cluster(clusterings: Sequence[Labels], clusters: int) -> Labels:
    membership = np.concatenate([_one_hot(labels) for labels in clusterings], axis=1)  # (cells × all clusters)
    # A cell on which the members agree says more about two clusters than one on which they do not.
    weights = _cell_weights(membership, members=len(clusterings))
    weighted = membership * weights[:, None]
    shared = membership.T @ weighted
    size = weighted.sum(axis=0)
    jaccard = shared / np.maximum(size[:, None] + size[None] - shared, np.finfo(np.float64).tiny)
    distance = squareform(1 - jaccard, checks=False)
    tree = hierarchy.linkage(np.maximum(distance, 0), method="ward")
    meta = hierarchy.fcluster(tree, min(clusters, membership.shape[1]), criterion="maxclust") - 1
    votes = np.stack([membership[:, meta == label].sum(axis=1) for label in range(meta.max() + 1)], axis=1)
    return votes.argmax(axis=1)


def _cell_weights(membership: npt.NDArray[np.float64], *, members: int) -> npt.NDArray[np.float64]:
    """Weight each cell by how clearly the members agree about the cells around it, in (0, 1].

    Two cells that are together in a share p of the clusterings are uncertain by p (1 - p); a cell's weight falls with
    its mean uncertainty over all cells. The means of p and of p² over all cells come from the overlaps of the clusters,
    without a look at any pair of cells.

    Parameters
    ----------
    membership
        Which of all members' clusters each cell is in (cells × all clusters), 0 or 1.
    """
    cells = len(membership)
    overlap = membership.T @ membership
    together = membership @ np.diag(overlap) / (members * cells)
    together_squared = ((membership @ overlap) * membership).sum(axis=1) / (members**2 * cells)
    return np.maximum(1 - 4 * (together - together_squared), 0.01)


def _one_hot(labels: Labels) -> npt.NDArray[np.float64]:
    return (labels[:, None] == np.unique(labels)[None]).astype(np.float64)


def _by_size(labels: Labels) -> Labels:
    values, counts = np.unique(labels, return_counts=True)
    order = values[np.argsort(-counts, kind="stable")]
    rank = np.empty(labels.max() + 1, dtype=np.intp)
    rank[order] = np.arange(len(order))
    return rank[labels]
