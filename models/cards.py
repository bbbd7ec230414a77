"""The model cards, and the table of the shipped models: written from the registry, the recipes and the files."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from recipes import SEED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes import Recipe

    from scinn_infer.contract import ModelInfo
    from scinn_infer.registry import ModelEntry

WIDTH = 120
COLUMNS = ("raw", "gene mean", "filled", "denoised", "filled float32", "denoised float32")
ROWS = {
    "ari": "cell types (ARI)",
    "gene_by_gene": "molecules held back, gene by gene",
    "cell_by_cell": "molecules held back, cell by cell",
}
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"


def card(entry: ModelEntry, recipe: Recipe, info: ModelInfo) -> str:
    """Return the card of a model, Markdown."""
    sections = {
        f"# {entry.name}": _facts(entry, info),
        "## What it is for": _filled(recipe.purpose) + "\n\n" + _use(entry),
        "## Data": _data(entry, recipe, info),
        "## How it was trained": _training(entry, recipe, info),
        "## How good it is": _quality(entry, recipe, info),
        "## Limits": _listed(recipe.limits),
        "## When not to use it": _listed(_sentences(recipe.not_for)),
        "## Licence": _filled(
            f"The model: {entry.licence}, as scINN. The data: {entry.data_licence}. Please cite {entry.citation}, "
            "and the papers in CITATION.cff."
        ),
    }
    return (
        "<!-- Written by models/build.py. -->\n\n"
        + "\n\n".join(f"{title}\n\n{text}" for title, text in sections.items())
        + "\n"
    )


def table(entries: Sequence[ModelEntry]) -> str:
    """Return the table of the shipped models that ``docs/models.md`` shows."""
    rows = [
        (
            f"[{entry.name}](cards/{entry.name}.md)",
            entry.about,
            entry.platform,
            f"{entry.cells:,} × {entry.genes:,}",
            f"{entry.size / 1e6:.1f} MB",
            " / ".join(f"{entry.quality['gene_by_gene'][name]:.3f}" for name in COLUMNS[:4]),
            " / ".join(f"{entry.quality['ari'][name]:.2f}" for name in COLUMNS[:4]),
        )
        for entry in entries
    ]
    heading = ("name", "holds", "platform", "cells × genes", "size", "molecules held back", "ARI")
    return _table(heading, rows)


def with_table(page: str, entries: Sequence[ModelEntry]) -> str:
    """Return a page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(entries)}\n\n{END}{rest.partition(END)[2]}"


def commands(entry: ModelEntry, recipe: Recipe) -> str:
    """Return the command that trains the model from a file of its training cells."""
    return (
        f"scinn-train fit {entry.name}.h5ad -o {entry.name}.onnx --weights float16 --seed {SEED} --threads 1 "
        "--device cpu "
        f'--tissue "{recipe.tissue}" --species {recipe.species} --licence {entry.licence}'
    )


def _facts(entry: ModelEntry, info: ModelInfo) -> str:
    facts = {
        "version": str(entry.version),
        "holds": entry.about,
        "tissue": entry.tissue,
        "species": entry.species,
        "platform": entry.platform,
        "unit": f"{entry.unit}, for input and output alike, at each cell's own depth",
        "trained on": f"{entry.cells:,} cells",
        "genes": f"{entry.genes:,}, for instance {', '.join(info.genes[:3])}",
        "file": f"`{entry.file}`, format {info.format}, {entry.size / 1e6:.1f} MB, weights stored as float16",
        "SHA-256": f"`{entry.sha256}`",
    }
    return _table(("", ""), list(facts.items()))


def _use(entry: ModelEntry) -> str:
    return f"    scinn-infer check {entry.name} new.h5ad\n    scinn-infer apply {entry.name} new.h5ad -o imputed.h5ad"


def _data(entry: ModelEntry, recipe: Recipe, info: ModelInfo) -> str:
    data = info.training_data
    return _filled(
        f"{entry.data}. Kept unseen: {recipe.held_out_is}. In the {entry.cells:,} training cells: median depth "
        f"{data.depth.median:,.0f} (90 % of the cells {data.depth.q05:,.0f} to {data.depth.q95:,.0f}), median "
        f"{data.genes_per_cell.median:,.0f} genes in a cell, {data.zero_fraction:.1%} zeros."
    )


def _training(entry: ModelEntry, recipe: Recipe, info: ModelInfo) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in info.training["versions"].items())
    return "\n\n".join(
        (
            f"    make models MODEL={entry.name}",
            "which is, with the training cells in a file,",
            textwrap.indent(commands(entry, recipe), "    "),
            _filled(f"Everything else is scINN's default. Versions: {versions}."),
        )
    )


def _quality(entry: ModelEntry, recipe: Recipe, info: ModelInfo) -> str:
    quality = entry.quality
    rows = [(title, *(f"{quality[score][name]:.3f}" for name in COLUMNS)) for score, title in ROWS.items()]
    hidden, apart = quality["hidden_entries"], quality["largest_difference_to_float32"]
    return "\n\n".join(
        (
            _filled(f"On {quality['unseen_cells']['number']:,.0f} cells that it has never seen: {recipe.held_out_is}."),
            _table(("", *COLUMNS), rows),
            _filled(
                "ARI: k-means on 50 principal components (depth 10,000, ln(1 + x)) against the known types, median of "
                "five seeds. Molecules held back: each cell's molecules are divided at random in two, the model is "
                "given one half, and the result is correlated with the other (log2(1 + x) at the median depth). Gene "
                "mean: zeros filled with the training cells' mean. The last two columns are the same model with its "
                "weights as float32: storing them as float16 changes a filled value by "
                f"{apart['filled']:.1e} at most, and a denoised one by {apart['denoised']:.1e}, relative."
            ),
            *_below(entry),
            _filled(
                f"On the {info.quality['held_out_cells']:,.0f} training cells that stopped the training, entries that "
                f"were hidden are predicted with a correlation of {hidden['model']:.3f} (gene mean "
                f"{hidden['gene mean']:.3f})."
            ),
        )
    )


def _below(entry: ModelEntry) -> list[str]:
    """Say where raw data, or filling with gene means, is the better, if it is."""
    worse = {
        name: [title for score, title in ROWS.items() if _is_below(entry.quality[score], name)]
        for name in ("filled", "denoised")
    }
    sentences = [
        f"{name.capitalize()}, it is below raw data or gene means in: {'; '.join(found)}."
        for name, found in worse.items()
        if found
    ]
    return [_filled(" ".join(sentences))] if sentences else []


def _is_below(values: dict[str, float], name: str) -> bool:
    return values[name] < max(values["raw"], values["gene mean"])


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(items: Sequence[str]) -> str:
    return "\n".join(
        textwrap.fill(item, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False)
        for item in items
    )


def _sentences(items: Sequence[str]) -> list[str]:
    return [f"{item[0].upper()}{item[1:]}." for item in items]


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
