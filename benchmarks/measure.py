"""Time and peak memory of one step, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""What getrusage counts memory in, in bytes."""


@dataclass(frozen=True)
class Measured:
    """What a step returned and took; ``peak_bytes`` is the largest resident set of its process."""

    result: Any
    seconds: float
    peak_bytes: int

    @property
    def peak_mb(self) -> float:
        """The peak in megabytes (10⁶ bytes)."""
        return round(self.peak_bytes / 1e6, 1)


def in_own_process(step: Callable[..., Any], *arguments: Any, **options: Any) -> Measured:
    """Call a function of a module in a fresh interpreter.

    Linux hands the peak of the parent down to the child, so a script that calls this must stay light itself: whatever
    is heavy, or has heavy imports, goes into steps.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(_measure, step, arguments, options).result()


def run_command(*command: str | Path) -> Measured:
    """Run a program to its end; the result is what it printed on stdout.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)  # Popen's own wait does not tell the memory
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Measured(printed, seconds, usage.ru_maxrss * RSS_UNIT)


def use_cores(count: int) -> None:
    """Keep this process, and those that it starts, to some of the processor's cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def _measure(step: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Measured:
    started = time.perf_counter()
    result = step(*arguments, **options)
    seconds = time.perf_counter() - started
    return Measured(result, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT)
