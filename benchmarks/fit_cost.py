"""What fitting costs: time for each module and peak memory, for 2,000 cells × 12,000 genes on two cores.

python benchmarks/fit_cost.py [--quick]
"""

from __future__ import annotations

import argparse
from typing import Any

import record
from measure import use_cores
from timed_fit import measured

MOST_SECONDS, MOST_MB = 240, 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--genes", type=int, default=12_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="100 cells × 300 genes, and nothing recorded")
    options = parser.parse_args()
    cells, genes = (100, 300) if options.quick else (options.cells, options.genes)
    use_cores(options.cores)
    figures = measured(cells=cells, genes=genes, cores=options.cores)
    report(figures)
    if not options.quick:
        record.write("fit_cost", {"cores_used": options.cores, **figures})


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
