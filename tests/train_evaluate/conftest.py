from pathlib import Path

import pytest

from scinn_train.simulate import SimulationConfig, simulate_tissue

SHARED = Path(__file__).parents[3] / "shared" / "datasets"
SMALL = SimulationConfig(cells_per_batch=(180, 90), genes=400, types_per_lineage=(2, 1), depth=400)


@pytest.fixture(scope="session")
def tissue():
    """The default simulated tissue, as the demo uses it."""
    return simulate_tissue()


@pytest.fixture(scope="session")
def small_tissue():
    return simulate_tissue(SMALL)


@pytest.fixture(scope="session")
def baron():
    """A real droplet UMI dataset with as many genes as the simulated one."""
    path = SHARED / "prepared" / "baron_human1.h5ad"
    if not path.is_file():
        pytest.skip("needs ../shared/datasets/prepared/baron_human1.h5ad")
    import anndata
    import numpy as np

    adata = anndata.read_h5ad(path)
    expressed = np.flatnonzero(adata.X.sum(axis=0).A1 > 0)
    return adata[:, np.random.default_rng(0).choice(expressed, 3000, replace=False)].copy()
