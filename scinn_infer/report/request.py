"""What somebody wants in a report, and everything that can be refused before the long work starts."""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from scinn_infer.commands.console import COMMAND, explain
from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import check_output, check_suffix

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MOST_GENES = 24
"""Genes that one page shows."""

PAGE_SUFFIXES = (".html", ".htm")

NEEDED = ("bokeh", "jinja2")


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """A page that is wanted beside a result.

    Attributes
    ----------
    path
        The ``.html`` file to write.
    labels
        Column of ``obs`` with the known type of each cell; None if there is none.
    genes
        Genes to show before and after; the most cluster-specific ones if empty.
    command
        What the page says it was made by.
    overwrite
        Whether an existing page may be replaced.
    """

    path: Path
    labels: str | None = None
    genes: tuple[str, ...] = ()
    command: str = ""
    overwrite: bool = False

    def check(self, *, keep: Sequence[str | os.PathLike[str]] = (), beside: Sequence[Path] = ()) -> None:
        """Refuse a page that could not be made or written in the end.

        Parameters
        ----------
        keep
            Files that the page must not replace: the inputs.
        beside
            Outputs of the same run, which may not exist yet.

        Raises
        ------
        ScinnError
            If bokeh is not installed, the page exists already (without ``overwrite``), has no folder, is one of the
            other files or within such a store, or has a name that ends as that of another format; or if too many genes
            are asked for.
        """
        require_bokeh()
        if len(self.genes) > MOST_GENES:
            msg = f"{len(self.genes)} genes are asked for; a report shows {MOST_GENES} at most. Name fewer."
            raise ScinnError(msg)
        check_output(self.path, overwrite=self.overwrite, keep=keep)
        for other in beside:
            if self.path.resolve() == other.resolve():
                msg = f"the report {self.path} would replace the result {other}. Choose another name for one of them."
                raise ScinnError(msg)
            if self.path.resolve().is_relative_to(other.resolve()):
                msg = f"the report {self.path} would become a part of the result {other}. Choose another folder for it."
                raise ScinnError(msg)
        check_suffix(self.path, suffixes=PAGE_SUFFIXES, written="a page of HTML", endings=".html", kind="report")


def require_bokeh() -> None:
    """Refuse to begin what could not be drawn in the end.

    Raises
    ------
    ScinnError
        If bokeh, or jinja2 which comes with it, is not installed.
    """
    missing = [name for name in NEEDED if not _installed(name)]
    if missing:
        msg = f'a report needs the package {missing[0]!r}, which is not installed: pip install "scinn[report]"'
        raise ScinnError(msg)


def from_options(path: Path | None, *, genes: str | None, labels: str | None, overwrite: bool) -> ReportRequest | None:
    """Return what the options of a command ask for; None where they ask for no page.

    Parameters
    ----------
    path
        The page.
    genes
        Names with commas between them.
    labels
        Column of ``obs``.
    overwrite
        Whether an existing page may be replaced.

    Raises
    ------
    ScinnError
        If genes or labels are named for a page that is not asked for, or are asked for without a name.
    """
    if path is None:
        unused = "--report-genes" if genes is not None else "--labels" if labels is not None else ""
        if unused:
            msg = f"{unused} is for the report, and none is asked for. Name its file with --report."
            raise ScinnError(msg)
        return None
    names = dict.fromkeys(name.strip() for name in (genes or "").split(",") if name.strip())
    empty = "--report-genes" if genes is not None and not names else "--labels" if labels == "" else ""
    if empty:
        msg = f"{empty} names nothing. Leave it out, or name what the report is to show."
        raise ScinnError(msg)
    command = click.get_current_context().meta.get(COMMAND, "")
    return ReportRequest(path=path, labels=labels, genes=tuple(names), command=command, overwrite=overwrite)


def check_genes(wanted: Iterable[str], known: Sequence[str]) -> None:
    """Refuse genes that a page cannot show.

    Raises
    ------
    ScinnError
        If one is not among the known ones; the message names those that are called nearly the same.
    """
    there = set(known)
    for name in wanted:
        if name not in there:
            folded = {gene.casefold(): gene for gene in known}
            near = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=3)]
            hint = f" Is {' or '.join(near)} meant?" if near else ""
            msg = f"the report cannot show {name!r}: it is not among the {len(there):,} genes that are imputed.{hint}"
            raise ScinnError(msg)


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a module that is there but says nothing of where it comes from
        return False


@contextmanager
def page_after(output: Path) -> Iterator[None]:
    """Say of a page that cannot be written, whatever the reason, that what it is about has been."""
    try:
        yield
    except Exception as error:
        msg = f"{output} was written, but not the page about it: {explain(error)}"
        raise ScinnError(msg) from error
