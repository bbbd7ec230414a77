"""How much faster a few genes are than all of them: imputed from memory, and from file to file.

python benchmarks/apply_genes.py [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import record
from measure import use_cores
from synthetic import CAPTURED, gene_names, random_model, write_cells

import scinn_infer
from scinn_infer.apply import apply_file
from scinn_infer.h5ad import H5adMatrix
from scinn_infer.stream import STRIP

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_RATIO = 3

WAYS = ("from memory", "from file to file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=80 * STRIP)
    parser.add_argument("--genes", type=int, default=12_000)
    parser.add_argument("--chosen", type=int, default=50)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="192 cells × 600 genes, and nothing recorded")
    options = parser.parse_args()
    if options.quick:
        options.cells, options.genes, options.repetitions = STRIP, 600, 3
    use_cores(1)
    cases = measure(options)
    rows = [
        (
            case["way"],
            f"{statistics.median(case['all_seconds']):.2f}",
            f"{statistics.median(case['chosen_seconds']):.2f}",
            f"{case['ratio']['median']:.1f} ({case['ratio']['lowest']:.1f}–{case['ratio']['highest']:.1f})",
            f"≥ {LEAST_RATIO}",
        )
        for case in cases
    ]
    print(f"{options.cells:,} cells; {options.chosen} of {options.genes:,} genes; one thread\n")
    print(record.table(("", "all genes, s", f"{options.chosen} genes, s", "times as fast", "target"), rows))
    if not options.quick:
        sizes = {"cells": options.cells, "genes": options.genes, "chosen": options.chosen}
        record.write("apply_genes", {**sizes, "cases": cases})


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time all genes and the chosen ones in turn, so that whatever else the machine does hits both alike."""
    model = scinn_infer.load(random_model(options.genes, capture_efficiency=CAPTURED), threads=1)
    chosen = gene_names(options.genes)[:: options.genes // options.chosen][: options.chosen]
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder) / "cells.h5ad", Path(folder) / "imputed.h5ad"
        write_cells(path, cells=options.cells, genes=gene_names(options.genes))
        with H5adMatrix(path) as matrix:
            X, genes = matrix.rows(0, matrix.shape[0]), matrix.genes

        def from_memory(only: list[str] | None) -> None:
            for _ in model.impute_chunks(X, genes, only=only):
                pass

        def from_file(only: list[str] | None) -> None:
            apply_file(model, path, output, only=only, quality=False, overwrite=True)

        return [
            {"way": way, **compare(run, chosen, options.repetitions)}
            for way, run in zip(WAYS, (from_memory, from_file), strict=True)
        ]


def compare(run: Callable[[list[str] | None], None], chosen: list[str], repetitions: int) -> dict[str, Any]:
    run(None), run(chosen)  # the first call of each loads the network
    times: dict[str, list[float]] = {"all": [], "chosen": []}
    for repetition in range(repetitions):
        both: list[tuple[str, list[str] | None]] = [("all", None), ("chosen", chosen)]
        for name, only in both if repetition % 2 else reversed(both):
            started = time.perf_counter()
            run(only)
            times[name].append(time.perf_counter() - started)
    ratios = [everything / few for everything, few in zip(times["all"], times["chosen"], strict=True)]
    return {
        "all_seconds": [round(value, 4) for value in times["all"]],
        "chosen_seconds": [round(value, 4) for value in times["chosen"]],
        "ratio": {
            "median": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        },
    }


if __name__ == "__main__":
    main()
