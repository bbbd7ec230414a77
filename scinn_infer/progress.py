"""Progress bars on stderr, for people only: nothing is shown where stderr is not a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.progress import Progress

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
    """Yield the items of ``iterable`` while a bar shows how many are done, how fast, and the time left.

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
    with _bar(unit) as bar:
        task = bar.add_task(description, total=total)
        for item in iterable:
            yield item
            bar.advance(task, 1 if size is None else size(item))


def _bar(unit: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Done(ProgressColumn):
        """How many of how many, and how many a second."""

        def render(self, task: Task) -> Text:
            of = "" if task.total is None else f"/{task.total:,.0f}"
            speed = task.finished_speed or task.speed
            rate = "" if speed is None else f", {speed:,.{0 if speed >= 10 else 1}f} {unit}/s"
            return Text(f"{task.completed:,.0f}{of} {unit}{rate}")

    # The description is told as plain text: it may hold a file name, and brackets in it are no markup.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Done(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # stdout stays as it is: rich would print it on stderr, above the bar.
    return Progress(*columns, console=Console(stderr=True), redirect_stdout=False)
