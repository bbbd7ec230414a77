"""Keep what is warned of while something is done: a page repeats it."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scinn_infer.errors import ScinnWarning

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def hear_warnings() -> Iterator[list[str]]:
    """Give a list that fills with our own warnings, each once, which are told to the user as always."""
    told: list[str] = []
    tell = warnings.showwarning

    def heard(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
        if issubclass(category, ScinnWarning) and str(message) not in told:
            told.append(str(message))
        tell(message, category, *where, **options)

    warnings.showwarning = heard
    try:
        yield told
    finally:
        warnings.showwarning = tell
