"""What a model file says about the data and the run that made it."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer import __version__
from scinn_infer.contract import Spread, TrainingData

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_train.config import Config
    from scinn_train.expression import Expression
    from scinn_train.reference import Reference


def describe_data(reference: Reference) -> TrainingData:
    """Describe the training cells in their own unit."""
    cells, genes = reference.X.shape
    return TrainingData(
        cells=cells,
        genes_before_filter=reference.genes_before,
        zero_fraction=round(1 - int(reference.genes_per_cell.sum()) / (cells * genes), 6),
        depth=_spread(reference.depth),
        genes_per_cell=_spread(reference.genes_per_cell),
        gene_mean=tuple(_significant(reference.gene_mean)),
        sha256=reference.sha256,
    )


def describe_training(
    config: Config, *, threads: int, device: str, mapped_with: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Describe the run: configuration, seed, threads and versions. No date: the same run makes the same file.

    What module 1 was run with in an earlier fit, ``mapped_with``, stands in the place of what it would have been here.
    """
    import torch

    versions = {"scinn": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
    versions["python"] = platform.python_version()
    described: dict[str, Any] = {"config": asdict(config), "seed": config.seed, "threads": threads, "device": device}
    if mapped_with is not None:
        mapped = {name: mapped_with[name] for name in ("module1", "clusters")}
        described["config"] = asdict(config) | mapped
        if mapped_with["seed"] != config.seed:
            described["module1_seed"] = mapped_with["seed"]
    return described | {"versions": versions}


def stored_sha256(X: Expression, genes: Sequence[str]) -> str:
    """Return the SHA-256 of a training matrix: shape, gene names, and the non-zero entries row by row.

    The digest is over the little-endian bytes of: the shape (two int64), the gene names joined by newlines (UTF-8), the
    row pointers (int64), the column indices (int64, ascending in each row) and the values (float32) of its CSR form.
    """
    digest = hashlib.sha256()
    digest.update(np.array(X.shape, dtype="<i8").tobytes())
    digest.update("\n".join(genes).encode())
    digest.update(np.concatenate([[0], np.cumsum(X.entries)]).astype("<i8").tobytes())
    for rows in X.chunks():
        digest.update(rows.indices.astype("<i8").tobytes())
    for rows in X.chunks():
        digest.update(np.ascontiguousarray(rows.data, dtype="<f4").tobytes())
    return digest.hexdigest()


def _spread(values: npt.NDArray[Any]) -> Spread:
    return Spread(*_significant(np.quantile(values, [0, 0.05, 0.5, 0.95, 1])))


def _significant(values: npt.NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
