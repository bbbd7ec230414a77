"""The progress bar of one download: what pooch asks of a bar, drawn by rich."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress


class _DownloadBar:
    """The attributes and methods that ``pooch.HTTPDownloader`` uses of a progress bar."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=None)

    @property
    def total(self) -> float | None:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, size: int) -> None:
        # pooch sets it when the download begins: a file that is in the cache already draws no bar.
        self._progress.update(self._task, total=size or None)
        self._progress.start()

    def update(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop()


@contextmanager
def download_bar(description: str, *, enabled: bool) -> Iterator[_DownloadBar | bool]:
    """Give pooch a bar on stderr, or False where there is to be none: not wanted, or not on a terminal."""
    if not (enabled and sys.stderr.isatty()):
        yield False
        return
    from rich.progress import DownloadColumn, TransferSpeedColumn

    from scinn_infer.progress_bar import new_bar

    progress = new_bar(DownloadColumn(), TransferSpeedColumn(), transient=True)
    try:
        yield _DownloadBar(progress, description)
    finally:
        progress.stop()
