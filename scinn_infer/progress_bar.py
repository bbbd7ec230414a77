"""What a progress bar looks like, drawn by rich: imported only where one is shown."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

WIDTH_OF_TEXT = 74
"""What description, counts, rate and times may take together; the bar has the rest."""

SLOWEST_RATE = 0.1
"""Items in a second under which the seconds for each item say more."""


class Done(ProgressColumn):
    """How many of how many, and how many a second; the times follow."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return it as text."""
        of = "" if task.total is None else f"/{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{of} {self._unit}{self._rate(rate(task))},")

    def _rate(self, speed: float | None) -> str:
        if not speed:
            return ""
        if speed < SLOWEST_RATE:
            return f", {1 / speed:,.0f} s each"
        return f", {speed:,.{0 if speed >= 10 else 1}f} {self._unit}/s"


class Times(ProgressColumn):
    """How much time has gone, and how much is left."""

    max_refresh = 0.5

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        """Return it as text."""
        gone = f"{_clock(task.finished_time if task.finished else task.elapsed)} gone"
        if task.finished or task.stop_time is not None or task.total is None:
            return Text(gone)
        speed = rate(task)
        left = _clock((task.total - task.completed) / speed if speed else None)
        return Text(f"{gone}, {left} left")


def rate(task: Task) -> float | None:
    """Return how many are done in a second: lately, or since the beginning where there was only one step so far."""
    lately = task.finished_speed or task.speed
    if lately or not task.elapsed:
        return lately
    return task.completed / task.elapsed


def new_bar(*columns: ProgressColumn, transient: bool = False) -> Progress:
    """Return a bar on stderr: the description, the bar, what is given, and the times."""
    console = Console(stderr=True)
    # The description is told as plain text: it may hold a file name, and brackets in it are no markup.
    description = TextColumn("{task.description}", markup=False)
    bar = BarColumn(bar_width=max(6, min(40, console.width - WIDTH_OF_TEXT)))
    # stdout stays as it is: rich would print it on stderr, above the bar.
    return Progress(description, bar, *columns, Times(), console=console, redirect_stdout=False, transient=transient)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
