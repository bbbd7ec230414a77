"""The skeleton of a page: plain data in, one HTML file out, with everything that it needs inside it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

LETTERS_OF_AN_ANCHOR = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Panel:
    """One plot, and the line above it."""

    title: str
    plot: Any


@dataclass(frozen=True)
class Figure:
    """Plots that are looked at together.

    Attributes
    ----------
    panels
        From left to right, then from top to bottom.
    caption
        What one sees, and what good looks like.
    finding
        What these data show, in words with numbers.
    columns
        Plots beside each other on a wide screen.
    """

    kind: ClassVar = "figure"
    panels: Sequence[Panel]
    caption: str
    finding: str = ""
    columns: int = 2


@dataclass(frozen=True)
class Table:
    """A table of text; the first cell of each row is its heading.

    Attributes
    ----------
    header
        What the columns are; empty where every row says it itself.
    rows
        The cells' text.
    caption
        What the table is.
    folded
        Whether it is shown only when it is asked for.
    """

    kind: ClassVar = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    folded: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph; with ``warning`` one that stands out."""

    kind: ClassVar = "text"
    sentence: str
    warning: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own."""

    title: str
    blocks: Sequence[Figure | Table | Text]

    @property
    def anchor(self) -> str:
        """Name that links lead to."""
        return LETTERS_OF_AN_ANCHOR.sub("-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Finding:
    """A sentence for the top of the page, and whether it is good news; None where it is just so."""

    sentence: str
    good: bool | None = None


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes
    ----------
    title, subtitle
        Headline, and the line below it.
    facts
        A few numbers that say what this is about: what, and how many.
    findings
        What is to be known before anything else.
    sections
        The rest, in order.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    findings: Sequence[Finding]
    sections: Sequence[Section] = field(default=())


def write_page(page: Page, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a page; it appears whole or not at all.

    Raises
    ------
    ScinnError
        If the file exists (without ``overwrite``) or cannot be written.
    """
    content = render(page)
    with whole_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(content, encoding="utf-8", errors="replace")  # names of files may be no UTF-8


def render(page: Page) -> str:
    """Return the HTML of a page.

    Names of genes, cells and files come from anywhere. The template escapes all of them, the plots get theirs as JSON,
    and the page's own policy lets a browser run only the scripts whose digest it names, and load nothing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scinn_infer.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    places = _places(page)
    scripts = [*_bokeh_scripts(), _text("page.js")]
    return environment.get_template("page.html").render(
        page=page,
        style=_text("page.css"),
        scripts=scripts,
        digests=[_digest(script) for script in scripts],
        plots=_json(page),
        place=lambda panel: places[id(panel)],
    )


def _panels(page: Page) -> Iterator[Panel]:
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                yield from block.panels


def _places(page: Page) -> dict[int, str]:
    """Return the id of the element in which each panel is drawn."""
    return {id(panel): f"plot-{number}" for number, panel in enumerate(_panels(page), start=1)}


def _json(page: Page) -> str:
    """Return all plots as one bokeh document, so that they may share their data, and where each of them goes."""
    from bokeh.core.json_encoder import serialize_json
    from bokeh.document import Document

    document = Document(title=page.title)
    elements = _places(page)
    places = {}
    for panel in _panels(page):
        document.add_root(panel.plot)
        places[panel.plot.id] = elements[id(panel)]
    # json.dumps of the names alone: bokeh's own encoder knows arrays.
    content = f'{{"document":{serialize_json(document.to_json(deferred=False))},"places":{json.dumps(places)}}}'
    return content.replace("<", "\\u003c")  # nothing in it can end the element that it stands in


def _bokeh_scripts() -> Iterable[str]:
    from bokeh.resources import Resources

    resources = Resources(mode="inline", components=["bokeh"], log_level="warn")
    return [script.strip() for script in resources.js_raw]


def _text(name: str) -> str:
    return files("scinn_infer.report").joinpath("templates", name).read_text(encoding="utf-8").strip()


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
