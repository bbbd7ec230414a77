"""Clusters and similarity: what module 1 found, and what the imputed cells still tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.report import heatmap
from scinn_infer.report.expression import specific_genes
from scinn_infer.report.page import Figure, Finding, Section, Table

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_infer.report.groups import Groups
    from scinn_train.fit_report.cells import ShownCells
    from scinn_train.result import Result

    Array = npt.NDArray[np.float32]

MARKERS = 3
"""Genes that are named for each cluster."""

ENOUGH = 0.9
"""Share of cells whose cluster has to be read from the imputed values for that to be good news."""


def section(result: Result, cells: ShownCells, clusters: Groups, labels: Groups | None) -> Section:
    """Draw how alike the cells are, before and after, and list the clusters.

    Parameters
    ----------
    result
        The fit.
    cells
        Cells that are shown.
    clusters
        Their module-1 clusters.
    labels
        Their known types; None if there are none.
    """
    return Section(
        "Clusters and similarity", [_heat_maps(result, cells, clusters), _table(result, cells, clusters, labels)]
    )


def finding(cells: ShownCells, clusters: Groups) -> Finding:
    """Return what of it belongs at the top of a page."""
    share = float(_agrees(cells, clusters).mean())
    return Finding(
        f"Module 1 finds {len(clusters.names)} clusters; the quality network reads the same one from the imputed "
        f"values of {share:.0%} of the cells.",
        share >= ENOUGH,
    )


def label_finding(clusters: Groups, labels: Groups) -> Finding:
    """Say how the clusters agree with the known types."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    ari = adjusted_rand_score(labels.codes, clusters.codes)
    nmi = normalized_mutual_info_score(labels.codes, clusters.codes)
    return Finding(
        f"The clusters agree with the {len(labels.names)} known types ({labels.title}) by an adjusted Rand index of "
        f"{ari:.2f} and a normalised mutual information of {nmi:.2f}; 1 is perfect."
    )


def _heat_maps(result: Result, cells: ShownCells, clusters: Groups) -> Figure:
    drawn = heatmap.drawn_cells(clusters)
    codes = clusters.codes[drawn]
    rows = cells.sample.rows[drawn]
    module1 = result.cell_map.similarity.between(rows, rows).astype(np.float32)
    maps = {
        "Module 1: similarity, the target": module1,
        "Quality network: its embedding": heatmap.correlation(cells.embedding[drawn]),
        "Raw profiles": heatmap.correlation(cells.sample.before.profiles[drawn]),
        "Imputed profiles": heatmap.correlation(cells.sample.after.profiles[drawn]),
    }
    panels = [
        heatmap.panel(title, values, codes, clusters.names, axis="cells, by cluster") for title, values in maps.items()
    ]
    target, embedding, before, after = maps.values()
    pairs = ~np.eye(len(drawn), dtype=bool)
    told = ""
    if np.ptp(target[pairs]) > 0 and np.ptp(embedding[pairs]) > 0:
        agree = float(np.corrcoef(target[pairs], embedding[pairs])[0, 1])
        told = f"The embedding's correlations follow module 1's similarity by {agree:.2f}. "
    if len(clusters.names) > 1:
        told += f"Imputed profiles correlate by {_spoken(after, codes)}; raw ones by {_spoken(before, codes)}."
    return Figure(
        panels,
        caption=(
            f"Pearson correlation of {len(drawn)} cells with each other, ordered by cluster; each map has a colour "
            "scale of its own. Good: the blocks of the first map, cells of one cluster, show in the second, which sees "
            "the imputed values alone; and they are clearer in imputed profiles than in raw ones."
        ),
        finding=told,
    )


def _spoken(similarity: Array, codes: npt.NDArray[np.intp]) -> str:
    within, between = heatmap.within_and_between(similarity, codes)
    return f"{within:.2f} within and {between:.2f} between clusters"


def _table(result: Result, cells: ShownCells, clusters: Groups, labels: Groups | None) -> Table:
    agrees = _agrees(cells, clusters)
    sizes = np.bincount(result.cell_map.clusters)
    markers = specific_genes(cells.sample, clusters, each=MARKERS)
    header = ["cluster", "cells", "share", "read again", "most specific genes"]
    rows = []
    for number, name in enumerate(clusters.names):
        members = clusters.members(number)
        size = int(sizes[int(name)]) if name.isdigit() else int(sizes.sum() * len(members) / len(clusters.codes))
        row = [
            name,
            f"{size:,}",
            f"{size / sizes.sum():.0%}",
            f"{agrees[members].mean():.0%}",
            ", ".join(markers[number]) or "–",
        ]
        rows.append(row if labels is None else [*row, _most_common(labels, members)])
    if labels is not None:
        header.append(f"most common {labels.title}")
    return Table(
        header,
        rows,
        caption=(
            "The clusters of module 1. Read again: share of the cells for which the quality network finds the same "
            "cluster in the imputed values; good is nearly all."
        ),
    )


def _agrees(cells: ShownCells, clusters: Groups) -> npt.NDArray[np.bool_]:
    return np.array(
        [str(found) == clusters.names[code] for found, code in zip(cells.found, clusters.codes, strict=True)]
    )


def _most_common(labels: Groups, members: npt.NDArray[Any]) -> str:
    counts = np.bincount(labels.codes[members], minlength=len(labels.names))
    return f"{labels.names[int(counts.argmax())]} ({counts.max() / max(counts.sum(), 1):.0%})"
