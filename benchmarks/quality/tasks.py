"""What is to be done, by whom, and what was found: tasks, worker processes, and records that survive both."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    import numpy.typing as npt

    Record = dict[str, Any]
    Run = Callable[["Task"], list[Record]]

RESULTS = Path(__file__).parents[1] / "results" / "quality"
CACHE = Path(__file__).parents[1] / ".cache"
"""Fitted models, principal components and pictures; all of it can be deleted, and is not committed."""
QUICK_RESULTS = CACHE / "quick"

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line; None stands for all that an experiment has.

    Attributes
    ----------
    datasets, methods
        Names of the datasets and of the methods.
    seeds
        Training seeds, each also the seed of k-means, UMAP and random splits.
    quick
        Whether to try everything on a few cells and genes, with few restarts, and record nothing.
    """

    datasets: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    quick: bool = False

    def choose_datasets(self, available: Iterable[str]) -> list[str]:
        """Return those of an experiment's datasets that were asked for, in the experiment's order."""
        return [name for name in available if self.datasets is None or name in self.datasets]

    def choose_methods(self, available: Iterable[str]) -> list[str]:
        """Return those of an experiment's methods that were asked for, in the experiment's order."""
        return [name for name in available if self.methods is None or name in self.methods]


@dataclass(frozen=True)
class Task:
    """One piece of work for one process, and what its records are found by.

    Attributes
    ----------
    experiment
        Name of the experiment, and of its file of records.
    dataset, method, seed
        What is measured.
    split
        Name of the held-out part that is scored; ``"all"`` where the same cells are trained on and scored.
    variant
        What differs from the method as it is; empty where nothing does.
    quick
        See ``Options``.
    """

    experiment: str
    dataset: str
    method: str
    seed: int
    split: str = "all"
    variant: str = ""
    quick: bool = False

    @property
    def identity(self) -> Record:
        """The fields that every record of this task has."""
        return {
            "experiment": self.experiment,
            "dataset": self.dataset,
            "method": self.method,
            "variant": self.variant,
            "split": self.split,
            "seed": self.seed,
        }

    @property
    def path(self) -> Path:
        """The file that its records belong into."""
        return (QUICK_RESULTS if self.quick else RESULTS) / f"{self.experiment}.jsonl"

    def __str__(self) -> str:
        parts = (self.experiment, self.dataset, self.method, self.variant, "" if self.split == "all" else self.split)
        return f"{', '.join(filter(None, parts))}, seed {self.seed}"


def tasks_of(experiment: str, options: Options, *, datasets: Iterable[str], methods: Iterable[str]) -> list[Task]:
    """Return one task of an experiment for each dataset, method and seed, of those that were asked for."""
    return [
        Task(experiment, dataset, method, seed, quick=options.quick)
        for dataset in options.choose_datasets(datasets)
        for method in options.choose_methods(methods)
        for seed in options.seeds
    ]


class UnavailableError(Exception):
    """A method cannot be run here, or on this data; the message is the sentence that says why."""


def record(task: Task, policy: str, scores: Mapping[str, float]) -> Record:
    """Return what one method scored under one policy: ``"keep"`` (non-zeros as they were) or ``"denoise"``.

    Raises
    ------
    ValueError
        If a score is no number: it would look like a finding.
    """
    if odd := [name for name, value in scores.items() if not np.isfinite(value)]:
        msg = f"no finite {', '.join(odd)} under {policy}"
        raise ValueError(msg)
    return {**task.identity, "policy": policy, "scores": {name: round(value, 6) for name, value in scores.items()}}


def read(path: Path) -> list[Record]:
    """Return the records of a file; none if it is not there."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def save(path: Path, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write arrays to an ``.npz`` file in the cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def perform(work: Sequence[tuple[Run, Task]], *, jobs: int, redo: bool = False, stale: bool = False) -> int:
    """Do the tasks that have no records yet, each in one thread of a worker process, and return how many failed.

    The records of a task replace those that it had before, as soon as it is done: what was killed is taken up again. A
    task that failed is tried again.

    Parameters
    ----------
    work
        Tasks, each with the function that does it: one of a module, so that it can be sent to another process.
    jobs
        Number of worker processes.
    redo
        Whether to do again what has records.
    stale
        Whether to do again what has records of other code.
    """
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # before the workers load what would read them
    paths = {task.path for _, task in work}
    done = set() if redo else _done(paths, code=_code() if stale else None)
    to_do = [(run, task) for run, task in work if _key(task.identity) not in done]
    print(f"{len(to_do)} of {len(work)} tasks to do", flush=True)
    current = _done(paths, code=_code())
    if old := sum(_key(task.identity) in done - current for _, task in work):
        print(f"{old} of the others have records of other code; --stale does them again", flush=True)
    failed = 0
    context = multiprocessing.get_context("spawn")  # torch and onnxruntime do not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as workers:
        pending = {workers.submit(_perform, run, task): task for run, task in to_do}
        try:
            for count, finished in enumerate(as_completed(pending), 1):
                task, records = pending[finished], _result(finished, pending[finished])
                _replace(task, records)
                failed += _failed(records)
                print(f"[{count}/{len(to_do)}] {task}: {_summary(records)}", flush=True)
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)  # else everything that waits would be done first
            raise
    return failed


def _end_with_parent() -> None:
    """Keep a worker from outliving the process that it works for, if that is killed."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _perform(run: Run, task: Task) -> list[Record]:
    started = time.perf_counter()
    try:
        records = run(task)
    except UnavailableError as error:
        records = [{**task.identity, "error": str(error), "unavailable": True}]
    except Exception as error:  # one task that fails must not end the others
        traceback.print_exc()
        records = [{**task.identity, "error": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}]
    seconds = round(time.perf_counter() - started, 1)  # a model that was in the cache took none
    return [{**entry, "seconds": seconds, "code": _code()} for entry in records]


@cache
def _code() -> str:
    """Return a digest of the code that was measured: that of both packages, as this process loaded it."""
    folders = [Path(str(find_spec(name).submodule_search_locations[0])) for name in ("scinn_infer", "scinn_train")]
    sources = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def _result(finished: Future[list[Record]], task: Task) -> list[Record]:
    """Return a task's records; where its process died, or that of another one with it, that is what they say."""
    try:
        return finished.result()
    except BrokenProcessPool:
        return [{**task.identity, "error": "a worker process died, for want of memory perhaps", "seconds": 0.0}]


def _failed(records: list[Record]) -> bool:
    return "error" in records[0] and not records[0].get("unavailable", False)


def _done(paths: Iterable[Path], *, code: str | None = None) -> set[tuple[Any, ...]]:
    """Return the keys of what has records, of any code or of one."""
    records = (entry for path in paths for entry in read(path))
    return {_key(entry) for entry in records if "error" not in entry and code in (None, entry.get("code"))}


def _key(entry: Record) -> tuple[Any, ...]:
    """Return what the records of one task have in common, and with those of no other."""
    return tuple(entry[name] for name in ("experiment", "dataset", "method", "variant", "split", "seed"))


def _replace(task: Task, records: list[Record]) -> None:
    """Put a task's records into its file, which is in an order of its own: it changes only where figures did."""
    others = [entry for entry in read(task.path) if _key(entry) != _key(task.identity)]
    entries = sorted(others + records, key=lambda entry: (_key(entry), entry.get("policy", "")))
    task.path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(task.path, overwrite=True) as temporary:
        temporary.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), "utf-8")


def _summary(records: list[Record]) -> str:
    if "error" in records[0]:
        return f"{'failed' if _failed(records) else 'left out'}: {records[0]['error']}"
    scores = (f"{name} {value:.3f}" for name, value in records[0]["scores"].items())
    return f"{records[0].get('policy', '')} {', '.join(list(scores)[:3])}; {records[0]['seconds']} s"
