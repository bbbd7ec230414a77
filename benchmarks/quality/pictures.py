"""The landscapes side by side: cells after each method, coloured by type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from quality import data, findings, tables
from scinn_train.figures import COLOURS, MARKERS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from quality.findings import Findings

SHOWN = ("raw", "scINN", "MAGIC")
COLUMNS = 2
HEIGHT, WIDTH = 1.9, 9.0
"""In inches: of a row of pictures, and of the figure."""
DPI = 110
TITLE = "Number: silhouette of the types, median over the seeds. Each colour and shape is a type."
"""In place of a legend: the types are too many, and others in every dataset."""


def landscapes(found: Findings, folder: Path) -> Figure | None:
    """Draw the datasets that have all pictures in the cache, two in a row; None if there is none."""
    paths = {name: [folder / f"{name}-{method}-keep.npz" for method in SHOWN] for name in findings.DATASETS}
    paths = {name: row for name, row in paths.items() if name in data.CLUSTER_SETS and all(p.exists() for p in row)}
    if not paths:
        return None
    silhouettes = findings.cluster_medians(found, "silhouette")
    rows = -(-len(paths) // COLUMNS)
    figure = Figure(figsize=(WIDTH, HEIGHT * rows + 0.4), dpi=DPI, layout="constrained")
    figure.suptitle(TITLE, fontsize=10, color="#555555")
    parts = figure.subfigures(rows, COLUMNS, wspace=0.03, squeeze=False).ravel()
    for part, (name, row) in zip(parts, paths.items(), strict=False):
        part.suptitle(_headline(name, row[0]), fontsize=10, fontweight="bold", x=0.01, ha="left")
        for axis, method, path in zip(part.subplots(1, len(SHOWN)), SHOWN, row, strict=True):
            with np.load(path) as stored:
                _scatter(axis, stored["picture"], stored["labels"])
            key = (method, "keep")
            known = key in silhouettes.index and name in silhouettes
            axis.set_title(f"{method} {tables.number(silhouettes.loc[key, name], digits=2)}" if known else method)
    return figure


def _headline(dataset: str, path: Path) -> str:
    with np.load(path) as stored:
        return f"{tables.dataset_name(dataset)}, {len(np.unique(stored['labels']))} types"


def _scatter(axis: Axes, picture: np.ndarray, labels: np.ndarray) -> None:
    size = float(np.clip(1500 / len(labels), 1, 9))
    for number, name in enumerate(np.unique(labels)):
        inside = labels == name
        axis.scatter(
            *picture[inside].T,
            s=size,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            linewidths=0,
        )
    axis.set(xticks=[], yticks=[])
    axis.spines[["top", "right", "left", "bottom"]].set_color("#dddddd")
    axis.title.set_fontsize(9)
