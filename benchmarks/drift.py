"""Drift: are batches told that are not of the tissue, and are those left alone that are.

Each model is trained on a part of a dataset and shown the rest of it, other tissues, and its own cells spoilt in known
ways. Prints the tables, writes ``results/drift.json`` and the part of docs/drift.md between its two markers.

    python benchmarks/drift.py [--quick]
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import record
from quality import data, fits
from scipy import sparse
from sklearn.metrics import roc_auc_score

import scinn_infer
from scinn_infer.batch import open_batch
from scinn_infer.cell_quality import QualityRecorder
from scinn_infer.drift import SURE, judge, probability_of_more
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.summary import PROFILE_CORRELATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quality.data import Dataset

PAGE = Path(__file__).parents[1] / "docs" / "drift.md"
BEGIN, END = "<!-- drift: begin -->", "<!-- drift: end -->"

TISSUES = {
    "tuning": (
        ("klein_1000x900", data.RANDOM),
        ("saver_downsample_zeisel", data.RANDOM),
        ("mouse_bladder_2100", data.RANDOM),
    ),
    "confirmation": (
        ("baron_human1", "lib3"),
        ("baron_h123_1000g", "human1"),
        ("scmix_5cl_celseq2", "p3"),
    ),
}
"""What the models are trained on: a dataset less the cells that are held out. The score and its thresholds were chosen
on the first, except that the donors of baron_h123_1000g were looked at as well, to know what is ordinary."""

OTHERS = (
    "klein_1000x900",
    "saver_downsample_zeisel",
    "romanov_neurons845",
    "mouse_bladder_2100",
    "baron_human1",
    "scmix_5cl_celseq2",
)
SIZES = (10, 20, 100, 500)
REPEATS = 200
SEEDS = 3
MOST_GENES = 3000
"""The genes with most counts in the training cells are kept: as many tell a tissue, and a fit takes a minute."""
MOST_CELLS = 1500


@dataclass(frozen=True)
class Batch:
    """Cells that a model is shown, and of what kind they are: those of its own tissue are to be left alone."""

    name: str
    cells: Dataset
    kind: str


def main() -> None:
    """Run everything, or with ``--quick`` a small part of it, which is not recorded."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="one tissue and one seed; nothing is recorded")
    quick = arguments.parse_args().quick
    found = []
    for seed in range(1 if quick else SEEDS):
        for half, tissues in list(TISSUES.items())[: 1 if quick else None]:
            for name, split in tissues[: 1 if quick else None]:
                found += [{"half": half, **row} for row in examine(name, split, seed=seed)]
                print(half, name, f"seed {seed} done", flush=True)
    tables = "\n\n".join(report(found, half) for half in dict.fromkeys(row["half"] for row in found))
    print(tables)
    if not quick:
        record.write("drift", {"sizes": SIZES, "repeats": REPEATS, "sure": SURE, "batches": found})
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def examine(name: str, split: str, *, seed: int) -> Iterator[dict[str, Any]]:
    """Train on a tissue, and show the model one batch after the other."""
    tissue = _loaded(name)
    held_out = data.held_out(tissue, split, 0)
    train = _fewer_genes(data.rows(tissue, ~held_out), MOST_GENES)
    model = scinn_infer.load(fits.fit(train, fits.config(train, seed=seed)), threads=1)
    typical: np.ndarray | None = None
    for batch in batches(_sampled(data.rows(tissue, held_out)), model, split):
        drift, verdict = look(model, batch.cells)
        typical = drift if typical is None else typical
        yield {
            "tissue": name,
            "seed": seed,
            "batch": batch.name,
            "kind": batch.kind,
            "cells": batch.cells.X.shape[0],
            "refused": drift is None,
            **({} if drift is None else numbers(drift, typical, seed=seed) | verdict),
        }


def batches(new: Dataset, model: scinn_infer.Model, split: str) -> Iterator[Batch]:
    """Yield the batches: the held-out cells first, then the same spoilt in known ways, then other tissues."""
    random = np.random.default_rng(0)
    yield Batch("held out: " + split, new, "held out, unspoilt")
    half = np.sort(random.permutation(len(new.genes))[: len(new.genes) // 2])
    yield Batch(
        "half of its genes", replace(new, X=new.X[:, half], genes=tuple(np.array(new.genes)[half])), "half of its genes"
    )
    for share in (0.3, 0.1):
        yield Batch(f"thinned to {share:.0%}", data.thinned(new, share, 0)[0], f"thinned to {share:.0%}")
    depth = np.asarray(new.X.sum(axis=1)).ravel()
    scaled = sparse.csr_matrix(new.X.multiply(1e4 / np.maximum(depth, 1)[:, None]))
    yield Batch("scaled to 10,000", replace(new, X=scaled.astype(np.float32)), "scaled to 10,000")
    yield Batch("logarithms of that", replace(new, X=scaled.log1p().astype(np.float32)), "logarithms")
    permuted = replace(new, genes=tuple(random.permutation(new.genes)))
    yield Batch("gene names permuted", permuted, "gene names permuted")
    fewer = replace(permuted, X=new.X[:, half], genes=tuple(np.array(permuted.genes)[half]))
    yield Batch("permuted, half of its genes", fewer, "permuted, half of its genes")
    for other in OTHERS:
        if other.split("_")[0] != new.name.split("_")[0]:
            cells = _sampled(_loaded(other))
            named = _in_names_of(cells, model.genes, random)
            dealt = "" if set(named.genes) - set(model.genes) else ", names dealt out"
            yield Batch(other + dealt, named, f"another tissue or species{dealt}")


def look(model: scinn_infer.Model, cells: Dataset) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Return the drift of each cell, None where the batch is refused, and the verdict on all of them."""
    recorder = QualityRecorder(model.info)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ScinnWarning)
        try:
            for _ in model.impute_chunks(cells.X, cells.genes, recorder=recorder):
                pass
            match = open_batch(model.info, cells.genes, source=cells.name).match
        except ScinnError:
            return None, {}
    verdict = judge(recorder.profile, model.info, match)
    quality = recorder.drain()
    assert verdict is not None
    assert quality is not None
    assert quality.drift is not None
    return quality.drift[~np.isnan(quality.drift)], {
        "cause": verdict.cause if verdict.different else "",
        "correlation": None if verdict.correlation is None else round(verdict.correlation, 3),
        "fractions": any("not whole numbers" in str(caution.message) for caution in caught),
    }


def numbers(drift: np.ndarray, typical: np.ndarray | None, *, seed: int) -> dict[str, Any]:
    """Return the share of unlike cells, how well drift tells cells from held-out ones, how often batches are told."""
    random = np.random.default_rng(seed)
    told = {}
    for size in (size for size in SIZES if size <= len(drift)):
        unlike = [int((random.choice(drift, size, replace=False) > 0.95).sum()) for _ in range(REPEATS)]
        told[str(size)] = float(np.mean([probability_of_more(count, size) >= SURE for count in unlike]))
    assert typical is not None
    truth = np.repeat([0, 1], [len(typical), len(drift)])
    return {
        "unlike": round(float((drift > 0.95).mean()), 4),
        "median_drift": round(float(np.median(drift)), 4),
        "auroc": round(float(roc_auc_score(truth, np.concatenate([typical, drift]))), 4),
        "told": told,
    }


def report(found: list[dict[str, Any]], half: str) -> str:
    """Return one half's results as a table: medians over the seeds, and the range where it is not nothing."""
    rows = []
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found:
        if row["half"] == half:
            groups.setdefault((row["tissue"], row["batch"]), []).append(row)
    for (tissue, batch), seeds in groups.items():
        known = [row for row in seeds if not row["refused"]]
        if not known:
            rows.append([tissue, batch, *["refused"] * (2 + len(SIZES)), "", ""])
            continue
        told = [_spread([row["told"].get(str(size), np.nan) for row in known], percent=True) for size in SIZES]
        causes = sorted({row["cause"] for row in known if row["cause"]})
        causes += ["warned of fractions"] * known[0]["fractions"]
        shares = _spread([row["unlike"] for row in known], percent=True)
        auroc = "–" if batch.startswith("held out") else _spread([row["auroc"] for row in known])
        profile = _spread([row["correlation"] for row in known])
        rows.append([tissue, batch, shares, auroc, *told, ", ".join(causes), profile])
    heading = ["trained on", "shown", "unlike cells", "AUROC", *(f"{size} cells" for size in SIZES), "cause", "profile"]
    return f"### {half.capitalize()}\n\n{summary(found, half)}\n\n{record.table(heading, rows)}"


def summary(found: list[dict[str, Any]], half: str) -> str:
    """Return how often batches of each kind are told: the mean over the tissues and seeds."""
    known = [row for row in found if row["half"] == half and not row["refused"]]
    rows = []
    for kind in dict.fromkeys(row["kind"] for row in known):
        alike = [row for row in known if row["kind"] == kind]
        told = [np.mean([row["told"][str(size)] for row in alike if str(size) in row["told"]]) for size in SIZES]
        profile = np.mean([row["correlation"] < PROFILE_CORRELATION for row in alike])
        auroc = np.median([row["auroc"] for row in alike])
        rows.append([kind, str(len(alike)), *(f"{share:.0%}" for share in told), f"{profile:.0%}", f"{auroc:.2f}"])
    heading = ["told, of batches of", *(f"{size} cells" for size in SIZES), "by the profile", "AUROC, median"]
    return record.table([heading[0], "batches", *heading[1:]], rows)


def _spread(values: list[float], *, percent: bool = False) -> str:
    if np.isnan(values).any():
        return "–"
    text = (lambda value: f"{value:.0%}") if percent else (lambda value: f"{value:.2f}")
    middle, low, high = text(np.median(values)), text(min(values)), text(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"


@cache
def _loaded(name: str) -> Dataset:
    return data.load(name)


def _fewer_genes(dataset: Dataset, count: int) -> Dataset:
    kept = np.sort(np.argsort(-np.asarray(dataset.X.sum(axis=0)).ravel(), kind="stable")[:count])
    return replace(dataset, X=dataset.X[:, kept], genes=tuple(np.array(dataset.genes)[kept]))


def _sampled(dataset: Dataset) -> Dataset:
    cells = np.random.default_rng(0).permutation(dataset.X.shape[0])[:MOST_CELLS]
    return data.rows(dataset, np.sort(cells))


def _in_names_of(cells: Dataset, genes: tuple[str, ...], random: np.random.Generator) -> Dataset:
    """Name the genes as the model does where upper and lower case is all that differs; else deal its names out.

    Names that nobody could match are refused for that reason alone, which would say nothing of the drift. The genes
    with most counts get them, so that the values are not all zero.
    """
    folded = {gene.casefold(): gene for gene in genes}
    renamed = [folded.get(gene.casefold(), gene) for gene in cells.genes]
    if len(set(genes) & set(renamed)) >= 0.3 * len(genes) and len(set(renamed)) == len(renamed):
        return replace(cells, genes=tuple(renamed))
    most = _fewer_genes(cells, len(genes))
    return replace(most, name=cells.name, genes=tuple(random.permutation(genes)[: len(most.genes)]))


if __name__ == "__main__":
    main()
