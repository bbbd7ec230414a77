"""What a new batch takes with scINN, MAGIC and scVI, each from .h5ad to .h5ad in a process of its own.

python benchmarks/apply_versus.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import record
import versus_tools
from measure import Measured, in_own_process, run_command, use_cores

LEAST_SPEED_UP, MOST_MEMORY = 20, 1 / 5
"""How much faster than MAGIC, and with which share of its memory."""

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=12_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="300 cells × 600 genes, and nothing recorded")
    options = parser.parse_args()
    if options.quick:
        options.cells, options.genes, options.repetitions = 300, 600, 1
    use_cores(options.threads)
    os.environ.update(dict.fromkeys(POOLS, str(options.threads)))
    left_out = {tool: why for tool in versus_tools.TOOLS if (why := in_own_process(versus_tools.missing, tool).result)}
    for tool, why in left_out.items():
        print(f"{tool} is left out: {why}\n")
    tools = [tool for tool in versus_tools.TOOLS if tool not in left_out]
    runs = measure(tools, options)
    sizes = {"cells": options.cells, "genes": options.genes, "threads": options.threads}
    figures = {**sizes, "repetitions": options.repetitions, "runs": runs, "ratios": ratios(runs)}
    report(figures)
    if not options.quick:
        record.write("apply_versus", figures)


def measure(tools: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the tools in turn, so that whatever else the machine does hits all alike."""
    found: dict[str, list[Measured]] = {tool: [] for tool in tools}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, output = folder / "cells.h5ad", folder / "imputed.h5ad"
        models = {"scINN": folder / "model.onnx", "MAGIC": folder, "scVI": folder / "scvi"}
        in_own_process(versus_tools.write_model, models["scINN"], genes=options.genes)
        in_own_process(versus_tools.write_input, source, cells=options.cells, genes=options.genes)
        if "scVI" in tools:
            in_own_process(versus_tools.train_scvi, source, models["scVI"])
        for repetition in range(options.repetitions):
            for tool in tools if repetition % 2 == 0 else reversed(tools):
                output.unlink(missing_ok=True)
                script, threads = versus_tools.__file__, str(options.threads)
                found[tool].append(run_command(sys.executable, script, tool, source, output, models[tool], threads))
                print(f"{tool}: {found[tool][-1].seconds:.1f} s, {found[tool][-1].peak_mb:,.0f} MB", flush=True)
    return [
        {
            "tool": tool,
            "seconds": [round(float(run.result.split()[-1]), 3) for run in measured],
            "seconds_with_imports": [round(run.seconds, 3) for run in measured],
            "peak_mb": [run.peak_mb for run in measured],
        }
        for tool, measured in found.items()
    ]


def ratios(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return, of each other tool, its time over scINN's, run by run, and scINN's share of its memory."""
    ours, others = runs[0], runs[1:]
    return {
        run["tool"]: {
            **{
                key: _spread([theirs / mine for theirs, mine in zip(run[key], ours[key], strict=True)])
                for key in ("seconds", "seconds_with_imports")
            },
            "memory_share": round(max(ours["peak_mb"]) / min(run["peak_mb"]), 4),
        }
        for run in others
    }


def _spread(values: list[float]) -> dict[str, float]:
    summary = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, 2) for name, value in summary.items()}


def report(figures: dict[str, Any]) -> None:
    print(
        f"\n{figures['cells']:,} cells × {figures['genes']:,} genes, {figures['threads']} threads, "
        f"{figures['repetitions']} repetitions; scVI's training is not counted\n"
    )
    rows = []
    for run in figures["runs"]:
        ratio = figures["ratios"].get(run["tool"])
        rows.append(
            (
                run["tool"],
                f"{statistics.median(run['seconds']):.1f}",
                f"{statistics.median(run['seconds_with_imports']):.1f}",
                f"{max(run['peak_mb']):,.0f} MB",
                "" if ratio is None else "{median:.0f}× ({lowest:.0f}–{highest:.0f})".format(**ratio["seconds"]),
                "" if ratio is None else f"{ratio['memory_share']:.2f}",
            )
        )
    heading = ("", "time, s", "with imports, s", "peak memory", "scINN is faster", "scINN's share of the memory")
    print(record.table(heading, rows))
    print(f"\nTargets, against MAGIC: ≥ {LEAST_SPEED_UP}×, ≤ {MOST_MEMORY:.2f}")


if __name__ == "__main__":
    main()
