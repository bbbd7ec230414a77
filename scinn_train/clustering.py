"""Module 1, step 3: clusters of one latent, and how many of them.

Spectral clustering on a graph of nearest neighbours in Pearson distance (scDHA, Tran et al., Nat Commun 2021, Methods).
One eigendecomposition per latent serves every number of clusters. Above a stated size a sample is clustered and every
other cell takes the majority label of its nearest sampled cells, so that no step is quadratic in the number of cells.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import scipy.sparse.csgraph
import scipy.sparse.linalg
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from scinn_infer.progress import track
from scinn_train.similarity import nearest_by_pearson, standardise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.intp]

NEIGHBOURS = 7
"""Neighbours of each cell in the graph."""

VOTERS = 10
"""Sampled cells that vote on the cluster of a cell outside the sample."""

CLUSTERED_AT_ONCE = 5000
"""Above this number of cells a sample is clustered, and votes decide for the rest."""

RESTARTS = 10
"""Restarts of k-means for the final clusters; fewer do to compare numbers of clusters."""

_TRIAL_RESTARTS = 2
_DENSE_BELOW = 2000  # up to this size a dense eigensolver is quick, and never fails to converge
_ONE_WITHIN = 1e-5  # of an eigenvalue that a component has for its own: single precision leaves a tenth of that
_SCORED = 1000  # cells on which the silhouette is computed: it compares all pairs


@dataclass(frozen=True)
class SpectralGraph:
    """One latent's cells, ready to be cut into any number of clusters.

    Attributes
    ----------
    directions
        Latents, centred and of unit length (cells × latents): their dot product is the Pearson correlation.
    eigenvectors
        Of the normalised neighbour graph, the largest eigenvalue first (cells × components).
    """

    directions: Array
    eigenvectors: Array

    @classmethod
    def from_latent(cls, latent: Array, *, components: int) -> SpectralGraph:
        """Build the graph of one latent (cells × latents) and decompose it once."""
        directions = standardise(latent)
        return cls(directions, leading_eigenvectors(neighbour_graph(directions), count=min(components, len(latent))))

    def cut(self, clusters: int, *, seed: int, restarts: int = RESTARTS) -> Labels:
        """Return the cells' labels for a number of clusters, from k-means on the row-normalised eigenvectors."""
        return _kmeans(standardise_length(self.eigenvectors[:, :clusters]), clusters, seed=seed, restarts=restarts)


def neighbour_graph(directions: Array, *, neighbours: int = NEIGHBOURS) -> sparse.csr_array:
    """Return the symmetric graph of nearest neighbours with locally scaled Gaussian weights (cells × cells, sparse)."""
    everyone = np.arange(len(directions))
    count = min(neighbours, len(directions) - 1)
    nearest, distance = nearest_by_pearson(directions, directions, count, itself=everyone)
    scale = np.maximum(distance[:, -1], np.finfo(np.float32).eps)  # distance to the furthest neighbour
    weight = np.exp(-(distance**2) / (scale[:, None] * scale[nearest]))
    rows = np.repeat(everyone, count)
    graph = sparse.csr_array((weight.ravel(), (rows, nearest.ravel())), shape=(len(directions),) * 2)
    return graph.maximum(graph.T)


def leading_eigenvectors(graph: sparse.csr_array, *, count: int) -> Array:
    """Return eigenvectors of the symmetric normalised graph, those of the largest eigenvalues first (cells × count).

    They are the smallest of the normalised Laplacian. Neighbour graphs are often disconnected, so that the eigenvalue
    one repeats, once for each component, and a Lanczos solver may not converge or may miss one: then, and on small
    graphs, a dense solver takes over.
    """
    cells = graph.shape[0]
    degree = np.maximum(np.asarray(graph.sum(axis=1)).ravel(), np.finfo(np.float32).tiny)
    scaling = sparse.dia_array((1 / np.sqrt(degree)[None], [0]), shape=graph.shape)
    normalised = scaling @ graph @ scaling
    if cells > max(_DENSE_BELOW, 3 * count):
        try:
            start = np.random.default_rng(0).uniform(0.5, 1.0, cells)
            values, vectors = scipy.sparse.linalg.eigsh(normalised, k=count, which="LA", v0=start, maxiter=cells // 2)
            components = scipy.sparse.csgraph.connected_components(graph, directed=False, return_labels=False)
            if np.count_nonzero(values > 1 - _ONE_WITHIN) >= min(components, count):
                return vectors[:, np.argsort(-values)].astype(np.float32)
        except (scipy.sparse.linalg.ArpackNoConvergence, scipy.sparse.linalg.ArpackError):
            pass
    _, vectors = scipy.linalg.eigh(normalised.toarray(), subset_by_index=[cells - count, cells - 1])
    return vectors[:, ::-1].astype(np.float32)


def choose_clusters(graphs: Sequence[SpectralGraph], *, most: int, seed: int, progress: bool = False) -> int:
    """Choose the number of clusters: the one whose cuts have the highest mean silhouette over the latents.

    The silhouette is taken in the latent itself, with the Pearson distance. scDHA's own indices (between over total sum
    of squares, relative change of the within sum) chose 2 to 4 where there are 5 to 16 types: ``docs/method.md``.
    """
    cells = len(graphs[0].directions)
    scored = np.random.default_rng(seed).permutation(cells)[:_SCORED]
    candidates = range(2, min(most, graphs[0].eigenvectors.shape[1], cells // 3) + 1)
    if len(candidates) == 0:
        return 1
    scores = []
    described = track(
        candidates, description="number of clusters", total=len(candidates), unit="numbers", enabled=progress
    )
    for clusters in described:
        silhouettes = [
            _silhouette(graph.directions[scored], graph.cut(clusters, seed=seed, restarts=_TRIAL_RESTARTS)[scored])
            for graph in graphs
        ]
        scores.append(np.mean(silhouettes))
    return candidates[int(np.argmax(scores))]


def vote(latent: Array, sample: Labels, labels: Labels, *, voters: int = VOTERS) -> Labels:
    """Give every cell the majority label of its nearest sampled cells; a sampled cell keeps its own.

    Parameters
    ----------
    latent
        All cells (cells × latents).
    sample
        Which of them were clustered (sampled cells,).
    labels
        The sampled cells' labels (sampled cells,).
    """
    if len(sample) == len(latent):
        return labels
    directions = standardise(latent)
    nearest, _ = nearest_by_pearson(directions, directions[sample], min(voters, len(sample)))
    counts = np.zeros((len(latent), labels.max() + 1), dtype=np.int32)
    for column in range(nearest.shape[1]):
        np.add.at(counts, (np.arange(len(latent)), labels[nearest[:, column]]), 1)
    everyone = counts.argmax(axis=1)
    everyone[sample] = labels
    return everyone


def standardise_length(rows: Array) -> Array:
    """Scale each row to unit length; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _kmeans(points: Array, clusters: int, *, seed: int, restarts: int) -> Labels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # fewer distinct points than clusters: the labels say so
        return KMeans(clusters, n_init=restarts, random_state=seed).fit_predict(points).astype(np.intp)


def _silhouette(directions: Array, labels: Labels) -> float:
    found = len(np.unique(labels))
    if not 1 < found < len(labels):
        return -1.0
    return float(silhouette_score(directions, labels, metric="cosine"))
