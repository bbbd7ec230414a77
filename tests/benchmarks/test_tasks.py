import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from quality import tasks
from quality.tasks import Options, Task, UnavailableError, perform, read, record


class Experiment:
    """Counts how often each task is done; what it does can be changed between runs."""

    def __init__(self):
        self.done = []
        self.fails = {}
        self.score = 0.5
        self.policies = ("keep", "denoise")

    def __call__(self, task):
        self.done.append(task)
        if task.dataset in self.fails:
            raise self.fails[task.dataset]
        return [record(task, policy, {"score": self.score}) for policy in self.policies]


@pytest.fixture(autouse=True)
def own_place(monkeypatch, tmp_path):
    """Keep records out of the project's results, and the settings of threads out of the other tests."""
    monkeypatch.setattr(tasks, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tasks, "QUICK_RESULTS", tmp_path / "quick")
    for name in tasks._ONE_THREAD:
        monkeypatch.setenv(name, "1")


@pytest.fixture
def experiment(monkeypatch):
    """An experiment whose tasks are done by a thread, which saves the seconds that a process takes to start."""
    monkeypatch.setattr(tasks, "ProcessPoolExecutor", lambda jobs, **_: ThreadPoolExecutor(jobs))
    return Experiment()


def task(dataset="first", seed=0, **fields):
    return Task("pretended", dataset, "raw", seed, **fields)


def scores(entries):
    return {(entry["dataset"], entry["policy"]): entry["scores"]["score"] for entry in entries}


def test_a_record_has_everything_that_a_figure_is_found_by(experiment):
    work = task(split="p3", variant="held out", seed=4)
    assert perform([(experiment, work)], jobs=1) == 0
    keep, denoise = sorted(read(work.path), key=lambda entry: entry["policy"], reverse=True)
    seconds, code = keep.pop("seconds"), keep.pop("code")
    assert len(code) == 12
    assert keep == {
        "experiment": "pretended",
        "dataset": "first",
        "method": "raw",
        "variant": "held out",
        "split": "p3",
        "seed": 4,
        "policy": "keep",
        "scores": {"score": 0.5},
    }
    assert seconds >= 0
    assert denoise["policy"] == "denoise"


def test_a_second_run_does_nothing(experiment, capsys):
    work = [(experiment, task(name)) for name in ("first", "second")]
    perform(work, jobs=1)
    before, count = task().path.read_bytes(), len(experiment.done)
    assert count == 2
    assert perform(work, jobs=1) == 0
    assert len(experiment.done) == count
    assert task().path.read_bytes() == before
    assert "0 of 2 tasks to do" in capsys.readouterr().out


def test_redo_does_it_again_and_replaces_what_was_there(experiment):
    work = [(experiment, task(name)) for name in ("first", "second")]
    perform(work, jobs=1)
    experiment.score, experiment.policies = 0.7, ("keep",)  # by other code, which has one policy less
    perform(work[:1], jobs=1, redo=True)
    assert len(experiment.done) == 3
    assert scores(read(task().path)) == {("first", "keep"): 0.7, ("second", "keep"): 0.5, ("second", "denoise"): 0.5}


def test_stale_does_again_what_is_of_other_code(experiment, capsys, monkeypatch):
    work = [(experiment, task(name)) for name in ("first", "second")]
    perform(work[:1], jobs=1)
    monkeypatch.setattr("quality.tasks._code", lambda: "other")
    perform(work, jobs=1)
    assert "1 of 2 tasks to do\n1 of the others have records of other code" in capsys.readouterr().out
    assert len(experiment.done) == 2
    perform(work, jobs=1, stale=True)
    assert [done.dataset for done in experiment.done] == ["first", "second", "first"]


@pytest.mark.parametrize(
    "other",
    [
        task("second"),
        task(seed=1),
        task(split="p3"),
        task(variant="k × ½"),
        Task("pretended", "first", "MAGIC", 0),
        Task("elsewhere", "first", "raw", 0),
    ],
)
def test_tasks_that_differ_in_anything_have_records_of_their_own(experiment, other):
    perform([(experiment, task())], jobs=1)
    perform([(experiment, other)], jobs=1)
    assert experiment.done == [task(), other]
    perform([(experiment, task()), (experiment, other)], jobs=1)
    assert len(experiment.done) == 2


def test_a_failing_task_leaves_an_error_and_is_tried_again(experiment, capfd):
    experiment.fails["first"] = ValueError("The counts are odd.\nAnd so on.")
    work = [(experiment, task(name)) for name in ("first", "second")]
    assert perform(work, jobs=1) == 1  # and the other one is done
    told = capfd.readouterr()
    assert "failed: ValueError: The counts are odd." in told.out
    assert "Traceback" in told.err
    entries = read(task().path)
    error = next(entry for entry in entries if entry["dataset"] == "first")
    assert error["error"] == "ValueError: The counts are odd."
    assert "scores" not in error
    assert error["seed"] == 0
    assert len(entries) == 3

    experiment.fails.clear()
    assert perform(work, jobs=1) == 0
    assert [done.dataset for done in experiment.done] == ["first", "second", "first"]
    entries = read(task().path)
    assert not any("error" in entry for entry in entries)
    assert len(entries) == 4


def test_a_score_that_is_no_number_is_no_score():
    with pytest.raises(ValueError, match="no finite NMI under keep"):
        tasks.record(task(), "keep", {"ARI": 0.5, "NMI": float("nan")})


def test_a_process_that_dies_is_told_and_does_not_end_the_run(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import pretended

    assert perform([(pretended.run, task("deadly")), (pretended.run, task("first"))], jobs=1) == 2
    assert {entry["error"] for entry in read(task().path)} == {"a worker process died, for want of memory perhaps"}
    assert perform([(pretended.run, task("first"))], jobs=1) == 0


def test_records_say_what_code_they_are_of(experiment):
    perform([(experiment, task())], jobs=1)
    assert {len(entry["code"]) for entry in read(task().path)} == {12}


def test_an_unavailable_method_is_told_and_does_not_count_as_failed(experiment, capfd):
    experiment.fails["first"] = UnavailableError("MAGIC cannot be run here.")
    assert perform([(experiment, task())], jobs=1) == 0
    told = capfd.readouterr()
    assert "left out: MAGIC cannot be run here." in told.out
    assert "Traceback" not in told.err
    [entry] = read(task().path)
    assert entry["unavailable"]
    assert entry["error"] == "MAGIC cannot be run here."
    experiment.fails.clear()  # it has been installed
    perform([(experiment, task())], jobs=1)
    assert scores(read(task().path)) == {("first", "keep"): 0.5, ("first", "denoise"): 0.5}


def test_records_are_there_as_soon_as_a_task_is_done_and_survive_what_ends_the_run(experiment):
    work = [(experiment, task(name)) for name in ("first", "second", "third")]

    def killed_once_the_first_is_recorded(task):
        waited_until = time.monotonic() + 10
        while not read(task.path) and time.monotonic() < waited_until:
            time.sleep(0.005)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform([work[0], (killed_once_the_first_is_recorded, task("second"))], jobs=1)
    assert scores(read(task().path)) == {("first", "keep"): 0.5, ("first", "denoise"): 0.5}
    assert perform(work, jobs=1) == 0
    assert [done.dataset for done in experiment.done] == ["first", "second", "third"]
    assert len(scores(read(task().path))) == 6


def test_the_order_of_the_file_is_not_that_of_the_work(experiment):
    work = [(experiment, task(name, seed)) for name in ("b", "a") for seed in (1, 0)]
    perform(work, jobs=1)
    first = [json.dumps(entry | {"seconds": 0}) for entry in read(task().path)]
    perform(work[::-1], jobs=1, redo=True)
    assert [json.dumps(entry | {"seconds": 0}) for entry in read(task().path)] == first


def test_what_is_tried_quickly_is_not_recorded_among_the_results(experiment):
    perform([(experiment, task(quick=True))], jobs=1)
    assert read(task(quick=True).path)
    assert not read(task().path)
    perform([(experiment, task())], jobs=1)
    assert len(experiment.done) == 2


def test_workers_are_processes_of_one_thread(monkeypatch, capfd):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    import pretended

    work = [(pretended.run, task(name)) for name in ("broken", "first", "unavailable")]
    assert perform(work, jobs=1) == 1
    broken, first, again, unavailable = read(task().path)
    assert broken["error"] == "ValueError: It went wrong."
    assert unavailable["error"] == "It is not installed here."
    assert first["scores"] == again["scores"]
    assert first["scores"]["process"] != os.getpid()
    assert first["scores"]["threads"] == 1
    assert "3 of 3 tasks to do" in capfd.readouterr().out
    sys.modules.pop("pretended")


def test_numpy_scores_can_be_written(experiment):
    experiment.score = np.float64(1) / 3
    perform([(experiment, task())], jobs=1)
    assert set(scores(read(task().path)).values()) == {0.333333}


def test_options_choose_in_the_order_of_the_experiment():
    options = Options(datasets=("c", "a", "unknown"), methods=("raw",))
    assert options.choose_datasets(("a", "b", "c")) == ["a", "c"]
    assert options.choose_methods(("MAGIC", "raw")) == ["raw"]
    assert Options().choose_datasets(("b", "a")) == ["b", "a"]


@pytest.mark.parametrize("name", ["MAGIC", "scVI"])
def test_a_method_that_is_not_installed_says_what_to_install(planted, monkeypatch, name):
    from quality.methods import METHODS

    for module in ("magic", "scvi", "scvi.model"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not there, also where it is
    with pytest.raises(UnavailableError, match=r"pip install 'scinn\[bench\]'"):
        METHODS[name].run(planted, planted, seed=0)


def test_every_experiment_names_each_task_once_and_only_datasets_and_methods_that_exist():
    import importlib

    from bench import EXPERIMENTS
    from quality import ceiling, data, methods

    for name in EXPERIMENTS:
        found = importlib.import_module(f"quality.{name}").tasks(Options(seeds=(0, 1)))
        keys = {tasks._key(entry.identity) for entry in found}
        assert len(keys) == len(found) > 0, name
        assert {entry.experiment for entry in found} == {name}
        assert {entry.dataset for entry in found} <= {*data.TUNING, *data.CONFIRMATION}
        assert {entry.method for entry in found} <= {*methods.METHODS, *ceiling.CEILINGS}
