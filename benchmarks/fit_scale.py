"""How the cost of a fit grows with the number of cells: time and peak memory, 10,000 genes on two cores, and the curve.

python benchmarks/fit_scale.py [--cells 1000 3000 …] [--quick]

The sizes that are measured replace those of the same size in the record; the picture is drawn from all that are there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import record
from measure import in_own_process, use_cores
from timed_fit import measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS = (1000, 3000, 10_000, 30_000, 100_000)
GENES = 10_000

MOST_MINUTES, MOST_MB, MOST_RATIO = 45, 4000, 1.3
COMPARED_WITH = 10_000
"""Cells to whose cost that of each of the most is compared."""
FEWEST_CORES = 1.2
"""CPU seconds over seconds of a fit that has both cores; less says that it was kept waiting."""

NAME = "fit_scale"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "fit-scale.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="200 and 400 cells × 300 genes, and nothing recorded")
    options = parser.parse_args()
    sizes, genes = ((200, 400), 300) if options.quick else (options.cells, GENES)
    use_cores(options.cores)
    runs: list[dict[str, Any]] = [] if options.quick else record.read(NAME).get("runs", [])
    for cells in sizes:
        run = measured(cells=cells, genes=genes, cores=options.cores)
        runs = sorted([*(old for old in runs if old["cells"] != cells), run], key=lambda run: run["cells"])
        print(
            record.table(("cells", "epochs", "minutes", "ms per cell", "CPU ms per cell", "peak memory"), rows(runs)),
            "\n",
        )
        print(verdict(runs))
        if not options.quick:
            record.write(NAME, {"cores_used": options.cores, "genes": genes, "runs": runs})
            in_own_process(draw, runs, PICTURE)


def rows(runs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            f"{run['cells']:,}",
            f"{run['epochs']}",
            f"{run['total_seconds'] / 60:.1f}",
            f"{1000 * run['total_seconds'] / run['cells']:.1f}",
            f"{1000 * run['cpu_seconds'] / run['cells']:.1f}",
            f"{run['peak_mb']:,.0f} MB",
        )
        for run in runs
    ]


def growth(runs: list[dict[str, Any]]) -> float | None:
    """Return the time for a cell among the most over that among fewer; None where one of the two was not measured."""
    per_cell = {run["cells"]: run["total_seconds"] / run["cells"] for run in runs}
    if not {COMPARED_WITH, max(CELLS)} <= per_cell.keys():
        return None
    return float(per_cell[max(CELLS)] / per_cell[COMPARED_WITH])


def verdict(runs: list[dict[str, Any]]) -> str:
    """Say what the targets are, and what the time for a cell grows by, where that is known."""
    target = (
        f"target at {max(CELLS):,} cells: ≤ {MOST_MINUTES} minutes, ≤ {MOST_MB:,} MB, time per cell ≤ {MOST_RATIO} ×"
    )
    measured = growth(runs)
    return target if measured is None else f"{target} that at {COMPARED_WITH:,}; measured: {measured:.2f} ×"


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw time and CPU time per cell, and peak memory, against the number of cells, all on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    cells = [run["cells"] for run in runs]
    clock = [1000 * run["total_seconds"] / run["cells"] for run in runs]
    cpu = [1000 * run["cpu_seconds"] / run["cells"] for run in runs]
    peaks = [run["peak_mb"] / 1000 for run in runs]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
    _curve(axes[0], cells, cpu, "o--", "#d55e00", "CPU, both cores together", above=True)
    _curve(axes[0], cells, clock, "o-", "#31688e", "clock", above=False)  # below: it is the less of the two
    _curve(axes[1], cells, peaks, "o-", "#31688e", "", above=True)
    axes[0].legend(frameon=False, fontsize=9)
    ticks = [f"{run['cells']:,}" for run in runs]
    epochs = [f"{run['cells']:,}\n{run['epochs']} epochs" for run in runs]
    for axis, title, names in zip(axes, ("time per cell (ms)", "peak memory (GB)"), (epochs, ticks), strict=True):
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_xlabel("cells")
        axis.set_xticks(cells, names, fontsize=9)
        axis.set_xlim(min(cells) / 1.5, max(cells) * 1.5)
        axis.minorticks_off()
        axis.yaxis.set_major_formatter("{x:g}")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_yticks([10, 20, 50, 100, 200])
    axes[0].set_ylim(min(10, *clock) / 1.5, max(200, *cpu))
    axes[1].set_yticks([0.5, 1, 2, 4])
    axes[1].set_ylim(0.5, 6)
    axes[1].axhline(MOST_MB / 1000, color="#b5367a", linestyle="--", linewidth=1)
    label = f"target at 100,000 cells: {MOST_MB / 1000:g} GB"
    axes[1].annotate(label, (cells[0], 4), xytext=(0, 4), textcoords="offset points", color="#b5367a", fontsize=9)
    figure.savefig(path, dpi=150)


def _curve(
    axis: Axes, cells: list[int], values: list[float], line: str, colour: str, label: str, *, above: bool
) -> None:
    """Draw one curve, its values above its points to the right, or below to the left, where no line runs."""
    axis.loglog(cells, values, line, color=colour, label=label)
    shift, where = ((-8, 6), ("left", "bottom")) if above else ((4, -8), ("right", "top"))
    style = {"ha": where[0], "va": where[1], "fontsize": 9, "color": colour}
    for place, value in zip(cells, values, strict=True):
        axis.annotate(f"{value:.3g}", (place, value), shift, textcoords="offset points", **style)


if __name__ == "__main__":
    main()
