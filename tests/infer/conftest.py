"""The tiny model and cells that it fits: neither torch nor a download is needed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scinn_infer
from scinn_infer import ScinnWarning

TINY = Path(__file__).parents[2] / "models" / "tiny.onnx"


@pytest.fixture(scope="session")
def tiny() -> Path:
    return TINY


@pytest.fixture(scope="session")
def runs_to_its_end():
    """Run Python code that has to end by itself with 0; if it hangs, it goes with all the children that it has."""

    def run(code, *arguments):
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, *arguments], start_new_session=True)
        try:
            assert process.wait(timeout=60) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    return run


@pytest.fixture(scope="session")
def content() -> bytes:
    return TINY.read_bytes()


@pytest.fixture(scope="session")
def model() -> scinn_infer.Model:
    return scinn_infer.load(TINY, threads=1)


@pytest.fixture(scope="session")
def genes(model) -> list[str]:
    return list(model.genes)


@pytest.fixture(scope="session")
def counts(model) -> np.ndarray:
    """Counts of 230 cells (two whole blocks and a part of one), int64; the fourth cell is empty."""
    random = np.random.default_rng(0)
    X = random.poisson(np.array(model.info.training_data.gene_mean) * random.gamma(4, 0.25, (230, 1)))
    X[3] = 0
    return X


@pytest.fixture(scope="session")
def results(model, counts, genes) -> dict[str, np.ndarray]:
    """What the counts become under each policy."""
    with pytest.warns(ScinnWarning, match="1 of 230 cells"):
        return {policy: model.impute(counts, genes, policy=policy) for policy in ("keep", "denoise")}


@pytest.fixture(scope="session")
def imputed(results) -> np.ndarray:
    return results["keep"]
