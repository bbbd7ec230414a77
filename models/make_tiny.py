"""Make ``models/tiny.onnx``: 60 genes, random weights, the real graph and metadata.

It imputes nothing useful. It is there so that ``scinn_infer`` can be tested without torch and without a download; this
script needs numpy and onnx only.

    python models/make_tiny.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from scinn_infer import contract
from scinn_train.graph import NetworkWeights, build

GENES, COMPONENTS, HIDDEN, BOTTLENECK, EMBEDDING, CLUSTERS = 60, 6, 12, 8, 5, 3


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
        capture_efficiency=0.15,
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
        capture_efficiency=0.15,
        training={"note": "random weights, for tests only"},
        tissue="none (random weights)",
        species="human",
        licence="BSD-3-Clause",
    )
    return build(weights, info).SerializeToString(deterministic=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    path = folder / "tiny.onnx"
    path.write_bytes(tiny_model())
    print(f"wrote {path.name}, {path.stat().st_size / 1024:.0f} KB")
