"""Minibatches: which cells go together, and their expression as dense tensors. Nothing larger is ever made dense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from scipy import sparse

    from scinn_train.expression import Expression

    Rows = npt.NDArray[np.intp]


def shuffled(cells: int, size: int, random: np.random.Generator) -> Iterator[Rows]:
    """Yield the cells in random order, ``size`` at a time; a last batch of one joins the batch before it."""
    order = random.permutation(cells)
    cuts = np.arange(size, cells, size)
    if len(cuts) and cells - cuts[-1] == 1:
        cuts = cuts[:-1]
    yield from np.split(order, cuts)


def in_order(cells: int, size: int) -> Iterator[Rows]:
    """Yield the cells from first to last, ``size`` at a time."""
    for start in range(0, cells, size):
        yield np.arange(start, min(start + size, cells))


def dense(X: Expression, rows: Rows, device: torch.device) -> torch.Tensor:
    """Return some cells as a dense float32 tensor (rows × genes) on the device."""
    return as_tensor(X.rows(rows), device)


def as_tensor(X: sparse.csr_array, device: torch.device) -> torch.Tensor:
    """Return the few rows of a sparse matrix as a dense float32 tensor (rows × genes) on the device."""
    return torch.from_numpy(X.toarray().astype(np.float32, copy=False)).to(device)
