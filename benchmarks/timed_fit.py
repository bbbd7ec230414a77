"""What a fit of a simulated tissue takes, with a clock at every stage."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import in_own_process

DEPTH = 4000.0
"""Median counts per cell: a tenth of the entries is not zero, and most genes are seen in enough cells for a model."""


def measured(*, cells: int, genes: int, cores: int) -> dict[str, Any]:
    """Simulate a reference and fit it, each in a process of its own, so that only the memory of fitting is counted."""
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference.h5ad"
        in_own_process(simulate, reference, cells=cells, genes=genes)
        fitted = in_own_process(fit, reference, threads=cores)
    return {**fitted.result, "total_seconds": round(fitted.seconds, 2), "peak_mb": fitted.peak_mb}


def simulate(path: Path, *, cells: int, genes: int) -> None:
    """Write a reference."""
    from scinn_train.simulate import SimulationConfig, write_simulated

    write_simulated(path, SimulationConfig(cells_per_batch=(cells,), genes=genes, depth=DEPTH))


def fit(path: Path, *, threads: int) -> dict[str, Any]:
    """Do what ``scinn-train fit`` does; return what the reference and the model are like, and what each stage took."""
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
    result.export(path.with_name("model.onnx"))
    exported = time.perf_counter()
    seconds = {
        "imports": imported - started,
        "reading and checks": read - imported,
        **result.seconds,
        "export and proof": exported - fitted,
    }
    used = resource.getrusage(resource.RUSAGE_SELF)
    nonzero = float(reference.genes_per_cell.sum()) / (reference.cells_before * reference.genes_before)
    return {
        "cells": reference.cells_before,
        "genes": reference.genes_before,
        "model_genes": len(result.genes),
        "zero_fraction": round(1 - nonzero, 4),
        "clusters": result.info.clusters,
        "epochs": len(result.history),
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
    }
