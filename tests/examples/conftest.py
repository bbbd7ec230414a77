"""Batches for the tiny model, which misses one of its genes and has one that it does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import scinn_infer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def examples() -> Path:
    return ROOT / "examples"


@pytest.fixture(scope="session")
def tiny() -> Path:
    return ROOT / "models" / "tiny.onnx"


@pytest.fixture(scope="session")
def model(tiny) -> scinn_infer.Model:
    return scinn_infer.load(tiny, threads=1)


@pytest.fixture(scope="session")
def batch(model) -> tuple[np.ndarray, list[str]]:
    """Counts of 130 cells (a whole block and a part of one), int64, and the genes, in an order of their own."""
    random = np.random.default_rng(0)
    X = random.poisson(np.array(model.info.training_data.gene_mean) * random.gamma(8, 0.125, (130, 1)))
    order = random.permutation(len(model.genes))[1:]
    genes = [*(model.genes[place] for place in order), "UNKNOWN"]
    return np.hstack([X[:, order], random.poisson(1, (130, 1))]), genes


@pytest.fixture(scope="session")
def imputed(model, batch) -> np.ndarray:
    return model.impute(*batch)
