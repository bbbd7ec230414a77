"""Do the same to many things in several threads, and hand out what becomes of them in their order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    T = TypeVar("T")
    R = TypeVar("R")


def in_order(work: Callable[[T], R], things: Iterable[T], *, threads: int) -> Iterator[R]:
    """Yield what becomes of each of many things, as ``map`` does, while others are being worked on.

    The things are drawn in the thread that asks for results, and one more of them than there are threads is under way
    at most, so that memory is bounded. What goes wrong, in a thing or in drawing the next, is raised where ``map``
    would: after all results that come before it. The threads end with the iterator, however it ends. A process that is
    forked half-way has none of them; it does anew what they were about to do.

    Parameters
    ----------
    work
        What is done to each of them, in any thread: it depends on nothing but the thing.
    things
        Are drawn as they are needed.
    threads
        How many threads work; with one, it is the caller's own.
    """
    if threads == 1:
        yield from map(work, things)
        return
    source, drawn = iter(things), False
    problem: Exception | None = None
    under_way: deque[tuple[T, Future[R]]] = deque()
    pool, process = ThreadPoolExecutor(threads, thread_name_prefix="scinn"), os.getpid()
    try:
        while True:
            if process != os.getpid():
                pool, process = ThreadPoolExecutor(threads, thread_name_prefix="scinn"), os.getpid()
                under_way = deque((thing, pool.submit(work, thing)) for thing, _ in under_way)
            while not drawn and len(under_way) <= threads:
                try:
                    thing = next(source)
                except StopIteration:
                    drawn = True
                except Exception as error:
                    drawn, problem = True, error
                else:
                    under_way.append((thing, pool.submit(work, thing)))
            if not under_way:
                break
            yield under_way.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)
    if problem is not None:
        raise problem
