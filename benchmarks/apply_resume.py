"""Whether a run of apply to zarr that is killed at a random moment goes on to the very bytes of an unbroken one.

python benchmarks/apply_resume.py [--quick]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import record
from measure import in_own_process, run_command

GOES_ON = re.compile(r"^Going on with .* after ([\d,]+) of [\d,]+ cells\.$", flags=re.MULTILINE)

LATEST = 0.99
"""Share of the time of an unbroken run up to which one is killed; later it may have ended."""

TIMED = 3
"""Unbroken runs, of which the quickest says when others are killed."""

SOONER = 0.8
"""How much sooner it is killed where it had ended after all."""

AGAIN = 3
"""Every third run is killed a second time, while it goes on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=60_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=20, help="how many runs are killed, each at a moment of its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="2,000 cells × 300 genes, 3 runs, and nothing recorded")
    options = parser.parse_args()
    if options.quick:
        options.cells, options.genes, options.kills = 2_000, 300, 3
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), options)
    report(figures)
    if not options.quick:
        record.write("apply_resume", figures)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run unbroken, then as often killed as is asked for."""
    in_own_process(write_inputs, folder, cells=options.cells, genes=options.genes)
    command = Command(folder / "model.onnx", folder / "new.zarr")
    times = [run_command(*command.words(folder / "unbroken.zarr", "--overwrite")).seconds for _ in range(TIMED)]
    seconds = min(times)  # whatever else the machine does, a run is not quicker than this
    command.run_to_end(folder / "earlier.zarr", "--no-matrix")  # another result, which must not be harmed
    draw = random.Random(options.seed)
    runs = []
    for number in range(options.kills):
        moments = [draw.uniform(0, LATEST) for _ in range(2 if number % AGAIN == AGAIN - 1 else 1)]
        runs.append(killed_run(folder, command, moments, seconds=seconds, replaces=number % 2 == 0))
        print(f"run {number + 1} of {options.kills}: {runs[-1]}", file=sys.stderr)
    return {
        "cells": options.cells,
        "genes": options.genes,
        "kills": sum(len(run.killed_at) for run in runs),
        "runs": len(runs),
        "identical": sum(run.identical for run in runs),
        "harmed": sum(run.harmed for run in runs),
        "replacing": sum(run.replaces for run in runs),
        "killed_at": [run.killed_at for run in runs],
        "cells_found": [run.cells_found for run in runs],
        "seconds_unbroken": round(seconds, 2),
    }


def write_inputs(folder: Path, *, cells: int, genes: int) -> None:
    from synthetic import gene_names, random_model, write_cells

    (folder / "model.onnx").write_bytes(random_model(genes))
    write_cells(folder / "new.zarr", cells=cells, genes=gene_names(genes)[::-1])


@dataclass(frozen=True)
class Command:
    """``scinn-infer apply`` of one model to one input."""

    model: Path
    source: Path

    def words(self, output: Path, *more: str) -> list[str | Path]:
        """Return it word by word."""
        scinn_infer = Path(sys.executable).with_name("scinn-infer")
        return [scinn_infer, "apply", self.model, self.source, "-o", output, "--threads", "1", *more]

    def kill(self, output: Path, *more: str, after: float) -> tuple[bool, str]:
        """Kill it (SIGKILL) after some seconds; return whether it was still running, and what it had said."""
        with subprocess.Popen(self.words(output, *more), stderr=subprocess.PIPE, text=True) as process:
            try:
                _, said = process.communicate(timeout=after)
            except subprocess.TimeoutExpired:
                process.kill()
                _, said = process.communicate()
                return True, said
        return False, said

    def run_to_end(self, output: Path, *more: str) -> str:
        """Return what it says."""
        return subprocess.run(self.words(output, *more), stderr=subprocess.PIPE, text=True, check=True).stderr


@dataclass
class KilledRun:
    """What became of a run: when it was killed, as a share of the unbroken time, and what was found each time."""

    replaces: bool
    killed_at: list[float] = field(default_factory=list)
    cells_found: list[int] = field(default_factory=list)
    identical: bool = False
    harmed: int = 0


def killed_run(folder: Path, command: Command, moments: list[float], *, seconds: float, replaces: bool) -> KilledRun:
    """Start a run, kill it at each of the moments, let it go on to its end; look at everything after each kill."""
    place = folder / "results"
    place.mkdir()
    output, other = place / "out.zarr", place / "other.zarr"
    shutil.copytree(folder / "earlier.zarr", other)
    whole, earlier, source = (digest(folder / name) for name in ("unbroken.zarr", "earlier.zarr", "new.zarr"))
    options: tuple[str, ...] = ()
    if replaces:
        shutil.copytree(other, output)
        options = ("--overwrite",)
    run = KilledRun(replaces)
    for moment in moments:
        killed, said = command.kill(output, *options, after=moment * seconds)
        run.cells_found += found(said) if "--resume" in options else []
        if not killed or digest(output) == whole:
            break
        run.killed_at.append(round(moment, 3))
        run.harmed += digest(command.source) != source
        run.harmed += digest(other) != earlier
        run.harmed += digest(output) != (earlier if replaces else None)
        options = (*options[: int(replaces)], "--resume")
    if not run.killed_at:  # it was quicker than the unbroken one
        shutil.rmtree(place)
        return killed_run(folder, command, [moments[0] * SOONER], seconds=seconds, replaces=replaces)
    if digest(output) != whole:
        run.cells_found += found(command.run_to_end(output, *options))
    run.harmed += digest(other) != earlier
    run.identical = digest(output) == whole and {entry.name for entry in place.iterdir()} == {output.name, other.name}
    shutil.rmtree(place)
    return run


def found(said: str) -> list[int]:
    """Return after how many cells a run went on, by what it said."""
    told = GOES_ON.search(said)
    return [int(told[1].replace(",", "")) if told else 0]


def digest(folder: Path) -> str | None:
    """Return one digest of the names and the bytes of all files in a folder; None if it is not there."""
    if not folder.exists():
        return None
    together = hashlib.sha256()
    for file in sorted(entry for entry in folder.rglob("*") if entry.is_file()):
        together.update(f"{file.relative_to(folder)}\0".encode())
        together.update(hashlib.sha256(file.read_bytes()).digest())
    return together.hexdigest()


def report(figures: dict[str, Any]) -> None:
    size = f"{figures['cells']:,} cells × {figures['genes']:,} genes"
    print(f"scinn-infer apply to zarr, {size}; {figures['seconds_unbroken']:.1f} s unbroken\n")
    runs = zip(figures["killed_at"], figures["cells_found"], strict=True)
    rows = [
        (str(number), ", ".join(f"{moment:.0%}" for moment in killed), ", ".join(f"{cells:,}" for cells in cells_found))
        for number, (killed, cells_found) in enumerate(runs, start=1)
    ]
    print(record.table(("run", "killed after, of the unbroken time", "goes on after cells"), rows))
    print(
        f"\nbyte-identical: {figures['identical']} of {figures['runs']} runs, killed {figures['kills']} times "
        f"(target: all); inputs or earlier outputs harmed: {figures['harmed']} (target: 0)"
    )


if __name__ == "__main__":
    main()
