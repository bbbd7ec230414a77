from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scinn_infer.errors import ScinnError
from scinn_train import Config, Module2Config
from scinn_train.capture import Capture, denoise, fill, find_capture, molecule_value

EXPECTED = st.floats(1e-4, 50)
EFFICIENCY = st.floats(0.02, 0.95)
MOLECULE = st.floats(0.1, 1000)
SIZE = st.floats(0.1, 10)


def tensor(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def filled(expected: float, *, size: float = 1.0, **counted: float) -> float:
    return float(fill(tensor(expected / size), tensor(size), Capture(**counted)))


def denoised(observed: float, expected: float, *, size: float = 1.0, **counted: float) -> float:
    return float(denoise(tensor(observed), tensor(expected / size), tensor(size), Capture(**counted)))


# ---- molecules


@given(expected=EXPECTED, efficiency=EFFICIENCY, size=SIZE)
def test_a_zero_is_filled_with_the_observed_mean_times_the_ratio_of_the_molecules(expected, efficiency, size):
    """The closed form against the sums that it stands for."""
    counts = np.arange(1, 400)
    probability = stats.poisson.pmf(counts, expected)
    missed = expected * (1 - efficiency) / efficiency
    mean_observed = (probability * counts).sum() / probability.sum()
    molecules_observed = (probability * (counts + missed)).sum() / probability.sum()
    value = filled(expected, size=size, efficiency=efficiency)
    assert value == pytest.approx(mean_observed * missed / molecules_observed, rel=1e-6)


@given(expected=EXPECTED, efficiency=EFFICIENCY)
def test_fills_rise_with_what_is_expected_and_never_above_the_level_of_a_rare_gene(expected, efficiency):
    value = filled(expected, efficiency=efficiency)
    assert 0 < value <= expected * (1 - efficiency) / efficiency * (1 + 1e-9)
    assert value < filled(expected * 1.01, efficiency=efficiency)


@given(observed=st.integers(0, 1000), expected=EXPECTED, efficiency=EFFICIENCY)
def test_denoising_lies_between_what_was_seen_and_what_is_expected(observed, expected, efficiency):
    value = denoised(observed, expected, efficiency=efficiency)
    assert min(observed, expected) - 1e-9 <= value <= max(observed, expected) + 1e-9


def test_denoising_returns_the_molecules_of_a_simulation():
    """A cell has Poisson molecules of which a share is counted: its molecules, at its own depth, are p x + q L."""
    random = np.random.default_rng(0)
    efficiency, expected = 0.2, 0.8
    molecules = random.poisson(expected / efficiency, 400_000)
    counted = random.binomial(molecules, efficiency)
    for seen in range(3):
        value = denoised(seen, expected, efficiency=efficiency)
        assert value == pytest.approx(efficiency * molecules[counted == seen].mean(), rel=0.01)


# ---- reads


@given(expected=EXPECTED, molecule=MOLECULE, size=SIZE)
def test_a_zero_of_reads_gets_what_is_expected_times_the_probability_of_a_dropout(expected, molecule, size):
    at_own_depth = molecule * size
    value = filled(expected, size=size, molecule=molecule)
    assert value == pytest.approx(expected * at_own_depth / (at_own_depth + expected), rel=1e-9)
    assert value < min(expected, at_own_depth) * (1 + 1e-9)


@given(expected=EXPECTED, molecule=MOLECULE, size=SIZE)
def test_denoising_reads_fills_zeros_alike_and_trusts_large_values(expected, molecule, size):
    counted = {"size": size, "molecule": molecule}
    assert denoised(0, expected, **counted) == pytest.approx(filled(expected, **counted))
    assert denoised(expected, expected, **counted) == pytest.approx(expected)
    sure = 1e6 * molecule * size  # where as much is expected, what was seen is what there is
    assert denoised(3 * sure, sure, **counted) == pytest.approx(3 * sure, rel=1e-5)


def test_denoising_reads_returns_the_posterior_mean_of_a_simulation():
    """Molecules of a cell are exponential around what is expected, those seen Poisson, each showing as K reads."""
    random = np.random.default_rng(0)
    molecule, expected = 20.0, 30.0
    true = random.exponential(expected / molecule, 400_000)
    seen = random.poisson(true)
    for molecules in range(4):
        value = denoised(molecules * molecule, expected, molecule=molecule)
        assert value == pytest.approx(molecule * true[seen == molecules].mean(), rel=0.02)


@pytest.mark.parametrize("molecule", [1.0, 25.0])
def test_the_value_of_a_molecule_is_found(molecule):
    random = np.random.default_rng(0)
    means = random.gamma(0.5, 2.0, 2000) + 0.01
    reads = molecule * random.poisson(random.exponential(1, (300, 2000)) * means)
    seen = (reads > 0).any(axis=0)
    value = molecule_value(reads[:, seen].mean(axis=0), (reads[:, seen] > 0).mean(axis=0))
    assert value == pytest.approx(molecule, rel=0.15)


def test_where_every_gene_is_always_seen_nothing_drops_out():
    assert molecule_value(np.array([3.0, 8.0]), np.array([1.0, 1.0])) == 0
    assert find_capture(0.0, Config(unit="tpm")) == Capture()


# ---- which of the two


def test_counts_are_told_apart_unless_they_are_named():
    molecules, reads = Capture(efficiency=0.15), Capture(molecule=30.0)
    assert find_capture(1.0, Config()) == molecules
    assert find_capture(30.0, Config()) == reads
    assert find_capture(30.0, Config(counted="molecules")) == molecules
    assert find_capture(1.0, Config(counted="reads")) == Capture(molecule=1.0)
    assert find_capture(1.0, Config(unit="fpkm")) == Capture(molecule=1.0)
    with pytest.raises(ScinnError, match="counted is 'umi'; it must be one of auto, molecules, reads"):
        Config(counted="umi")


@pytest.mark.parametrize("molecule", [1.0, 30.0])
def test_without_an_efficiency_the_expectation_is_taken_as_it_is(molecule):
    plain = replace(Config(), module2=Module2Config(capture_efficiency=None))
    assert find_capture(molecule, plain) == find_capture(molecule, replace(plain, unit="tpm")) == Capture()
    assert filled(0.3, size=2.0) == denoised(4.0, 0.3, size=2.0) == 0.3
