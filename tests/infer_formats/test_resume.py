"""A run to a zarr store that was killed, at whatever moment, goes on to the very bytes of one that was not."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings

import anndata
import numpy as np
import pytest
import zarr
from formats_by_hand import TINY, make_batch

import scinn_infer
from scinn_infer import ScinnError, ScinnWarning
from scinn_infer.apply import apply_file
from scinn_infer.cli import group, main_for
from scinn_infer.report.request import ReportRequest
from scinn_infer.stream import BLOCK

CELLS, EMPTY = 500, (3, 130, 411)
CHUNK_ROWS = 70
FILE_STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
"""What Python tells of before it does it; a kill is before the n-th of them."""

KEEPS_AGAIN = 14
"""Step of a file that is replaced at which it has got its content for the third time, but not its name."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Several chunks in a small batch, and each is kept."""
    monkeypatch.setattr("scinn_infer.outputs.transfer.CHUNK_VALUES", CHUNK_ROWS * 60)
    monkeypatch.setattr("scinn_infer.outputs.csr.CHUNK_VALUES", 2000)
    monkeypatch.setattr("scinn_infer.outputs.reached.SECONDS_BETWEEN", 0)
    monkeypatch.setattr("scinn_infer.outputs.reached.COST_BETWEEN", 0)
    monkeypatch.setattr("scinn_infer.outputs.zarr_store.MOST_WAITING", 50)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # a kill does not undo what the disk has not got yet


@pytest.fixture(scope="module")
def batch():
    """Cells of which some are empty, and whose genes have wrong names: there is something to be warned of."""
    batch = make_batch(CELLS)
    batch.X = batch.X[:, np.random.default_rng(0).permutation(len(batch.genes))]
    batch.X[list(EMPTY)] = 0
    return batch


@pytest.fixture(scope="module")
def sources(batch, tmp_path_factory):
    """The batch as an .h5ad file and as stores of both zarr formats."""
    folder = tmp_path_factory.mktemp("sources")
    adata = batch.adata()
    adata.obs["label"] = np.resize(["a", "b"], CELLS)
    adata.write_h5ad(folder / "new.h5ad")
    for zarr_format in (2, 3):
        with anndata.settings.override(zarr_write_format=zarr_format):
            adata.write_zarr(folder / f"new{zarr_format}.zarr")
    return {"h5ad": folder / "new.h5ad", "zarr 2": folder / "new2.zarr", "zarr 3": folder / "new3.zarr"}


@pytest.fixture
def source(sources, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(sources["zarr 2"], tmp_path / "new.zarr")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "out.zarr"


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listing(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def run_and_hear(*arguments, **options) -> list[str]:
    """Apply a model, and return what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        apply_file(*arguments, **options)
    return [str(warning.message) for warning in caught if issubclass(warning.category, ScinnWarning)]


def in_a_process(run, *, folder, see) -> int:
    """Run in a process of its own, and tell of each step that opens or changes a file; return how it ended."""
    child = os.fork()
    if child == 0:

        def tell(event, arguments):
            if event in FILE_STEPS and str(folder) in str(arguments[0]):
                see(str(arguments[0]))

        sys.addaudithook(tell)
        try:
            run()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def killed(run, *, at: int, folder, of: str = "") -> bool:
    """Kill a run before its n-th step, or the n-th with files of some name; tell whether it came so far."""
    steps = itertools.count(1)

    def see(path):
        if of in path and next(steps) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return os.WIFSIGNALED(in_a_process(run, folder=folder, see=see))


def places_of(run, *, folder, log, between: int) -> list[int]:
    """Return steps of a run to kill it at: while the input is copied, between chunks, and while the rest is written."""
    with log.open("a") as file:
        in_a_process(run, folder=folder, see=lambda path: print(path, file=file, flush=True))
    steps = log.read_text().splitlines()
    keeping = [number for number, path in enumerate(steps, start=1) if "reached.npz" in path]
    places = np.linspace(keeping[0], keeping[-1], between + 2, dtype=int)[1:-1]
    return [keeping[0] // 2, *places, (keeping[-1] + len(steps)) // 2, len(steps) - 10]


def stop_after(blocks_seen: int, monkeypatch, error: BaseException):
    """Let runs fail with an error once so many cells have been computed."""

    def stopped(blocks, **_):
        for number, block in enumerate(blocks):
            if number == blocks_seen:
                raise error
            yield block

    monkeypatch.setattr("scinn_infer.apply.track", stopped)


@pytest.fixture
def stopped(out, source, monkeypatch, model):
    """A run that was stopped in the middle: what it was of, and its folder."""
    with monkeypatch.context() as patch:
        stop_after(4, patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            apply_file(model, source, out)
    return out.with_name("out.zarr.part")


# ---- the same bytes, whenever it was killed

CASES = {
    "dense": ("zarr 3", {}, 2),
    "sparse": ("zarr 2", {"min_value": 0.2}, 2),
    "no layer": ("zarr 2", {"write_matrix": False}, 1),
    "no quality": ("zarr 2", {"quality": False, "policy": "denoise"}, 1),
    "some genes": ("h5ad", {"only": ["GENE7", "GENE3", "GENE20"], "dtype": "float16", "policy": "denoise"}, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_killed_and_resumed_makes_the_same_store(case, sources, model, tmp_path, out):
    name, options, kills = CASES[case]
    path = sources[name]
    before = path.read_bytes() if path.is_file() else contents(path)

    def run(**more):
        apply_file(model, path, out, batch_size=50, **options, **more)

    heard = run_and_hear(model, path, tmp_path / "whole.zarr", **options)
    assert any(f"{len(EMPTY)} of {CELLS} cells have no expression" in sentence for sentence in heard)
    quality = options.get("quality", True)
    assert any(f"of its {CELLS - len(EMPTY)} cells are unlike the training data" in each for each in heard) == quality
    whole = contents(tmp_path / "whole.zarr")
    places = places_of(run, folder=out.parent, log=tmp_path / "steps", between=kills)
    shutil.rmtree(out)
    for place in places:
        assert killed(run, at=place, folder=out.parent)
        if kills > 1 and place == places[1]:  # and again, before it keeps something for the third time
            assert killed(lambda: run(resume=True), at=KEEPS_AGAIN, of="reached.npz.", folder=out.parent)
            assert not out.exists()
        if not out.exists():
            assert run_and_hear(model, path, out, batch_size=81, resume=True, **options) == heard
        assert contents(out) == whole, f"killed before step {place}, of {places}"
        assert set(listing(out.parent)) <= {"out.zarr", "out.zarr.part"}
        shutil.rmtree(out)
        shutil.rmtree(out.with_name("out.zarr.part"), ignore_errors=True)
    assert (path.read_bytes() if path.is_file() else contents(path)) == before


@pytest.mark.parametrize(("begun", "resumed"), [(1, 2), (2, 1)])
def test_another_number_of_threads_makes_the_same_store(begun, resumed, model, source, tmp_path, out):
    apply_file(model, source, tmp_path / "whole.zarr")

    def run():
        apply_file(model.with_threads(begun), source, out)

    assert killed(run, at=KEEPS_AGAIN, of="reached.npz.", folder=out.parent)
    said = []
    apply_file(model.with_threads(resumed), source, out, resume=True, say=said.append)
    assert any(f"Going on with {out} after" in sentence for sentence in said)
    assert contents(out) == contents(tmp_path / "whole.zarr")


def test_a_kill_that_leaves_both_stores_without_a_name_loses_neither(model, sources, tmp_path, out):
    """To replace a store takes two renames; a kill may come between them."""
    path = sources["zarr 2"]
    apply_file(model, path, out, key_added="first")
    earlier = contents(out)
    apply_file(model, path, tmp_path / "whole.zarr")

    ended = in_a_process(
        lambda: apply_file(model, path, out, overwrite=True),
        folder=out.parent,
        see=lambda step: step.endswith("out.zarr.part/store") and not out.exists() and os.kill(os.getpid(), 9),
    )
    assert os.WIFSIGNALED(ended)
    assert listing(out.parent) == ["out.zarr.part"]
    with pytest.warns(ScinnWarning, match="what was there before has been put back"):
        apply_file(model, path, out, overwrite=True, resume=True)
    assert contents(out) == contents(tmp_path / "whole.zarr") != earlier
    assert listing(out.parent) == ["out.zarr"]


def test_what_a_run_was_about_to_replace_is_put_back_whatever_the_next_one_is(model, sources, out):
    apply_file(model, sources["zarr 2"], out, key_added="first")
    earlier, folder = contents(out), out.with_name("out.zarr.part")
    folder.mkdir()
    out.rename(folder / "old")
    with pytest.raises(ScinnError, match="exists already"), pytest.warns(ScinnWarning, match="put back"):
        apply_file(model, sources["zarr 2"], out)
    assert contents(out) == earlier


# ---- what is not done twice


def test_it_goes_on_after_what_is_written(stopped, source, out, model, monkeypatch):
    computed, said = [], []
    written = 4 * BLOCK // CHUNK_ROWS * CHUNK_ROWS  # what was stopped had seen four blocks
    first = written // BLOCK * BLOCK
    network = scinn_infer.model.Model._compute

    def counted(self, outputs, inputs, **options):
        computed.append(options["cells"])
        return network(self, outputs, inputs, **options)

    monkeypatch.setattr("scinn_infer.model.Model._compute", counted)
    apply_file(model, source, out, resume=True, say=said.append)
    assert f"Going on with {out} after {first} of {CELLS} cells." in said
    assert sum(computed) == -(-(CELLS - first) // BLOCK) * BLOCK
    assert not stopped.exists()


def test_where_nothing_was_reached_it_starts_and_says_so(source, out, model):
    said = []
    apply_file(model, source, out, resume=True, say=said.append)
    assert f"There is nothing of {out} to go on with: starting from the first cell." in said
    assert anndata.read_zarr(out).n_obs == CELLS


def test_the_page_about_a_resumed_run_is_of_all_cells(stopped, source, out, model, tmp_path):
    pages = {}
    for name, store, resume in (("whole", tmp_path / "whole.zarr", False), ("resumed", out, True)):
        report = ReportRequest(path=tmp_path / f"{name}.html", genes=("GENE1", "GENE2"))
        apply_file(model, source, store, resume=resume, report=report)
        pages[name] = report.path.read_text()
    visible = [re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL) for page in pages.values()]
    visible = [re.sub(r'id="[^"]*"|whole|resumed', "", page) for page in visible]
    assert visible[0] == visible[1]
    assert f"{CELLS} cells" in visible[0]


# ---- another run than the one that was stopped


def other_value(source, **_):
    zarr.open_group(source, mode="r+", use_consolidated=False)["X/data"][0] = 7


def other_gene(source, **_):
    zarr.open_group(source, mode="r+", use_consolidated=False)["var/_index"][0] = "GENE99"


def touched(source, **_):
    os.utime(source / ".zattrs", ns=(0, 0))


@pytest.mark.parametrize(
    ("change", "options", "named"),
    [
        (None, {"model": "another"}, r"the model differs \(SHA-256 [0-9a-f]{16} there, SHA-256 [0-9a-f]{16} now\)"),
        (None, {"policy": "denoise"}, r"--policy differs \(keep there, denoise now\)"),
        (None, {"min_value": 0.1}, r"--min-value differs \(0.0 there, 0.1 now\)"),
        (None, {"dtype": "float16", "policy": "keep"}, r"--dtype differs \(not given there, float16 now\)"),
        (None, {"only": ["GENE1"]}, r"--genes differs \(not given there, 1 named"),
        (None, {"quality": False}, r"--quality differs"),
        (None, {"key_added": "other"}, r"--key-added differs"),
        (other_value, {}, "the expression in the input differs"),
        (other_gene, {}, "the list of genes differs"),
        (touched, {}, "the size or the date of the input differs"),
    ],
)
def test_another_run_does_not_go_on(stopped, source, out, model, tmp_path, change, options, named):
    if change:
        change(source)
    asked = {**options}
    applied = scinn_infer.load(another_model(), threads=1) if asked.pop("model", "") else model
    before = contents(stopped)
    with pytest.raises(ScinnError, match=rf"out.zarr.part is of another run: {named}.*start again with --overwrite"):
        apply_file(applied, source, out, resume=True, **asked)
    assert contents(stopped) == before
    assert not out.exists()


def another_model() -> bytes:
    """The tiny model, with one letter of its metadata another."""
    return TINY.read_bytes().replace(b"random weights", b"Random weights")


def test_the_same_input_elsewhere_will_do(stopped, source, out, model, tmp_path):
    apply_file(model, source.rename(tmp_path / "moved.zarr"), out, resume=True)
    assert not stopped.exists()


def test_what_was_reached_is_not_lost_unasked(stopped, source, out, model):
    before = contents(stopped)
    with pytest.raises(ScinnError, match=r"out.zarr.part holds what an earlier run had reached.*--resume.*--overwrite"):
        apply_file(model, source, out)
    assert contents(stopped) == before
    apply_file(model, source, out, policy="denoise", overwrite=True)
    assert listing(out.parent) == ["out.zarr"]
    assert anndata.read_zarr(out).uns["scinn"]["policy"] == "denoise"


def test_what_cannot_be_read_is_said(stopped, source, out, model):
    (stopped / "cells" / "000001.npz").write_bytes(b"half")
    with pytest.raises(ScinnError, match=r"out.zarr.part cannot be read.*Start again with --overwrite"):
        apply_file(model, source, out, resume=True)
    assert stopped.exists()


def test_what_is_no_unfinished_result_is_left_alone(source, out, model):
    (folder := out.with_name("out.zarr.part")).mkdir()
    (folder / "thesis.txt").write_text("four years")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(ScinnError, match="is in the way: it is no unfinished result"):
            apply_file(model, source, out, **options)
    assert contents(folder) == {"thesis.txt": b"four years"}


def test_one_run_at_a_time(source, out, model, monkeypatch):
    def meanwhile(blocks, **_):
        for block in blocks:
            with pytest.raises(ScinnError, match=r"another run is writing .*out.zarr\. Wait"):
                apply_file(model, source, out, resume=True, overwrite=True)
            yield block

    monkeypatch.setattr("scinn_infer.apply.track", meanwhile)
    apply_file(model, source, out)
    assert listing(out.parent) == ["out.zarr"]


# ---- what stays of a run that ends in another way


def test_a_batch_that_is_refused_leaves_nothing(source, out, model, monkeypatch):
    stop_after(4, monkeypatch, ScinnError("the value is missing"))
    with pytest.raises(ScinnError, match="the value is missing"):
        apply_file(model, source, out)
    assert listing(out.parent) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), MemoryError()])
def test_what_was_reached_survives_a_full_disk(source, out, model, tmp_path, monkeypatch, error):
    with monkeypatch.context() as patch:
        stop_after(4, patch, error)
        with pytest.raises((ScinnError, MemoryError)) as failure:
            apply_file(model, source, out)
    if isinstance(error, OSError):
        assert "No space left on device. Whatever was there before is unchanged. " in str(failure.value)
        assert str(failure.value).endswith("out.zarr.part holds what was reached: go on with --resume (resume=True).")
    apply_file(model, source, out, resume=True)
    apply_file(model, source, tmp_path / "whole.zarr")
    assert contents(out) == contents(tmp_path / "whole.zarr")


def test_no_room_for_the_rest_does_not_lose_what_was_reached(stopped, source, out, model, monkeypatch):
    before = contents(stopped)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("usage", (), {"free": 10})())
    with pytest.raises(ScinnError, match=r"needs .* Make room"):
        apply_file(model, source, out, resume=True)
    assert contents(stopped) == before


def test_nothing_to_resume_where_all_is_done(source, out, model):
    apply_file(model, source, out)
    before = contents(out)
    with pytest.raises(ScinnError, match=r"exists already, and there is no unfinished one .* all is done"):
        apply_file(model, source, out, resume=True)
    assert contents(out) == before


def test_a_file_cannot_be_resumed(source, tmp_path, model):
    with pytest.raises(ScinnError, match=r"only a zarr store can be gone on with.*ends in \.zarr"):
        apply_file(model, source, tmp_path / "out.h5ad", resume=True)
    assert not (tmp_path / "out.h5ad").exists()


# ---- the command

EAGER = """
import sys
import scinn_infer.outputs.reached as reached, scinn_infer.outputs.transfer as transfer
from scinn_infer.cli import main
reached.SECONDS_BETWEEN = reached.COST_BETWEEN = 0
transfer.CHUNK_VALUES = 70 * 60
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_command_goes_on_after_a_kill(number, tmp_path, out, capfd):
    make_batch(6_000).adata().write_zarr(tmp_path / "new.zarr")
    command = ["apply", TINY, tmp_path / "new.zarr", "-o", out, "--threads", "1"]
    folder = out.with_name("out.zarr.part")
    with subprocess.Popen([sys.executable, "-c", EAGER, *command], stderr=subprocess.PIPE, text=True) as process:
        wait_for(folder / "cells" / "000005.npz")
        process.send_signal(number)
        process.wait(timeout=20)
        said = process.stderr.read()
    assert listing(out.parent) == ["out.zarr.part"]
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert f"{folder} holds what was reached: the same command with --resume goes on from there.\n" in said
    assert main_for(group, "scinn-infer", [*map(str, command), "--resume"]) == 0
    assert f"Going on with {out} after" in capfd.readouterr().err
    apply_file(scinn_infer.load(TINY, threads=1), tmp_path / "new.zarr", tmp_path / "whole.zarr")
    assert contents(out) == contents(tmp_path / "whole.zarr")


def wait_for(path) -> None:
    for _ in range(4000):
        if path.exists():
            return
        time.sleep(0.005)
    pytest.fail(f"{path} does not appear")
