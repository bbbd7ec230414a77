"""What a model file is worth on any cells: how well it predicts the genes that are hidden from it.

``scinn_train.quality`` asks the networks for entries that are hidden one by one, on cells held out of the training. A
file can be asked for genes that are missing altogether: here a tenth of them at a time, until each was hidden once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scinn_infer.batch import as_rows, open_batch
from scinn_infer.columns import GeneColumns, in_whole
from scinn_infer.contract import OUTPUT_EXPECTED
from scinn_infer.errors import ScinnError
from scinn_train import losses, minibatch
from scinn_train.networks import Imputation
from scinn_train.randomness import derive

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from scinn_infer.checks import Matrix
    from scinn_infer.model import Model

    Array = npt.NDArray[np.float32]

_FOLDS = 10
_CELLS = 1000  # taken at a time


def deviance_explained(model: Model, X: Matrix, genes: Sequence[str]) -> float:
    """Return the share of the gene means' deviance that a model removes, where it predicts genes hidden from it.

    The deviance is the loss's, negative binomial with dispersion 1, at each cell's own depth. What is compared with is
    the mean of each gene over the training cells, for counts at the depth that the cell has in the genes that are not
    hidden. Which genes are hidden together is the same at every call.

    Parameters
    ----------
    X
        Cells in the model's unit (cells × genes).
    genes
        Names of its columns.

    Returns
    -------
        1 where every value is predicted exactly, 0 where the model is worth as much as the genes' means, below zero
        where it is worth less.

    Raises
    ------
    ScinnError
        If the genes do not fit the model, or nothing is expressed that something could be predicted from.
    """
    batch = open_batch(model.info, genes, source="X")
    rows = as_rows(X, batch)
    columns = GeneColumns(batch.match)
    random = np.random.default_rng(derive(0, "hidden genes"))
    folds = np.array_split(random.permutation(np.flatnonzero(batch.match.measured)), _FOLDS)
    left, before = 0.0, 0.0
    for cells in minibatch.in_order(rows.shape[0], _CELLS):
        space = np.empty((len(cells), len(model.genes)), dtype=np.float32)
        expression = columns.to_model(in_whole(rows[cells[0] : cells[-1] + 1]), space=space).expression
        for hidden in filter(len, folds):
            deviance = _deviances(model, expression, batch.match.measured, hidden)
            left, before = left + deviance[0], before + deviance[1]
    if before == 0:
        msg = "X holds nothing that a hidden gene could be predicted from: score more cells, or more genes."
        raise ScinnError(msg)
    return 1 - left / before


def _deviances(model: Model, expression: Array, measured: Array, hidden: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Return the sum of the deviances of some genes from what the model expects of them, and from the genes' means."""
    seen = measured.copy()
    seen[hidden] = 0
    depth = expression @ seen
    expression, depth = expression[depth > 0], depth[depth > 0]  # of a cell without expression nothing is expected
    if not len(expression):
        return 0.0, 0.0
    expected = model.run(expression * seen, seen, outputs=(OUTPUT_EXPECTED,))[OUTPUT_EXPECTED]
    mean = np.asarray(model.info.training_data.gene_mean, dtype=np.float32)
    level = depth / (mean @ seen) if model.info.unit == "counts" else np.ones_like(depth)
    observed = expression[:, hidden]
    return _deviance(observed, expected[:, hidden]), _deviance(observed, level[:, None] * mean[hidden])


def _deviance(observed: Array, expected: Array) -> float:
    value = torch.from_numpy(observed).double()
    imputation = Imputation(torch.log1p(value), torch.from_numpy(expected).double().log())
    return float(losses.deviance(imputation, value).sum())
