"""The page of a batch that was imputed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.report import batch_section, cell_section, dropout, expression, gene_section, pictures, provenance
from scinn_infer.report.groups import Groups
from scinn_infer.report.page import Figure, Finding, Page, Section, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from scinn_infer.cell_quality import CellQuality
    from scinn_infer.genes import GeneMatch
    from scinn_infer.model import Model
    from scinn_infer.policies import Policy
    from scinn_infer.report.apply_watch import ApplyWatch
    from scinn_infer.report.sample import CellSample


def build(
    model: Model,
    watch: ApplyWatch,
    match: GeneMatch,
    *,
    policy: Policy,
    source: str,
    record: Mapping[str, Any],
    labels: tuple[str, npt.NDArray[Any]] | None,
    genes: Sequence[str],
    quality: CellQuality | None,
    warned: Sequence[str],
    command: str,
) -> Page:
    """Put the page together.

    Parameters
    ----------
    model
        The model that was applied.
    watch
        What it saw of the batch.
    match
        How the batch's genes match the model's.
    policy
        The policy.
    source
        How the batch is called.
    record
        How the result was made.
    labels
        What the known types are called, and that of each cell (cells,); None if there are none.
    genes
        Genes to show; the most specific ones if empty.
    quality
        What is known of each cell besides; None for nothing.
    warned
        What was warned of, each a sentence.
    command
        What was typed; empty if nothing was.
    """
    sample, batch = watch.sample(), watch.tally.summary()
    groupings = _groupings(sample, watch, labels, quality)
    gene_match = gene_section.section(match)
    sections = [
        Section(gene_match.title, [*(Text(told, warning=True) for told in warned), *gene_match.blocks]),
        batch_section.section(batch, model.info, match),
        cell_section.section(quality),
        *_views(sample, groupings, genes),
        Section("Zeros and values", [dropout.against_mean(sample), dropout.values(sample, kept=policy.keeps_nonzeros)]),
        _provenance(record, model, command),
    ]
    about = ", ".join(filter(None, (model.info.tissue, model.info.species))) or "tissue not stated"
    return Page(
        title=f"{sample.after_name.capitalize()}: {source}",
        subtitle=f"With the model of {about}; {policy.meaning}. Values are in {model.info.unit}, at each cell's depth.",
        facts=[
            ("cells", f"{batch.cells:,}"),
            ("genes imputed", f"{match.matched:,}"),
            ("of the model's genes", f"{match.overlap:.0%}"),
            ("unit", model.info.unit),
            ("policy", str(record["policy"])),
        ],
        findings=[
            gene_section.finding(match),
            batch_section.finding(batch, model.info, match),
            *cell_section.findings(quality),
            *(Finding(told, good=False) for told in warned),
            Finding(policy.caution),
        ],
        sections=[section for section in sections if section is not None],
    )


def _groupings(
    sample: CellSample, watch: ApplyWatch, labels: tuple[str, npt.NDArray[Any]] | None, quality: CellQuality | None
) -> list[Groups]:
    clusters = watch.clusters if quality is None else quality.cluster[sample.rows]
    groupings = [Groups.of(clusters, title="cluster")]
    if labels is not None:
        groupings.append(Groups.of(np.asarray(labels[1], dtype=object)[sample.rows], title=labels[0]))
    return groupings


def _views(sample: CellSample, groupings: list[Groups], genes: Sequence[str]) -> list[Section]:
    """Draw the cells and the chosen genes; by label where there are labels, by cluster otherwise."""
    told = Text(sample.sentence)
    if len(sample.rows) < pictures.FEWEST_CELLS:
        return [Section("Cells before and after", [Text("There are too few cells to draw a picture of them.")])]
    before, after = (pictures.principal_components(side.profiles) for side in (sample.before, sample.after))
    views = pictures.component_pictures(before, after)
    source = pictures.cell_source(sample, views, groupings)
    figures = [
        Figure(
            pictures.by_group(source, views, groupings, number, after_name=sample.after_name),
            caption=(
                "Each dot is a cell, in the first two principal components of ln(1 + x) at a depth of 10,000, coloured "
                f"by {_what(groups, number)}. Good: what belongs together lies closer together after. Imputation "
                "smooths, so groups always tighten somewhat; trust a new group only if it shows before as well."
            ),
            finding=_explained(groups, before, after),
        )
        for number, groups in enumerate(groupings)
    ]
    shown = list(genes) or expression.choose_specific(sample, groupings[-1])
    chosen = [expression.by_group(sample, groupings[-1], shown), pictures.by_gene(source, views, sample, shown)]
    how = "as asked for" if genes else f"the most specific to one {groupings[-1].title} each, in the raw data"
    return [
        Section("Cells before and after", [told, *figures]),
        Section("Genes before and after", [Text(f"Shown are {len(shown)} genes, {how}."), *chosen]),
    ]


def _what(groups: Groups, number: int) -> str:
    return "the training cluster that the model finds most probable" if number == 0 else groups.title


def _explained(groups: Groups, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> str:
    if len(groups.names) < 2:
        return ""
    shares = [groups.explained(components) for components in (before, after)]
    return (
        f"Of the variance in the first {before.shape[1]} components, {shares[0]:.0%} lies between the groups before, "
        f"and {shares[1]:.0%} after."
    )


def _provenance(record: Mapping[str, Any], model: Model, command: str) -> Section:
    blocks: list[Any] = [provenance.table({"command": command} | dict(record), caption="How the result was made.")]
    if model.info.training:
        training = {"SHA-256 of the training matrix": model.info.training_data.sha256} | model.info.training
        blocks.append(provenance.table(training, caption="How the model was trained", folded=True))
    if model.info.quality:
        blocks.append(
            provenance.table(model.info.quality, caption="How good the model was on held-out cells", folded=True)
        )
    return Section("Provenance", blocks)
