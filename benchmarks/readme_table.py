"""The README's tables: how well cell types are told apart in raw and in imputed data, on real datasets.

Each dataset goes through the command line itself (scinn-train fit, scinn-infer apply, scinn-train evaluate), once for
each of several training seeds. The figures of the datasets that are run join those recorded before.

python benchmarks/readme_table.py [DATASET ...] [--held-out] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import record
from measure import run_command
from sklearn.model_selection import train_test_split

from scinn_train import datasets
from scinn_train.datasets.download import MIRROR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

    Split = Callable[[AnnData, int], tuple[AnnData, AnnData]]

PAPER = ("yan", "goolam", "pollen299", "baron_human1", "camp_fetal220")
PLATES = "scmix_5cl_celseq2"
PREPARED = ("pollen299", "baron_human1")
"""Not in the catalogue, but ready-made in the folder with data, as prepared/NAME.h5ad; both are counts."""

SCORES = ("ARI", "NMI", "Jaccard", "silhouette")
HELD_OUT_SHARE = 0.3
EVALUATION = ("--seeds", "5", "--restarts", "50")
QUICK_EVALUATION = ("--seeds", "1", "--restarts", "2")


@dataclass(frozen=True)
class Table:
    """One table: its title, its datasets, and how each is split into cells to train on and cells to impute."""

    name: str
    title: str
    splits: dict[str, Split]


def all_cells(adata: AnnData, seed: int) -> tuple[AnnData, AnnData]:  # noqa: ARG001 - nothing is drawn
    return adata, adata


def random_cells(adata: AnnData, seed: int) -> tuple[AnnData, AnnData]:
    """Hold out 30 % of the cells, of each type as many as of the others."""
    kept, held_out = train_test_split(
        np.arange(adata.n_obs), test_size=HELD_OUT_SHARE, stratify=adata.obs["label"], random_state=seed
    )
    return adata[np.sort(kept)].copy(), adata[np.sort(held_out)].copy()


def last_plate(adata: AnnData, seed: int) -> tuple[AnnData, AnnData]:  # noqa: ARG001 - nothing is drawn
    held_out = (adata.obs["batch"] == "p3").to_numpy()
    return adata[~held_out].copy(), adata[held_out].copy()


SAME_CELLS = Table(
    name="cell_types_same_cells",
    title="Trained on and applied to the same cells",
    splits=dict.fromkeys(PAPER, all_cells),
)
HELD_OUT = Table(
    name="cell_types_held_out",
    title="Applied to cells never seen in training: 30 % of each type at random; of scmix_5cl_celseq2, plate p3",
    splits={**dict.fromkeys(PAPER, random_cells), PLATES: last_plate},
)


def main() -> None:
    options = parse()
    table = HELD_OUT if options.held_out else SAME_CELLS
    unknown = [name for name in options.datasets if name not in table.splits]
    if unknown:
        msg = f"{unknown[0]} is not in this table; it has {', '.join(table.splits)}"
        raise SystemExit(msg)
    if options.data.is_dir():
        os.environ.setdefault(MIRROR_VARIABLE, str(options.data.resolve()))
    rows: dict[str, Any] = {} if options.quick else record.read(table.name).get("datasets", {})
    for name in options.datasets or table.splits:
        adata, unit = load(name, options.data)
        runs = [run(adata, table.splits[name], unit, seed, options) for seed in range(options.seeds)]
        rows[name] = {"unit": unit, "cells": adata.n_obs, "genes": adata.n_vars, "runs": runs}
        if not options.quick:
            rows = {known: rows[known] for known in table.splits if known in rows}
            record.write(table.name, {"title": table.title, "datasets": rows})
    report(table, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="which of the table's datasets; all by default")
    parser.add_argument("--held-out", action="store_true", help="train on some cells and evaluate the others")
    parser.add_argument("--seeds", type=int, default=3, help="number of training seeds")
    parser.add_argument("--threads", type=int, default=2, help="threads of every command; they change the result")
    parser.add_argument("--data", type=Path, default=Path("../shared/datasets"), help="local folder with the datasets")
    parser.add_argument("--quick", action="store_true", help="one seed, a short evaluation, and nothing recorded")
    options = parser.parse_args()
    if options.quick:
        options.seeds = 1
    return options


def load(name: str, data: Path) -> tuple[AnnData, str]:
    """Return a dataset with its labels in ``obs["label"]``, and its unit."""
    if name not in PREPARED:
        return datasets.load(name), datasets.CATALOGUE[name].unit
    path = data / "prepared" / f"{name}.h5ad"
    if not path.exists():
        msg = f"{name} is not in the download catalogue; it needs {path} (--data)"
        raise SystemExit(msg)
    return anndata.read_h5ad(path), "counts"


def run(adata: AnnData, split: Split, unit: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Fit with one seed, apply and evaluate, in files that do not outlive it."""
    reference, new = split(adata, seed)
    threads = ("--threads", str(options.threads))
    evaluation = QUICK_EVALUATION if options.quick else EVALUATION
    with tempfile.TemporaryDirectory() as folder:
        trained_on, raw, model, imputed = (
            Path(folder) / name for name in ("reference.h5ad", "raw.h5ad", "model.onnx", "imputed.h5ad")
        )
        reference.write_h5ad(trained_on)
        new.write_h5ad(raw)
        fitting = ("--unit", unit, "--seed", str(seed), *threads, "--device", "cpu", "--quiet")
        fitted = run_command(program("scinn-train"), "fit", trained_on, "-o", model, *fitting)
        run_command(program("scinn-infer"), "apply", model, raw, "-o", imputed, *threads, "--quiet")
        evaluated = run_command(
            program("scinn-train"), "evaluate", raw, imputed, "--labels", "label", *evaluation, "--json"
        )
    return {
        "seed": seed,
        "trained_on": reference.n_obs,
        "fit_seconds": round(fitted.seconds, 1),
        "fit_peak_mb": fitted.peak_mb,
        **json.loads(evaluated.result),
    }


def program(name: str) -> Path:
    """Return the console script that was installed beside this Python."""
    return Path(sys.executable).with_name(name)


def report(table: Table, rows: dict[str, Any]) -> None:
    print(f"{table.title}\n")
    lines = [line for name, row in rows.items() for line in lines_of(name, row["runs"])]
    print(record.table(("dataset", "cells", "types", "", *SCORES), lines))
    changed = sum(run["changed"] for row in rows.values() for run in row["runs"])
    print(f"\nMedian (range) over training and evaluation seeds; {changed} observed values were changed.")


def lines_of(name: str, runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a dataset's lines: raw, imputed, and raw on another scale if its ARI is higher there."""
    size = [f"{runs[0]['cells']:,}", str(runs[0]["types"])]
    before, after = ([spread(pool(runs, kind, score)) for score in SCORES] for kind in ("raw", "imputed"))
    by_scale = {scale: pool(runs, "raw_ari_by_scale", scale) for scale in runs[0]["raw_ari_by_scale"]}
    best = max(by_scale, key=lambda scale: statistics.median(by_scale[scale]))
    lines = [[name, *size, "raw", *before], ["", "", "", "imputed", *after]]
    if best != runs[0]["scale"]:
        lines.append(["", "", "", f"raw, {best}", spread(by_scale[best]), "", "", ""])
    return lines


def pool(runs: Sequence[dict[str, Any]], kind: str, score: str) -> list[float]:
    return [value for run in runs for value in run[kind][score]["values"]]


def spread(values: list[float]) -> str:
    lowest, highest = f"{min(values):.3f}", f"{max(values):.3f}"
    median = f"{statistics.median(values):.3f}"
    return median if lowest == highest else f"{median} ({lowest}–{highest})"


if __name__ == "__main__":
    main()
