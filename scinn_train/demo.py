"""The whole way once: train on reference cells, export, apply the file to cells never seen, score, draw."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

import scinn_train
from scinn_infer import load
from scinn_infer.apply import apply_file
from scinn_infer.errors import ScinnError
from scinn_infer.policies import DENOISE
from scinn_infer.wholefile import whole_file
from scinn_train.config import Config
from scinn_train.demo_data import from_catalogue, simulated
from scinn_train.evaluate import compare
from scinn_train.figures import Panel, plot_cells, save_png
from scinn_train.report import comparison_record, truth_record
from scinn_train.simulate import SimulationConfig
from scinn_train.transforms import log_depth
from scinn_train.truth import correlate_with_truth, fill_with_gene_mean
from scinn_train.writing import write_h5ad

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from anndata import AnnData

    from scinn_train.demo_data import DemoData
    from scinn_train.evaluate import Comparison
    from scinn_train.matrices import Matrix
    from scinn_train.truth import TruthCorrelation

REFERENCE, NEW_BATCH, MODEL, IMPUTED = "reference.h5ad", "new_batch.h5ad", "model.onnx", "imputed.h5ad"
PICTURE, RESULTS = "before_after.png", "results.json"
CONTENTS = {
    REFERENCE: "the cells that were trained on",
    NEW_BATCH: "the cells that were held out",
    MODEL: "the model",
    IMPUTED: "the held-out cells with the imputed values in layer 'scinn'",
    PICTURE: "the held-out cells before and after",
    RESULTS: "all scores",
}
"""The files of a demo. The results are written last: where they are, it came to its end."""

STEPS = 5
SEEDS = range(3)
"""Seeds of k-means and UMAP: fewer than ``evaluate`` takes, to keep the demo short."""


@dataclass(frozen=True)
class Demo:
    """What a demo did.

    Attributes
    ----------
    title
        What the data was, and what was held out.
    folder
        Where its files are (``CONTENTS``).
    truth
        Correlation of ``"raw"``, ``"gene mean"``, ``"imputed"`` and ``"denoised"`` data with the truth; empty where it
        is not known.
    comparison
        Cell-type scores; None where no types are known.
    """

    title: str
    folder: Path
    truth: dict[str, TruthCorrelation]
    comparison: Comparison | None


def run_demo(
    dataset: str | None = None,
    *,
    folder: str | os.PathLike[str] = "scinn-demo",
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    simulation: SimulationConfig | None = None,
) -> Demo:
    """Train on a reference, apply the exported file to cells never seen, and find out what that did to them.

    Parameters
    ----------
    dataset
        A name of the catalogue (``datasets.names()``). None simulates a tissue in two batches.
    folder
        Where the files go. If there is something in it, a new folder beside it is taken (``scinn-demo-2``, …): a demo
        can be run again and nothing is lost.
    seed
        Seed of the simulation, the split and the training.
    threads
        CPU threads; None takes what the process may use.
    overwrite
        Write into ``folder`` whatever is in it, over the files of an earlier demo.
    progress
        Whether to say on stderr what is being done, and to show progress bars on a terminal.
    simulation
        The tissue to simulate, if not the default; its own seed holds.

    Raises
    ------
    ScinnError
        If the dataset is unknown or cannot be had, or a file cannot be written.
    """
    wanted = _check_folder(Path(folder))
    say = _Steps(enabled=progress)
    with say("simulating a tissue" if dataset is None else f"fetching {dataset}"):
        if dataset is None:
            data = simulated(simulation or SimulationConfig(seed=seed))
        else:
            data = from_catalogue(dataset, seed=seed, progress=progress)
        folder = _make_folder(wanted, overwrite=overwrite)
        for name in (PICTURE, RESULTS):  # of an earlier demo, which they would outlive if this one is cut short
            (folder / name).unlink(missing_ok=True)
        write_h5ad(data.reference, folder / REFERENCE, overwrite=True)
        write_h5ad(data.new, folder / NEW_BATCH, overwrite=True)
    with say(f"training on {_size(data.reference)}"):
        config = Config(unit=data.unit, seed=seed, threads=threads)
        result = scinn_train.fit(data.reference, config=config, progress=progress)
        result.export(folder / MODEL, overwrite=True)
    with say(f"applying {MODEL} to {_size(data.new)} never seen in training"):
        imputed = _apply(folder, threads=threads, progress=progress)
    with say("scoring"):
        truth = _correlate_with_truth(data, imputed, folder, threads=threads)
        comparison = _compare_types(data, imputed, progress=progress)
    with say("drawing"):
        demo = Demo(data.title, folder, truth, comparison)
        if comparison is not None:
            _draw(comparison, data, folder / PICTURE)
        _write_results(demo, data, seed=seed)
    return demo


class _Steps:
    """Says on stderr what begins, and how long it took."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._number = 0

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        self._number += 1
        self._say(f"[{self._number}/{STEPS}] {what}")
        started = time.perf_counter()
        yield
        self._say(f"      {time.perf_counter() - started:.1f} s")

    def _say(self, line: str) -> None:
        if self._enabled:
            click.echo(line, err=True)


def _check_folder(folder: Path) -> Path:
    """Return the folder by its own name, which "." and ".." are not: others beside it are named after it."""
    place = folder.resolve()
    if place.exists() and not place.is_dir():
        msg = f"{folder} is a file. Give the name of a folder for the demo's files."
        raise ScinnError(msg)
    if not place.name:
        msg = f"{folder} is the top of all folders. Give the name of a folder for the demo's files."
        raise ScinnError(msg)
    return place


def _make_folder(folder: Path, *, overwrite: bool) -> Path:
    """Make the folder, or the first of ``folder-2``, ``folder-3``, … that is free."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with suppress(FileExistsError):
            candidate.mkdir()
            return candidate
        if candidate.is_dir() and (overwrite or not any(candidate.iterdir())):
            return candidate
    raise AssertionError  # count() has no end


def _size(adata: AnnData) -> str:
    return f"{adata.n_obs:,} cells × {adata.n_vars:,} genes"


def _apply(folder: Path, *, threads: int | None, progress: bool) -> Matrix:
    """From file to file, as ``scinn-infer apply`` does; return the imputed layer (cells × genes)."""
    from anndata import read_h5ad

    apply_file(
        load(folder / MODEL, threads=threads), folder / NEW_BATCH, folder / IMPUTED, overwrite=True, progress=progress
    )
    return read_h5ad(folder / IMPUTED).layers["scinn"]


def _correlate_with_truth(
    data: DemoData, imputed: Matrix, folder: Path, *, threads: int | None
) -> dict[str, TruthCorrelation]:
    if data.truth_layer is None:
        return {}
    truth = log_depth(data.new.layers[data.truth_layer])
    candidates = {
        "raw": data.new.X,
        "gene mean": fill_with_gene_mean(data.new.X, data.reference.X),
        "imputed": imputed,
        "denoised": load(folder / MODEL, threads=threads).impute(data.new.X, data.new.var_names, policy=DENOISE),
    }
    return {name: correlate_with_truth(log_depth(X), truth, observed=data.new.X) for name, X in candidates.items()}


def _compare_types(data: DemoData, imputed: Matrix, *, progress: bool) -> Comparison | None:
    labels = data.new.obs["label"].astype(str)
    if labels.nunique() < 2:
        return None
    return compare(data.new.X, imputed, labels, seeds=SEEDS, progress=progress)


def _draw(comparison: Comparison, data: DemoData, path: Path) -> None:
    panels = []
    for name, evaluation in (("raw", comparison.raw), ("imputed", comparison.imputed)):
        ari, silhouette = (evaluation.scores[score].median for score in ("ARI", "silhouette"))
        panels.append(Panel(evaluation.picture, f"{name}: ARI {ari:.2f}, silhouette {silhouette:.2f}"))
    save_png(plot_cells(panels, data.new.obs["label"], title=data.title), path, overwrite=True)


def _write_results(demo: Demo, data: DemoData, *, seed: int) -> None:
    results = {
        "title": demo.title,
        "unit": data.unit,
        "seed": seed,
        "scinn": scinn_train.__version__,
        "reference": dict(zip(("cells", "genes"), data.reference.shape, strict=True)),
        "new_batch": dict(zip(("cells", "genes"), data.new.shape, strict=True)),
        "correlation_with_truth": truth_record(demo.truth),
        "cell_types": comparison_record(demo.comparison) if demo.comparison else None,
    }
    with whole_file(demo.folder / RESULTS, overwrite=True) as temporary:
        temporary.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
