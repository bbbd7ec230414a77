"""Cells by group: by cluster, or by a type that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.report.palette import natural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Positions = npt.NDArray[np.intp]

MOST_GROUPS = 24
"""Groups that a picture tells apart; the smallest of more become one."""

LONGEST_NAME = 32
REST, UNKNOWN = "all others", "not stated"


@dataclass(frozen=True)
class Groups:
    """What each cell belongs to.

    Attributes
    ----------
    title
        What the groups are: ``"cluster"``, or the name of the column.
    names
        Names of the groups, in the order in which they are shown.
    codes
        Which of them each cell belongs to (cells,).
    """

    title: str
    names: tuple[str, ...]
    codes: Positions

    @classmethod
    def of(cls, values: Sequence[Any] | npt.NDArray[Any], *, title: str) -> Groups:
        """Group cells by value (cells,); of very many groups the smallest are put together."""
        texts = np.array([_name(value) for value in values], dtype=object)
        found, counts = np.unique(texts.astype(str), return_counts=True)
        rest: set[str] = set()
        if len(found) > MOST_GROUPS:
            rest = set(found[np.argsort(-counts, kind="stable")[MOST_GROUPS - 1 :]])
        names = sorted((str(name) for name in found if name not in rest), key=natural) + ([REST] if rest else [])
        place = {name: number for number, name in enumerate(names)}
        codes = np.array([place.get(text, len(names) - 1) for text in texts], dtype=np.intp)
        return cls(title, tuple(names), codes)

    def members(self, group: int) -> Positions:
        """Return which cells belong to a group."""
        return np.flatnonzero(self.codes == group)

    @property
    def sizes(self) -> Positions:
        """Number of cells of each group (groups,)."""
        return np.bincount(self.codes, minlength=len(self.names))

    @property
    def order(self) -> Positions:
        """The cells, group by group (cells,)."""
        return np.argsort(self.codes, kind="stable")

    def means(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the mean of each group's rows (groups × columns); zero for a group without cells."""
        member = (self.codes[:, None] == np.arange(len(self.names))).astype(values.dtype)
        return (member.T @ values) / np.maximum(self.sizes, 1)[:, None].astype(values.dtype)

    def explained(self, values: npt.NDArray[Any]) -> float:
        """Return the share of the rows' variance that lies between the groups, from 0 to 1."""
        centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
        total = float((centred**2).sum())
        between = float((self.sizes[:, None] * self.means(centred) ** 2).sum())
        return between / total if total > 0 else 0.0


def _is_missing(value: Any) -> bool:
    """Tell whether a value says that there is none, as NaN, NaT and pandas' NA do: none of them equals itself."""
    try:
        return bool(value != value)
    except TypeError:  # NA, which does not even say that
        return True


def _name(value: Any) -> str:
    text = str(value)
    if value is None or _is_missing(value) or not text.strip():
        return UNKNOWN
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
