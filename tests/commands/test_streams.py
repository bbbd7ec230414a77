"""What goes to stdout, what to stderr, with which exit code, and when in colour."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from scinn_infer.cli import group, main_for

COLOUR = "\x1b[36m"  # cyan, of the first column of every table


@pytest.mark.parametrize(("batch", "code"), [("lacks", 1), ("other", 2)])
def test_check_tells_scripts_by_its_exit_code_and_one_document(run, tiny, batches, batch, code):
    done = run("scinn-infer", "check", tiny, batches[batch], "--json", FORCE_COLOR="1")
    assert (done.returncode, done.stderr) == (code, "")
    assert json.loads(done.stdout)["verdict"] == ["fits", "usable with warnings", "refused"][code]


@pytest.mark.parametrize(
    ("words", "code"),
    [([], 0), (["--versoin"], 2)],
)
@pytest.mark.parametrize("program", ["scinn-infer", "scinn-train"])
def test_results_on_stdout_or_one_sentence_on_stderr(run, program, words, code):
    done = run(program, *words)
    assert done.returncode == code
    assert (done.stdout == "") == (code == 2)
    assert done.stderr.count("\n") == (code == 2)
    assert done.stderr == "" or done.stderr.startswith(f"{program}: error: ")


@pytest.mark.parametrize("program", ["scinn-infer", "scinn-train"])
def test_a_reader_that_has_gone_is_no_error(command_line, program):
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run(
        command_line(program, "completion", "zsh"), stdout=written, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(written)
    assert (done.returncode, done.stderr) == (141, "")


def test_apply_says_on_stderr_what_it_did_and_nothing_when_quiet(run, tiny, batches, tmp_path, capfd):
    words = ["scinn-infer", "apply", tiny, batches["fits"], "-o", tmp_path / "imputed.h5ad", "--overwrite"]
    talking = run(*words, FORCE_COLOR="1")
    assert (talking.returncode, talking.stdout) == (0, "")
    assert "Wrote " in talking.stderr
    assert all(character.isprintable() or character == "\n" for character in talking.stderr)
    assert main_for(group, *words[:1], [*map(str, words[1:]), "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")


def test_warnings_are_told_although_quiet(tiny, batches, tmp_path, capfd):
    words = ["apply", str(tiny), str(batches["lacks"]), "-o", str(tmp_path / "imputed.h5ad"), "-q"]
    assert main_for(group, "scinn-infer", words) == 0
    shown, said = capfd.readouterr()
    assert shown == ""
    assert said.startswith("scinn-infer: warning: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
def test_colour_in_a_terminal(run_in_terminal, tiny, changes, coloured):
    code, shown = run_in_terminal("stdout", "scinn-infer", "inspect", tiny, **changes)
    assert code == 0
    assert "Ensembl ids" in shown
    assert (COLOUR in shown) == coloured
    if changes.get("TERM") == "dumb":
        assert "\x1b" not in shown


@pytest.mark.parametrize(("changes", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)], ids=str)
def test_colour_without_a_terminal(run, tiny, changes, coloured):
    done = run("scinn-infer", "inspect", tiny, **changes)
    assert (COLOUR in done.stdout) == coloured
    assert ("\x1b" in done.stdout) == coloured


def test_a_json_document_is_never_in_colour(run_in_terminal, tiny):
    code, shown = run_in_terminal("stdout", "scinn-infer", "inspect", tiny, "--json", FORCE_COLOR="1")
    assert code == 0
    assert json.loads(shown)["unit"] == "counts"


def test_a_package_that_is_missing_is_named_with_what_brings_it(capfd):
    @group.command("needy")
    def needy() -> None:
        import no_such_package

        no_such_package.use()

    try:
        assert main_for(group, "scinn-train", ["needy"], extra="train") == 2
    finally:
        del group.commands["needy"]
    assert capfd.readouterr().err == (
        "scinn-train: error: the package 'no_such_package' is not installed. "
        'It comes with: pip install "scinn[train]"\n'
    )
