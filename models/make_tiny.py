"""Make ``models/tiny.onnx``: 60 genes, random weights, the real graph and metadata.

It imputes nothing useful. It is there so that ``scinn_infer`` can be tested without torch and without a download; this
script needs numpy and onnx only.

    python models/make_tiny.py [FOLDER]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scinn_infer import contract
from scinn_train.capture import Capture
from scinn_train.cell_reference import describe_cells
from scinn_train.graph import NORM_EPSILON, NetworkWeights, build

if TYPE_CHECKING:
    from scinn_infer.cell_reference import CellReference

GENES, COMPONENTS, HIDDEN, BOTTLENECK, EMBEDDING, CLUSTERS = 60, 6, 12, 8, 5, 3
CAPTURED = 0.15


def tiny_model(unit: str = "counts") -> bytes:
    """Return the file's bytes; the same on every call."""
    random = np.random.default_rng(2026)

    def weight(*shape: int, scale: float = 0.3) -> np.ndarray:
        return random.normal(scale=scale, size=shape).astype(np.float32)

    gene_mean = random.gamma(0.7, 1.0, GENES) + 0.02
    weights = NetworkWeights(
        depth_share=(gene_mean / gene_mean.sum()).astype(np.float32),
        target_depth=float(gene_mean.sum()) if unit == "counts" else None,
        log_mean=np.log1p(gene_mean).astype(np.float32),
        log_scale=(1 / np.sqrt(gene_mean + 0.1)).astype(np.float32),
        components=weight(GENES, COMPONENTS),
        encoder_weight=weight(COMPONENTS, HIDDEN),
        encoder_bias=weight(HIDDEN),
        norm_weight=1 + weight(HIDDEN),
        norm_bias=weight(HIDDEN),
        hidden_weight=weight(HIDDEN, BOTTLENECK),
        hidden_bias=weight(BOTTLENECK),
        decoder_weight=weight(BOTTLENECK, GENES),
        decoder_bias=np.log(gene_mean).astype(np.float32),
        embedding_weight=weight(GENES, EMBEDDING),
        embedding_bias=weight(EMBEDDING),
        cluster_weight=weight(EMBEDDING, CLUSTERS),
        cluster_bias=weight(CLUSTERS),
        capture=Capture(efficiency=CAPTURED),
    )
    depth = float(gene_mean.sum())
    info = contract.ModelInfo(
        genes=tuple(f"GENE{number}" for number in range(1, GENES + 1)),
        gene_ids=tuple(f"ENSG{number:011d}" for number in range(1, GENES + 1)),
        unit=unit,
        clusters=CLUSTERS,
        training_data=contract.TrainingData(
            cells=200,
            genes_before_filter=80,
            zero_fraction=float(np.exp(-gene_mean).mean()),
            depth=contract.Spread(depth / 3, depth / 2, depth, depth * 2, depth * 3),
            genes_per_cell=contract.Spread(10.0, 20.0, 30.0, 40.0, 50.0),
            gene_mean=tuple(float(f"{value:.6g}") for value in gene_mean),
        ),
        capture_efficiency=CAPTURED,
        cell_reference=_reference(weights, gene_mean),
        training={"note": "random weights, for tests only"},
        tissue="none (random weights)",
        species="human",
        licence="BSD-3-Clause",
    )
    return build(weights, info).SerializeToString(deterministic=True)


def _reference(weights: NetworkWeights, gene_mean: np.ndarray) -> CellReference | None:
    """Describe simulated cells, 200 as if trained on and 100 as if held out."""
    random = np.random.default_rng(2027)
    counts = random.poisson(gene_mean * random.gamma(4, 0.25, (300, 1)))
    embedding, probability = _quality(weights, counts[counts.any(axis=1)].astype(np.float64))
    clusters = probability.argmax(axis=1)
    reference = describe_cells(
        embedding[:-100],
        clusters[:-100],
        embedding[-100:],
        probability=probability[-100:],
        held_out_clusters=clusters[-100:],
    )
    # Stated rather than found: a search ends at another last digit on another machine.
    return reference and replace(reference, temperature=1.5)


def _quality(weights: NetworkWeights, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs ``embedding`` and ``cluster_probability``, in numpy and double precision."""
    depth = counts.sum(axis=1, keepdims=True)
    size = depth / weights.target_depth if weights.target_depth else np.ones_like(depth)
    log = (np.log1p(counts / size) - weights.log_mean) * weights.log_scale
    hidden = log @ weights.components @ weights.encoder_weight + weights.encoder_bias
    hidden = (hidden - hidden.mean(axis=1, keepdims=True)) / np.sqrt(hidden.var(axis=1, keepdims=True) + NORM_EPSILON)
    hidden = np.tanh(hidden * weights.norm_weight + weights.norm_bias)
    hidden = np.tanh(hidden @ weights.hidden_weight + weights.hidden_bias)
    expected = np.exp(hidden @ weights.decoder_weight + weights.decoder_bias) * size
    missed = 1 - CAPTURED
    imputed = np.where(counts == 0, expected / (1 / missed - np.exp(-expected)), counts)
    centred = (np.log1p(imputed / size) - weights.log_mean) * weights.log_scale
    embedding = centred @ weights.embedding_weight + weights.embedding_bias
    share = np.exp(embedding @ weights.cluster_weight + weights.cluster_bias)
    return embedding, share / share.sum(axis=1, keepdims=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    path = folder / "tiny.onnx"
    path.write_bytes(tiny_model())
    print(f"wrote {path.name}, {path.stat().st_size / 1024:.0f} KB")
