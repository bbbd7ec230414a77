from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scinn_train import capture

EXPECTED = st.floats(1e-4, 50)
EFFICIENCY = st.floats(0.02, 0.95)


def tensor(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


@given(expected=EXPECTED, efficiency=EFFICIENCY)
def test_a_zero_is_filled_with_the_observed_mean_times_the_ratio_of_the_molecules(expected, efficiency):
    """The closed form against the sums that it stands for."""
    counts = np.arange(1, 400)
    probability = stats.poisson.pmf(counts, expected)
    missed = expected * (1 - efficiency) / efficiency
    mean_observed = (probability * counts).sum() / probability.sum()
    molecules_observed = (probability * (counts + missed)).sum() / probability.sum()
    filled = float(capture.fill(tensor(expected), efficiency))
    assert filled == pytest.approx(mean_observed * missed / molecules_observed, rel=1e-6)


@given(expected=EXPECTED, efficiency=EFFICIENCY)
def test_fills_rise_with_what_is_expected_and_never_above_the_level_of_a_rare_gene(expected, efficiency):
    missed = 1 - efficiency
    filled = float(capture.fill(tensor(expected), efficiency))
    assert 0 < filled <= expected * missed / efficiency * (1 + 1e-9)
    assert filled < float(capture.fill(tensor(expected * 1.01), efficiency))


@given(observed=st.integers(0, 1000), expected=EXPECTED, efficiency=EFFICIENCY)
def test_denoising_lies_between_what_was_seen_and_what_is_expected(observed, expected, efficiency):
    value = float(capture.denoise(tensor(observed), tensor(expected), efficiency))
    assert min(observed, expected) - 1e-9 <= value <= max(observed, expected) + 1e-9


def test_denoising_returns_the_molecules_of_a_simulation():
    """A cell has Poisson molecules of which a share is counted: its molecules, at its own depth, are p x + q L."""
    random = np.random.default_rng(0)
    efficiency, expected = 0.2, 0.8
    molecules = random.poisson(expected / efficiency, 400_000)
    counted = random.binomial(molecules, efficiency)
    for seen in range(3):
        value = float(capture.denoise(tensor(seen), tensor(expected), efficiency))
        assert value == pytest.approx(efficiency * molecules[counted == seen].mean(), rel=0.01)


def test_without_an_efficiency_the_expectation_is_taken_as_it_is():
    assert capture.fill(tensor(0.3), None) == capture.denoise(tensor(4.0), tensor(0.3), None) == 0.3
