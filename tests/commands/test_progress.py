"""Progress bars: on a terminal only, with count, rate, time gone and time left, on whatever takes long."""

from __future__ import annotations

import io
import json
import re
import sys
import time

import anndata
import numpy as np
import pytest
from scipy import sparse

import scinn_infer
from scinn_infer.cli import group as infer_group
from scinn_infer.cli import main_for
from scinn_infer.progress import busy, track
from scinn_train import Config, Module1Config, Module2Config, fitting
from scinn_train import evaluate as protocol
from scinn_train.cli import group as train_group

QUICK = Config(
    threads=1,
    module1=Module1Config(
        filtered_genes=50,
        filter_epochs=2,
        filter_repeats=2,
        networks=2,
        snapshots=2,
        warmup_epochs=1,
        latent_epochs=3,
        most_clusters=4,
    ),
    module2=Module2Config(hidden=16, bottleneck=8, embedding=4, epochs=2, fewest_steps=20, most_steps=20),
)


class Terminal(io.StringIO):
    """Stands in for a stderr that is a terminal, within this process."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """Everything that was shown, bars as they were redrawn."""
        return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue()))

    def bars(self) -> list[str]:
        """Return the descriptions of the bars, in the order in which they first appear."""
        found = [re.match(r"\s*(\S.*?)\s+[━╸╺ ]{6,}\s", line) for line in self.lines]
        return list(dict.fromkeys(match[1] for match in found if match))


@pytest.fixture
def open_terminal(monkeypatch):
    """Make stderr a terminal: called within the test, because pytest puts its own stderr there until then."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    def open_terminal() -> Terminal:
        shown = Terminal()
        monkeypatch.setattr(sys, "stderr", shown)
        return shown

    return open_terminal


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A file of 60 cells of three types."""
    random = np.random.default_rng(0)
    programme = random.gamma(0.6, 1.0, (3, 70)) * 3
    types = np.arange(60) % 3
    adata = anndata.AnnData(sparse.csr_matrix(random.poisson(programme[types]).astype(np.float32)))
    adata.obs["label"] = [f"type {label}" for label in types]
    adata.layers["scinn"] = adata.X.toarray() + 0.1
    path = tmp_path_factory.mktemp("progress") / "reference.h5ad"
    adata.write_h5ad(path)
    return path


# ---- the bar


def test_a_bar_tells_count_rate_time_gone_and_time_left(open_terminal):
    terminal = open_terminal()
    for _ in track(range(40), description="waiting", total=40, unit="epochs"):
        time.sleep(0.01)
    shown = [line for line in terminal.lines if line.startswith("waiting")]
    assert any(re.search(r"\d+/40 epochs, [\d.,]+ epochs/s, 0:0\d gone, 0:0\d left", line) for line in shown)
    assert re.search(r"40/40 epochs, [\d.,]+ epochs/s, 0:0\d gone\s*$", shown[-1])


def test_a_rate_is_known_after_one_step_and_told_by_the_step_where_it_is_low():
    from rich.progress import Progress

    from scinn_infer.progress_bar import Done, Times

    clock = Clock()
    progress = Progress(get_time=clock, disable=True)
    progress.add_task("slow", total=4)
    (task,) = progress.tasks
    clock.now = 30.0
    progress.advance(task.id)
    assert str(Done("seeds").render(task)) == "1/4 seeds, 30 s each,"
    assert str(Times().render(task)) == "0:30 gone, 1:30 left"
    clock.now = 3600.0
    progress.update(task.id, completed=4)
    assert str(Times().render(task)) == "1:00:00 gone"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_stops_early_has_no_time_left(open_terminal):
    terminal = open_terminal()
    for number in track(range(1000), description="stopping", total=1000):
        time.sleep(0.01)
        if number == 20:
            break
    assert re.search(r"/1,000 cells, .* gone\s*$", [line for line in terminal.lines if "stopping" in line][-1])


def test_a_bar_of_unknown_end_goes_away(open_terminal):
    terminal = open_terminal()
    with busy("proving"):
        time.sleep(0.15)
    assert re.search(r"proving .* 0:00 gone", terminal.getvalue())
    assert "left" not in terminal.getvalue()
    assert terminal.getvalue().rstrip().endswith("\x1b[2K")


@pytest.mark.parametrize("terminal_there", [True, False])
def test_nothing_is_shown_unasked_or_without_a_terminal(open_terminal, terminal_there, monkeypatch):
    terminal = open_terminal()
    monkeypatch.setattr(terminal, "isatty", lambda: terminal_there, raising=False)
    enabled = not terminal_there
    assert list(track([1, 2], description="waiting", total=2, enabled=enabled)) == [1, 2]
    with busy("waiting", enabled=enabled):
        pass
    assert terminal.getvalue() == ""


# ---- the commands


def test_check_through_a_terminal(run_in_terminal, tiny, batches):
    code, shown = run_in_terminal("stderr", "scinn-infer", "check", tiny, batches["fits"], "--json")
    assert code == 0
    assert re.search(r"checking .*300/300 cells, [\d.,]+ cells/s, .*gone", shown)


def test_apply_shows_a_bar_and_then_what_it_did(open_terminal, tiny, batches, tmp_path):
    words = ["apply", str(tiny), str(batches["fits"]), "-o", str(tmp_path / "imputed.h5ad")]
    terminal = open_terminal()
    assert main_for(infer_group, "scinn-infer", words) == 0
    assert terminal.bars() == ["looking at some cells", "copying the input", "imputing"]
    assert any(re.search(r"imputing .*300/300 cells, [\d.,]+ cells/s, .*gone", line) for line in terminal.lines)
    assert terminal.getvalue().rstrip().endswith("zeros are filled.")


def test_quiet_shows_no_bar(open_terminal, tiny, batches):
    terminal = open_terminal()
    assert main_for(infer_group, "scinn-infer", ["check", str(tiny), str(batches["fits"]), "-q"]) == 0
    assert terminal.getvalue() == ""


def test_every_long_stage_of_fit_has_a_bar(open_terminal, reference, tmp_path, monkeypatch, capfd, documented_keys):
    terminal = open_terminal()
    fit = fitting.fit_reference
    monkeypatch.setattr(fitting, "fit_reference", lambda data, config, **others: fit(data, config=QUICK, **others))
    words = ["fit", str(reference), "-o", str(tmp_path / "model.onnx")]
    assert main_for(train_group, "scinn-train", words) == 0
    assert terminal.bars() == [
        "reading",
        "checking the reference",
        "gene filter 1 of 2",
        "gene filter 2 of 2",
        "latent network 1 of 2",
        "latent network 2 of 2",
        "neighbour graphs",
        "number of clusters",
        "cells to clusters",
        "neighbourhoods, principal components",
        "imputation network",
        "measuring the quality",
        "proving the model file",
    ]
    told = capfd.readouterr().out
    assert told == ""
    terminal = open_terminal()
    assert main_for(train_group, "scinn-train", [*words, "--overwrite", "--quiet", "--json"]) == 0
    assert terminal.getvalue() == ""
    document = json.loads(capfd.readouterr().out)
    assert set(document) == documented_keys("scinn-train fit")
    model = scinn_infer.load(tmp_path / "model.onnx")
    assert document["bytes"] == (tmp_path / "model.onnx").stat().st_size
    assert (document["genes"], document["quality"]) == (len(model.genes), model.info.quality)


def test_every_long_stage_of_evaluate_has_a_bar(open_terminal, reference, monkeypatch, capfd, documented_keys):
    terminal = open_terminal()
    monkeypatch.setattr(protocol, "umap_picture", lambda components, **_: components[:, :2])
    words = ["evaluate", str(reference), str(reference), "--labels", "label", "--seeds", "2", "--restarts", "1"]
    assert main_for(train_group, "scinn-train", words) == 0
    stages = [
        f"{side}: {stage}" for side in ("raw", "imputed") for stage in ("principal components", "k-means", "UMAP")
    ]
    assert terminal.bars() == ["reading reference.h5ad", *stages, "raw on other scales"]
    capfd.readouterr()
    terminal = open_terminal()
    assert main_for(train_group, "scinn-train", [*words, "--quiet", "--json"]) == 0
    assert terminal.getvalue() == ""
    assert set(json.loads(capfd.readouterr().out)) == documented_keys("scinn-train evaluate")


def test_a_matrix_stored_by_columns_is_reordered_under_a_bar(open_terminal, tiny, batches, tmp_path):
    terminal = open_terminal()
    adata = anndata.read_h5ad(batches["fits"])
    adata.X = sparse.csc_matrix(adata.X)
    adata.write_h5ad(tmp_path / "csc.h5ad")
    assert main_for(infer_group, "scinn-infer", ["check", str(tiny), str(tmp_path / "csc.h5ad")]) == 0
    assert terminal.bars() == ["looking at some cells", "checking"]
