"""Tell arguments of the wrong kind, where Python would only say that it cannot compare them, and refuse them."""

from __future__ import annotations

import operator
from typing import Any

from scinn_infer.errors import ScinnError


def check_count(value: Any, name: str) -> int:
    """Return how many of something are asked for.

    Parameters
    ----------
    value
        What was passed.
    name
        Of the argument.

    Raises
    ------
    ScinnError
        If it is not a whole number from 1 on.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        msg = f"{name} is {value!r}; it has to be a whole number from 1 on."
        raise ScinnError(msg)
    return count


def is_text(name: str) -> bool:
    """Tell whether a name can be written as UTF-8, which what came from a file system's bytes cannot always."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
