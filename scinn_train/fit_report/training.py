"""The course of a training: each term of the loss, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import Span

from scinn_infer.report.page import Figure, Panel, Section, Table
from scinn_infer.report.style import AFTER, BEFORE, SOFT, add_hover, add_legend, new_plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scinn_train.training import Epoch

MEANINGS = {
    "total": "the weighted sum of the others",
    "clusters": "how badly the clusters are read from the imputed cells",
    "similarity": "how far the embedding's correlations lie from module 1's",
    "neighbourhood": "how badly the expression of a cell's neighbours is predicted",
    "masked": "how badly a cell's own hidden entries are predicted",
}

RISEN = 0.05
"""Share of what a term fell by, from which its rise is worth a word."""


def section(history: Sequence[Epoch], best: int, weights: Mapping[str, float]) -> Section:
    """Draw the loss of module 2 over the training: the weighted sum, and each of its terms.

    Parameters
    ----------
    history, best
        ``Result.history`` and ``Result.best_epoch``.
    weights
        Weight of each term.
    """
    terms = sorted(history[0].training, key=lambda name: name != "total")
    figure = Figure(
        [Panel(_title(term), _course(history, best, term)) for term in terms],
        caption=(
            "The loss after each epoch, on the cells that are trained on and on those that are held out; entries and "
            "genes are hidden at random meanwhile, so that lines jump. Good: both fall and level off. A held-out line "
            "that rises again says that the network learns its cells by heart. The network is kept as it was at the "
            "dashed line, where the weighted sum of the held-out cells is lowest."
        ),
        finding=_finding(history, best, terms),
        columns=3,
    )
    rows = [
        (
            _title(term),
            "" if term == "total" else f"{weights[term]:g}",
            *(f"{history[epoch].held_out[term]:.4g}" for epoch in (0, best)),
            MEANINGS[term],
        )
        for term in terms
    ]
    table = Table(
        ("term", "weight", "first epoch", "kept", "what it is"), rows, caption="The terms, on held-out cells."
    )
    return Section("Training", [figure, table])


def _title(term: str) -> str:
    return "Weighted sum" if term == "total" else term.capitalize()


def _course(history: Sequence[Epoch], best: int, term: str) -> object:
    plot = new_plot(x="epoch", y="loss", height=230)
    epochs = np.arange(1, len(history) + 1)
    items = []
    for part, name, colour in (("training", "training", BEFORE), ("held_out", "held out", AFTER)):
        values = [getattr(epoch, part)[term] for epoch in history]
        line = plot.line(epochs, values, color=colour, line_width=2)
        dots = plot.scatter(epochs, values, color=colour, size=4)
        add_hover(plot, [dots], [("epoch", "@x"), (name, "@y{0.0000}")])
        items.append((name, [line, dots]))
    plot.add_layout(Span(location=best + 1, dimension="height", line_color=SOFT, line_dash="dashed"))
    add_legend(plot, items)
    return plot


def _finding(history: Sequence[Epoch], best: int, terms: Sequence[str]) -> str:
    first, kept = history[0].held_out["total"], history[best].held_out["total"]
    fell = f"fell from {first:.4g} to {kept:.4g}" if kept < first else f"was lowest at once, {kept:.4g}"
    stopped = "the last" if best == len(history) - 1 else f"{len(history) - 1 - best} before the end"
    told = f"The held-out loss {fell}; kept is epoch {best + 1} of {len(history)}, {stopped}."
    for term in terms:
        course = [epoch.held_out[term] for epoch in history]
        lowest = int(np.argmin(course))
        if (
            term != "total"
            and course[best] - course[lowest] > RISEN * max(course[0] - course[lowest], 0)
            and lowest < best
        ):
            told += f" Its term '{term}' was lowest in epoch {lowest + 1} and has risen since."
    return told
