"""What fitting costs: time for each module and peak memory, for 2,000 cells × 12,000 genes on two cores.

python benchmarks/fit_cost.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import record
from measure import in_own_process, use_cores

MOST_SECONDS, MOST_MB = 240, 3000

DEPTH = 4000.0
"""Median counts per cell: with it, nearly all of the 12,000 genes are seen in enough cells to become the model's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--genes", type=int, default=12_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="100 cells × 300 genes, and nothing recorded")
    options = parser.parse_args()
    cells, genes = (100, 300) if options.quick else (options.cells, options.genes)
    use_cores(options.cores)
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference.h5ad"
        # Simulating takes more memory than fitting, so it has a process of its own.
        in_own_process(simulate, reference, cells=cells, genes=genes)
        fitted = in_own_process(fit, reference, threads=options.cores)
    figures = {**fitted.result, "total_seconds": round(fitted.seconds, 2), "peak_mb": fitted.peak_mb}
    report(figures)
    if not options.quick:
        record.write("fit_cost", {"cores_used": options.cores, **figures})


def simulate(path: Path, *, cells: int, genes: int) -> None:
    from scinn_train.simulate import TRUTH_LAYER, SimulationConfig, simulate_tissue

    tissue = simulate_tissue(SimulationConfig(cells_per_batch=(cells,), genes=genes, depth=DEPTH))
    del tissue.layers[TRUTH_LAYER]
    tissue.write_h5ad(path)


def fit(path: Path, *, threads: int) -> dict[str, Any]:
    """Do what ``scinn-train fit`` does, with a clock at every stage."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
    started = time.perf_counter()
    import scinn_train
    from scinn_train.fitting import fit_reference  # loads torch
    from scinn_train.reading import open_reference
    from scinn_train.reference import prepare

    config = scinn_train.Config(threads=threads, device="cpu")
    imported = time.perf_counter()
    with open_reference(path) as given:
        reference = prepare(given.X, given.genes, config=config, source=given.source)
    read = time.perf_counter()
    with reference:
        result = fit_reference(reference, config=config)
    fitted = time.perf_counter()
    nonzero = float(reference.genes_per_cell.sum()) / (reference.cells_before * reference.genes_before)
    result.export(path.with_name("model.onnx"))
    exported = time.perf_counter()
    seconds = {
        "imports": imported - started,
        "reading and checks": read - imported,
        **result.seconds,
        "export and proof": exported - fitted,
    }
    return {
        "cells": reference.cells_before,
        "genes": reference.genes_before,
        "model_genes": len(result.genes),
        "zero_fraction": round(1 - nonzero, 4),
        "clusters": result.info.clusters,
        "epochs": len(result.history),
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
    }


def report(figures: dict[str, Any]) -> None:
    print(
        f"{figures['cells']:,} cells × {figures['genes']:,} genes ({figures['model_genes']:,} in the model), "
        f"{figures['zero_fraction']:.0%} zeros; {figures['clusters']} clusters, {figures['epochs']} epochs\n"
    )
    rows = [(stage, f"{seconds:.1f} s", "") for stage, seconds in figures["seconds"].items()]
    rows.append(("total", f"{figures['total_seconds']:.1f} s", f"< {MOST_SECONDS} s"))
    rows.append(("peak memory", f"{figures['peak_mb']:,.0f} MB", f"< {MOST_MB:,} MB"))
    print(record.table(("", "measured", "target"), rows))


if __name__ == "__main__":
    main()
