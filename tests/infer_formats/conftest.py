"""The batch of the tests in this folder, in memory and in each format."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import scinn_infer

# Last, so that it hides nothing from the other tests.
sys.path.append(str(Path(__file__).parent))

from formats_by_hand import FORMATS, TINY, TRANSPOSED, Batch, make_batch


@pytest.fixture(scope="session")
def model():
    return scinn_infer.load(TINY, threads=1)


@pytest.fixture
def batch() -> Batch:
    return make_batch()


@pytest.fixture(params=FORMATS)
def written(request, tmp_path, batch):
    """The batch in one format: the path, and what has to be said to read it."""
    return FORMATS[request.param](tmp_path, batch), {"transpose": True} if request.param in TRANSPOSED else {}
