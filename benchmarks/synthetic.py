"""A model and cells of any size, to measure cost with. What they hold means nothing; cost depends on sizes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

COMPONENTS, HIDDEN, BOTTLENECK, EMBEDDING, CLUSTERS = 20, 128, 64, 32, 10
"""Widths of the networks that ``scinn-train fit`` makes."""

CAPTURED = 0.15
"""The capture efficiency that models of counts state, and of which the formulas are computed for each entry."""

MEAN_SHAPE, MEAN_COUNT = 0.45, 0.3
"""Gene means are gamma distributed; four of five entries become zero, as in UMI data of the genes that a model has."""

DISTINCT_CELLS = 500
"""Cells repeat after this many: it saves most of the time that making a large file takes."""


def gene_names(genes: int) -> list[str]:
    """Name the genes of :func:`random_model`, in its order."""
    return [f"GENE{number:05d}" for number in range(1, genes + 1)]


def random_model(genes: int, *, capture_efficiency: float | None = None) -> bytes:
    """Return a model file for counts, with the real graph in the real widths and random weights."""
    from scinn_infer.contract import ModelInfo, Spread, TrainingData
    from scinn_train.capture import Capture
    from scinn_train.graph import NetworkWeights, build

    random = np.random.default_rng(0)

    def weight(inputs: int, outputs: int) -> npt.NDArray[np.float32]:
        return random.normal(scale=inputs**-0.5, size=(inputs, outputs)).astype(np.float32)

    def bias(width: int) -> npt.NDArray[np.float32]:
        return np.zeros(width, dtype=np.float32)

    mean = _gene_means(genes)
    weights = NetworkWeights(
        depth_share=(mean / mean.sum()).astype(np.float32),
        target_depth=float(mean.sum()),
        log_mean=np.log1p(mean).astype(np.float32),
        log_scale=np.ones(genes, dtype=np.float32),
        components=weight(genes, COMPONENTS),
        encoder_weight=weight(COMPONENTS, HIDDEN),
        encoder_bias=bias(HIDDEN),
        norm_weight=np.ones(HIDDEN, dtype=np.float32),
        norm_bias=bias(HIDDEN),
        hidden_weight=weight(HIDDEN, BOTTLENECK),
        hidden_bias=bias(BOTTLENECK),
        decoder_weight=weight(BOTTLENECK, genes),
        decoder_bias=np.log(mean).astype(np.float32),
        embedding_weight=weight(genes, EMBEDDING),
        embedding_bias=bias(EMBEDDING),
        cluster_weight=weight(EMBEDDING, CLUSTERS),
        cluster_bias=bias(CLUSTERS),
        capture=Capture(efficiency=capture_efficiency),
    )
    spread = Spread(1.0, 1.0, 1.0, 1.0, 1.0)
    info = ModelInfo(
        genes=tuple(gene_names(genes)),
        unit="counts",
        clusters=CLUSTERS,
        training_data=TrainingData(
            cells=1000,
            genes_before_filter=genes,
            zero_fraction=0.9,
            depth=spread,
            genes_per_cell=spread,
            gene_mean=tuple(mean.round(6).tolist()),
        ),
        capture_efficiency=capture_efficiency,
        tissue="none (random weights)",
    )
    content: bytes = build(weights, info).SerializeToString(deterministic=True)
    return content


def write_cells(path: Path, *, cells: int, genes: Sequence[str]) -> None:
    """Write sparse (CSR, float32) gamma–Poisson counts (cells × genes), as ``.h5ad`` or by the name as a zarr store."""
    import anndata
    import pandas as pd
    from scipy import sparse

    random = np.random.default_rng(1)
    mean = _gene_means(len(genes))
    depth = random.lognormal(sigma=0.5, size=(min(cells, DISTINCT_CELLS), 1))
    counts = sparse.csr_matrix(random.poisson(depth * mean).astype(np.float32))
    X = counts[np.arange(cells) % counts.shape[0]]
    obs = pd.DataFrame(index=[f"cell{number:06d}" for number in range(cells)])
    adata = anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=list(genes)))
    (adata.write_zarr if path.suffix == ".zarr" else adata.write_h5ad)(path)


def write_many_cells(path: Path, *, cells: int, genes: Sequence[str]) -> None:
    """Write the same into an ``.h5ad`` file, or a zarr store if the name ends in ``.zarr``, in bounded memory."""
    import h5py
    import pandas as pd
    import zarr
    from anndata.io import write_elem
    from scipy import sparse

    from scinn_infer.outputs.csr import encode, write_csr

    random = np.random.default_rng(1)
    depth = random.lognormal(sigma=0.5, size=(DISTINCT_CELLS, 1))
    counts = sparse.csr_array(random.poisson(depth * _gene_means(len(genes))).astype(np.float32))
    starts = range(0, cells, DISTINCT_CELLS)
    chunks = (counts if start + DISTINCT_CELLS <= cells else counts[: cells - start] for start in starts)
    root = zarr.open_group(path, mode="w", zarr_format=2) if path.suffix == ".zarr" else h5py.File(path, "w")
    encode(root, "anndata", "0.1.0")
    write_elem(root, "obs", pd.DataFrame(index=[f"cell{number:07d}" for number in range(cells)]))
    write_elem(root, "var", pd.DataFrame(index=list(genes)))
    write_csr(root, "X", chunks, shape=(cells, len(genes)), dtype=np.dtype(np.float32))
    if isinstance(root, h5py.File):
        root.close()


def _gene_means(genes: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(2).gamma(MEAN_SHAPE, MEAN_COUNT / MEAN_SHAPE, genes) + 1e-4
