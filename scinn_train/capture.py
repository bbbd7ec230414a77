"""Capture: what the expected expression says of an entry, given what was seen there.

Both policies of the toolkit follow from how molecules are counted, and what a count is differs between protocols.

Molecules (UMI counts). Of the molecules of a gene in a cell only a share p, the capture efficiency, is counted. With
q = 1 - p and L the count that is expected, a cell that shows x has x molecules that were captured and, whatever x is,
Poisson(L q / p) that were missed. With p = 0.15 and L = 0.1 a one stands for 1.57 molecules and a zero for 0.57. It
takes one p for all cells, and L for exact.

Reads (and TPM, FPKM). A molecule that was captured shows as many reads, K, so that a gene that is expected at K or more
is seen unless it is hardly there. Of m = L / K expected molecules, gamma-distributed over cells like these with the
dispersion that the losses have too, 1, a cell that shows x has seen x / K: the posterior mean is (K + x) m / (1 + m).
Of a zero that leaves L K / (K + L): what is expected, times the Michaelis-Menten probability that such a gene drops out
(Andrews & Hemberg, Bioinformatics 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scinn_train.config import AUTO, MOLECULES

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from scinn_train.config import Config

READS_FROM = 4.0
"""A count that stands for less than this many is taken for a molecule. On the data of the benchmarks the value of a
molecule is 0.7 to 2.2 in UMI counts and 8 to 31 in read counts, except for 1.9 in one set of reads, in which either
choice clusters the cells alike."""


@dataclass(frozen=True)
class Capture:
    """How expression was counted; with neither number the expectation is taken as it is.

    Attributes
    ----------
    efficiency
        Of molecules: the share p that is counted, between 0 and 1.
    molecule
        Of reads: the value K of one captured molecule, in the unit of the data at the target depth.
    """

    efficiency: float | None = None
    molecule: float | None = None


def find_capture(molecule: float, config: Config) -> Capture:
    """Return how the data was counted.

    Parameters
    ----------
    molecule
        Its :func:`molecule_value`.
    config
        Says the unit, and what is known of the counts.
    """
    efficiency = config.module2.capture_efficiency
    if efficiency is None:
        return Capture()
    if config.unit == "counts" and (config.counted == MOLECULES or (config.counted == AUTO and molecule < READS_FROM)):
        return Capture(efficiency=efficiency)
    return Capture(molecule=molecule) if molecule > 0 else Capture()


def molecule_value(mean: npt.NDArray[np.float64], detected: npt.NDArray[np.float64]) -> float:
    """Estimate what one captured molecule shows as, from how often genes of some mean expression are zero.

    By Michaelis and Menten a gene of mean m is seen in the share m / (K + m) of the cells: each gene tells a K, and the
    median is taken.

    Parameters
    ----------
    mean
        Mean normalised expression of each gene, above zero (genes,).
    detected
        Share of the cells in which each gene is not zero, above zero (genes,).

    Returns
    -------
        Zero where every gene is seen in every cell.
    """
    sometimes = detected < 1
    if not sometimes.any():
        return 0.0
    share = detected[sometimes]
    return float(np.median(mean[sometimes] * (1 - share) / share))


def fill(rate: torch.Tensor, size: torch.Tensor, capture: Capture) -> torch.Tensor:
    """Return the value of a zero beside observed values that are kept as they are.

    Molecules: L q / (1 - q exp(-L)). Kept values stand for more molecules than they show, so that zeros filled with the
    expected count would be too low beside them. A zero gets the mean observed value of such a gene, times the molecules
    that are expected behind a zero over those behind an observed value: E[x | x > 0] E[N | x = 0] / E[N | x > 0], with
    x Poisson(L) and N the molecules. That is L q / p for a rare gene, and less for every other.

    Reads: L K / (K + L), for a rare gene L and for every other less than K.

    Parameters
    ----------
    rate
        What the network expects of a cell at the target depth (cells × genes).
    size
        Size factors of the cells (cells × 1): L is ``rate * size``, and K that of the cell's own depth.
    capture
        How the data was counted.
    """
    expected = rate * size
    if capture.molecule is not None:
        return expected / (1 + rate / capture.molecule)
    if capture.efficiency is not None:
        return expected / (1 / (1 - capture.efficiency) - (-expected).exp())
    return expected


def denoise(observed: torch.Tensor, rate: torch.Tensor, size: torch.Tensor, capture: Capture) -> torch.Tensor:
    """Return the expected molecules, those seen and those missed, at the cell's own depth.

    Molecules: p x + q L. Reads: (K + x) L / (K + L).

    Parameters
    ----------
    observed
        What was counted (cells × genes).
    rate, size, capture
        As for :func:`fill`.
    """
    if capture.molecule is not None:
        return fill(rate, size, capture) + observed * (rate / (rate + capture.molecule))
    if capture.efficiency is not None:
        return capture.efficiency * observed + (1 - capture.efficiency) * rate * size
    return rate * size
