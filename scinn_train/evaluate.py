"""The paper's protocol: how well known cell types can be told apart in a matrix.

Principal components, then k-means with as many clusters as there are types and many restarts, held against the types
by adjusted Rand index (ARI), normalised mutual information (NMI) and Jaccard index; and the silhouette of the types in
a 2-D UMAP picture. k-means and UMAP depend on their seed, on small data much (on 124 cells ARI jumps between 0.5 and
0.9), so every score is given for several.
"""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.arguments import check_count
from scinn_infer.checks import check_chunk
from scinn_infer.errors import ScinnError
from scinn_infer.progress import busy, track
from scinn_train.matrices import as_matrix, finite_matrix
from scinn_train.transforms import HEADLINE, TRANSFORMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from scinn_train.matrices import Matrix

    Floats = npt.NDArray[np.floating[Any]]
    Integers = npt.NDArray[np.int64]

COMPONENTS = 50
RESTARTS = 50
SEEDS = tuple(range(5))
LARGEST_SEED = 2**32 - 1
"""Of those that scikit-learn and UMAP take."""

UMAP_NEIGHBOURS = 15
FEWEST_DRAWN = 3
"""UMAP needs two neighbours for each cell."""


@dataclass(frozen=True)
class Score:
    """One score over several seeds.

    Attributes
    ----------
    values
        The score for each seed.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over the seeds."""
        return float(np.median(self.values))

    @property
    def lowest(self) -> float:
        """Lowest over the seeds."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """Highest over the seeds."""
        return max(self.values)

    def __str__(self) -> str:
        """Median, and the range unless the seeds agree."""
        if f"{self.lowest:.3f}" == f"{self.highest:.3f}":
            return f"{self.median:.3f}"
        return f"{self.median:.3f} ({self.lowest:.3f}–{self.highest:.3f})"


@dataclass(frozen=True)
class Evaluation:
    """How well the known types can be told apart in one matrix.

    Attributes
    ----------
    scores
        ``"ARI"``, ``"NMI"``, ``"Jaccard"`` and ``"silhouette"``; 1 is perfect in each.
    picture
        2-D UMAP picture with the first seed (cells × 2).
    """

    scores: dict[str, Score]
    picture: npt.NDArray[np.float32]


def evaluate(
    X: Matrix,
    labels: npt.ArrayLike,
    *,
    seeds: Iterable[int] = SEEDS,
    restarts: int = RESTARTS,
    description: str = "expression",
    progress: bool = False,
) -> Evaluation:
    """Run the whole protocol on one matrix.

    Parameters
    ----------
    X
        Expression on a log scale (cells × genes): raw or imputed, as a function of ``TRANSFORMS`` returns it.
    labels
        Known type of each cell (cells,).
    seeds
        Each seed gives one k-means clustering and one UMAP picture.
    restarts
        Restarts of k-means for each seed, of which the best is kept.
    description
        What the progress bar calls the matrix.
    progress
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ScinnError
        If a cell has no type, there are fewer than two types or as many as cells, all cells are alike, or values are
        missing or infinite; if there is no seed, or one that is none, or no restart.
    """
    seeds, restarts = _check_seeds(seeds), check_count(restarts, "restarts")
    X = as_matrix(X, name=f"the {description} matrix")
    types = encode_types(labels, cells=X.shape[0])
    with busy(f"{description}: principal components", enabled=progress):
        components = principal_components(X)
    clusters = types.max() + 1
    clusterings = [
        kmeans(components, clusters=clusters, restarts=restarts, random_state=seed)
        for seed in track(
            seeds, description=f"{description}: k-means", total=len(seeds), unit="seeds", enabled=progress
        )
    ]
    pictures = [
        umap_picture(components, random_state=seed)
        for seed in track(seeds, description=f"{description}: UMAP", total=len(seeds), unit="seeds", enabled=progress)
    ]
    scores = agreement(types, clusterings)
    scores["silhouette"] = Score(tuple(silhouette(picture, types) for picture in pictures))
    return Evaluation(scores=scores, picture=pictures[0])


@dataclass(frozen=True)
class Comparison:
    """Raw and imputed expression of the same cells, under the same protocol on the same scale.

    Attributes
    ----------
    raw, imputed
        Both on the headline scale: depth 10,000, ln(1 + x).
    raw_ari
        ARI of the raw data on each scale of ``TRANSFORMS``, by the scale's name: the headline need not be its best.
    """

    raw: Evaluation
    imputed: Evaluation
    raw_ari: dict[str, Score]

    @property
    def best_scale_of_raw(self) -> str:
        """Name of the scale on which the raw data has its highest median ARI."""
        return max(self.raw_ari, key=lambda scale: self.raw_ari[scale].median)


def compare(
    raw: Matrix,
    imputed: Matrix,
    labels: npt.ArrayLike,
    *,
    seeds: Iterable[int] = SEEDS,
    restarts: int = RESTARTS,
    progress: bool = False,
) -> Comparison:
    """Run the protocol on raw and on imputed expression.

    Parameters
    ----------
    raw, imputed
        Expression in a linear unit, counts, TPM or FPKM (cells × genes), dense or sparse.
    labels
        Known type of each cell (cells,).
    seeds, restarts, progress
        See ``evaluate``.

    Raises
    ------
    ScinnError
        As ``evaluate`` does, or if the matrices differ in shape or hold negative values.
    """
    seeds, restarts = _check_seeds(seeds), check_count(restarts, "restarts")
    raw, imputed = as_matrix(raw, name="the raw matrix"), as_matrix(imputed, name="the imputed matrix")
    if raw.shape != imputed.shape:
        msg = f"the raw matrix is {raw.shape} and the imputed one {imputed.shape}: give the same cells and genes."
        raise ScinnError(msg)
    for X, source in ((raw, "the raw matrix"), (imputed, "the imputed matrix")):
        check_chunk(X, genes=[str(number + 1) for number in range(X.shape[1])], source=source)
    protocol = partial(evaluate, labels=labels, seeds=seeds, restarts=restarts, progress=progress)
    before = protocol(TRANSFORMS[HEADLINE](raw), description="raw")
    after = protocol(TRANSFORMS[HEADLINE](imputed), description="imputed")
    types = encode_types(labels, cells=raw.shape[0])
    others = [scale for scale in TRANSFORMS if scale != HEADLINE]
    raw_ari = {HEADLINE: before.scores["ARI"]}
    for scale in track(others, description="raw on other scales", total=len(others), unit="scales", enabled=progress):
        components = principal_components(TRANSFORMS[scale](raw))
        raw_ari[scale] = kmeans_scores(components, types, seeds=seeds, restarts=restarts)["ARI"]
    return Comparison(before, after, raw_ari)


def encode_types(labels: npt.ArrayLike, *, cells: int) -> Integers:
    """Return the type of each cell as an integer from 0 (cells,).

    Raises
    ------
    ScinnError
        If the labels are not one for each cell, one is missing, or they are all alike or all different.
    """
    import pandas as pd

    values = np.asarray(labels, dtype=object)
    if values.shape != (cells,):
        msg = f"there are {values.size} labels for {cells} cells; give one for each cell."
        raise ScinnError(msg)
    missing = np.flatnonzero(pd.isna(values))
    if missing.size:
        msg = (
            f"{missing.size} of {cells} cells have no label (the first is cell {missing[0] + 1}). "
            "Leave these cells out of both files, or name what they are."
        )
        raise ScinnError(msg)
    types = np.unique(values.astype(str), return_inverse=True)[1].astype(np.int64)
    if not 2 <= len(np.unique(types)) < cells:
        problem = "are all alike" if not types.any() else "are all different"
        msg = f"the labels of the {cells} cells {problem}, so there are no types to tell apart. Choose other labels."
        raise ScinnError(msg)
    return types


def principal_components(X: Matrix) -> Floats:
    """Return the first 50 principal components (cells × components), or as many as there are.

    Parameters
    ----------
    X
        Expression on a log scale (cells × genes), dense or sparse.

    Raises
    ------
    ScinnError
        If there are fewer than three cells or genes, all cells are alike, or values are missing or infinite.
    """
    from sklearn.decomposition import PCA

    X = finite_matrix(X, name="the expression")
    if min(X.shape) < 3:
        msg = f"{X.shape[0]} cells × {X.shape[1]} genes are too few to draw or cluster: at least 3 × 3 are needed."
        raise ScinnError(msg)
    if (X.max(axis=0) - X.min(axis=0)).sum() == 0:
        msg = "all cells are alike: there is nothing to tell them apart by."
        raise ScinnError(msg)
    # One solver for dense and sparse, so that raw (sparse) and imputed (dense) data are treated alike. It starts from a
    # random vector but converges to machine precision, so that one seed is enough.
    pca = PCA(min(COMPONENTS, *(size - 1 for size in X.shape)), svd_solver="arpack", random_state=0)
    return np.asarray(pca.fit_transform(X))


def kmeans_scores(
    components: Floats,
    types: Integers,
    *,
    clusters: int | None = None,
    seeds: Iterable[int] = SEEDS,
    restarts: int = RESTARTS,
) -> dict[str, Score]:
    """Cluster with k-means, once per seed, and return ARI, NMI and Jaccard index against the types.

    Parameters
    ----------
    components
        Principal components (cells × components).
    types
        Type of each cell as an integer (cells,).
    clusters
        Number of clusters; the number of types if not given.
    seeds
        Each seed gives one clustering.
    restarts
        Restarts for each seed, of which the best is kept.

    Raises
    ------
    ScinnError
        If there is not one type for each cell, a component is missing or infinite, or the seeds, the restarts or the
        clusters are none that k-means can have.
    """
    seeds, restarts = _check_seeds(seeds), check_count(restarts, "restarts")
    components = finite_matrix(components, name="the matrix of components")
    cells = components.shape[0]
    if np.shape(types) != (cells,):
        msg = f"the types are of shape {np.shape(types)}; give one for each of the {cells:,} cells."
        raise ScinnError(msg)
    clusters = len(np.unique(types)) if clusters is None else check_count(clusters, "clusters")
    if clusters > cells:
        msg = f"clusters is {clusters:,}, and there are {cells:,} cells: ask for no more clusters than cells."
        raise ScinnError(msg)
    clusterings = [kmeans(components, clusters=clusters, restarts=restarts, random_state=seed) for seed in seeds]
    return agreement(types, clusterings)


def agreement(types: Integers, clusterings: Iterable[Integers]) -> dict[str, Score]:
    """Return ARI, NMI and Jaccard index of each clustering (cells,) against the types (cells,)."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    indices = {"ARI": adjusted_rand_score, "NMI": normalized_mutual_info_score, "Jaccard": jaccard_index}
    return {
        name: Score(tuple(float(index(types, clustering)) for clustering in clusterings))
        for name, index in indices.items()
    }


def kmeans(components: Floats, *, clusters: int, restarts: int, random_state: int) -> Integers:
    """Return the k-means cluster of each cell (cells,)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # With several threads the order of summation, and so a near tie between restarts, is left to chance.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct cells than clusters: fewer clusters, then
        model = KMeans(clusters, n_init=restarts, random_state=random_state).fit(components)
    return np.asarray(model.labels_, dtype=np.int64)


def jaccard_index(types: Integers, clusters: Integers) -> float:
    """Return the share of cell pairs that are together in both partitions among those together in either."""
    from sklearn.metrics.cluster import pair_confusion_matrix

    (_, only_clusters), (only_types, both) = pair_confusion_matrix(types, clusters)
    together = both + only_clusters + only_types
    return float(both / together) if together else 1.0


def umap_picture(components: Floats, *, random_state: int = 0) -> npt.NDArray[np.float32]:
    """Return the 2-D UMAP picture (cells × 2) of the principal components (cells × components).

    Parameters
    ----------
    components
        Principal components (cells × components).
    random_state
        The seed.

    Raises
    ------
    ScinnError
        If there are fewer than three cells or two components, one is missing or infinite, or the seed is none.
    """
    (random_state,) = _check_seeds([random_state])
    components = finite_matrix(components, name="the matrix of components")
    cells, count = components.shape
    if cells < FEWEST_DRAWN or count < 2:
        msg = f"{cells} cells × {count} components are too few to draw: at least {FEWEST_DRAWN} × 2 are needed."
        raise ScinnError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, about its own threading; of UMAP, about small data
        from umap import UMAP

        # Starting from the principal components rather than from a spectral embedding keeps the places of far-apart
        # groups comparable, and has no eigensolver that may not converge on a disconnected neighbour graph.
        picture = UMAP(
            n_neighbors=min(UMAP_NEIGHBOURS, cells - 1), init="pca", random_state=random_state, n_jobs=1
        ).fit_transform(components)
    return np.asarray(picture, dtype=np.float32)


def silhouette(picture: Floats, types: Integers) -> float:
    """Return the mean silhouette of the types (cells,) in a picture (cells × 2): from -1 to 1, 1 for well apart."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(picture, types))


def _check_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Return the seeds, which may come from a generator, so that they can be gone through more than once."""
    try:
        checked = tuple(map(operator.index, seeds))
    except TypeError:
        checked = ()
    if not checked or not all(0 <= seed <= LARGEST_SEED for seed in checked):
        msg = f"seeds is {seeds!r}; it has to be one or more whole numbers from 0 to {LARGEST_SEED}, such as range(5)."
        raise ScinnError(msg)
    return checked
