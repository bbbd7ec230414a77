"""What every command shares: one sentence for whatever goes wrong, and the exit code."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
import time

import click
import pytest

from scinn_infer import ScinnError, __version__
from scinn_infer.cli import group, main, main_for

INTERRUPTED = "interrupted. No unfinished file was left under an output's name."


def run_with(error: BaseException) -> int:
    @click.group()
    def failing() -> None: ...

    @failing.command()
    def fail() -> None:
        raise error

    return main_for(failing, "program", ["fail"])


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ScinnError("new.h5ad: no cells."), 2, "new.h5ad: no cells."),
        (FileNotFoundError(2, "No such file or directory", "a.h5ad"), 2, "a.h5ad: No such file or directory."),
        (OSError(28, "No space left on device"), 2, "No space left on device."),
        (MemoryError(), 2, "there is not enough memory."),
        (KeyboardInterrupt(), 130, INTERRUPTED),
        (click.Abort(), 130, INTERRUPTED),
        (click.BadParameter("no"), 2, "Invalid value: no See: program fail --help"),
        (click.FileError("a.h5ad", "gone"), 2, "Could not open file 'a.h5ad': gone"),
        (ScinnError("cell '\x1b[31m\n'"), 2, "cell ' [31m '"),
    ],
)
def test_errors_are_one_sentence(capfd, error, code, sentence):
    assert run_with(error) == code
    assert capfd.readouterr() == ("", f"program: error: {sentence}\n")


def test_a_bug_is_to_be_reported(capfd):
    assert run_with(TypeError("oops")) == 2
    sentence = capfd.readouterr().err
    assert sentence.startswith("program: error: unexpected TypeError: oops. This is a bug: please report it")
    assert sentence.count("\n") == 1


def test_debugging_shows_the_traceback(capfd, monkeypatch):
    monkeypatch.setenv("SCINN_DEBUG", "1")
    assert run_with(ScinnError("no")) == 2
    error = capfd.readouterr().err
    assert "Traceback" in error
    assert error.endswith("program: error: no\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["aply"], "No such command 'aply'"),
        (["apply"], "Missing argument 'MODEL'"),
        (["inspect", "--jsn", "x"], "No such option"),
        (["apply", "m", "i", "-o", "o", "--batch-size", "0"], "Invalid value for '--batch-size'"),
    ],
)
def test_bad_usage_is_one_sentence(capfd, arguments, sentence):
    assert main_for(group, "scinn-infer", arguments) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("scinn-infer: error: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert "--help" in error


@pytest.mark.parametrize("command", [[], ["apply"], ["inspect"], ["check"]])
def test_every_command_has_help_with_an_example(capfd, command):
    assert main_for(group, "scinn-infer", [*command, "--help"]) == 0
    text = capfd.readouterr().out
    assert "Example:" in text
    assert f"scinn-infer {''.join(command)}" in text
    assert command or "Exit codes: 0 done; 1 usable with warnings" in text


def test_no_arguments_ask_for_help(capfd):
    assert main_for(group, "scinn-infer", []) == 0
    assert capfd.readouterr().out.startswith("Usage: scinn-infer")


def test_a_group_without_a_command_shows_its_help(capfd):
    @click.group()
    def outer() -> None: ...

    @outer.group()
    def inner() -> None: ...

    @inner.command()
    def fetch() -> None: ...

    assert main_for(outer, "program", ["inner"]) == 0
    out, error = capfd.readouterr()
    assert out.startswith("Usage: program inner")
    assert "\n  fetch" in out
    assert error == ""


def test_memory_that_does_not_suffice_is_told_with_what_needs_less(capfd, monkeypatch):
    monkeypatch.setattr("sys.argv", ["scinn-infer", "inspect", "tiny.onnx"])
    monkeypatch.setattr("scinn_infer.model.load", raise_memory_error)
    assert main() == 2
    assert "not enough memory. A smaller --batch-size of 'apply' needs less.\n" in capfd.readouterr().err


def raise_memory_error(*_):
    raise MemoryError


def test_version(capfd):
    assert main_for(group, "scinn-infer", ["--version"]) == 0
    assert capfd.readouterr().out == f"scinn-infer {__version__}\n"


def test_a_terminal_of_few_letters_will_do(tiny):
    command = [sys.executable, "-c", "import sys; from scinn_infer.cli import main; sys.exit(main())", "inspect", tiny]
    run = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    assert b"200 cells ? 80 genes" in run.stdout


def test_a_reader_that_has_seen_enough_is_no_error():
    code = (
        "import sys, time, click; from scinn_infer.cli import main_for\n"
        "@click.group()\ndef group(): ...\n"
        "@group.command()\ndef talk():\n    time.sleep(.2)\n    click.echo('word ' * 100000)\n"
        "sys.exit(main_for(group, 'program', ['talk']))"
    )
    read, written = os.pipe()
    with subprocess.Popen([sys.executable, "-c", code], stdout=written, stderr=subprocess.PIPE, text=True) as process:
        os.close(written)
        os.close(read)
        assert process.wait(timeout=20) == 141
        assert process.stderr.read() == ""


SLOW = (
    "import sys, time, click; from scinn_infer.cli import main_for; from scinn_infer.progress import track\n"
    "@click.group()\ndef group(): ...\n"
    "@group.command()\ndef wait():\n    for _ in track(range(1000), description='waiting', total=1000):\n"
    "        print('on', flush=True)\n        time.sleep(.05)\n"
    "sys.exit(main_for(group, 'program', ['wait']))"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruptions_clean_up(number):
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=-1, stderr=-1, text=True) as process:
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(timeout=20) == 130
        assert process.stderr.read() == f"program: error: {INTERRUPTED}\n"


def test_an_interruption_that_python_drops_comes_again():
    class Unlucky:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    @click.group()
    def waiting() -> None: ...

    @waiting.command()
    def wait() -> None:
        Unlucky()
        for _ in range(100):
            time.sleep(0.02)

    assert main_for(waiting, "program", ["wait"]) == 130


def test_a_bar_is_shown_in_a_terminal_and_gone_before_the_error(monkeypatch):
    controller, terminal = pty.openpty()
    pieces = []

    def read_all():  # while it runs: a terminal that nobody reads holds a few pages, and then whoever writes waits
        with contextlib.suppress(OSError):
            while piece := os.read(controller, 4096):
                pieces.append(piece)

    reader = threading.Thread(target=read_all)
    reader.start()
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=-1, stderr=terminal, text=True) as process:
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    os.close(terminal)
    reader.join()
    os.close(controller)
    shown = b"".join(pieces).decode()
    assert "waiting" in shown
    assert "/1,000 cells" in shown
    bar, _, after = shown.rpartition("program: error: interrupted")
    assert "\x1b[?25h" in bar  # the cursor is back
    assert "waiting" not in after


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_the_exit_code_is_right_where_nothing_can_be_said(closed, tiny, new, tmp_path):
    """A batch system may start a program without streams; a full disk may hold its log."""

    def run(*arguments) -> int:
        command = [sys.executable, "-c", "import sys; from scinn_infer.cli import main; sys.exit(main())", *arguments]
        done = subprocess.run(["bash", "-c", f'exec "$@" {closed}', "bash", *map(str, command)], check=False)
        return done.returncode

    assert run("apply", tiny, tmp_path / "nowhere.h5ad", "-o", tmp_path / "out.h5ad") == 2
    assert run("check", tiny, tmp_path / "nowhere.h5ad") == 2
    assert run("inspect", tiny) == 0
    if closed != "2>/dev/full":  # what cannot be said there ends the run
        assert run("apply", tiny, new, "-o", tmp_path / "out.h5ad") == 0
        assert (tmp_path / "out.h5ad").exists()
