"""A batch beside the training data of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import ColumnDataSource

from scinn_infer.commands.console import number_text, range_text
from scinn_infer.report.page import Figure, Finding, Panel, Section, Table, Text
from scinn_infer.report.sample import PROFILE_DEPTH
from scinn_infer.report.style import BEFORE, SOFT, add_hover, new_plot
from scinn_infer.suitability import differences
from scinn_infer.summary import PROFILE_CORRELATION, profile_correlation, training_summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.contract import ModelInfo
    from scinn_infer.genes import GeneMatch
    from scinn_infer.summary import BatchSummary

SHOWN = 2000


def section(batch: BatchSummary, info: ModelInfo, match: GeneMatch) -> Section:
    """Hold a batch against the training data.

    Parameters
    ----------
    batch
        The batch in numbers.
    info
        What the model says about itself.
    match
        How the batch's genes match the model's.
    """
    training = training_summary(info, match)
    correlation = profile_correlation(batch.gene_mean, training.gene_mean)
    blocks: list[Figure | Table | Text] = [
        Text(found, warning=True) for found in differences(batch, training, correlation)
    ]
    genes = [info.genes[gene] for gene in np.flatnonzero(match.measured)]  # one for each, whatever copies a batch has
    blocks += [_numbers(batch, training), _profiles(batch, training, correlation, genes)]
    return Section("The batch and the training data", blocks)


def finding(batch: BatchSummary, info: ModelInfo, match: GeneMatch) -> Finding:
    """Return what of it belongs at the top of a page."""
    training = training_summary(info, match)
    correlation = profile_correlation(batch.gene_mean, training.gene_mean)
    far = list(differences(batch, training, correlation))
    if far:
        return Finding(" ".join(far), good=False)
    profile = "" if correlation is None else f"; the mean profiles correlate by {correlation:.2f}"
    return Finding(f"Depth, genes in a cell and zeros are like the training data's{profile}.", good=True)


def _numbers(batch: BatchSummary, training: BatchSummary) -> Table:
    sides = (batch, training)
    rows = [
        ("cells", *(f"{side.cells:,}" for side in sides)),
        ("depth: median", *(number_text(side.depth.median) for side in sides)),
        ("depth: 90 % of the cells", *(range_text(side.depth) for side in sides)),
        ("genes in a cell: median", *(number_text(side.genes_per_cell.median) for side in sides)),
        ("genes in a cell: 90 % of the cells", *(range_text(side.genes_per_cell) for side in sides)),
        ("zeros", *(f"{side.zero_fraction:.1%}" for side in sides)),
        ("cells without expression", *(f"{side.empty_cells:,}" for side in sides)),
    ]
    caption = "All cells, in the genes that both have. Good: the columns are alike."
    return Table(("", "this batch", "training data"), rows, caption=caption)


def _profiles(batch: BatchSummary, training: BatchSummary, correlation: float | None, genes: Sequence[str]) -> Figure:
    order = np.argsort(training.gene_mean, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), SHOWN)).round().astype(int))]
    one, other = _profile(training.gene_mean)[shown], _profile(batch.gene_mean)[shown]
    source = ColumnDataSource({"training": one, "batch": other, "gene": [genes[gene] for gene in shown]})
    plot = new_plot(x="training data, ln(1 + mean per 10,000)", y="this batch, ln(1 + mean per 10,000)", height=380)
    top = float(max(one.max(), other.max(), 1e-6))
    plot.line([0, top], [0, top], color=SOFT, line_dash="dashed")
    drawn = plot.scatter("training", "batch", source=source, size=4, alpha=0.5, color=BEFORE, line_color=None)
    add_hover(plot, [drawn], [("gene", "@gene"), ("training", "@training{0.00}"), ("batch", "@batch{0.00}")])
    told = "" if correlation is None else f"The profiles correlate by {correlation:.2f}."
    return Figure(
        [Panel("Mean expression of each gene", plot)],
        caption=(
            "Each dot is a gene. Good: the dots follow the dashed line; batches of one tissue correlate by 0.78 to "
            f"0.99, and below {PROFILE_CORRELATION} it is probably another tissue. Dots far from the line are what "
            "sets this batch apart."
        ),
        finding=told,
        columns=1,
    )


def _profile(gene_mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    total = max(float(gene_mean.sum()), 1e-12)
    return np.log1p(gene_mean * (PROFILE_DEPTH / total)).astype(np.float32)
