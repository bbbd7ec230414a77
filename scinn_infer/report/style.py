"""How every plot of a page looks and behaves, so that the modules that draw say only what is drawn."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColorBar, FixedTicker, HoverTool, Legend
from bokeh.plotting import figure

FONT = "Helvetica, Arial, sans-serif"
INK, SOFT, LINE = "#1d2733", "#5b6776", "#dfe4ea"
BEFORE, AFTER = "#0072B2", "#D55E00"
"""Colours of raw and imputed values wherever the two are in one plot."""

SEQUENTIAL = "Cividis256"
"""Dark to light, evenly, to colour-blind eyes as well."""

LEGEND_LETTER, LEGEND_MARK, LEGEND_ROW = 6.3, 34, 21
NARROWEST = 330
"""Pixels: letters and marks of a legend, and the width of a plot on a telephone."""


def new_plot(
    *, x: str, y: str, height: int = 330, tools: str = "pan,box_zoom,wheel_zoom,reset,save", **options: Any
) -> Any:
    """Return an empty plot, as wide as there is room for.

    Parameters
    ----------
    x, y
        What the axes are.
    height
        In pixels.
    tools
        Tools of the toolbar, which shows up when the pointer is over the plot. None is active at first: a finger that
        scrolls the page must not be caught.
    """
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools=tools,
        active_drag=None,
        active_scroll=None,
        toolbar_location="right" if tools else None,
        background_fill_color="#ffffff",
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.toolbar_inner = True  # over the picture, so that it takes no room while it is hidden
    plot.outline_line_color = LINE
    plot.min_border_right = 12
    for axis, label in ((plot.xaxis, x), (plot.yaxis, y)):
        axis.axis_label = label
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = SOFT
        axis.axis_label_text_font_size = "12px"
        axis.major_label_text_font_size = "11px"
        axis.axis_line_color = axis.major_tick_line_color = LINE
        axis.minor_tick_line_color = None
    plot.grid.grid_line_color = "#eef1f4"
    return plot


def without_axes(plot: Any) -> None:
    """Leave out the numbers of coordinates that mean nothing by themselves."""
    plot.axis.ticker = []
    plot.grid.grid_line_color = None


def add_hover(plot: Any, renderers: list[Any], tooltips: list[tuple[str, str]]) -> None:
    """Tell about what is under the pointer; bokeh escapes what it fills in."""
    plot.add_tools(HoverTool(renderers=renderers, tooltips=tooltips, visible=False))


def add_legend(plot: Any, items: list[tuple[str, list[Any]]]) -> None:
    """Put a legend below a plot, which grows by it; a click on an entry hides what it stands for."""
    longest = max(len(name) for name, _ in items)
    columns = max(1, min(len(items), int(NARROWEST / (LEGEND_LETTER * longest + LEGEND_MARK))))
    legend = Legend(items=[(plain(name), renderers) for name, renderers in items], ncols=columns)
    legend.click_policy = "hide"
    legend.border_line_color = None
    legend.background_fill_alpha = 0
    legend.label_text_font, legend.label_text_font_size, legend.label_text_color = FONT, "11px", INK
    legend.label_height = legend.glyph_height = 14
    legend.label_standoff = legend.spacing = 4
    legend.margin = legend.padding = 2
    legend.location = "left"
    plot.add_layout(legend, "below")
    plot.height += LEGEND_ROW * -(-len(items) // columns)


def add_colour_bar(plot: Any, mapper: Any, title: str) -> None:
    """Put the scale of a colour beside a plot."""
    bar = ColorBar(color_mapper=mapper, title=title, width=10, padding=4, label_standoff=5, border_line_color=None)
    bar.title_text_font = bar.major_label_text_font = FONT
    bar.title_text_font_style, bar.title_text_font_size, bar.title_text_color = "normal", "11px", SOFT
    bar.major_label_text_font_size, bar.major_label_text_color = "11px", SOFT
    bar.title_standoff = 6
    plot.add_layout(bar, "right")


def name_ticks(axis: Any, places: list[float], names: list[str]) -> None:
    """Write names at some places of an axis."""
    axis.ticker = FixedTicker(ticks=places)
    axis.major_label_overrides = dict(zip(places, map(plain, names), strict=True))


def plain(name: str) -> str:
    """Keep bokeh from taking a name for a formula, and leaving out what makes it one."""
    for opening in ("$$", r"\(", r"\["):
        name = name.replace(opening, f"{opening[0]}\u200b{opening[1]}")
    return name
