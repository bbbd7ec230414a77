"""The usual ways in which a gene gets another name on its way to a batch, each recognised and told, none undone.

A name that the model does not know is respelt in each of these ways. Where that gives a gene which the model knows and
the batch seems to lack, the two are probably one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

EXAMPLES = 3
MANY_DATES = 3
"""Dates among the names from which they are told even if no gene of the model is known to be behind them."""

SPECIES_SHARE = 0.1
"""Share of the model's genes that differ in case only from which another species is more likely than another habit."""

_AROUND = " \t\r\n\v\f\"'`\u00a0\ufeff"
_DATE = re.compile(r"\d{1,2}[-/ ]?([A-Za-z]{3})|([A-Za-z]{3})[-/ ]\d{1,2}|\d{4}-\d{2}-\d{2}.*|\d{1,2}/\d{1,2}/\d{2,4}")
_MONTHS = frozenset(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
_DATE_LIKE = re.compile(r"(MARCHF?|MARC|MTARC|SEPT|SEPTIN|DEC|DELEC|OCT|APR|FEB|NOV)-?\d{1,2}", re.IGNORECASE)
_RENAMED = {"MARCH": "MARCHF", "MARC": "MTARC", "SEPT": "SEPTIN", "DEC": "DELEC"}
"""Families of genes that were renamed as a whole because spreadsheets took their names for dates."""
_FAMILY = re.compile(r"([A-Za-z]+?)(\d{1,2})")
_NUMBERED = re.compile(r"(.+)[-._]\d{1,2}")


@dataclass(frozen=True)
class Trap:
    """Something about the names of a batch that keeps genes from being recognised.

    Attributes
    ----------
    sentence
        What was seen and what to do.
    lost
        The genes of the model that the batch seems to have under another name.
    """

    sentence: str
    lost: tuple[str, ...]


def find_traps(
    unknown: Sequence[str], *, missing: Mapping[str, str], known: Collection[str], species: str
) -> list[Trap]:
    """Tell in which of the usual ways the names of a batch miss the model's.

    Parameters
    ----------
    unknown
        The names of the batch that the model does not know.
    missing
        The names of the genes that the batch lacks, ids among them, each with what the model calls the gene.
    known
        Those that it does.
    species
        The model's, as it says.
    """
    genes = len(known) + len(set(missing.values()))
    tellers: Mapping[str, Callable[[Sequence[str], Sequence[str]], str]] = {
        "around": _tell_around,
        "mitochondrial": _tell_mitochondrial,
        "case": lambda seen, lost: _tell_case(seen, lost, genes=genes, species=species),
        "prefix": _tell_prefix,
        "punctuation": _tell_punctuation,
        "version": _tell_version,
        "renamed": _tell_renamed,
    }
    seen: dict[str, dict[str, str]] = {kind: {} for kind in tellers}
    respell = _respeller(missing)
    for name in unknown:
        kind, gene = respell(name)
        if kind:
            seen[kind][name] = gene
    traps = [
        Trap(tell(list(seen[kind]), list(seen[kind].values())), tuple(dict.fromkeys(seen[kind].values())))
        for kind, tell in tellers.items()
        if seen[kind]
    ]
    return [*traps, *_dates(unknown, missing), *_copies(unknown, frozenset(known))]


def _respeller(missing: Mapping[str, str]) -> Callable[[str], tuple[str, str]]:
    """Return what finds the way in which a name has to be respelt to give a missing gene, and that gene."""
    folded = {label.casefold(): gene for label, gene in missing.items()}
    plain = {_plain(label): gene for label, gene in missing.items()}

    def respell(name: str) -> tuple[str, str]:
        stripped, upper = name.strip(_AROUND), name.casefold()
        if stripped in missing:
            return "around", missing[stripped]
        if upper in folded:
            return ("mitochondrial" if upper.startswith("mt-") else "case"), folded[upper]
        for part in _parts(name):
            if part in missing:
                return "prefix", missing[part]
        if _plain(name) in plain:
            return "punctuation", plain[_plain(name)]
        numbered = _NUMBERED.fullmatch(name)
        if numbered and numbered[1] in missing:
            return "version", missing[numbered[1]]
        return next((("renamed", missing[other]) for other in _family_names(name) if other in missing), ("", ""))

    return respell


def _parts(name: str) -> Iterable[str]:
    """Yield what a name is made of if a genome, or a second name, was put before or behind it."""
    for sign in "_|;:":
        if sign in name:
            yield name.partition(sign)[2].lstrip(sign)
            yield name.rpartition(sign)[0].rstrip(sign)


def _plain(name: str) -> str:
    """Return a name with every sign that R and Seurat exchange written as one."""
    return name.replace(".", "-").replace("_", "-")


def _family_names(name: str) -> Iterable[str]:
    found = _FAMILY.fullmatch(name)
    if found:
        family, number = found[1].upper(), found[2]
        yield from (f"{new}{number}" for old, new in _RENAMED.items() if family == old)
        yield from (f"{old}{number}" for old, new in _RENAMED.items() if family == new)


def _dates(unknown: Sequence[str], missing: Mapping[str, str]) -> list[Trap]:
    dates = [name for name in unknown if _is_date(name)]
    lost = tuple(dict.fromkeys(gene for label, gene in missing.items() if _DATE_LIKE.fullmatch(label)))
    if not dates or (not lost and len(dates) < MANY_DATES):
        return []
    behind = f" The model has {_shown(lost)}, which are not among its names." if lost else ""
    sentence = (
        f"{_number(dates, 'gene has a date for a name', 'genes have dates for names')} ({_shown(dates)}): a "
        f"spreadsheet turned names such as SEPT2 or MARCH1 into them.{behind} The names cannot be had back from the "
        "dates; take the gene list from before it went through the spreadsheet."
    )
    return [Trap(sentence, lost)]


def _is_date(name: str) -> bool:
    found = _DATE.fullmatch(name)
    month = found and (found[1] or found[2])
    return bool(found) and (not month or month.lower() in _MONTHS)


def _copies(unknown: Sequence[str], known: Collection[str]) -> list[Trap]:
    """Tell of the copies of genes that were numbered to make names unique: the first still has the gene's name."""
    numbered = ((name, _NUMBERED.fullmatch(name)) for name in unknown)
    copies = [name for name, found in numbered if found and found[1] in known]
    if not copies:
        return []
    sentence = (
        f"{_number(copies, 'gene seems to be a copy', 'genes seem to be copies')} of one that the model knows, "
        f"numbered to make the names unique ({_shown(copies)}): the model is given the first alone. To have them "
        "summed, pass the names as they were before, with duplicates='sum' (--sum-duplicates)."
    )
    return [Trap(sentence, ())]


def _tell_around(seen: Sequence[str], lost: Sequence[str]) -> str:
    quoted = [repr(name) for name in seen]
    around = {sign for name in seen for part in name.partition(name.strip(_AROUND))[::2] for sign in part}
    return (
        f"{_number(seen, 'name has', 'names have')} spaces or quotes around the gene's ({_shown(quoted)}; the model "
        f"has {_shown(lost)}): take them off; in Python, name.strip({''.join(sorted(around))!r}) does."
    )


def _tell_mitochondrial(seen: Sequence[str], lost: Sequence[str]) -> str:
    return (
        f"{_number(seen, 'mitochondrial gene is', 'mitochondrial genes are')} written otherwise ({_shown(seen)}; the "
        f"model has {_shown(lost)}): write them as the model does, or check whether the species is the same."
    )


def _tell_case(seen: Sequence[str], lost: Sequence[str], *, genes: int, species: str) -> str:
    many = len(seen) >= SPECIES_SHARE * genes
    advice = (
        f"is the batch of another species? The model is of {species or 'a species that is not stated'}."
        if many
        else "write them as the model does."
    )
    return (
        f"{'Many names differ' if many else _number(seen, 'name differs', 'names differ')} from the model's only in "
        f"upper and lower case ({_shown(seen)}; the model has {_shown(lost)}): {advice}"
    )


def _tell_prefix(seen: Sequence[str], lost: Sequence[str]) -> str:
    return (
        f"{_number(seen, 'name has', 'names have')} something before or behind the gene's, a genome or a second name "
        f"({_shown(seen)}; the model has {_shown(lost)}): take it off."
    )


def _tell_punctuation(seen: Sequence[str], lost: Sequence[str]) -> str:
    return (
        f"{_number(seen, 'name has', 'names have')} another sign where the model's has a hyphen, a dot or an "
        f"underscore ({_shown(seen)}; the model has {_shown(lost)}), as R and Seurat write them: take the names from "
        "before that."
    )


def _tell_version(seen: Sequence[str], lost: Sequence[str]) -> str:
    return (
        f"{_number(seen, 'name ends', 'names end')} in a number that the model's do not have ({_shown(seen)}; the "
        f"model has {_shown(lost)}): a version, or a copy whose first was dropped. Take it off if they are the same."
    )


def _tell_renamed(seen: Sequence[str], lost: Sequence[str]) -> str:
    return (
        f"{_number(seen, 'gene was', 'genes were')} renamed since, or in the model not yet ({_shown(seen)}; the model "
        f"has {_shown(lost)}): write the model's names."
    )


def _number(names: Sequence[str], one: str, more: str) -> str:
    return f"{len(names):,} {one if len(names) == 1 else more}"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:EXAMPLES])
