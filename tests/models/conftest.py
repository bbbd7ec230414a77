"""The scripts beside the models: only the tests in this folder can import them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "models"
sys.path.append(str(MODELS))  # last, so that it hides nothing from the other tests


@pytest.fixture
def data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder with the real datasets, taken as the mirror to download from."""
    folder = Path(os.environ.get("SCINN_TEST_DATA") or MODELS.parents[1] / "shared" / "datasets")
    if not folder.is_dir():
        pytest.skip("the folder with the real datasets is not here; SCINN_TEST_DATA names it")
    monkeypatch.setenv("SCINN_DATA_MIRROR", str(folder))
    monkeypatch.setenv("SCINN_CACHE", str(tmp_path / "cache"))
    return folder
