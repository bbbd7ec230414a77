"""The benchmarks are scripts beside the package, not part of it: only the tests in this folder can import them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

# Last, so that it hides nothing from the other tests; a worker process that a test starts gets the same path.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def make():
    """Make a dataset of some counts; everything else of it can be left out."""
    from quality.data import Dataset

    def dataset(counts, **fields):
        X = sparse.csr_matrix(np.asarray(counts, dtype=np.float32))
        known = {"name": "planted", "unit": "counts", "umi": True, "labels": None, "batches": None, "reference": None}
        return Dataset(**(known | {"X": X, "genes": tuple(f"g{gene}" for gene in range(X.shape[1]))} | fields))

    return dataset


@pytest.fixture(scope="session")
def expected():
    """What cells of three types express on average (cells × genes), at depths that differ by a factor of three."""
    random = np.random.default_rng(0)
    types = random.gamma(0.5, 1, (3, 80)) + 0.02
    types /= types.sum(axis=1, keepdims=True)
    return types[np.arange(90) % 3] * random.uniform(60, 180, 90)[:, None]


@pytest.fixture
def planted(make, expected):
    """Counts of these cells; truth at the depth that was expected is their reference."""
    return make(
        np.random.default_rng(1).poisson(expected),
        labels=np.array(["one", "two", "three"])[np.arange(90) % 3],
        reference=sparse.csr_matrix(expected.astype(np.float32)),
    )
