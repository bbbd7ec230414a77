import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scinn_infer import ScinnError
from scinn_train.transforms import log_depth
from scinn_train.truth import correlate_with_truth, fill_with_gene_mean


def test_the_truth_correlates_perfectly_with_itself(small_tissue):
    truth = log_depth(small_tissue.layers["truth"])
    perfect = correlate_with_truth(truth, truth, observed=small_tissue.X)
    assert (perfect.cellwise, perfect.genewise, perfect.at_zeros) == pytest.approx((1, 1, 1))


def test_correlations_by_hand():
    observed = np.array([[1, 0, 2, 0], [0, 1, 1, 0], [3, 0, 0, 0]], float)  # the last gene is never seen
    truth = np.array([[1, 2, 3, 9], [2, 1, 5, 8], [4, 4, 1, 7]], float)
    X = np.array([[1, 1, 2, 0], [2, 1, 1, 5], [3, 1, 0, 0]], float)  # the second gene is constant: it tells nothing
    result = correlate_with_truth(X, truth, observed=observed)
    assert result.cellwise == pytest.approx(np.mean([np.corrcoef(X[i, :3], truth[i, :3])[0, 1] for i in range(3)]))
    assert result.genewise == pytest.approx(
        (np.corrcoef(X[:, 0], truth[:, 0])[0, 1] + 0 + np.corrcoef(X[:, 2], truth[:, 2])[0, 1]) / 3
    )
    assert result.at_zeros == pytest.approx(np.corrcoef([1, 2, 1, 0], [2, 2, 4, 1])[0, 1])


def test_raw_data_says_nothing_at_its_zeros(small_tissue):
    raw = log_depth(small_tissue.X)
    result = correlate_with_truth(raw, log_depth(small_tissue.layers["truth"]), observed=small_tissue.X)
    assert math.isnan(result.at_zeros)
    assert 0 < result.genewise < result.cellwise < 1


def test_the_gene_mean_fills_zeros_at_the_depth_of_the_cell():
    reference = sp.csr_matrix([[1.0, 3.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])  # shares 3/8 and 5/8
    X = sp.csr_matrix([[0.0, 6.0, 0.0], [2.0, 0.0, 1.0]])
    np.testing.assert_allclose(fill_with_gene_mean(X, reference), [[2.25, 6, 0], [2, 1.875, 1]])


def test_the_gene_mean_beats_raw_data_cell_by_cell_but_not_gene_by_gene(small_tissue):
    reference, new = (small_tissue[small_tissue.obs["batch"] == batch] for batch in ("batch1", "batch2"))
    truth = log_depth(new.layers["truth"])
    raw = correlate_with_truth(log_depth(new.X), truth, observed=new.X)
    filled = correlate_with_truth(log_depth(fill_with_gene_mean(new.X, reference.X)), truth, observed=new.X)
    assert filled.cellwise > raw.cellwise + 0.1
    assert filled.genewise == pytest.approx(raw.genewise, abs=0.05)


def test_refuses_what_cannot_be_compared():
    X = np.ones((3, 2))
    with pytest.raises(ScinnError, match="differ"):
        correlate_with_truth(X, X[:2], observed=X)
    with pytest.raises(ScinnError, match="no gene has a count"):
        correlate_with_truth(X, X, observed=0 * X)
    with pytest.raises(ScinnError, match="reference"):
        fill_with_gene_mean(X, 0 * X)
    with pytest.raises(ScinnError, match="has 1 genes and the expression 2"):
        fill_with_gene_mean(X, X[:, :1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("form", [np.asarray, sp.csc_matrix, pd.DataFrame, np.float16])
@pytest.mark.parametrize(("place", "name"), [(0, "the expression"), (1, "the truth"), (2, "the observed data")])
def test_refuses_values_that_no_score_can_be_made_of(small_tissue, value, form, place, name):
    X = small_tissue.X.toarray()
    wrong = X.copy()
    wrong[5, 7] = wrong[9, 9] = value
    matrices = [form(wrong) if number == place else X for number in range(3)]
    with pytest.raises(ScinnError, match=rf"{name} holds {value} in row 6, column 8 \(2 such value"):
        correlate_with_truth(*matrices[:2], observed=matrices[2])
    if place == 0:
        with pytest.raises(ScinnError, match=f"the reference holds {value}"):
            fill_with_gene_mean(X, form(wrong))


def test_data_frames_and_every_sparse_matrix_score_as_arrays_do(small_tissue):
    X, truth = log_depth(small_tissue.X).toarray(), log_depth(small_tissue.layers["truth"])
    expected = correlate_with_truth(X + truth, truth, observed=X)
    for form in (pd.DataFrame, lambda values: pd.DataFrame(values).astype(object), sp.lil_array, sp.coo_matrix):
        assert correlate_with_truth(form(X + truth), form(truth), observed=form(X)) == expected
    np.testing.assert_array_equal(fill_with_gene_mean(pd.DataFrame(X), X), fill_with_gene_mean(X, X))


def test_refuses_what_is_no_matrix_of_numbers():
    X = np.ones((3, 2))
    with pytest.raises(ScinnError, match=r"the truth has 1 dimension"):
        correlate_with_truth(X, X[0], observed=X)
    with pytest.raises(ScinnError, match="the expression holds what is not a number"):
        correlate_with_truth(pd.DataFrame({"gene": [1, 2, 3], "type": list("abc")}), X, observed=X)
    with pytest.raises(ScinnError, match="the observed data holds values of type complex"):
        correlate_with_truth(X, X, observed=X * 1j)
