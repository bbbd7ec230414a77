"""Whether peak memory stays the same from 5,000 to 50,000 cells, through impute_chunks and from file to file.

python benchmarks/apply_memory.py [--quick]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import record
from measure import in_own_process, run_command

MOST_GROWTH = 1.1
"""Peak with the most cells over peak with the fewest, that still counts as flat."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[5_000, 16_000, 50_000])
    parser.add_argument("--genes", type=int, default=5_000)
    parser.add_argument("--quick", action="store_true", help="200 and 2,000 cells × 300 genes, and nothing recorded")
    options = parser.parse_args()
    sizes, genes = ([200, 2_000], 300) if options.quick else (sorted(options.cells), options.genes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_own_process(write_model, folder / "model.onnx", genes=genes)
        cases = [{"cells": cells, **measure(folder, cells=cells, genes=genes)} for cells in sizes]
    report(cases, genes)
    if not options.quick:
        record.write("apply_memory", {"genes": genes, "cases": cases})


def measure(folder: Path, *, cells: int, genes: int) -> dict[str, Any]:
    """Apply the model to a file of some cells both ways; leave no file behind but the model."""
    model, source, output = folder / "model.onnx", folder / "cells.h5ad", folder / "imputed.h5ad"
    in_own_process(write_input, source, cells=cells, genes=genes)
    chunks = in_own_process(impute_chunks, model, source)
    scinn_infer = Path(sys.executable).with_name("scinn-infer")
    files = run_command(scinn_infer, "apply", model, source, "-o", output, "--quiet")
    sizes = {"input_mb": source.stat().st_size / 1e6, "output_mb": output.stat().st_size / 1e6}
    source.unlink()
    output.unlink()
    return {
        **{name: round(size, 1) for name, size in sizes.items()},
        "chunks_peak_mb": chunks.peak_mb,
        "files_peak_mb": files.peak_mb,
        "chunks_seconds": round(chunks.seconds, 2),
        "files_seconds": round(files.seconds, 2),
    }


def write_model(path: Path, *, genes: int) -> None:
    from synthetic import random_model

    path.write_bytes(random_model(genes))


def write_input(path: Path, *, cells: int, genes: int) -> None:
    from synthetic import gene_names, write_cells

    write_cells(path, cells=cells, genes=gene_names(genes)[::-1])  # another order than the model's, as in real life


def impute_chunks(model_path: Path, path: Path) -> None:
    import scinn_infer
    from scinn_infer.h5ad import H5adMatrix

    model = scinn_infer.load(model_path)
    with H5adMatrix(path) as matrix:
        for _ in model.impute_chunks(matrix.chunks(384), matrix.genes):
            pass


def report(cases: list[dict[str, Any]], genes: int) -> None:
    print(f"{genes:,} genes; peak memory of a process of its own\n")
    rows = [
        (
            f"{case['cells']:,}",
            f"{case['input_mb']:,.0f} MB",
            f"{case['output_mb']:,.0f} MB",
            f"{case['chunks_peak_mb']:,.0f} MB",
            f"{case['files_peak_mb']:,.0f} MB",
        )
        for case in cases
    ]
    chunks, files = (f"{cases[-1][way] / cases[0][way]:.2f}×" for way in ("chunks_peak_mb", "files_peak_mb"))
    rows.append((f"growth (target: ≤ {MOST_GROWTH}×)", "", "", chunks, files))
    print(record.table(("cells", "input", "output", "impute_chunks", "scinn-infer apply"), rows))


if __name__ == "__main__":
    main()
