from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scinn_train import losses
from scinn_train.capture import Capture, fill
from scinn_train.networks import Imputation


def imputation(log_rate: torch.Tensor, value: torch.Tensor | None = None) -> Imputation:
    return Imputation(torch.zeros_like(log_rate) if value is None else torch.log1p(value), log_rate)


@given(value=st.floats(1e-3, 1e4))
@settings(deadline=None)
def test_deviance_is_zero_where_the_value_is_expected_and_positive_elsewhere(value):
    values = torch.tensor([value], dtype=torch.float64)
    there = losses.deviance(imputation(values.log()), values)
    away = losses.deviance(imputation(values.log() + 0.3), values)
    assert abs(float(there)) < 1e-6 * (1 + value)
    assert float(away) > float(there)


def test_deviance_is_lowest_at_the_mean_not_at_the_mean_of_logarithms():
    values = torch.tensor([0.0, 0.0, 0.0, 12.0], dtype=torch.float64)
    rates = torch.linspace(0.1, 8, 500, dtype=torch.float64)
    total = torch.stack([losses.deviance(imputation(rate.log().expand(4)), values).sum() for rate in rates])
    assert float(rates[total.argmin()]) == pytest.approx(3.0, abs=0.02)


@pytest.mark.parametrize("value", [1e4, 1e5, 5e5])
def test_deviance_of_large_values_is_precise_in_single_precision(value):
    values = torch.tensor([value])
    deviance = losses.deviance(imputation(values.log() + 0.3), values)
    assert float(deviance) == pytest.approx(0.0408, rel=0.2)


def test_deviance_of_zero_is_finite_and_its_gradient_too():
    log_rate = torch.tensor([-30.0, 0.0, 8.0], requires_grad=True)
    losses.deviance(imputation(log_rate), torch.zeros(3)).sum().backward()
    assert torch.isfinite(log_rate.grad).all()


def test_pearson_is_numpys():
    rows = np.random.default_rng(0).normal(size=(6, 9))
    np.testing.assert_allclose(losses.pearson(torch.from_numpy(rows)), np.corrcoef(rows), atol=1e-12)


def test_masked_term_looks_at_hidden_entries_only():
    value = torch.tensor([[1.0, 5.0]])
    log_rate = torch.tensor([[0.0, 3.0]])
    seen = torch.tensor([[0.0, 1.0]])
    assert float(losses.masked(imputation(log_rate), value, seen)) == pytest.approx(
        2 * np.log(2)
    )  # of 1 where 1 is expected
    assert float(losses.masked(imputation(log_rate), value, 1 - seen)) > 2


def test_cluster_term_survives_certainty():
    wrong = losses.clusters(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert torch.isfinite(wrong)
    assert wrong > 10


def test_only_zeros_are_filled():
    value = torch.tensor([[0.0, 2.0]])
    predicted = imputation(torch.tensor([[1.0, 1.0]]), value)
    expected = [float(torch.nn.functional.softplus(torch.tensor(1.0))), float(np.log(3))]
    np.testing.assert_allclose(predicted.log_imputed(torch.tensor([[5.0]]), Capture())[0], expected, rtol=1e-6)


def test_zeros_are_filled_at_the_cells_own_depth():
    size, captured = torch.tensor([[5.0]]), Capture(efficiency=0.2)
    predicted = imputation(torch.tensor([[0.3]]), torch.tensor([[0.0]]))
    filled = fill(torch.tensor([[0.3]]).exp(), size, captured) / 5
    np.testing.assert_allclose(predicted.log_imputed(size, captured), torch.log1p(filled), rtol=1e-6)


@given(value=st.floats(1e-3, 1e3), first=st.floats(-5, 8), second=st.floats(-5, 8))
@settings(deadline=None)
def test_negative_log_likelihood_and_deviance_differ_by_what_depends_on_the_value_alone(value, first, second):
    values = torch.tensor([value], dtype=torch.float64)
    gaps = [
        float(losses.negative_log_likelihood(predicted, values) - losses.deviance(predicted, values))
        for predicted in (imputation(torch.tensor([rate], dtype=torch.float64)) for rate in (first, second))
    ]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-9 * (1 + value))
