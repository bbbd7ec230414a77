"""What ``scinn-train`` says of itself, and of what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scinn_infer.cli import main_for
from scinn_train.cli import group, main

if TYPE_CHECKING:
    import pytest


def test_datasets_alone_shows_its_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main_for(group, "scinn-train", ["datasets"]) == 0
    out, error = capfd.readouterr()
    assert out.startswith("Usage: scinn-train datasets")
    assert "\n  fetch " in out
    assert error == ""


def test_the_help_explains_only_its_own_exit_codes(capfd: pytest.CaptureFixture[str]) -> None:
    assert main_for(group, "scinn-train", ["--help"]) == 0
    help_text = capfd.readouterr().out
    assert "Exit codes: 0 done; 2 refused or bad usage; 130 interrupted;" in help_text
    assert "check" not in help_text


def test_memory_that_does_not_suffice_is_told_with_no_option_of_another_program(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(_: str) -> None:
        raise MemoryError

    monkeypatch.setattr("sys.argv", ["scinn-train", "datasets", "fetch", "goolam"])
    monkeypatch.setattr("scinn_train.datasets.cli.find", exhausted)
    assert main() == 2
    assert capfd.readouterr().err == (
        "scinn-train: error: there is not enough memory. Fewer cells or genes need less.\n"
    )
