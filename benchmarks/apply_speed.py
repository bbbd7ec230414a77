"""How fast a model is applied from a sparse .h5ad, beside onnxruntime alone and the two large matrix products alone.

python benchmarks/apply_speed.py [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import record
from measure import use_cores
from scipy import sparse
from synthetic import BOTTLENECK, COMPONENTS, gene_names, random_model, write_cells
from threadpoolctl import threadpool_limits

import scinn_infer
from scinn_infer.contract import INPUT_COLUMNS, INPUT_EXPRESSION, OUTPUT_IMPUTED
from scinn_infer.h5ad import H5adMatrix
from scinn_infer.onnxpaths import only_paths_to
from scinn_infer.stream import BLOCK, STRIP

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

LEAST_OF_BARE, LEAST_OF_FLOOR = 0.8, 0.9
"""What share of the throughput of the bare call scinn is to reach, and of that of the products the bare call."""

ROWS_READ = 2 * STRIP
"""Cells read from the file at a time, as ``scinn-infer apply`` does."""

PAUSE = 0.05
"""Seconds of rest between measurements: onnxruntime's threads go on spinning for a moment after a call."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1600 * BLOCK)
    parser.add_argument("--genes", type=int, default=12_000)
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quick", action="store_true", help="192 cells × 600 genes, and nothing recorded")
    options = parser.parse_args()
    if options.quick:
        options.cells, options.genes, options.repetitions = STRIP, 600, 3
    content = random_model(options.genes)
    orders = {"the model's": gene_names(options.genes), "shuffled": shuffled(gene_names(options.genes))}
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {order: Path(folder) / f"cells_{number}.h5ad" for number, order in enumerate(orders)}
        for order, genes in orders.items():
            write_cells(paths[order], cells=options.cells, genes=genes)
        for threads in sorted(options.threads, reverse=True):
            use_cores(threads)  # cores that are given up do not come back: the most threads go first
            for order, path in paths.items():
                cases.append({"threads": threads, "gene_order": order, **compare(content, path, threads, options)})
    report(cases, options)
    if not options.quick:
        record.write("apply_speed", {"cells": options.cells, "genes": options.genes, "cases": cases})


def shuffled(genes: list[str]) -> list[str]:
    return [genes[position] for position in np.random.default_rng(0).permutation(len(genes))]


def compare(content: bytes, path: Path, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Time both ways in turn, so that whatever else the machine does hits both alike."""
    model = scinn_infer.load(content, threads=threads)
    bare = bare_call(content, threads)
    blocks = dense_blocks(model, path)
    check_same(model, path, bare, blocks)

    floor = products(model, blocks)

    def run_bare() -> None:
        for block in blocks:
            bare(block)

    def run_scinn() -> None:
        with H5adMatrix(path) as matrix:
            for _ in model.impute_chunks(matrix.chunks(ROWS_READ), matrix.genes):
                pass

    ways = [("floor", floor), ("bare", run_bare), ("scinn", run_scinn)]
    times: dict[str, list[float]] = {name: [] for name, _ in ways}
    with threadpool_limits(threads):  # numpy's products
        floor()
        for repetition in range(options.repetitions):
            for name, run in ways if repetition % 2 else reversed(ways):
                times[name].append(timed(run))
    return {
        **{f"{name}_seconds": [round(value, 4) for value in measured] for name, measured in times.items()},
        "scinn_of_bare": spread(times["bare"], times["scinn"]),
        "bare_of_floor": spread(times["floor"], times["bare"]),
        "scinn_of_floor": spread(times["floor"], times["scinn"]),
    }


def spread(reference: list[float], times: list[float]) -> dict[str, float]:
    """Return which share of the reference's throughput is reached: run by run, and the best run of each.

    What else the machine does can only slow a run down, so the best ones tell most where it is not idle.
    """
    shares = [its / time for its, time in zip(reference, times, strict=True)]
    summary = {"median": statistics.median(shares), "lowest": min(shares), "highest": max(shares)}
    summary["best"] = min(reference) / min(times)
    return {name: round(value, 3) for name, value in summary.items()}


def products(model: scinn_infer.Model, blocks: list[Array]) -> Callable[[], None]:
    """Return the floor: numpy's product of the blocks with each of the network's two large matrices, written once."""
    random = np.random.default_rng(0)
    first, second, hidden = (
        random.normal(size=shape).astype(np.float32)
        for shape in ((len(model.genes), COMPONENTS), (BOTTLENECK, len(model.genes)), (BLOCK, BOTTLENECK))
    )
    written = np.empty((BLOCK, len(model.genes)), dtype=np.float32)

    def run() -> None:
        for block in blocks:
            np.matmul(block, first)
            written[: len(block)] = hidden[: len(block)] @ second

    return run


def bare_call(content: bytes, threads: int) -> Callable[[Array], Array]:
    """Return onnxruntime's own call, as its documentation has it, for the one output that is wanted."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Of the whole file onnxruntime would compute the other outputs too, which scinn does not: that would flatter it.
    alone = only_paths_to(content, (OUTPUT_IMPUTED,), droppable=(INPUT_COLUMNS,))
    session = onnxruntime.InferenceSession(alone, options, providers=["CPUExecutionProvider"])
    return lambda block: session.run([OUTPUT_IMPUTED], {INPUT_EXPRESSION: block})[0]


def dense_blocks(model: scinn_infer.Model, path: Path) -> list[Array]:
    """Return the cells of a file as the network takes them: dense float32 blocks in the model's gene order."""
    with H5adMatrix(path) as matrix:
        column = {gene: position for position, gene in enumerate(matrix.genes)}
        columns = [column[gene] for gene in model.genes]
        return [np.ascontiguousarray(sparse.csr_array(rows).toarray()[:, columns]) for rows in matrix.chunks(BLOCK)]


def check_same(model: scinn_infer.Model, path: Path, bare: Callable[[Array], Array], blocks: list[Array]) -> None:
    """Make sure that the two ways do the same thing, and warm both up."""
    with H5adMatrix(path) as matrix:
        column = {gene: position for position, gene in enumerate(model.genes)}
        columns = [column[gene] for gene in matrix.genes]
        for start, result in model.impute_chunks(matrix.chunks(ROWS_READ), matrix.genes):
            np.testing.assert_allclose(result, bare(blocks[start // BLOCK])[:, columns], rtol=1e-5)


def timed(run: Callable[[], None]) -> float:
    time.sleep(PAUSE)
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def report(cases: list[dict[str, Any]], options: argparse.Namespace) -> None:
    print(f"{options.cells:,} cells × {options.genes:,} genes, blocks of {BLOCK}; {options.repetitions} repetitions\n")

    def speed(case: dict[str, Any], way: str) -> str:
        return f"{options.cells / statistics.median(case[f'{way}_seconds']):,.0f}"

    def share(case: dict[str, Any], name: str) -> str:
        return "{median:.2f} ({lowest:.2f}–{highest:.2f}); {best:.2f}".format(**case[name])

    rows = [
        (
            str(case["threads"]),
            case["gene_order"],
            *(speed(case, way) for way in ("floor", "bare", "scinn")),
            share(case, "scinn_of_bare"),
            share(case, "bare_of_floor"),
        )
        for case in cases
    ]
    print("Shares of throughput: median (lowest–highest) of the repetitions; of the best times\n")
    heading = (
        *("threads", "gene order", "products, cells/s", "onnxruntime, cells/s", "impute_chunks, cells/s"),
        f"of onnxruntime (≥ {LEAST_OF_BARE})",
        f"onnxruntime of products (≥ {LEAST_OF_FLOOR})",
    )
    print(record.table(heading, rows))


if __name__ == "__main__":
    main()
