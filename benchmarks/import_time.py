"""How long ``import scinn_infer`` takes, once numpy, scipy and onnxruntime are imported.

python benchmarks/import_time.py [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import record
from measure import run_command

MOST_SECONDS = 0.5

BEFORE = {
    "numpy, scipy, onnxruntime": "import numpy, scipy, onnxruntime",
    "the same and scipy.sparse": "import numpy, scipy.sparse, onnxruntime",
}
"""``import scipy`` alone loads next to nothing of scipy: what scinn_infer then needs of it is counted, or is not."""

PROGRAM = """
{before}
import time
started = time.perf_counter()
import scinn_infer
print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="2 repetitions, and nothing recorded")
    options = parser.parse_args()
    repetitions = 2 if options.quick else options.repetitions
    for before in BEFORE.values():
        seconds(before)  # the first time, files come from the disk and are compiled
    cases = {name: sorted(seconds(before) for _ in range(repetitions)) for name, before in BEFORE.items()}
    report(cases)
    if not options.quick:
        record.write("import_time", {"seconds": cases})


def seconds(before: str) -> float:
    program = PROGRAM.format(before=before)
    return round(float(run_command(sys.executable, "-c", program).result), 4)


def report(cases: dict[str, Any]) -> None:
    rows = [
        (name, f"{statistics.median(values):.3f} s", f"{values[0]:.3f}–{values[-1]:.3f} s", f"< {MOST_SECONDS} s")
        for name, values in cases.items()
    ]
    print(record.table(("import scinn_infer after", "median", "range", "target"), rows))


if __name__ == "__main__":
    main()
