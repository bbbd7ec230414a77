"""Capture: what the expected expression says of an entry, given what was seen there.

Of the molecules of a gene in a cell only a share p, the capture efficiency, is counted. With q = 1 - p and L the count
that is expected, a cell that shows x has x molecules that were captured and, whatever x is, Poisson(L q / p) that were
missed. With p = 0.15 and L = 0.1 a one stands for 1.57 molecules and a zero for 0.57. Both policies of the toolkit
follow from this. It takes one p for all cells, L for exact, and counts for molecules, which read counts are not.
"""

from __future__ import annotations

import torch


def denoise(observed: torch.Tensor, expected: torch.Tensor, efficiency: float | None) -> torch.Tensor:
    """Return the expected molecules, those seen and those missed, at the cell's own depth: p x + q L.

    Parameters
    ----------
    observed, expected
        What was counted, and what the network expects to be counted (cells × genes), in the same unit.
    efficiency
        The capture efficiency p, between 0 and 1; None returns ``expected``.
    """
    return expected if efficiency is None else efficiency * observed + (1 - efficiency) * expected


def fill(expected: torch.Tensor, efficiency: float | None) -> torch.Tensor:
    """Return the value of a zero beside observed values that are kept as they are: L q / (1 - q exp(-L)).

    Kept values stand for more molecules than they show, so that zeros filled with the expected count would be too low
    beside them. A zero gets the mean observed value of such a gene, times the molecules that are expected behind a zero
    over those behind an observed value: E[x | x > 0] E[N | x = 0] / E[N | x > 0], with x Poisson(L) and N the
    molecules. That is L q / p for a rare gene, and less for every other.

    Parameters
    ----------
    expected
        What the network expects to be counted (cells × genes), in the input's unit at the cell's own depth.
    efficiency
        The capture efficiency p, between 0 and 1; None returns ``expected``.
    """
    return expected if efficiency is None else expected / (1 / (1 - efficiency) - torch.exp(-expected))
