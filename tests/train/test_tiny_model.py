"""The tiny model that the inference tests use is what its script makes."""

from __future__ import annotations

import runpy
from pathlib import Path

MODELS = Path(__file__).parents[2] / "models"


def test_the_tiny_model_is_what_its_script_makes():
    script = runpy.run_path(str(MODELS / "make_tiny.py"))
    assert script["tiny_model"]() == (MODELS / "tiny.onnx").read_bytes()
