"""A fit that was stopped goes on from its checkpoint, and makes the same file as one that never was."""

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import anndata
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

import scinn_train
from scinn_infer import ScinnError
from scinn_infer.cli import main_for
from scinn_train import checkpoint as checkpoints
from scinn_train.checkpoint import Checkpoint
from scinn_train.cli import group


class KilledError(Exception):
    """Stands for what ends a process."""


@pytest.fixture(scope="module")
def whole(fitted, tmp_path_factory):
    """The file of a fit that was never stopped."""
    path = tmp_path_factory.mktemp("whole") / "model.onnx"
    fitted.export(path)
    return path.read_bytes()


@pytest.fixture
def written_always(monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0)


def writes(monkeypatch, *, most):
    """Let so many parts be kept, and then end the fit."""
    kept = []
    write = Checkpoint.write

    def count(self, name, state):
        write(self, name, state)
        kept.append(name)
        if len(kept) == most:
            raise KilledError

    monkeypatch.setattr(Checkpoint, "write", count)
    return kept


@given(most=st.integers(1, 30))
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_it_was_stopped_the_file_is_the_same(whole, reference, quick, written_always, tmp_path_factory, most):
    folder = tmp_path_factory.mktemp("stopped")
    X, genes, _ = reference
    with pytest.MonkeyPatch.context() as patch:
        kept = writes(patch, most=most)
        try:
            scinn_train.fit(X, genes, config=quick, checkpoint=folder / "kept")
        except KilledError:
            assert len(kept) == most
    state = torch.random.get_rng_state()
    resumed = scinn_train.fit(X, genes, config=quick, checkpoint=folder / "kept", resume=True)
    assert (torch.random.get_rng_state() == state).all()
    resumed.export(folder / "model.onnx")
    assert (folder / "model.onnx").read_bytes() == whole


def test_what_is_kept_is_not_computed_again(reference, quick, written_always, tmp_path, monkeypatch):
    X, genes, _ = reference
    first = writes(monkeypatch, most=-1)
    result = scinn_train.fit(X, genes, config=quick, checkpoint=tmp_path / "kept")
    assert first[:4] == ["gene filter", "latent network 1", "latent network 2", "clusters"]
    assert len(first) == 4 + len(result.history) + 1
    first.clear()
    again = scinn_train.fit(X, genes, config=quick, checkpoint=tmp_path / "kept", resume=True)
    assert first == ["imputation network"]
    assert again.history == result.history


def test_a_checkpoint_of_another_fit_is_refused(reference, quick, tmp_path, monkeypatch):
    X, genes, _ = reference
    folder = tmp_path / "kept"
    writes(monkeypatch, most=1)
    with pytest.raises(KilledError):
        scinn_train.fit(X, genes, config=quick, checkpoint=folder)
    with pytest.raises(ScinnError, match="--resume"):
        scinn_train.fit(X, genes, config=quick, checkpoint=folder)
    other = X.copy()
    other.data[0] += 1
    with pytest.raises(ScinnError, match="other data"):
        scinn_train.fit(other, genes, config=quick, checkpoint=folder, resume=True)
    (folder / "gene-filter.pt").write_bytes(b"torn")
    with pytest.raises(ScinnError, match=r"gene-filter.pt cannot be read"):
        scinn_train.fit(X, genes, config=quick, checkpoint=folder, resume=True)


def test_a_checkpoint_of_another_cell_map_or_device_is_refused(reference, fitted, quick, tmp_path, monkeypatch):
    X, genes, _ = reference
    fit = partial(scinn_train.fit, X, genes, config=quick, checkpoint=tmp_path / "kept")
    with monkeypatch.context() as patch:
        writes(patch, most=1)
        with pytest.raises(KilledError):
            fit(cell_map=fitted.cell_map)
    merged = replace(fitted.cell_map, clusters=fitted.cell_map.clusters // 2)
    for other in (merged, None):
        with pytest.raises(ScinnError, match="another fit"):
            fit(cell_map=other, resume=True)
    with monkeypatch.context() as patch:
        patch.setattr("scinn_train.fitting._device", lambda _: torch.device("meta"))
        with pytest.raises(ScinnError, match="another fit"):
            fit(cell_map=fitted.cell_map, resume=True)
    assert len(fit(cell_map=fitted.cell_map, resume=True).history) > 1


def test_a_full_disk_under_the_checkpoint_is_one_sentence(reference, quick, tmp_path):
    X, genes, _ = reference
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(ScinnError, match=r"gene-filter\.pt could not be written: File too large"):
            scinn_train.fit(X, genes, config=quick, checkpoint=tmp_path / "kept")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_empty_folder_is_no_obstacle_and_neither_are_other_words_for_the_tissue(
    reference, quick, tmp_path, monkeypatch
):
    X, genes, _ = reference
    (tmp_path / "kept").mkdir()  # as a kill leaves it
    with monkeypatch.context() as patch:
        writes(patch, most=2)
        with pytest.raises(KilledError):
            scinn_train.fit(X, genes, config=quick, checkpoint=tmp_path / "kept")
    named = replace(quick, tissue="lung")
    resumed = scinn_train.fit(X, genes, config=named, checkpoint=tmp_path / "kept", resume=True)
    assert resumed.info.tissue == "lung"
    checkpoints.discard(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    checkpoints.discard(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    precious = tmp_path / "tissue.onnx.checkpoint"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    with pytest.raises(ScinnError, match="is no checkpoint"):
        checkpoints.discard(precious)
    with pytest.raises(ScinnError, match="is no checkpoint"):
        checkpoints.open_checkpoint(precious, of="a fit", resume=True)
    assert (precious / "thesis.txt").read_text() == "years"
    checkpoints.discard(tmp_path / "not there")


def test_a_kill_while_the_first_file_was_written_is_no_obstacle(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "fit.json.0123abcd.part").write_text("{")
    checkpoints.check_checkpoint(kept, resume=False)
    checkpoints.open_checkpoint(kept, of="a fit", resume=True)
    checkpoints.discard(kept)
    assert not kept.exists()


def test_files_of_others_in_a_checkpoint_are_not_removed_with_it(tmp_path):
    kept = tmp_path / "kept"
    checkpoints.open_checkpoint(kept, of="a fit", resume=False).write("state", {})
    (kept / "notes.txt").write_text("mine")
    with pytest.raises(ScinnError, match=r"holds 'notes.txt', which is no part of a checkpoint"):
        checkpoints.discard(kept)
    assert {path.name for path in kept.iterdir()} == {"fit.json", "state.pt", "notes.txt"}
    (kept / "notes.txt").unlink()
    checkpoints.discard(kept)
    assert not kept.exists()


@pytest.fixture
def reference_file(reference, tmp_path):
    X, genes, _ = reference
    adata = anndata.AnnData(sparse.csr_matrix(X))
    adata.var_names = genes
    adata.write_h5ad(tmp_path / "reference.h5ad")
    return tmp_path / "reference.h5ad"


def test_the_command_goes_on_after_ctrl_c_and_cleans_up(reference_file, tmp_path, capsys, monkeypatch):
    command = ["fit", str(reference_file), "-o", str(tmp_path / "tissue.onnx"), "--threads", "1", "--quiet"]
    kept = tmp_path / "tissue.onnx.checkpoint"
    write = Checkpoint.write

    def interrupted(self, name, state):
        write(self, name, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", interrupted)
        assert main_for(group, "scinn-train", command) == 130
    assert f"{kept} holds what was reached" in capsys.readouterr().err
    assert not (tmp_path / "tissue.onnx").exists()
    assert main_for(group, "scinn-train", command) == 2
    assert "--resume" in capsys.readouterr().err
    assert main_for(group, "scinn-train", [*command, "--resume"]) == 0
    assert (tmp_path / "tissue.onnx").exists()
    assert not kept.exists()


def test_the_command_goes_on_after_kill_9(reference_file, tmp_path):
    command = [sys.executable, "-c", "import sys; from scinn_train.cli import main; sys.exit(main())"]
    command += ["fit", str(reference_file), "-o", str(tmp_path / "tissue.onnx"), "--threads", "1", "--quiet"]
    kept = tmp_path / "tissue.onnx.checkpoint"
    running = subprocess.Popen(command)
    waited_until = time.monotonic() + 120
    while not (kept / "latent-network-1.pt").exists() and running.poll() is None and time.monotonic() < waited_until:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "tissue.onnx").exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reference.h5ad", "tissue.onnx"]
