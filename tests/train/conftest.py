"""A small tissue with planted types, and one quick fit on it that the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import scinn_train
from scinn_train import Config, Module1Config, Module2Config

GENES = 240
TYPES = 4


@pytest.fixture(scope="session")
def quick() -> Config:
    """A configuration that keeps every step and takes seconds."""
    return Config(
        threads=1,
        module1=Module1Config(
            filtered_genes=150,
            filter_epochs=2,
            filter_repeats=2,
            networks=2,
            snapshots=2,
            warmup_epochs=3,
            latent_epochs=8,
            smallest_batch=16,
            most_clusters=7,
        ),
        module2=Module2Config(hidden=32, bottleneck=16, embedding=8, epochs=8, fewest_steps=200),
    )


def tissue(cells: int = 200, seed: int = 0) -> tuple[sparse.csr_array, list[str], np.ndarray]:
    """Counts (cells × genes), gene names and planted types; cells differ in depth by a factor of ten."""
    programme = np.random.default_rng(7).gamma(0.6, 1.0, (TYPES, GENES)) + 0.02
    random = np.random.default_rng(seed)
    types = random.integers(0, TYPES, cells)
    depth = random.lognormal(0, 0.6, cells) * 250
    rate = programme[types] / programme[types].sum(axis=1, keepdims=True) * depth[:, None]
    counts = random.poisson(rate).astype(np.float32)
    return sparse.csr_array(counts), [f"Gene{number}" for number in range(GENES)], types


@pytest.fixture(scope="session")
def reference() -> tuple[sparse.csr_array, list[str], np.ndarray]:
    return tissue()


@pytest.fixture(scope="session")
def fitted(reference, quick) -> scinn_train.Result:
    X, genes, _ = reference
    return scinn_train.fit(X, genes, config=quick)


@pytest.fixture(scope="session")
def datasets_folder() -> Path:
    folder = Path(os.environ.get("SCINN_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "datasets"))
    if not folder.is_dir():
        pytest.skip("the folder with the real datasets is not here; SCINN_TEST_DATA names it")
    return folder


@pytest.fixture(scope="session")
def new_batch() -> tuple[sparse.csr_array, list[str], np.ndarray]:
    """Cells of the same tissue that no model was trained on."""
    return tissue(cells=120, seed=1)
