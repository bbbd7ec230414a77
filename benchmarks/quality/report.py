"""docs/benchmarks.md, its figures, and the short table of the README: written from the records, never by hand.

Only what has records is written of, so that a report can be made of a part of a run. A figure that cannot be drawn
again, for want of records or of pictures in the cache, stays as it is.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import record

from quality import charts, data, findings, never_seen, sections, tables
from quality.tasks import CACHE, QUICK_RESULTS, RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from quality.findings import Findings

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
LINE = 120

IN_README = ("raw", "gene mean", "scINN", "MAGIC", "kNN-smoothing", "ALRA", "scVI")
NEVER_SEEN = {
    "ARI": "ARI",
    "NMI": "NMI",
    "silhouette": "silhouette",
    "genewise": "gene by gene",
    "cellwise": "cell by cell",
}
"""Scores of the README's table of cells that were not trained on."""
WAYS = {
    ("scINN", never_seen.HELD_OUT): "scINN, not trained on them",
    ("scINN", never_seen.SEEN): "scINN, trained on them as well",
    ("MAGIC", never_seen.ALONE): "MAGIC on them alone",
}
RECOVERED = {"saver_downsample_baron": "Baron", "saver_downsample_zeisel": "Zeisel"}


def write(
    *,
    records: Path = RESULTS,
    cache: Path = CACHE,
    docs: Path = ROOT / "docs",
    readme: Path | None = ROOT / "README.md",
) -> None:
    """Write everything that the records in a folder have to say.

    Parameters
    ----------
    records
        Where the records are.
    cache
        Where ``pictures`` are, the coordinates of the landscapes.
    docs
        Folder for ``benchmarks.md`` and ``images``.
    readme
        File whose part between the two markers is replaced; None leaves it out.
    """
    found = findings.load(records)
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    charts.draw(found, images, pictures=cache / "pictures")
    (docs / "benchmarks.md").write_text(document(found, images), encoding="utf-8")
    print(f"wrote {docs / 'benchmarks.md'}")
    if readme is not None and found.has("clusters"):
        text, short = readme.read_text(encoding="utf-8"), in_short(found, images)
        readme.write_text(record.between(text, short, begin=BEGIN, end=END), encoding="utf-8")
        print(f"wrote the table in {readme}")


def write_quick() -> None:
    """Write the report of a quick run, beside its records in the cache."""
    write(records=QUICK_RESULTS, cache=QUICK_RESULTS, docs=QUICK_RESULTS / "report", readme=None)


def document(found: Findings, images: Path) -> str:
    """Return the whole of docs/benchmarks.md."""
    parts = ["# How good the imputation is", *protocol(found)]
    for section in sections.ALL:
        parts += section(found)
    return _page(parts, images) + "\n"


def protocol(found: Findings) -> list[str]:
    """Return what was done, before any figure."""
    machine = record.machine()
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        """`make bench` measures everything on this page and writes it: tables and figures come from the records in
        `benchmarks/results/quality`, one line for each run. Nothing here is typed by hand.""",
        f"""**Datasets.** The protocol was frozen before anything was tuned. Settings were chosen on the *tuning* half,
        marked * in every table ({", ".join(data.TUNING)}), and confirmed on the other half
        ({", ".join(data.CONFIRMATION)}). One preset serves all. Cell types are never shown to a
        method.""",
        """**Scales.** Raw and imputed data always go through the same transform. The headline is depth 10,000 and
        ln(1 + x). What every method returns is first brought back to linear expression at each cell's own depth,
        because the depth is where methods differ most.""",
        """**Policies.** `keep`: observed non-zeros stay as they are, the method's value stands at the zeros only; the
        default of scINN. `denoise`: the method's value everywhere; what most other methods return. Every method is
        scored under both.""",
        f"""**Seeds.** Each figure is a median over the seeds, with the lowest and the highest in brackets where they
        differ ({found.seeds()} of scINN). A seed is that of the training, of k-means or UMAP, and of every random
        split. Methods that draw nothing differ by k-means alone, and are run once where there is none. In bold: the
        best of a column, what was measured elsewhere (†) left out.""",
        _code(found),
        f"""**Machine.** This report was written on {machine["processor"]}, {machine["cores"]} cores,
        {machine["system"]}, Python {machine["python"]}, with {packages}.""",
    ]


def _code(found: Findings) -> str:
    """Return of how many states of the code the records of scINN are."""
    codes = found.values[found.values.method.isin(findings.OURS)].code
    told = ", and some were made before that was recorded" if (codes == "").any() else ""
    return f"""**Code.** A record holds a digest of the code of both packages, so that a change of any line counts.
        Those of scINN on this page are of {codes[codes != ""].nunique()} states{told}. What a change may move is
        measured again (`--stale`); where it was not yet, the [research log](research-log.md) says so."""


def in_short(found: Findings, images: Path) -> str:
    """Return what stands between the markers of the README."""
    datasets = findings.cluster_medians(found, "ARI").count(axis=1).max()
    parts = [
        f"""**Cells that scINN was trained on**, as the other methods can impute no others; medians over
        {found.seeds("clusters")}. ARI: cell types told apart by k-means on 50 principal components (depth 10,000,
        ln(1 + x)), observed values kept, mean of {datasets} datasets (of fewer where the number is in brackets);
        silhouette: the types in a UMAP picture. Baron and Zeisel: correlation with the expression before
        down-sampling, gene by gene / cell by cell, with observed values kept, and denoised. scVI takes minutes of
        training for each of them, and was scored on these two alone.""",
        record.table(*_short_table(found)),
        *_never_seen(found),
        "![ARI gained over raw data, by dataset and method](docs/images/bench-clusters.png)",
        """`make bench` makes the table, the figure, and [docs/benchmarks.md](docs/benchmarks.md): every dataset and
        score, cells never seen, false signal, ablations, and which of the targets are reached and which are not.""",
    ]
    return _page(parts, images)


def _never_seen(found: Findings) -> list[str]:
    """Return what scINN is worth on cells that it was not trained on, beside what MAGIC makes of them."""
    if not found.has("never_seen"):
        return []
    gains = findings.never_seen_gains(found)
    cases = gains.loc["keep"].groupby("score", observed=True).size()
    lines = [
        [name, policy, *(tables.number(gains.loc[policy].loc[score][key].mean(), signed=True) for score in NEVER_SEEN)]
        for policy in findings.POLICIES
        for key, name in WAYS.items()
    ]
    return [
        f"""**Cells that it has never seen**, another plate, library or donor, or a random 30 %: what is gained over raw
        data, mean of {cases["ARI"]} such parts ({cases["genewise"]} where the truth is known). MAGIC cannot be applied
        to new cells, and is run on them.""",
        record.table(("", "policy", *NEVER_SEEN.values()), lines),
    ]


def _short_table(found: Findings) -> tuple[list[str], list[list[str]]]:
    columns = {"ARI": _means(found, "ARI"), "silhouette": _means(found, "silhouette")}
    for policy, word in (("keep", "filled"), ("denoise", "denoised")):
        for dataset, name in RECOVERED.items():
            columns[f"{name}, {word}"] = _correlations(found, dataset, policy)
    columns = {name: column for name, column in columns.items() if column}
    methods = [name for name in IN_README if any(name in column for column in columns.values())]
    lines = [[name, *(column.get(name, tables.NOTHING) for column in columns.values())] for name in methods]
    return ["", *columns], lines


def _means(found: Findings, score: str) -> dict[str, str]:
    table = findings.cluster_medians(found, score)
    kept = table[table.index.get_level_values("policy") == "keep"].droplevel("policy")
    counts = kept.count(axis=1)
    return {
        name: tables.number(row.mean()) + ("" if counts[name] == counts.max() else f" ({counts[name]})")
        for name, row in kept.iterrows()
    }


def _correlations(found: Findings, dataset: str, policy: str) -> dict[str, str]:
    columns: list[pd.Series] = []
    for score in ("genewise", "cellwise"):
        values = found.of("recovery", score, dataset=dataset)
        values = values[(values.policy == policy) | (values.method == "raw")]
        columns.append(findings.summary(values, ("method",))["median"])
    genewise, cellwise = columns
    return {name: f"{tables.number(genewise[name])} / {tables.number(cellwise[name])}" for name in genewise.index}


def _page(parts: Iterable[str], images: Path) -> str:
    return "\n\n".join(filter(None, (_laid_out(part, images) for part in parts)))


def _laid_out(part: str, images: Path) -> str:
    """Return a part as it is printed: a paragraph in lines, a figure only if it is there, everything else as it is."""
    if part.startswith("!["):
        return part if (images / Path(part.rstrip(")").rpartition("(")[2]).name).exists() else ""
    if part.startswith(("|", "#", "<", "- ")):
        return part
    return textwrap.fill(" ".join(part.split()), LINE, break_long_words=False, break_on_hyphens=False)
