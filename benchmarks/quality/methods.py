"""The methods that are compared: expression in, expression out, in the same unit and at each cell's own depth.

Each method gets what its authors ask for, and its output is brought back from that scale to linear expression, so that
one code can score them all.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from quality import alra, fits, knn_smoothing, magic, scvi
from scinn_train import capture
from scinn_train.normalise import depth, scale_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from quality.data import Dataset

    Array = npt.NDArray[np.float32]

Matrix = Any
"""A numpy array or a scipy sparse matrix or array."""


@dataclass(frozen=True)
class Imputed:
    """What a method makes of some cells: linear, in the unit of the input, at each cell's own depth.

    Attributes
    ----------
    kept
        Non-zeros as they were observed, the method's values at the zeros (cells × genes).
    everywhere
        The method's values everywhere (cells × genes).
    """

    kept: Matrix
    everywhere: Matrix

    @property
    def policies(self) -> dict[str, Matrix]:
        """The two by the names that records have for them; one where they are the same."""
        return {"keep": self.kept} if self.kept is self.everywhere else {"keep": self.kept, "denoise": self.everywhere}


class Run(Protocol):
    """Imputes ``cells`` with what was learnt from ``train``; only ``cells`` counts for what cannot learn."""

    def __call__(self, train: Dataset, cells: Dataset, *, seed: int) -> Imputed: ...  # noqa: D102


@dataclass(frozen=True)
class Method:
    """One of the methods.

    Attributes
    ----------
    name
        What records call it.
    scale
        The scale on which it works, before its output is brought back from it.
    run
        Does it.
    seeded
        Whether its result depends on the seed.
    """

    name: str
    scale: str
    run: Run
    seeded: bool = True

    @property
    def code(self) -> bytes:
        """The code that makes its result, and the principal components of it."""
        function = inspect.unwrap(getattr(self.run, "func", self.run))
        written = (inspect.getfile(function), __file__, fits.__file__)
        return b"".join(Path(path).read_bytes() for path in written) + fits.SOURCES


def filled(X: Matrix, values: Array) -> Array:
    """Return X with the values at its zeros, negative ones as zero (cells × genes)."""
    dense = X if isinstance(X, np.ndarray) else X.toarray()
    return np.where(dense == 0, np.maximum(values, 0), dense)


def raw(train: Dataset, cells: Dataset, *, seed: int) -> Imputed:  # noqa: ARG001 - nothing is done
    """Return the cells as they were observed."""
    return Imputed(kept=cells.X, everywhere=cells.X)


def gene_mean(train: Dataset, cells: Dataset, *, seed: int) -> Imputed:  # noqa: ARG001 - nothing is drawn
    """Expect in every cell what an average training cell of its depth has."""
    depths = depth(train.X)
    seen = train.X[depths > 0]
    share = scale_rows(seen, 1 / depths[depths > 0]).mean(axis=0)
    everywhere = np.outer(depth(cells.X), share).astype(np.float32)
    return Imputed(kept=filled(cells.X, everywhere), everywhere=everywhere)


def scinn(train: Dataset, cells: Dataset, *, seed: int, preset: str) -> Imputed:
    """Train scINN on one set of cells, unless that has been done, and apply it to the other."""
    model = fits.fit(train, fits.config(train, seed=seed, preset=preset))
    return Imputed(kept=fits.apply(model, cells, "keep"), everywhere=fits.apply(model, cells, "denoise"))


def captured(method: Run) -> Run:
    """Make a method of another one's values, with the level and the weights that scINN gives to its own expectation.

    It tells what of a difference is the expectation, and what is the treatment that any method could have.
    """

    @wraps(getattr(method, "func", method))
    def run(train: Dataset, cells: Dataset, *, seed: int) -> Imputed:
        size_factors, counted = fits.counting(train, cells)
        size = torch.from_numpy(size_factors)[:, None]
        rate = torch.from_numpy(np.maximum(method(train, cells, seed=seed).everywhere, 0)) / size
        observed = torch.from_numpy(cells.X.toarray())
        return Imputed(
            kept=filled(cells.X, capture.fill(rate, size, counted).numpy()),
            everywhere=capture.denoise(observed, rate, size, counted).numpy(),
        )

    return run


def unable_to_learn(expected: Callable[..., Array]) -> Run:
    """Make a method of a function that can impute only the cells that it is computed from.

    The function returns linear expression at any depth. Some methods lose or gain much of it: MAGIC, which averages
    square roots, halves it, and ALRA multiplies it. Only at the cell's own depth do values fit beside observed ones.
    """

    @wraps(expected)
    def run(train: Dataset, cells: Dataset, *, seed: int) -> Imputed:  # noqa: ARG001 - nothing can be learnt from train
        values = expected(cells, seed=seed)
        depths = depth(values)  # zero where a method has nothing to say of a cell
        factors = np.divide(depth(cells.X), depths, out=np.zeros_like(depths), where=depths > 0)
        everywhere = values * factors.astype(np.float32)[:, None]
        return Imputed(kept=filled(cells.X, everywhere), everywhere=everywhere)

    return run


METHODS = {
    method.name: method
    for method in (
        Method("raw", "as observed", raw, seeded=False),
        Method("gene mean", "share of the depth", gene_mean, seeded=False),
        Method("neighbourhood mean", "linear, median depth", unable_to_learn(fits.neighbourhood_mean)),
        Method("scINN", "counts, TPM or FPKM as they are", partial(scinn, preset="default")),
        Method("scINN paper", "counts, TPM or FPKM as they are", partial(scinn, preset="paper")),
        Method("MAGIC", "square root, median depth", unable_to_learn(magic.impute)),
        Method("MAGIC + capture", "square root, median depth", captured(unable_to_learn(magic.impute))),
        Method("kNN-smoothing", "counts as they are", unable_to_learn(knn_smoothing.impute), seeded=False),
        Method("ALRA", "ln(1 + x), depth 10,000", unable_to_learn(alra.impute)),
        Method("scVI", "counts as they are", unable_to_learn(scvi.impute)),
        Method("scVI, variable genes", "counts as they are", unable_to_learn(scvi.impute_most_variable)),
    )
}
"""Every method by name."""
