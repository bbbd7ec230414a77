"""Files as users have them: made with anndata, for the model in ``models/tiny.onnx``."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer

TINY = Path(__file__).parents[2] / "models" / "tiny.onnx"
FORMAT_1 = Path(__file__).parents[1] / "infer" / "old_models" / "format_1.onnx"
GENES = [f"GENE{number}" for number in range(1, 61)]


def counts(cells: int, *, seed: int = 0) -> np.ndarray:
    """Counts that resemble what the tiny model was trained on; none of the cells is empty."""
    random = np.random.default_rng(seed)
    mean = np.array(scinn_infer.load(TINY).info.training_data.gene_mean)
    return random.poisson(mean * random.gamma(8, 0.125, (cells, 1)).clip(0.2)).astype(np.float32)


def as_adata(X, *, genes: list[str] = GENES) -> anndata.AnnData:
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(X.shape[0])])
    return anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=genes))


STORAGES = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


@pytest.fixture(scope="session")
def tiny() -> Path:
    return TINY


@pytest.fixture(scope="session")
def format_1() -> Path:
    return FORMAT_1


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A file of 300 cells that the tiny model fits."""
    path = tmp_path / "new.h5ad"
    as_adata(sparse.csr_matrix(counts(300))).write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def make_counts():
    return counts


@pytest.fixture(scope="session")
def make_adata():
    return as_adata


@pytest.fixture(scope="session")
def storages():
    return STORAGES
