"""Module 2: the loss, one function for each of its named terms.

The paper's objective is ``clusters + similarity``. Alone, it leaves the values that fill the zeros undetermined; the
other two terms say what they should be (``docs/method.md``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from scinn_train.networks import Imputation

_LEAST_PROBABILITY = 1e-7


def clusters(probability: torch.Tensor, assignment: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy between predicted and module-1 clusters, BCE(C', C) in the paper's objective.

    Parameters
    ----------
    probability, assignment
        Predicted probabilities and one-hot module-1 clusters (cells × clusters).
    """
    bounded = probability.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return nn.functional.binary_cross_entropy(bounded, assignment)


def similarity(embedding: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error between predicted and module-1 similarity, MSE(S', S) in the paper's objective.

    Parameters
    ----------
    embedding
        Of the cells of the minibatch (cells × d); their Pearson correlations are the predicted similarity.
    target
        Module-1 similarity of the same cells (cells × cells).
    """
    return nn.functional.mse_loss(pearson(embedding), target)


def neighbourhood(imputation: Imputation, expression: torch.Tensor) -> torch.Tensor:
    """Distillation of the module-1 neighbourhood: how unlikely its mean is under the expected expression.

    Parameters
    ----------
    expression
        Mean linear normalised expression over each cell's nearest cells in module 1 (cells × genes).
    """
    return negative_log_likelihood(imputation, expression).mean()


def masked(imputation: Imputation, expression: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Reconstruction of the cell's own entries that were hidden from the network, zeros among them.

    Parameters
    ----------
    expression
        The cells' own linear normalised expression (cells × genes).
    seen
        0 at the hidden entries, 1 elsewhere (cells × genes).
    """
    hidden = 1 - seen
    return (negative_log_likelihood(imputation, expression) * hidden).sum() / hidden.sum().clamp(min=1)


def negative_log_likelihood(imputation: Imputation, value: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of values, entry by entry: negative binomial with dispersion 1, up to a constant.

    ln(1 + m) + x ln(1 + 1 / m), with m what is expected. Whatever the distribution, it is lowest at the mean: of
    expression, not of logarithms. A small value counts as under a Poisson loss, a large one by its ratio to what is
    expected, so that read counts and TPM, whose large values vary more than a Poisson's, do not drown everything else.
    """
    return imputation.log_expected + value * imputation.log_inverse


def deviance(imputation: Imputation, value: torch.Tensor) -> torch.Tensor:
    """Negative binomial deviance (halved, dispersion 1): the negative log-likelihood less that of the value itself."""
    # Written in differences that stay small: for a large value its own terms would drown them in rounding.
    above = imputation.log_expected - torch.log1p(value)
    inverse = torch.where(value > 0, 1 / value.clamp(min=1e-30), 0.0)
    return above + value * (imputation.log_inverse - torch.log1p(inverse))


def pearson(rows: torch.Tensor) -> torch.Tensor:
    """Pearson correlation between the rows (rows × d), as a (rows × rows) matrix."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    unit = nn.functional.normalize(centred, dim=1)
    return unit @ unit.T
