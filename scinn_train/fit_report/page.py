"""Put the page of a fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.report import dropout, expression, pictures, provenance
from scinn_infer.report.groups import Groups
from scinn_infer.report.page import Figure, Finding, Page, Section, Table, Text
from scinn_train.config import PRESETS, Config
from scinn_train.evaluate import umap_picture
from scinn_train.fit_report import clusters, recovery, training
from scinn_train.fit_report.cells import show_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.contract import ModelInfo
    from scinn_infer.report.sample import CellSample
    from scinn_train.result import Result

UMAP_COMPONENTS = 20
FEWEST_FOR_UMAP = 16


def build(
    result: Result, *, labels: tuple[str, npt.NDArray[Any]] | None, genes: Sequence[str], command: str, source: str
) -> Page:
    """Put the page together.

    Parameters
    ----------
    result
        The fit.
    labels
        What the known types are called, and that of each cell (cells,); None if there are none.
    genes
        Genes to show; the most specific ones if empty.
    command
        What was typed; empty if nothing was.
    source
        How the reference is called.

    Raises
    ------
    ScinnError
        If one of the genes is not among the model's.
    """
    cells = show_cells(result, genes)
    sample = cells.sample
    by_cluster = Groups.of(result.cell_map.clusters[sample.rows], title="cluster")
    by_label = None
    if labels is not None:
        there = result._cells[sample.rows]
        by_label = Groups.of(np.asarray(labels[1], dtype=object)[there], title=labels[0])
    groupings = [group for group in (by_cluster, by_label) if group is not None]
    info, configuration = result.info, result.info.training["config"]
    about = ", ".join(filter(None, (info.tissue, info.species)))
    return Page(
        title=f"Fit: {about or source or 'scINN model'}",
        subtitle=f"{source + ': ' if source else ''}{_size(result)}, {info.unit}. {sample.sentence}",
        facts=_facts(result),
        findings=[
            recovery.finding(result.recovery),
            clusters.finding(cells, by_cluster),
            *([clusters.label_finding(by_cluster, by_label)] if by_label else []),
            _course(result),
            Finding("Filled values are predictions: do statistical tests on the counts as they were."),
        ],
        sections=[
            training.section(result.history, result.best_epoch, configuration["module2"]["weights"]),
            clusters.section(result, cells, by_cluster, by_label),
            *_views(sample, groupings, genes),
            recovery.section(result.recovery),
            Section("Zeros and values", [dropout.against_mean(sample), dropout.values(sample, kept=True)]),
            _genes(result),
            _provenance(result, command),
        ],
    )


def _size(result: Result) -> str:
    data = result.info.training_data
    return f"{data.cells:,} cells × {data.genes_before_filter:,} genes"


def _facts(result: Result) -> list[tuple[str, str]]:
    info = result.info
    return [
        ("tissue", info.tissue or "not stated"),
        ("species", info.species or "not stated"),
        ("unit", info.unit),
        ("cells", f"{info.training_data.cells:,}"),
        ("genes", f"{len(info.genes):,}"),
        ("clusters", f"{info.clusters:,}"),
        ("preset", _preset(info.training["config"])),
        ("seed", str(info.training["seed"])),
        ("time", _duration(sum(result.seconds.values()))),
        ("zeros", f"{info.training_data.zero_fraction:.1%}"),
    ]


def _preset(configuration: dict[str, Any]) -> str:
    """Return the preset that a configuration is, whatever capture efficiency was said besides."""
    from dataclasses import asdict

    def modules(config: dict[str, Any]) -> tuple[Any, Any]:
        return config["module1"], config["module2"] | {"capture_efficiency": None}

    return next((name for name in PRESETS if modules(asdict(Config.preset(name))) == modules(configuration)), "changed")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _course(result: Result) -> Finding:
    history, best = result.history, result.best_epoch
    converged = best < len(history) - 1 or len(history) < 2
    last = history[best].held_out["total"]
    before = history[max(best - 3, 0)].held_out["total"]
    settled = converged or abs(before - last) <= 0.005 * abs(last)
    ending = "and had settled by then" if settled else "and was still falling: a longer training may be better"
    return Finding(f"The held-out loss was lowest in epoch {best + 1} of {len(history)}, {ending}.", settled)


def _views(sample: CellSample, groupings: list[Groups], genes: Sequence[str]) -> list[Section]:
    before, after = (
        pictures.principal_components(side.profiles, count=UMAP_COMPONENTS) for side in (sample.before, sample.after)
    )
    if len(sample.rows) >= FEWEST_FOR_UMAP and before.any() and after.any():
        drawn = pictures.Pictures(umap_picture(before), umap_picture(after), "UMAP")
    else:
        drawn = pictures.component_pictures(before, after)
    source = pictures.cell_source(sample, drawn, groupings)
    figures = [
        Figure(
            pictures.by_group(source, drawn, groupings, number, after_name=sample.after_name),
            caption=(
                f"Each dot is a cell, drawn by {drawn.axis} from {before.shape[1]} principal components of ln(1 + x) "
                f"at a depth of 10,000, coloured by {'module-1 cluster' if number == 0 else groups.title}. Good: what "
                "belongs together lies together, more clearly after. The network was trained on these cells and "
                "clusters: the proof is a batch that it has never seen."
            ),
            finding=_explained(groups, before, after),
        )
        for number, groups in enumerate(groupings)
    ]
    shown = list(genes) or expression.choose_specific(sample, groupings[0])
    how = "as asked for" if genes else "the most specific to one cluster each, in the raw data"
    return [
        Section("Cells before and after", figures),
        Section(
            "Genes before and after",
            [
                Text(f"Shown are {len(shown)} genes, {how}."),
                expression.by_group(sample, groupings[-1], shown),
                pictures.by_gene(source, drawn, sample, shown),
            ],
        ),
    ]


def _explained(groups: Groups, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> str:
    if len(groups.names) < 2:
        return ""
    shares = [groups.explained(components) for components in (before, after)]
    return f"Between the groups lies {shares[0]:.0%} of the components' variance before, and {shares[1]:.0%} after."


def _genes(result: Result) -> Section:
    info, config = result.info, result.info.training["config"]
    used = min(config["module1"]["filtered_genes"], len(info.genes))
    rows = [
        ("genes in the matrix", f"{info.training_data.genes_before_filter:,}"),
        ("the model's genes", f"{len(info.genes):,}, seen in {config['min_cells']} or more cells"),
        ("of these used by module 1", f"{used:,}" + ("" if used == len(info.genes) else ", chosen by its gene filter")),
        ("with an Ensembl id", f"{sum(map(bool, info.gene_ids)):,}"),
        (
            "cells left out",
            f"{len(result.clusters) - info.training_data.cells:,}, without any expression in these genes",
        ),
        ("capture", _captured(info)),
    ]
    return Section("Genes", [Table((), rows, caption="What of the matrix the model is made of.")])


def _captured(info: ModelInfo) -> str:
    if info.molecule_value is not None:
        return f"a molecule shows as {info.molecule_value:.3g}, estimated from how often genes are zero"
    return "not taken into account" if info.capture_efficiency is None else f"{info.capture_efficiency:g}, assumed"


def _provenance(result: Result, command: str) -> Section:
    info = result.info
    made = {
        "command": command,
        "SHA-256 of the training matrix": info.training_data.sha256,
        "seed": info.training["seed"],
        "threads": info.training["threads"],
        "device": info.training["device"],
        "seconds": {name: f"{seconds:.1f}" for name, seconds in result.seconds.items()},
        "version": info.training["versions"],
        "licence": info.licence,
    }
    return Section(
        "Provenance",
        [
            provenance.table(
                made, caption="How the model was made. The same data, seed and threads make the same model."
            ),
            provenance.table(info.training["config"], caption="The whole configuration", folded=True),
        ],
    )
