"""Completion with Tab: what click's scripts ask the installed programs, and what these answer."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from scinn_infer.cli import main as infer_main
from scinn_train.cli import main as train_main

PROGRAMS = {"scinn-infer": infer_main, "scinn-train": train_main}


def asked(line: str) -> dict[str, str]:
    """Return what bash's script has in the environment when it asks what could stand where a line ends."""
    program = line.split()[0]
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    return {variable: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}


def answers_in(shown: str) -> list[tuple[str, ...]]:
    """Return type and value of each answer."""
    return [tuple(answer.split(",", 1)) for answer in shown.splitlines() if answer]


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("scinn-infer ins", [("plain", "inspect")]),
        ("scinn-infer apply --key", [("plain", "--key-added")]),
        ("scinn-infer apply --policy d", [("plain", "denoise")]),
        ("scinn-infer apply mod", [("file", "mod")]),
        ("scinn-infer apply human-p", [("plain", "human-pancreas"), ("file", "human-p")]),
        ("scinn-infer models show human-p", [("plain", "human-pancreas")]),
        ("scinn-infer models fetch mod", []),
        ("scinn-infer apply model.onnx new.h5ad -o im", [("file", "im")]),
        ("scinn-infer completion ", [("plain", "bash"), ("plain", "zsh"), ("plain", "fish")]),
        ("scinn-infer nonsense --", [("plain", "--version"), ("plain", "--help")]),
        ("scinn-train datasets f", [("plain", "fetch")]),
        ("scinn-train datasets fetch gool", [("plain", "goolam")]),
        ("scinn-train demo --dataset gool", [("plain", "goolam")]),
        ("scinn-train fit --preset p", [("plain", "paper")]),
        ("scinn-train fit refer", [("file", "refer")]),
    ],
)
def test_answers(line, answers, monkeypatch, capfd):
    for name, value in asked(line).items():
        monkeypatch.setenv(name, value)
    assert PROGRAMS[line.split()[0]]() == 0
    shown, said = capfd.readouterr()
    assert said == ""
    assert answers_in(shown) == answers


@pytest.mark.parametrize("place", ["no/such/folder", "http://127.0.0.1:9/models"])
@pytest.mark.parametrize("shipped", [True, False])
def test_a_registry_that_cannot_be_reached_is_not_waited_for(place, shipped, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("SCINN_MODELS", place)
    monkeypatch.setattr("scinn_infer.store.read_url", lambda *_, **__: pytest.fail("it asked the network"))
    if not shipped:
        (tmp_path / "registry.json").write_text("damaged")
        monkeypatch.setattr("scinn_infer.store.shipped_folder", lambda: tmp_path)
    for name, value in asked("scinn-infer apply human-p").items():
        monkeypatch.setenv(name, value)
    assert infer_main() == 0
    shown, said = capfd.readouterr()
    assert said == ""
    assert answers_in(shown) == [("plain", "human-pancreas")] * shipped + [("file", "human-p")]


@pytest.mark.parametrize(
    ("line", "answer"),
    [("scinn-infer apply --pol", ("plain", "--policy")), ("scinn-train evaluate raw", ("file", "raw"))],
)
def test_the_installed_programs_answer(run, line, answer):
    done = run(line.split()[0], **asked(line))
    assert (done.returncode, done.stderr) == (0, "")
    assert answers_in(done.stdout) == [answer]


@pytest.mark.parametrize("program", ["scinn-infer", "scinn-train"])
def test_the_answers_need_nothing_heavy(program):
    package = program.replace("-", "_")
    code = (
        "import os, sys\n"
        f"from {package}.cli import group, main\n"
        f"os.environ |= dict(_{package.upper()}_COMPLETE='bash_complete', COMP_WORDS='{program} ', COMP_CWORD='1')\n"
        "assert main() == 0\n"
        "heavy = {'torch', 'onnx', 'sklearn', 'anndata', 'h5py', 'pandas', 'matplotlib', 'umap', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", ["scinn-infer", "scinn-train"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_can_read(program, shell, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", [program, "completion", shell])
    assert PROGRAMS[program]() == 0
    shown = capfd.readouterr().out
    assert f"_{program.upper().replace('-', '_')}_COMPLETE={shell}_complete" in shown
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(shown)
        subprocess.run([shell, "-n", script], check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash_completes_with_the_script(run, command_line, tmp_path):
    """Source the script, then do what bash does when Tab is pressed: call the function with the words."""
    script = tmp_path / "script"
    script.write_text(run("scinn-infer", "completion", "bash").stdout)
    typed = "COMP_WORDS=(scinn-infer apply --pol); COMP_CWORD=2"
    (program,) = command_line("scinn-infer")
    code = f". {script}; {typed}; _scinn_infer_completion {program} --pol apply; echo ${{COMPREPLY[*]}}"
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "--policy\n"
