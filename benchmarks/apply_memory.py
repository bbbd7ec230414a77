"""Whether peak memory stays the same from 10,000 to 1,000,000 cells, from file to file, as .h5ad and as zarr.

python benchmarks/apply_memory.py [--quick]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import record
from measure import in_own_process, run_command

MOST_GROWTH = 1.1
"""Peak with the most cells over peak with the fewest, that still counts as flat."""

MOST_MB = 1000

FORMATS = ("h5ad", "zarr")

PRECISION = "float16"
"""Of the layer: half the disk, and no less memory."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--genes", type=int, default=1_000)
    parser.add_argument("--quick", action="store_true", help="200 and 2,000 cells × 300 genes, and nothing recorded")
    options = parser.parse_args()
    sizes, genes = ([200, 2_000], 300) if options.quick else (sorted(options.cells), options.genes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_own_process(write_model, folder / "model.onnx", genes=genes)
        cases = [
            {"format": kind, "cells": cells, **measure(folder, kind, cells=cells, genes=genes)}
            for kind in FORMATS
            for cells in sizes
        ]
    report(cases, genes)
    if not options.quick:
        record.write("apply_memory", {"genes": genes, "precision": PRECISION, "cases": cases})


def measure(folder: Path, kind: str, *, cells: int, genes: int) -> dict[str, Any]:
    """Apply the model to some cells in a file; leave no file behind but the model."""
    model, source, output = folder / "model.onnx", folder / f"cells.{kind}", folder / f"imputed.{kind}"
    in_own_process(write_input, source, cells=cells, genes=genes)
    scinn_infer = Path(sys.executable).with_name("scinn-infer")
    applied = run_command(scinn_infer, "apply", model, source, "-o", output, "--quiet", "--dtype", PRECISION)
    sizes = {"input_mb": size(source) / 1e6, "output_mb": size(output) / 1e6}
    for path in (source, output):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {
        **{name: round(value, 1) for name, value in sizes.items()},
        "peak_mb": applied.peak_mb,
        "seconds": round(applied.seconds, 2),
    }


def write_model(path: Path, *, genes: int) -> None:
    from synthetic import CAPTURED, random_model

    path.write_bytes(random_model(genes, capture_efficiency=CAPTURED))


def write_input(path: Path, *, cells: int, genes: int) -> None:
    from synthetic import gene_names, write_many_cells

    write_many_cells(
        path, cells=cells, genes=gene_names(genes)[::-1]
    )  # another order than the model's, as in real life


def size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def growth(cases: list[dict[str, Any]], kind: str) -> float:
    """Return the peak with the most cells over that with the fewest."""
    peaks = [case["peak_mb"] for case in cases if case["format"] == kind]
    return float(peaks[-1] / peaks[0])


def report(cases: list[dict[str, Any]], genes: int) -> None:
    print(f"scinn-infer apply, {genes:,} genes, layer as {PRECISION}; peak memory of a process of its own\n")
    rows = [
        (
            case["format"],
            f"{case['cells']:,}",
            f"{case['input_mb']:,.0f} MB",
            f"{case['output_mb']:,.0f} MB",
            f"{case['seconds']:,.0f} s",
            f"{case['peak_mb']:,.0f} MB",
        )
        for case in cases
    ]
    rows += [
        (kind, f"growth (targets: ≤ {MOST_GROWTH}×, ≤ {MOST_MB:,} MB)", "", "", "", f"{growth(cases, kind):.2f}×")
        for kind in FORMATS
    ]
    print(record.table(("format", "cells", "input", "output", "time", "peak memory"), rows))


if __name__ == "__main__":
    main()
