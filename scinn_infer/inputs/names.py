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


def _most(pattern: re.Pattern[str], names: Sequence[str]) -> bool:
    looked_at = names[:LOOKED_AT]
    return sum(bool(pattern.fullmatch(name)) for name in looked_at) > MOST * len(looked_at)
