"""The cells that are kept while a batch streams by, and what is said of groups of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scinn_infer.report.groups import REST, UNKNOWN, Groups
from scinn_infer.report.sample import CELLS, NEAR_ZERO, Watch, choose_genes, spaced


@given(cells=st.integers(1, 60), most=st.integers(1, 60), cut=st.integers(1, 25), dense=st.booleans())
def test_keeps_the_same_however_the_batch_is_cut(cells, most, cut, dense):
    X = np.random.default_rng(0).poisson(0.8, (cells, 9)).astype(np.float32)
    rows, columns, kept = spaced(cells, most), np.array([7, 2, 4]), np.array([0, 2])
    watch = Watch(rows, columns=columns, kept=kept)
    chunks = [X[start : start + cut] for start in range(0, cells, cut)]
    seen = list(watch.see_before(chunk if dense else sparse.csr_array(chunk) for chunk in chunks))
    assert sum(chunk.shape[0] for chunk in seen) == cells
    side, known = watch.before.side(), X[rows][:, columns]
    np.testing.assert_array_equal(side.values, known[:, kept])
    np.testing.assert_allclose(side.depth, known.sum(axis=1))
    np.testing.assert_allclose(side.mean, known.mean(axis=0))
    np.testing.assert_allclose(side.near_zero, (known < NEAR_ZERO).mean(axis=0))


@given(cells=st.integers(1, 10**7))
def test_kept_cells_are_bounded_and_spread_over_the_whole_batch(cells):
    rows = spaced(cells)
    assert len(rows) == min(cells, CELLS)
    assert rows[0] == 0
    assert rows[-1] == (cells - 1 if cells > 1 else 0)
    assert np.diff(rows).min(initial=1) >= 1
    assert np.ptp(np.diff(rows)) <= 1 if len(rows) > 2 else True


def test_genes_that_are_asked_for_are_kept_whatever_their_score():
    assert choose_genes([5, 1, 4, 0], always=[3], most=2).tolist() == [0, 2, 3]


def test_many_groups_are_told_apart_as_far_as_possible():
    values = [f"type{number}" for number in range(40) for _ in range(number + 1)] + [None, np.nan, ""]
    groups = Groups.of(values, title="type")
    assert len(groups.names) == 24
    assert groups.names[-1] == REST
    assert groups.names[:2] == ("type17", "type18")
    assert groups.sizes.sum() == len(values)
    assert Groups.of([None, "a"], title="type").names == ("a", UNKNOWN)


def test_cells_without_a_label_are_a_group_whatever_says_that_there_is_none():
    for values in (pd.array([1, None], dtype="Int64"), pd.array([True, None], dtype="boolean"), [1.5, pd.NaT]):
        assert set(Groups.of(values, title="type").names) == {str(values[0]), UNKNOWN}


def test_explained_variance_is_one_for_groups_alike_within_and_none_without_differences():
    groups = Groups.of(["a", "a", "b", "b"], title="type")
    assert groups.explained(np.array([[1.0], [1.0], [4.0], [4.0]])) == pytest.approx(1)
    assert groups.explained(np.array([[1.0], [4.0], [1.0], [4.0]])) == pytest.approx(0)
    assert groups.explained(np.ones((4, 1))) == 0
