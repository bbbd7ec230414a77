"""Progress bars on stderr, for people only: nothing is shown where stderr is not a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")


def track(
    iterable: Iterable[Item],
    *,
    description: str,
    total: int | None,
    unit: str = "cells",
    size: Callable[[Item], int] | None = None,
    enabled: bool = True,
) -> Iterator[Item]:
    """Yield the items of ``iterable`` while a bar shows how many are done, how fast, the time gone and the time left.

    Parameters
    ----------
    iterable
        What to go through.
    description
        What is being done, in front of the bar.
    total
        How many units there are in all; None if that is not known.
    unit
        What is counted.
    size
        How many units one item is; 1 if not given.
    enabled
        False shows nothing.
    """
    if not (enabled and sys.stderr.isatty()):
        yield from iterable
        return
    from scinn_infer.progress_bar import Done, new_bar

    with new_bar(Done(unit)) as bar:
        task = bar.add_task(description, total=total)
        try:
            for item in iterable:
                yield item
                bar.advance(task, 1 if size is None else size(item))
        finally:
            bar.stop_task(task)  # whoever stops before the end has no time left to tell


@contextmanager
def busy(description: str, *, enabled: bool = True) -> Iterator[None]:
    """Show that something is being done, and for how long already, until the block ends: then it is gone.

    Parameters
    ----------
    description
        What is being done, in front of the bar.
    enabled
        False shows nothing.
    """
    if not (enabled and sys.stderr.isatty()):
        yield
        return
    from scinn_infer.progress_bar import new_bar

    with new_bar(transient=True) as bar:
        bar.add_task(description, total=None)
        yield
