"""The values that no expression matrix holds, and units that data is not in."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scinn_infer.checks import check_chunk, check_exact, check_unit
from scinn_infer.errors import ScinnError, ScinnWarning

FORMATS = ["dense", "csr", "csc", "coo", "lil", "bsr"]
GENES = [f"g{column}" for column in range(8)]


def form(X, name):
    return X if name == "dense" else sparse.coo_array(X).asformat(name)


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, derandomize=True)
@given(data=st.data())
def test_names_the_first_bad_value(name, data):
    X = np.tile(np.arange(8.0), (6, 1))
    places = data.draw(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=5))
    value = data.draw(st.sampled_from([-0.5, np.nan, np.inf, -np.inf, 1e39]))
    for place in places:
        X[place] = value
    row, column = min(places)
    with pytest.raises(ScinnError) as refusal:
        check_chunk(form(X, name), genes=GENES, first_cell=100, source="new")
    assert str(refusal.value).startswith(f"new: cell {row + 101}, gene g{column}: ")
    with pytest.raises(ScinnError, match=rf"cell {row + 1} \(c{row}\), gene g{column}"):
        check_chunk(form(X, name), genes=GENES, cell_names=[f"c{row}" for row in range(6)])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("name", FORMATS)
def test_accepts_what_is_not_negative(name, dtype):
    check_chunk(form(np.tile(np.arange(8), (6, 1)).astype(dtype), name), genes=GENES)
    check_chunk(form(np.zeros((6, 8), dtype=dtype), name), genes=GENES)


def test_knows_float16_which_scipy_does_not():
    X = np.ones((2, 8), dtype=np.float16)
    check_chunk(X, genes=GENES)
    X[1, 2] = np.inf
    with pytest.raises(ScinnError, match="cell 2, gene g2: inf"):
        check_chunk(X, genes=GENES)


def test_refuses_negative_integers_and_foreign_types():
    with pytest.raises(ScinnError, match="never negative"):
        check_chunk(np.array([[3, -2]]), genes=GENES)
    for X in (np.array([["a"]]), np.array([[1j]]), np.array([[None]]), np.array([[1]], dtype=np.longdouble)):
        with pytest.raises(ScinnError, match=f"values of type {X.dtype}"):
            check_chunk(X, genes=GENES)


COUNTS = np.random.default_rng(0).poisson(3, (50, 8)).astype(np.float32)
UNITS = {
    "counts": {
        "fits": [COUNTS, COUNTS.astype(int), np.expm1(np.log1p(COUNTS)), np.zeros((3, 4)), np.zeros((0, 4))],
        "warns": [COUNTS * 7.3, COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4],
        "refused": [np.log1p(COUNTS), np.log2(COUNTS + 1), np.log1p(COUNTS * 1e4), COUNTS / 10],
    },
    "tpm": {
        "fits": [COUNTS * 1234.5, np.zeros((3, 4))],
        "warns": [COUNTS, COUNTS.astype(int)],
        "refused": [np.log2(COUNTS * 1234.5 + 1), np.log1p(COUNTS * 0.3)],
    },
}


def cases(outcome):
    return [(unit, X) for unit, outcomes in UNITS.items() for X in outcomes[outcome]]


@pytest.mark.parametrize("to", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("unit", "X"), cases("fits"))
def test_accepts_data_in_its_unit(unit, X, to):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_unit(to(X), unit=unit)


@pytest.mark.parametrize("to", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize(("unit", "X"), cases("warns"))
def test_warns_of_data_in_what_may_be_another(unit, X, to):
    with pytest.warns(ScinnWarning, match="^new.*whole numbers"):
        check_unit(to(X), unit=unit, source="new")


@pytest.mark.parametrize("to", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("unit", "X"), cases("refused"))
def test_refuses_logarithms(unit, X, to):
    with pytest.raises(ScinnError, match="new looks log-transformed"):
        check_unit(to(X), unit=unit, source="new")


@pytest.mark.parametrize(("unit", "limit"), [("counts", 25), ("tpm", 30), ("fpkm", 30)])
def test_fractions_are_logarithms_where_no_value_reaches_a_limit(unit, limit):
    with pytest.raises(ScinnError, match="looks log-transformed"):
        check_unit(np.array([[0.5, limit - 0.01]]), unit=unit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScinnWarning)
        check_unit(np.array([[0.5, limit]]), unit=unit)


def test_integers_that_float32_would_round_are_refused():
    check_exact(np.array([[2**24, 0]]))
    check_exact(np.array([[2.0**24 + 1]]))
    with pytest.raises(ScinnError, match=r"16777217.*float64"):
        check_exact(sparse.csr_array(np.array([[2**24 + 1, 0]])))
