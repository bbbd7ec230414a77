"""Colours and markers that colour-blind readers can tell apart, for every picture of the project."""

from __future__ import annotations

import re

COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"),
    *("#999999", "#332288", "#882255", "#B5A642"),
)
"""Okabe and Ito's palette, which colour-blind readers can tell apart, without the yellow that is lost on white; then
grey, and three of Paul Tol's muted colours."""

MARKERS = ("circle", "triangle", "square", "diamond", "inverted_triangle", "plus", "x")
"""After as many types as there are colours the marker changes. Named as bokeh names them."""


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts type 10 after type 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
