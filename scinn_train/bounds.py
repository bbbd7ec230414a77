"""What a field of a configuration may hold: said once for each field, and one function that holds them all to it."""

from __future__ import annotations

import math
import operator
import reprlib
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.arguments import is_text
from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Bound:
    """What a field may hold.

    Attributes
    ----------
    words
        How a sentence goes on after "it must be".
    plain
        Returns a value as plain Python has it, which a JSON file can hold; of any other value it raises what Python
        raises.
    """

    words: str
    plain: Callable[[Any], Any]


def check_fields(config: Any, bounds: Mapping[str, Bound], *, prefix: str = "") -> None:
    """Hold every field of a frozen dataclass to its bound, and turn numpy's numbers into Python's.

    Parameters
    ----------
    config
        The dataclass.
    bounds
        The bound of each of its fields.
    prefix
        Stands before a field's name in messages.

    Raises
    ------
    ScinnError
        If a value is out of its bound.
    """
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        try:
            object.__setattr__(config, name, bounds[name].plain(value))
        except (TypeError, ValueError, OverflowError) as error:
            msg = f"{prefix}{name} is {reprlib.repr(value)}; it must be {bounds[name].words}."
            raise ScinnError(msg) from error


def whole(least: int) -> Bound:
    """Return the bound of a whole number from ``least`` on."""

    def plain(value: Any) -> int:
        number = int(operator.index(_no_truth(value)))
        _require(number >= least)
        return number

    return Bound(f"a whole number, {least} or more", plain)


def number(
    *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf, below: float = math.inf
) -> Bound:
    """Return the bound of a finite number: ``least`` and ``most`` are within it, ``above`` and ``below`` are not."""

    def plain(value: Any) -> float:
        _require(isinstance(_no_truth(value), Real))
        _require(above < float(value) < below and least <= float(value) <= most)
        return int(value) if isinstance(value, Integral) else float(value)  # a 1 is stored as 1, not as 1.0

    limits = (("above {:g}", above), ("{:g} or more", least), ("{:g} or less", most), ("below {:g}", below))
    said = " and ".join(words.format(limit) for words, limit in limits if math.isfinite(limit))
    return Bound(f"a number, {said}", plain)


def choice(*names: str) -> Bound:
    """Return the bound of one of some names."""

    def plain(value: Any) -> str:
        _require(isinstance(value, str) and value in names)
        return value

    return Bound(f"one of {', '.join(names)}", plain)


def part(kind: type) -> Bound:
    """Return the bound of a configuration within a configuration."""

    def plain(value: Any) -> Any:
        _require(isinstance(value, kind))
        return value

    return Bound(f"a scinn_train.{kind.__name__}", plain)


def or_none(bound: Bound) -> Bound:
    """Return the bound that lets None through as well."""
    return Bound(f"None, or {bound.words}", lambda value: None if value is None else bound.plain(value))


def is_storable(text: str) -> bool:
    """Tell whether a model file can hold a text: it is kept as UTF-8, and C ends it at a null character."""
    return is_text(text) and "\0" not in text


def _text(value: Any) -> str:
    _require(isinstance(value, str) and is_storable(value))
    return value


def _flag(value: Any) -> bool:
    _require(isinstance(value, bool | np.bool_))
    return bool(value)


def _no_truth(value: Any) -> Any:
    """Refuse True and False, which Python counts among the whole numbers."""
    _require(not isinstance(value, bool | np.bool_))
    return value


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


TEXT = Bound("text that can be written as UTF-8, without null characters", _text)
"""The bound of text that a model file can hold."""

FLAG = Bound("True or False", _flag)
"""The bound of a choice between two."""
