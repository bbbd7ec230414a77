"""How good the imputation is, beside other methods: every experiment, then docs/benchmarks.md.

What was measured before is kept and not measured again, so a run that was stopped is taken up where it was.

python benchmarks/bench.py [--quick] [--only EXPERIMENT ...] [--datasets NAME ...] [--methods NAME ...]
                                        [--redo] [--stale]
"""

from __future__ import annotations

import argparse
import importlib
import sys

from quality import tasks
from quality.data import CONFIRMATION, TUNING
from quality.methods import METHODS

EXPERIMENTS = (
    "clusters",
    "ceiling",
    "landscapes",
    "recovery",
    "molecular_cv",
    "never_seen",
    "false_signal",
    "ablations",
)
"""Modules of ``quality``, in the order in which they are run."""

QUICK_DATASETS = ("yan", "baron_human1", "scmix_5cl_celseq2", "saver_downsample_baron")
"""One of each kind: without counts of molecules, with markers, with batches, and with a known truth."""


def main() -> None:
    arguments = parse()
    options = tasks.Options(
        datasets=tuple(arguments.datasets) if arguments.datasets else QUICK_DATASETS if arguments.quick else None,
        methods=tuple(arguments.methods) if arguments.methods else None,
        seeds=tuple(range(1 if arguments.quick else arguments.seeds)),
        quick=arguments.quick,
    )
    experiments = [importlib.import_module(f"quality.{name}") for name in EXPERIMENTS if name in arguments.only]
    work = [(experiment.run, task) for experiment in experiments for task in experiment.tasks(options)]
    failed = tasks.perform(work, jobs=arguments.jobs, redo=arguments.redo or arguments.quick, stale=arguments.stale)
    report = importlib.import_module("quality.report")
    report.write_quick() if arguments.quick else report.write()
    if failed:
        sys.exit(f"{failed} task(s) failed; the lines above say why. The same command tries them again.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=EXPERIMENTS, metavar="EXPERIMENT")
    parser.add_argument("--datasets", nargs="+", choices=TUNING + CONFIRMATION, metavar="NAME", help="all by default")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="NAME", help="all by default")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes, each with one thread")
    parser.add_argument("--redo", action="store_true", help="measure again what was measured before")
    parser.add_argument("--stale", action="store_true", help="measure again what other code was measured with")
    parser.add_argument("--quick", action="store_true", help="few cells and genes, one seed; all into .cache/quick")
    return parser.parse_args()


if __name__ == "__main__":
    main()
