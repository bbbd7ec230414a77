"""Experiment 3b, molecular cross-validation: a tenth of all molecules is taken out and predicted from the others.

Needs no truth, only that molecules were counted independently of each other: every dataset with unique molecular
identifiers will do. Each seed draws another tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quality import data
from quality.methods import METHODS
from quality.tasks import record, tasks_of
from scinn_train.normalise import depth
from scinn_train.transforms import SCANPY_DEPTH, log_depth

if TYPE_CHECKING:
    import numpy.typing as npt
    from scipy import sparse

    from quality.tasks import Options, Record, Task

    Array = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]

Matrix = Any
"""A numpy array or a scipy sparse matrix or array."""

TRAINED_SHARE = 0.9
LOWEST_RATE = 1e-6
"""Added to each rate, since a molecule where a method expects none would cost infinitely much."""

_LARGE_RATE, _LARGEST_COUNT = 16, 48  # a count varies little about a large rate; about others none is larger


def tasks(options: Options) -> list[Task]:
    """Return one task for each dataset with unique molecular identifiers, method and seed."""
    return tasks_of("molecular_cv", options, datasets=data.UMI_SETS, methods=METHODS)


def run(task: Task) -> list[Record]:
    """Let one method learn from nine tenths of the molecules and score it on the others."""
    dataset = data.load(task.dataset, quick=task.quick)
    trained_on, tested_on = data.thinned(dataset, TRAINED_SHARE, task.seed)
    imputed = METHODS[task.method].run(trained_on, trained_on, seed=task.seed)
    return [record(task, policy, molecular_scores(X, tested_on)) for policy, X in imputed.policies.items()]


def molecular_scores(X: Matrix, test: sparse.csr_matrix) -> dict[str, float]:
    """Return how far predicted expression is from molecules that were set aside; less is better in both scores.

    Parameters
    ----------
    X
        Predicted expression, linear (cells × genes).
    test
        Molecules that were set aside (cells × genes).

    Returns
    -------
    ``"mse"``: mean squared difference once both are at a depth of 10,000 and ln(1 + x). ``"mse of expected log"``: the
    same with what the prediction expects of that logarithm in its place, the molecules being Poisson: the logarithm of
    an expectation is not the expectation of a logarithm, and with a tenth of the molecules they are far apart.
    ``"poisson"``: mean negative Poisson log-likelihood of the molecules, without its constant. The rates of the last
    two are the prediction brought to the depth that the cell has in ``test``.
    """
    predicted, counts = X if isinstance(X, np.ndarray) else X.toarray(), test.toarray()
    depths, test_depths = depth(predicted), depth(counts)
    factors = np.divide(test_depths, depths, out=np.zeros_like(depths), where=depths > 0)
    rates = predicted * factors.astype(np.float32)[:, None]
    observed = log_depth(counts)
    return {
        "mse": _mean_square(log_depth(predicted) - observed),
        "mse of expected log": _mean_square(expected_log(rates, test_depths) - observed),
        "poisson": float(np.mean(rates - counts * np.log(rates + LOWEST_RATE), dtype=np.float64)),
    }


def expected_log(rates: Array, depths: Floats) -> Array:
    """Return the expectation of ln(1 + 10,000 x / depth) of Poisson counts x (cells × genes).

    Parameters
    ----------
    rates
        Their expectations (cells × genes).
    depths
        Depth of each cell (cells,).
    """
    scale = (SCANPY_DEPTH / np.maximum(depths, 1)).astype(np.float32)[:, None]
    expectation = np.zeros_like(rates)
    probability = np.exp(-rates)
    for count in range(1, _LARGEST_COUNT):
        probability *= rates / count
        expectation += probability * np.log1p(count * scale)
    return np.where(rates > _LARGE_RATE, np.log1p(rates * scale), expectation)


def _mean_square(difference: Array) -> float:
    return float(np.mean(np.square(difference, dtype=np.float64)))
