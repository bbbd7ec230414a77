"""What of a batch's genes a model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scinn_infer.genes import WARN_BELOW
from scinn_infer.report.page import Finding, Section, Table, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scinn_infer.genes import GeneMatch

LISTED = 200
"""Names that are listed in full."""


def section(match: GeneMatch) -> Section:
    """Tell how the genes were matched."""
    numbers = Table(
        ("", "genes", ""),
        [
            ("matched", f"{match.matched:,}", f"{match.overlap:.1%} of the model's, compared by {match.by}"),
            ("missing", f"{len(match.missing):,}", "the model knows them, the batch lacks them: treated as unknown"),
            ("extra", f"{len(match.extra):,}", "the batch has them, the model does not know them: left as they are"),
            ("duplicated", f"{len(match.duplicated):,}", "named more than once in the batch"),
            (
                "expression share",
                f"{match.expression_share:.1%}",
                "of the training data's expression lies in the matched genes",
            ),
        ],
        caption="Good: 80 % or more are matched, and they hold nearly all of the expression.",
    )
    lists = [
        Table((), [(f"{len(names):,}", _listed(names))], caption=f"The {what} genes by name", folded=True)
        for what, names in (("missing", match.missing), ("extra", match.extra), ("duplicated", match.duplicated))
        if names
    ]
    return Section("Genes", [Text(match.sentence), numbers, *lists])


def finding(match: GeneMatch) -> Finding:
    """Return what of it belongs at the top of a page."""
    return Finding(
        f"The batch has {match.overlap:.0%} of the model's genes, which hold {match.expression_share:.0%} of the "
        "expression in the training data.",
        match.overlap >= WARN_BELOW,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
