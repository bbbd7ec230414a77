"""Write docs/speed.md, its picture and the README's table from the records in results.

They have the targets, what was measured, and what limits it.

python benchmarks/cost_report.py
"""

from __future__ import annotations

import statistics
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apply_genes
import apply_memory
import apply_speed
import apply_versus
import fit_cost
import fit_scale
import import_time
import record

from scinn_train.config import Module2Config
from scinn_train.figures import STYLE, save_png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
PAGE, PICTURE, README = ROOT / "docs" / "speed.md", ROOT / "docs" / "images" / "cost-apply.png", ROOT / "README.md"
BEGIN, END = "<!-- cost: begin -->", "<!-- cost: end -->"

COLOURS = {"products": "#999999", "onnxruntime": "#56B4E9", "scINN": "#0072B2", "MAGIC": "#D55E00", "scVI": "#E69F00"}

BEGINNING = """# Speed and memory

`make cost` measures what is in the table but for the fits of `fit_scale.py`, which take an hour and a half and are run
by themselves, and writes this page from the records in `benchmarks/results`. `benchmarks/README.md` says what exactly
each command measures.
"""

MEANING = """
Ratios are of runs that took turns in one process, or one after the other, on the same cells and the same number of
threads: median, and in brackets the lowest and the highest. *Best* compares the fastest run of each: what else the
machine does can only slow a run down. Where it is given, both the median and it have to reach the target. A wide range
says that the machine was not idle, which two threads of onnxruntime or numpy, waiting for each other, suffer from most.
The picture of `apply` has the fastest runs.

- **products**: numpy multiplies the blocks with a matrix of each of the network's two large shapes (genes × 20, 64 ×
  genes) in float32, and writes the result once. It is the floor for anything that computes these products.
- **onnxruntime**: its own call on dense float32 blocks that lie ready in memory, with the one output that is wanted.
- **scINN**: from opening a sparse `.h5ad` to the last block of the result in memory; or to an `.h5ad` with a new layer.
- **MAGIC**: `fit_transform` on all cells, which is what a new batch takes: it applies to no others. Defaults, on the
  square root of depth-normalised counts.
- **scVI**: `get_normalized_expression` of a model that is trained already. Its training is not counted.
"""

HOW = """
## Where the time goes

The networks are wide and shallow, so that an element of the matrix costs little arithmetic and many passes. By
onnxruntime's own profile of 12,000 genes on one thread, of some 80 µs for each cell that the whole file takes

- 28 are the two products, near what the processor can do;
- 22 are the logarithm of the input, which onnxruntime computes four at a time whatever the processor has;
- 30 are nine passes that add, multiply, compare or exponentiate, about 3 each.

`Where`, which put the observed values back, took 54 by itself; a comparison, a product and a sum do the same in 10 and
keep every bit. Taking the training means off after the first product instead of before saves a pass of 3, and was not
done: it makes the error against torch three times as large.

scINN therefore takes the logarithms itself, of what is not zero alone, and hands them to the rest of the graph
(`log_expression.py`): some 7 µs for what takes the graph 29. Nor does it leave to the graph to put back what was
observed: it asks for what the zeros are filled with (`zero_fill.py`), and writes the entries over it, 3 µs for 7. What
is left of the graph then needs no dense block of the batch at all. Around that it reads, checks the values and the
result and, where the order of the genes is another, moves the columns. None of it is in onnxruntime's threads, and
these gain little on operations so small. So some blocks in a row go through all of it in one thread, and others in
other threads; the caller's own reads and writes. That is why another number of threads changes no bit of a result.

The network sees 24 cells at a time, which is also how onnxruntime alone is the fastest. A block of 12,000 genes and
what becomes of it then just about stay in a core's cache: with 48 it takes 4 to 13% longer, with 96 longer still, and
with 12 the calls themselves cost as much. A thread is handed eight such blocks together.
"""


@dataclass(frozen=True)
class Line:
    """A line of the table: what it is, what it was to be, what it is found to be, and whether that is reached.

    The README has some of the lines, ``in_readme``; the page has all.
    """

    figure: str
    target: str
    measured: str
    reached: bool | None
    command: str
    limit: str = ""
    in_readme: bool = True


def main() -> None:
    lines = [line for part in (importing, speed, genes, versus, memory, fit, scale, resume) for line in part()]
    drawn = draw()
    if drawn is not None:
        save_png(drawn, PICTURE, overwrite=True)
    PAGE.write_text(page(lines, pictured=drawn is not None), encoding="utf-8")
    if lines:
        text = record.between(README.read_text(encoding="utf-8"), in_short(lines), begin=BEGIN, end=END)
        README.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.name}: {sum(line.reached is True for line in lines)} targets reached, ", end="")
    print(f"{sum(line.reached is False for line in lines)} not")


def in_short(lines: list[Line]) -> str:
    """Return the README's table."""
    rows = [(line.figure, line.measured, line.target) for line in lines if line.in_readme]
    return record.table(("", "measured", "target"), rows)


def page(lines: list[Line], *, pictured: bool) -> str:
    verdicts = {True: "yes", False: "**no**", None: "–"}
    rows = [(line.figure, line.target, line.measured, verdicts[line.reached], f"`{line.command}`") for line in lines]
    parts = [BEGINNING, record.table(("", "target", "measured", "reached", "command"), rows)]
    if pictured:
        parts.append("\n![Cells per second, by method](images/cost-apply.png)")
    if record.read(fit_scale.NAME) and fit_scale.PICTURE.exists():
        parts.append("\n![Time for each cell and peak memory of a fit, by number of cells](images/fit-scale.png)")
    parts.append(MEANING)
    parts += scale_in_words(record.read(fit_scale.NAME).get("runs", []))
    limits: dict[str, list[str]] = {}
    for line in lines:
        if line.reached is False and line.limit:
            limits.setdefault(line.limit, []).append(f"**{line.figure}**")
    if limits:
        told = "\n".join(f"- {', and '.join(figures)}: {limit}" for limit, figures in limits.items())
        parts.append(f"## What is not reached, and why\n\n{told}")
    return "\n".join([*parts, HOW])


def importing() -> Iterator[Line]:
    if found := record.read("import_time"):
        seconds = statistics.median(found["seconds"]["numpy, scipy, onnxruntime"])
        limit = import_time.MOST_SECONDS
        yield Line(
            "`import scinn_infer`, beyond numpy, scipy and onnxruntime",
            f"< {limit} s",
            f"{seconds:.2f} s",
            seconds < limit,
            "import_time.py",
        )


def speed() -> Iterator[Line]:
    found = record.read("apply_speed")
    for case in found.get("cases", []):
        about = f"{_threads(case['threads'])}, genes in {case['gene_order']} order"
        yield Line(
            f"apply, against onnxruntime alone; {about}",
            f"≥ {apply_speed.LEAST_OF_BARE} × its throughput",
            _share(case["scinn_of_bare"]),
            _reaches(case["scinn_of_bare"], apply_speed.LEAST_OF_BARE),
            "apply_speed.py",
            "reading, checking, spreading and, where the order is another, moving the columns, which is one more pass; "
            "two threads share the cache and the caller's reads.",
        )
    for case in found.get("cases", []):
        if case["gene_order"] != "shuffled":
            yield Line(
                f"onnxruntime alone, against the products; {_threads(case['threads'])}",
                f"≥ {apply_speed.LEAST_OF_FLOOR} × their throughput",
                _share(case["bare_of_floor"]),
                _reaches(case["bare_of_floor"], apply_speed.LEAST_OF_FLOOR),
                "apply_speed.py",
                "the logarithm of every entry alone takes nearly as long as both products; see below.",
                in_readme=False,
            )


def genes() -> Iterator[Line]:
    found = record.read("apply_genes")
    for case in found.get("cases", []):
        yield Line(
            f"{found['chosen']} of {found['genes']:,} genes against all; {case['way']}",
            f"≥ {apply_genes.LEAST_RATIO} × as fast",
            _times(case["ratio"]),
            case["ratio"]["median"] >= apply_genes.LEAST_RATIO,
            "apply_genes.py",
            "reading, the logarithms and the first layer see all genes, whichever are wanted.",
            in_readme=case["way"] != apply_genes.WAYS[0],
        )


def versus() -> Iterator[Line]:
    found = record.read("apply_versus")
    for tool, ratio in found.get("ratios", {}).items():
        batch = f"a new batch of {found['cells']:,} × {found['genes']:,}, {_threads(found['threads'])}, file to file"
        judged = tool == "MAGIC"
        yield Line(
            f"{batch}: against {tool}",
            f"≥ {apply_versus.LEAST_SPEED_UP} × as fast" if judged else "–",
            f"{_times(ratio['seconds'])}; with imports {_times(ratio['seconds_with_imports'])}",
            ratio["seconds"]["median"] >= apply_versus.LEAST_SPEED_UP if judged else None,
            "apply_versus.py",
        )
        yield Line(
            f"peak memory of it, against {tool}",
            f"≤ {apply_versus.MOST_MEMORY:.2f} of it" if judged else "–",
            f"{ratio['memory_share']:.2f} ({_peak(found, 'scINN')} and {_peak(found, tool)})",
            ratio["memory_share"] <= apply_versus.MOST_MEMORY if judged else None,
            "apply_versus.py",
        )


def memory() -> Iterator[Line]:
    found = record.read("apply_memory")
    for kind in apply_memory.FORMATS:
        cases = [case for case in found.get("cases", []) if case.get("format") == kind]
        if not cases:
            continue
        growth, peak = apply_memory.growth(cases, kind), max(case["peak_mb"] for case in cases)
        about = f"{kind}, {cases[0]['cells']:,} → {cases[-1]['cells']:,} cells × {found['genes']:,} genes"
        yield Line(
            f"peak memory of apply; {about}",
            f"≤ {apply_memory.MOST_MB:,} MB",
            " → ".join(f"{case['peak_mb']:,.0f}" for case in cases) + " MB",
            peak <= apply_memory.MOST_MB,
            "apply_memory.py",
        )
        yield Line(
            f"its growth; {kind}",
            f"≤ {apply_memory.MOST_GROWTH} ×",
            f"{growth:.2f} ×",
            growth <= apply_memory.MOST_GROWTH,
            "apply_memory.py",
            MEMORY_LIMITS[kind],
            in_readme=False,
        )


MEMORY_LIMITS = {
    "h5ad": "a number for each cell (where its row begins, its depth) is kept to the end.",
    "zarr": "the depth of each cell is kept to the end, and of the input one chunk, which grows with it up to a limit.",
}


def fit() -> Iterator[Line]:
    if found := record.read("fit_cost"):
        about = f"`fit`, {found['cells']:,} cells × {found['genes']:,} genes"
        seconds, peak = found["total_seconds"], found["peak_mb"]
        yield Line(
            about, f"< {fit_cost.MOST_SECONDS} s", f"{seconds:.0f} s", seconds < fit_cost.MOST_SECONDS, "fit_cost.py"
        )
        yield Line(
            f"peak memory of it; {found['cells']:,} cells",
            f"< {fit_cost.MOST_MB:,} MB",
            f"{peak:,.0f} MB",
            peak < fit_cost.MOST_MB,
            "fit_cost.py",
        )


def scale() -> Iterator[Line]:
    found = record.read("fit_scale")
    runs = {run["cells"]: run for run in found.get("runs", [])}
    most = max(fit_scale.CELLS)
    for cells, run in runs.items():
        minutes, peak, judged = run["total_seconds"] / 60, run["peak_mb"], cells == most
        yield Line(
            f"`fit`, {cells:,} cells × {found['genes']:,} genes",
            f"≤ {fit_scale.MOST_MINUTES} minutes, ≤ {fit_scale.MOST_MB:,} MB" if judged else "–",
            f"{minutes:,.1f} minutes, {peak:,.0f} MB, {run['epochs']} epochs",
            minutes <= fit_scale.MOST_MINUTES and peak <= fit_scale.MOST_MB if judged else None,
            "fit_scale.py",
            in_readme=judged,
        )
    if (growth := fit_scale.growth(list(runs.values()))) is not None:
        epochs, before = (runs[cells]["epochs"] for cells in (most, fit_scale.COMPARED_WITH))
        yield Line(
            f"its time for each cell, of {most:,} cells against {fit_scale.COMPARED_WITH:,}",
            f"≤ {fit_scale.MOST_RATIO} ×",
            f"{growth:.2f} ×, with {epochs} epochs against {before}",
            growth <= fit_scale.MOST_RATIO,
            "fit_scale.py",
        )


def scale_in_words(runs: list[dict[str, Any]]) -> list[str]:
    """Return what the times of the fits do not say by themselves; nothing where there are none to compare."""
    if (growth := fit_scale.growth(runs)) is None:
        return []
    found = {run["cells"]: run for run in runs}
    most, compared = found[max(fit_scale.CELLS)], found[fit_scale.COMPARED_WITH]
    passes = {name: _each_pass(most, name) / _each_pass(compared, name) for name in ("total_seconds", "cpu_seconds")}
    parts = [
        f"""**Fits of many cells.** The training takes at most {Module2Config().most_steps:,} minibatches, and what is
        left of the last epoch, so that many cells are seen less often: {most["cells"]:,} in {most["epochs"]} epochs,
        {compared["cells"]:,} in {compared["epochs"]}. That is why a cell takes {growth:.2f} × the time. For each cell
        and epoch it is {passes["total_seconds"]:.2f} × the time and {passes["cpu_seconds"]:.2f} × the CPU seconds.
        Whether so few epochs are enough is not measured here."""
    ]
    if slowed := [run for run in runs if run["cpu_seconds"] < fit_scale.FEWEST_CORES * run["total_seconds"]]:
        told = " and ".join(f"{_cpu(run)} at {run['cells']:,} cells" for run in slowed)
        parts.append(
            f"""The machine was not idle in all of these fits. One that has both cores takes more CPU seconds than
            seconds of the clock: {_cpu(compared)} at {compared["cells"]:,} cells. It was {told}, where other jobs ran
            or the disk kept the fit waiting: alone it would have taken less time. The picture has the CPU seconds as
            well."""
        )
    return ["\n".join(textwrap.wrap(" ".join(part.split()), 120)) + "\n" for part in parts]


def _each_pass(run: dict[str, Any], seconds: str) -> float:
    return float(run[seconds] / run["cells"] / run["epochs"])


def _cpu(run: dict[str, Any]) -> str:
    return f"{run['cpu_seconds']:,.0f} in {run['total_seconds']:,.0f}"


def resume() -> Iterator[Line]:
    if found := record.read("apply_resume"):
        yield Line(
            f"`apply` to zarr, {found['runs']:,} runs with {found['kills']:,} kills in all, and `--resume`",
            "the same bytes as unbroken, nothing harmed",
            f"the same in {found['identical']:,} of {found['runs']:,}, harmed {found['harmed']:,}",
            found["identical"] == found["runs"] and not found["harmed"],
            "apply_resume.py",
        )


def throughput() -> dict[str, tuple[str, float]]:
    """Return the cells per second of each way at 12,000 genes, in its fastest run, and which of the colours it has."""
    found, files = record.read("apply_speed"), record.read("apply_versus")
    rates = {}
    for case in found.get("cases", []):
        if case["threads"] == files.get("threads", 2) and case["gene_order"] != "shuffled":
            ways = {"products alone": "floor", "onnxruntime alone": "bare", "scINN, file to memory": "scinn"}
            for (label, way), colour in zip(ways.items(), COLOURS, strict=False):
                rates[label] = colour, found["cells"] / min(case[f"{way}_seconds"])
    for run in files.get("runs", []):
        rates[f"{run['tool']}, file to file"] = run["tool"], files["cells"] / min(run["seconds"])
    return rates


def draw() -> Figure | None:
    """Draw the cells per second of each way; nothing where nothing was measured."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rates = throughput()
    if not rates:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 0.4 * len(rates) + 1.2), dpi=120, layout="constrained")
        axis = figure.subplots()
        values = [value for _, value in rates.values()]
        for row, (colour, value) in enumerate(rates.values()):  # points: a bar has no length on a logarithmic axis
            axis.plot(value, row, "o", color=COLOURS[colour], markersize=10)
            axis.annotate(f"{value:,.0f}", (value, row), (9, 0), textcoords="offset points", va="center")
        axis.set(
            xscale="log", xlabel="cells per second (12,000 genes, two threads)", xlim=(min(values) / 2, max(values) * 3)
        )
        axis.set_yticks(range(len(rates)), list(rates))
        axis.set_ylim(len(rates) - 0.5, -0.5)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _threads(number: int) -> str:
    return "one thread" if number == 1 else f"{number} threads"


def _reaches(share: dict[str, float], least: float) -> bool:
    return min(share["median"], share["best"]) >= least


def _share(share: dict[str, float]) -> str:
    return "{median:.2f} ({lowest:.2f}–{highest:.2f}), best {best:.2f}".format(**share)


def _times(ratio: dict[str, float]) -> str:
    digits = 1 if ratio["median"] < 10 else 0
    median, lowest, highest = (f"{ratio[name]:,.{digits}f}" for name in ("median", "lowest", "highest"))
    return f"{median} × ({lowest}–{highest})"


def _peak(found: dict[str, Any], tool: str) -> str:
    return next(f"{max(run['peak_mb']):,.0f} MB" for run in found["runs"] if run["tool"] == tool)


if __name__ == "__main__":
    main()
