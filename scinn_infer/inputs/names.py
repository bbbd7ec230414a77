"""Names of genes and cells in files: as text, and told from each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LOOKED_AT = 1000
MOST = 0.5

_BARCODE = re.compile(r"(?:.*[_:#-])?[ACGTN]{8,}(?:[-_.]\d+)?x?")
_GENE_ID = re.compile(r"ENS[A-Z]*G\d{6,}(?:\.\d+)?")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_ABOVE_NAMES = "cell|spot|well|barcode|sample|gene|entrez|symbol|name|index|row|obs|var"  # IDS is a gene
_HEADING = re.compile(rf"(?:(?:(?:{_ABOVE_NAMES})s?|id)[ _.-]*)+|unnamed: \d+")
_GENES_EVERYWHERE = {"ACTB", "B2M", "EEF1A1", "GAPDH", "MALAT1", "RPLP0", "RPS3", "RPL13", "TMSB4X", "PPIA"}


def as_text(values: Iterable[Any]) -> list[str]:
    """Return names as HDF5 and zarr give them, bytes or text, as text."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def look_like_cells(names: Sequence[str]) -> bool:
    """Whether most of some names are barcodes, such as AAACCTGAGAAACCAT-1."""
    return _most(_BARCODE, names)


def look_like_genes(names: Sequence[str]) -> bool:
    """Whether most of some names are Ensembl ids, or genes are among them that every tissue expresses."""
    return _most(_GENE_ID, names) or len(_GENES_EVERYWHERE.intersection(name.upper() for name in names)) > 1


def all_numbers(names: Iterable[str]) -> bool:
    """Whether every name is a number, as names seldom are and values are."""
    return all(_NUMBER.fullmatch(name.strip()) for name in names)


def first_repeated(names: Iterable[str]) -> str | None:
    """Return the first name that was there before; None if each is there once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def heads_names(heading: str) -> bool:
    """Whether what stands above a column says that it holds names: nothing, or such as ``cell_id``."""
    return not heading.strip() or bool(_HEADING.fullmatch(heading.strip().lower()))


def _most(pattern: re.Pattern[str], names: Sequence[str]) -> bool:
    looked_at = names[:LOOKED_AT]
    return sum(bool(pattern.fullmatch(name)) for name in looked_at) > MOST * len(looked_at)
