"""Keep forks and onnxruntime apart: what one of its locks is held by in the parent, nobody releases in the child."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS_WAITED = 30.0
"""How long a fork waits for what is under way, at most: rather a child that may hang than a parent that does."""


class _Gate:
    """Lets calls pass while no fork is about to happen, and knows how many are under way."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.calls = 0
        self.closed = False


_gate = _Gate()
_before: list[Callable[[], None]] = []


def before_fork(do: Callable[[], None]) -> None:
    """Have something done before each fork, while nothing is under way that :func:`no_fork` guards."""
    _before.append(do)


@contextmanager
def no_fork() -> Iterator[None]:
    """Let no fork happen while the block runs, whichever thread asks for one; not to be nested."""
    gate = _gate
    with gate.changed:
        gate.changed.wait_for(lambda: not gate.closed, timeout=SECONDS_WAITED)
        gate.calls += 1
    try:
        yield
    finally:
        with gate.changed:
            gate.calls -= 1
            gate.changed.notify_all()


def _close() -> None:
    """Wait for what is under way, let nothing else begin, and then do what has to be done before a fork."""
    gate = _gate
    with gate.changed:
        gate.closed = True
        gate.changed.wait_for(lambda: not gate.calls, timeout=SECONDS_WAITED)
    for do in _before:
        do()


def _open() -> None:
    gate = _gate
    with gate.changed:
        gate.closed = False
        gate.changed.notify_all()


def _renew() -> None:
    """Forget the threads of the parent, one of which may have held the lock."""
    global _gate
    _gate = _Gate()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_close, after_in_parent=_open, after_in_child=_renew)
