"""Pictures: the cells before and after imputation, and the course of a training.

Drawn without pyplot: no global state, no display, and the same bytes for the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_infer.report.palette import COLOURS, natural
from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import LayoutEngine

    from scinn_train.training import Epoch

    Floats = npt.NDArray[np.floating[Any]]

MARKERS = ("o", "^", "s", "D", "v", "P", "X")
"""After as many types as there are colours the marker changes."""

LEGEND_ROWS = 16
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": "#c8c8c8",
    "axes.labelcolor": "#555555",
    "axes.titlesize": 11,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
}


@dataclass(frozen=True)
class Panel:
    """One 2-D picture of the cells.

    Attributes
    ----------
    picture
        Coordinates (cells × 2).
    title
        What the cells were drawn from, and how well their types can be told apart.
    """

    picture: Floats
    title: str


def plot_cells(panels: Sequence[Panel], labels: Sequence[Any], *, title: str = "", axis_name: str = "UMAP") -> Figure:
    """Draw 2-D pictures of the same cells side by side, coloured by cell type.

    Parameters
    ----------
    panels
        The pictures, from left to right.
    labels
        Type of each cell (cells,).
    title
        Headline over all panels.
    axis_name
        What the two coordinates are.

    Raises
    ------
    ScinnError
        If there is no picture or no cell, a picture is not of two coordinates for each cell, or there is not one label
        for each.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names = np.asarray(labels).astype(str)
    _check_panels(panels, names)
    types = sorted(set(names), key=natural)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.8 * len(panels) + 1.6, 5.0), dpi=150, layout=_layout())
        axes = np.atleast_1d(figure.subplots(1, len(panels)))
        for axis, panel in zip(axes, panels, strict=True):
            _scatter(axis, panel, names, types)
            axis.set(xlabel=f"{axis_name} 1", ylabel=f"{axis_name} 2")
        handles, texts = axes[0].get_legend_handles_labels()
        columns = -(-len(types) // LEGEND_ROWS)
        figure.legend(handles, texts, loc="outside right center", title="cell type", ncols=columns, markerscale=1.8)
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def plot_history(history: Sequence[Epoch], *, best_epoch: int | None = None) -> Figure:
    """Draw the loss of module 2 over the training: the weighted sum, and each of its terms, in a panel each.

    Parameters
    ----------
    history
        ``Result.history``: one entry per epoch.
    best_epoch
        ``Result.best_epoch``: the entry at which the network was kept; marked when given.

    Raises
    ------
    ScinnError
        If the history has no epoch.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not len(history):
        msg = "the history has no epochs: there is no training to draw. Give that of a fit, Result.history."
        raise ScinnError(msg)
    terms = sorted(history[0].training, key=lambda name: name != "total")
    with rc_context(STYLE):
        figure = Figure(figsize=(2.7 * len(terms), 2.9), dpi=150, layout=_layout())
        axes = np.atleast_1d(figure.subplots(1, len(terms)))
        epochs = np.arange(1, len(history) + 1)
        for axis, term in zip(axes, terms, strict=True):
            for part, label, colour in (("training", "training", COLOURS[0]), ("held_out", "held out", COLOURS[1])):
                axis.plot(epochs, [getattr(epoch, part)[term] for epoch in history], color=colour, label=label)
            if best_epoch is not None:
                axis.axvline(best_epoch + 1, color="#999999", linewidth=0.8, linestyle=":", label="kept")
            axis.set(title="weighted sum" if term == "total" else term, xlabel="epoch")
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("loss")
        axes[0].legend()
    return figure


def save_png(figure: Figure, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a figure as PNG; it appears whole or not at all, and holds no time and no version.

    Raises
    ------
    ScinnError
        If the file exists (without ``overwrite``) or cannot be written.
    """
    with whole_file(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _check_panels(panels: Sequence[Panel], names: npt.NDArray[np.str_]) -> None:
    if not len(panels):
        msg = "there is no picture to draw: give at least one Panel."
        raise ScinnError(msg)
    for number, panel in enumerate(panels, start=1):
        shape = np.shape(panel.picture)
        which = f"picture {number} ({panel.title!r})" if panel.title else f"picture {number}"
        if len(shape) != 2 or shape[1] != 2 or not shape[0]:
            msg = f"{which} has the shape {shape}: give two coordinates for each cell (cells × 2)."
            raise ScinnError(msg)
        if names.shape != shape[:1]:
            msg = f"{which} shows {shape[0]:,} cells, and the labels have the shape {names.shape}: give one for each."
            raise ScinnError(msg)


def _layout() -> LayoutEngine:
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)


def _scatter(axis: Axes, panel: Panel, names: npt.NDArray[np.str_], types: list[str]) -> None:
    size = float(np.clip(6000 / len(names), 4, 36))
    for number, name in enumerate(types):
        # One type at a time, so that each has its marker and its entry in the legend.
        x, y = np.asarray(panel.picture)[names == name].T
        axis.scatter(
            x,
            y,
            s=size,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            alpha=0.8,
            linewidths=0,
            label=name,
        )
    axis.set_title(panel.title, loc="left")
    axis.set(xticks=[], yticks=[])
    axis.spines[["top", "right"]].set_visible(False)
