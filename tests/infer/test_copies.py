"""Columns that name the same gene: refused, or summed for the model so that what comes back adds up to its value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scinn_infer import ScinnError

FORMS = {"dense": np.asarray, "csr": sparse.csr_array, "csc": sparse.csc_matrix}


def split(counts, genes, *, copied, seed):
    """Deal some genes' counts to two or three columns each, among columns that the model does not know, shuffled."""
    random = np.random.default_rng(seed)
    columns, names = [counts[:, [gene]] for gene in range(len(genes))], list(genes)
    for gene in copied:
        first = random.binomial(counts[:, [gene]], random.choice([0, 0.5, 1]))
        columns[gene] = counts[:, [gene]] - first
        columns += [first, np.zeros_like(first)][: random.integers(1, 3)]
        names += [genes[gene]] * (len(columns) - len(names))
    columns += [counts[:, [0]], counts[:, [1]]]
    names += ["other", "other"]
    order = random.permutation(len(names))
    return np.hstack(columns)[:, order], [names[place] for place in order]


def test_the_quality_is_that_of_the_sums(model, counts, genes):
    X, names = split(counts, genes, copied=[0, 5], seed=1)
    with pytest.raises(ScinnError, match="more than once"):
        model.assess(X, names)
    whole, parts = model.assess(counts, genes), model.assess(X, names, duplicates="sum")
    for name, values in whole.columns().items():
        np.testing.assert_array_equal(parts.columns()[name], values)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    copied=st.sets(st.integers(0, 59), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
    policy=st.sampled_from(["keep", "denoise"]),
    form=st.sampled_from(sorted(FORMS)),
    dtype=st.sampled_from([np.int64, np.float32, np.float64]),
    batch_size=st.sampled_from([1, 7, 96, 500]),
)
def test_copies_add_up_to_what_the_model_makes_of_their_sum(
    model, counts, genes, results, copied, seed, policy, form, dtype, batch_size
):
    counts = np.delete(counts, 3, axis=0)
    expected = np.delete(results[policy], 3, axis=0)
    X, names = split(counts, genes, copied=copied, seed=seed)
    result = model.impute(FORMS[form](X.astype(dtype)), names, policy=policy, duplicates="sum", batch_size=batch_size)
    assert result.shape == X.shape
    assert (result >= 0).all()
    names = np.array(names)
    for column, gene in enumerate(genes):
        places = np.flatnonzero(names == gene)
        values, observed = result[:, places], X[:, places]
        np.testing.assert_allclose(values.sum(axis=1), expected[:, column], rtol=1e-6)
        seen = observed.sum(axis=1) > 0
        assert (values[~seen, 1:] == 0).all()
        if policy == "keep":
            assert (values[seen] == observed[seen]).all() or len(places) == 1
            assert (values[observed > 0] == observed[observed > 0]).all()
        elif len(places) > 1:
            shares = observed[seen] / observed[seen].sum(axis=1, keepdims=True)
            np.testing.assert_allclose(values[seen], shares * values[seen].sum(axis=1, keepdims=True), rtol=1e-6)
    assert (result[:, names == "other"] == X[:, names == "other"]).all()


def test_the_result_depends_on_nothing_but_the_cell(model, counts, genes):
    X, names = split(np.delete(counts, 3, axis=0), genes, copied=[0, 5, 17], seed=1)
    whole = model.impute(X, names, policy="denoise", duplicates="sum")
    for form in FORMS.values():
        assert (model.impute(form(X), names, policy="denoise", duplicates="sum") == whole).all()
    pieces = (sparse.csr_array(X[start : start + 41]) for start in range(0, len(X), 41))
    chunks = model.impute_chunks(pieces, names, policy="denoise", duplicates="sum", batch_size=10)
    assert (np.concatenate([block for _, block in chunks]) == whole).all()


def test_a_sum_keeps_the_digits_that_the_model_does_not_see(model, counts, genes):
    X = np.hstack([counts, counts[:, :1]]).astype(np.float64)[4:]
    X[X > 0] += 1e-12
    result = model.impute(X, [*genes, genes[0]], duplicates="sum")
    assert (result[X > 0] == X[X > 0]).all()


def test_copies_are_refused_unless_they_are_to_be_summed(model, counts, genes):
    X, names = np.hstack([counts, counts[:, 3:4]]), [*genes, "GENE4"]
    with pytest.raises(ScinnError, match=r"more than once: GENE4\. Sum the copies .*duplicates='sum'"):
        model.impute(X, names)
    with pytest.raises(ScinnError, match="duplicates is 'mean'; it is 'refuse' or 'sum'"):
        model.impute(X, names, duplicates="mean")
    match = model.match(names, duplicates="sum")
    assert (match.summed, match.duplicated, match.problem) == (("GENE4",), ("GENE4",), "")
    assert "Summed for the model: the columns of GENE4." in match.sentence
    assert model.match(genes, duplicates="sum").summed == ()
