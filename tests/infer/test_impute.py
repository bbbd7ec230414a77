"""What ``Model.impute`` and ``Model.impute_chunks`` promise, whatever form the batch comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

import scinn_infer
from scinn_infer import ScinnError
from scinn_infer.errors import ScinnWarning
from scinn_infer.stream import BLOCK, STRIP

pytestmark = pytest.mark.filterwarnings("ignore:.*cells have no expression")  # of the one among the counts

FORMS = {
    "dense": np.array,
    "fortran": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "float64": lambda X: X.astype(np.float64),
    "float16": lambda X: X.astype(np.float16),
    "uint16": lambda X: X.astype(np.uint16),
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc": sparse.csc_array,
    "coo": sparse.coo_matrix,
    "lil": sparse.lil_array,
    "dok": sparse.dok_matrix,
    "csr float64": lambda X: sparse.csr_array(X.astype(np.float64)),
    "csr int64 indices": lambda X: with_wide_indices(sparse.csr_array(X)),
    "csr in parts": lambda X: in_parts(X),
}


def with_wide_indices(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def in_parts(X):
    """Store some zeros, and every other entry as two parts, in no order."""
    rows, columns = np.indices(X.shape).reshape(2, -1)
    half = X.ravel() // 2
    values = np.concatenate([half, X.ravel() - half])
    order = np.argsort(np.tile(rows, 2), kind="stable")[::-1]
    order = order[np.argsort(np.tile(rows, 2)[order], kind="stable")]
    indptr = np.arange(X.shape[0] + 1) * 2 * X.shape[1]
    return sparse.csr_array((values[order], np.tile(columns, 2)[order], indptr), shape=X.shape)


def equal(one, other) -> bool:
    """Whether two results are the same to the last bit."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def test_keeps_every_nonzero_and_fills_every_zero(imputed, counts):
    assert imputed.dtype == np.float32
    assert imputed.shape == counts.shape
    seen = counts != 0
    assert (imputed[seen] == counts[seen]).all()
    assert np.isfinite(imputed).all()
    assert (imputed >= 0).all()
    filled = np.delete(np.arange(len(counts)), 3)
    assert (imputed[filled] > 0).all()


def test_is_what_the_network_says(model, counts, imputed):
    alone = model.run(counts.astype(np.float32), outputs=["imputed"])["imputed"]
    np.testing.assert_allclose(imputed, alone, rtol=1e-5)


def test_an_empty_cell_stays_empty(imputed):
    assert (imputed[3] == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_matrix_does_not_matter(model, counts, genes, imputed, form):
    X = FORMS[form](counts)
    before = X.copy()
    result = model.impute(X, genes)
    assert result.dtype == (np.float64 if X.dtype == np.float64 else np.float32)
    assert equal(result.astype(np.float32), imputed)
    assert (before != X).sum() == 0
    if hasattr(X, "indices"):
        assert (X.indices == before.indices).all()
        assert (X.data == before.data).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_smaller_than_a_block_is_not_changed_either(model, counts, genes, imputed, form):
    X = FORMS[form](np.hstack([counts[:40], counts[:40, :1]]))
    before = X.copy()
    result = model.impute(X, [*genes, "other"])
    assert equal(result[:, :60].astype(np.float32), imputed[:40])
    if hasattr(X, "indices"):
        assert (X.indices == before.indices).all()
        assert (X.data == before.data).all()
    assert (before != X).sum() == 0


@pytest.mark.parametrize("form", ["dense", "csr_array", "csr in parts", "csr float64"])
def test_genes_may_come_in_any_order_with_others_among_them(model, counts, genes, imputed, form):
    random = np.random.default_rng(1)
    names = [*genes, "other1", "other2", "other2"]
    others = random.poisson(1.5, (len(counts), 3))
    order = random.permutation(len(names))
    X = FORMS[form](np.hstack([counts, others])[:, order])
    result = model.impute(X, [names[column] for column in order])
    expected = np.hstack([imputed, others.astype(np.float32)])[:, order]
    assert equal(result.astype(np.float32), expected)


@pytest.mark.parametrize("form", ["dense", "csr_array"])
def test_missing_genes_are_unknown_rather_than_zero(model, counts, genes, form):
    kept = [*range(0, 60, 2), 1, 3]
    with pytest.warns(ScinnWarning, match="only 53% of the model's genes"):
        result = model.impute(FORMS[form](counts[:, kept]), [genes[column] for column in kept])
    zeroed = np.zeros(counts.shape, dtype=np.float32)
    zeroed[:, kept] = counts[:, kept]
    measured = np.isin(np.arange(60), kept).astype(np.float32)
    np.testing.assert_allclose(result, model.run(zeroed, measured)["imputed"][:, kept], rtol=1e-5)
    as_if_zero = model.run(zeroed)["imputed"][:, kept]
    assert np.abs(result / np.where(as_if_zero == 0, 1, as_if_zero) - 1).max() > 0.01


@pytest.mark.parametrize("to", [np.array, sparse.csr_array])
def test_float64_comes_back_to_the_last_bit(model, counts, genes, to):
    X = counts * (1 + 1e-12)
    X[0, :2] = 1e-60, 0  # nothing at all in float32
    result = model.impute(to(X), genes)
    assert result.dtype == np.float64
    assert (result[X != 0] == X[X != 0]).all()
    assert (result[5][X[5] == 0] > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("to", [np.array, sparse.csr_array])
def test_denoise_revises_what_the_model_knows_and_nothing_else(model, counts, genes, dtype, to):
    X = np.hstack([counts, counts[:, :1]]).astype(dtype)
    result = model.impute(to(X), [*genes, "other"], policy="denoise")
    assert result.dtype == dtype
    np.testing.assert_allclose(
        result[:, :60], model.run(counts.astype(np.float32), outputs=["denoised"])["denoised"], 1e-5
    )
    assert (result[:, :60][counts != 0] != counts[counts != 0]).mean() > 0.99
    assert (result[:, 60] == X[:, 60]).all()
    assert (result[3, :60] == 0).all()  # the empty cell


@st.composite
def batches(draw, *, genes):
    """Cells of any values that counts may have, in some of the model's genes and others, in any order and form."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    known = random.choice(genes, draw(st.integers(31, len(genes))), replace=False)
    names = random.permutation([*known, *(f"other{number}" for number in range(draw(st.integers(0, 20))))])
    cells = draw(st.integers(1, 100))
    rate = np.exp(random.normal(draw(st.floats(-3, 6)), draw(st.floats(0, 4)), (cells, len(names))))
    X = random.poisson(rate.clip(0, 2**23)).astype(draw(st.sampled_from([np.int64, np.float32, np.float64])))
    X[0, list(names).index(known[0])] = 100  # not all cells are empty
    if X.dtype != np.int64 and draw(st.booleans()):  # corrected counts
        X *= random.uniform(0.3, 3, X.shape)
        X[0, list(names).index(known[0])] = 100.5
    return X, list(names), draw(st.sampled_from([np.array, np.asfortranarray, sparse.csr_array, sparse.csc_matrix]))


@settings(deadline=None, derandomize=True)
@given(data=st.data(), policy=st.sampled_from(["keep", "denoise"]))
@pytest.mark.filterwarnings("ignore::scinn_infer.ScinnWarning")
def test_whatever_the_batch_each_policy_does_as_it_says(data, policy, model, genes):
    X, names, to = data.draw(batches(genes=genes))
    result = model.impute(to(X), names, policy=policy)
    seen = X != 0
    known = np.isin(names, genes)
    assert result.dtype == (np.float64 if X.dtype == np.float64 else np.float32)
    assert np.isfinite(result).all()
    assert (result >= 0).all()
    assert equal(result[:, ~known], X[:, ~known].astype(result.dtype))
    if policy == "keep":
        assert equal(result[seen], X[seen].astype(result.dtype))
        assert (result[:, known][X[:, known].any(axis=1)] > 0).all()
        return
    columns = [model.genes.index(name) for name in np.array(names)[known]]
    expression = np.zeros((len(X), 60), np.float32)
    expression[:, columns] = X[:, known]
    measured = np.isin(np.arange(60), columns)
    expected = model.run(expression, measured, outputs=["expected"])["expected"][:, columns]
    captured = model.info.capture_efficiency
    np.testing.assert_allclose(result[:, known], captured * X[:, known] + (1 - captured) * expected, rtol=1e-5)


@settings(deadline=None, derandomize=True)
@given(data=st.data(), policy=st.sampled_from(["keep", "denoise"]))
def test_a_cell_depends_on_nothing_but_itself(data, policy, model, counts, genes, results):
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=130))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    batch_size = data.draw(st.sampled_from([None, 1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 200]))
    to = data.draw(st.sampled_from([np.array, sparse.csr_array]))
    assume(set(rows) != {3})  # the empty cell alone is refused
    chunks = [to(part) for part in np.split(counts[rows], cuts)]
    pieces = list(model.impute_chunks(iter(chunks), genes, policy=policy, batch_size=batch_size))
    assert [start for start, _ in pieces] == list(range(0, len(rows), batch_size or BLOCK))
    assert equal(np.concatenate([block for _, block in pieces]), results[policy][rows])


@settings(deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), policy=st.sampled_from(["keep", "denoise"]))
def test_estimated_counts_depend_on_their_neighbours_by_less_than_a_millionth(seed, policy, model, counts, genes):
    random = np.random.default_rng(seed)
    X = (counts[:100] * random.uniform(0.5, 30, (100, 60))).astype(np.float32)
    order = random.permutation(100)
    with pytest.warns(ScinnWarning, match="not whole numbers"):
        one, other = (model.impute(cells, genes, policy=policy) for cells in (X, X[order]))
    np.testing.assert_allclose(other, one[order], rtol=1e-6)


def test_blocks_are_the_callers_to_keep(model, counts, genes, imputed):
    kept = []
    for _, block in model.impute_chunks(counts, genes, batch_size=96):
        kept.append(block.copy())
        block[...] = -1
    assert equal(np.concatenate(kept), imputed)
    blocks = [block for _, block in model.impute_chunks(counts, genes)]
    assert equal(np.concatenate(blocks), imputed)


def test_no_block_is_the_callers_own_matrix(model, counts, genes):
    X = counts.astype(np.float32)
    assert not any(np.shares_memory(block, X) for _, block in model.impute_chunks(X, genes))


def test_dense_and_sparse_chunks_may_be_mixed(model, counts, genes, imputed):
    chunks = [counts[:50], sparse.csr_array(counts[50:120]), sparse.coo_matrix(counts[120:])]
    assert equal(np.concatenate([block for _, block in model.impute_chunks(chunks, genes)]), imputed)


def test_chunks_are_drawn_as_they_are_needed(model, counts, genes):
    drawn = []

    def chunks():
        for start in range(0, 200, 10):
            drawn.append(start)
            yield counts[start : start + 10]

    stream = model.impute_chunks(chunks(), genes, batch_size=20)
    assert drawn == []
    next(stream)
    assert STRIP - 10 <= max(drawn) < STRIP  # what one strip takes


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (lambda X: X[:0], "has no cells"),
        (lambda X: X[0], r"of type ndarray of shape \(60,\)"),
        (lambda X: X.T, "transposed: pass X.T"),
        (lambda X: X[:, :50], "230 × 50, with 60 gene names"),
        (lambda X: X.tolist(), "of type list"),
        (lambda X: None, "of type NoneType"),
        (lambda X: X.astype(str), "values of type <U"),
        (lambda X: X.astype(complex), "values of type complex128"),
        (lambda X: np.where(X == 4, -1, X), r"X: cell \d+, gene GENE\d+: -1, but expression is never negative"),
        (lambda X: np.log1p(X), "looks log-transformed"),
        (lambda X: X + 2**24, "Pass it as float64"),
    ],
)
def test_refuses_what_cannot_be_imputed(model, counts, genes, X, sentence):
    with pytest.raises(ScinnError, match=sentence):
        model.impute(X(counts), genes)


@pytest.mark.parametrize("batch_size", [0, -1, "3", 2.5, [1]])
def test_refuses_a_batch_size_that_is_no_count(model, counts, genes, batch_size):
    with pytest.raises(ScinnError, match=r"^batch_size is .*; it has to be a whole number from 1 on\.$"):
        model.impute(counts, genes, batch_size=batch_size)


@pytest.mark.parametrize(
    ("names", "sentence"), [("GENE1", "genes is the text 'GENE1'; pass a list of names"), (None, "of type NoneType")]
)
def test_refuses_names_that_are_no_list(model, counts, names, sentence):
    with pytest.raises(ScinnError, match=sentence):
        model.impute(counts, names)


@pytest.mark.parametrize("to", [np.array, sparse.csr_array, lambda X: [X]])
def test_values_that_are_none_are_refused_where_the_unit_is_known(model, counts, genes, to):
    X = np.log1p(counts)
    assert (model.impute(X, genes, unit_checked=True)[X > 0] == X[X > 0]).all()
    X[200, 6] = np.nan
    with pytest.raises(ScinnError, match="cell 201, gene GENE7: the value is missing"):
        list(model.impute_chunks(to(X), genes, unit_checked=True))


def in_blocks(X):
    return [X[start : start + STRIP] for start in range(0, len(X), STRIP)]


def test_the_first_cells_of_a_stream_tell_the_unit(model, counts, genes, imputed):
    X = counts.astype(np.float32)
    X[STRIP:] /= 2  # corrected counts, none of them large
    _, first = next(model.impute_chunks(in_blocks(X), genes))
    assert equal(first, imputed[:BLOCK])
    X[:STRIP] = 0
    with pytest.raises(ScinnError, match="log-transformed"):
        list(model.impute_chunks(in_blocks(X), genes))


@pytest.mark.parametrize("to", [np.array, sparse.csr_array, sparse.csc_matrix])
def test_cells_from_all_over_a_matrix_tell_the_unit(model, counts, genes, to):
    X = np.vstack([counts] * 5).astype(np.float32)
    X[:96] /= 2  # corrected counts, none of them large
    X[-1, 0] = 300.5
    with pytest.warns(ScinnWarning, match="not whole numbers"):
        result = model.impute(to(X), genes)
    assert (result[X != 0] == X[X != 0]).all()
    X[96:] = np.log1p(X[96:])
    X[:96] = np.rint(X[:96])
    with pytest.raises(ScinnError, match="log-transformed"):
        model.impute_chunks(to(X), genes)


def test_a_sample_of_empty_cells_does_not_tell_the_unit(model, counts, genes):
    X = np.zeros((100_000, 60), np.float32)
    X[300:500] = np.log1p(counts[:200])
    with pytest.raises(ScinnError, match="log-transformed"):
        model.impute(sparse.csr_array(X), genes)


@pytest.mark.parametrize("to", [np.array, sparse.csr_array])
def test_says_which_cells_have_nothing_in_the_models_genes(model, counts, genes, to):
    X = np.hstack([counts, np.full((230, 1), 40)])
    X[100:120, :60] = 0
    with pytest.warns(ScinnWarning, match="^new: 21 of 230 cells have no expression in the model's genes"):
        result = model.impute(to(X), [*genes, "other"], source="new")
    assert (result[100:120] == X[100:120]).all()
    X[:, :60] = 0
    with pytest.raises(ScinnError, match="new holds nothing but zeros in the genes that the model knows"):
        model.impute(to(X), [*genes, "other"], source="new")
    with pytest.raises(ScinnError, match="nothing but zeros"):
        list(model.impute_chunks([to(X)], [*genes, "other"]))


def test_refuses_to_return_what_is_not_finite(model, counts, genes):
    X = counts.astype(np.float32)
    X[150, :10] = 3e38  # each value is finite, their sum is not
    with pytest.raises(ScinnError, match="infinite values for cell 151"):
        model.impute(X, genes)


def test_refuses_a_damaged_sparse_matrix(model, counts, genes):
    X = sparse.csr_array(counts.astype(np.float32))
    X.indices[7] = 60_000_000
    with pytest.raises(ScinnError, match="is damaged"):
        model.impute(X, genes)


def test_refuses_a_stream_without_cells_and_chunks_that_are_none(model, counts, genes):
    with pytest.raises(ScinnError, match="has no cells"):
        list(model.impute_chunks([], genes))
    with pytest.raises(ScinnError, match="of type str"):
        list(model.impute_chunks(["cells"], genes))
    with pytest.raises(ScinnError, match="new is 230 × 59"):
        list(model.impute_chunks([counts[:, 1:]], genes, source="new"))


def test_names_a_bad_value_in_any_chunk_by_its_place_in_the_whole(model, counts, genes):
    X = counts.astype(np.float32)
    X[201, 6] = np.nan
    names = [f"cell-{row}" for row in range(len(X))]
    with pytest.raises(ScinnError, match=r"new: cell 202 \(cell-201\), gene GENE7: the value is missing"):
        list(model.impute_chunks([X[:77], sparse.csr_array(X[77:])], genes, source="new", cell_names=names))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"policy": "expected"}, "policy is 'expected'; it is 'keep' or 'denoise'"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_refuses_options_at_once(model, counts, genes, option, sentence):
    with pytest.raises(ScinnError, match=sentence):
        model.impute_chunks(counts, genes, **option)


def test_a_whole_array_of_genes_will_do(model, counts, genes, imputed):
    assert equal(model.impute(counts, np.array(genes)), imputed)
    assert equal(model.impute(counts, np.array(genes, dtype="S")), imputed)


def test_integers_are_exact_up_to_the_limit(model, counts, genes):
    X = counts.copy()
    X[0, 0] = 2**24
    assert model.impute(X, genes)[0, 0] == 2**24


@pytest.mark.parametrize("policy", ["keep", "denoise"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_second_run_gives_the_same_bytes(tiny, counts, genes, threads, policy):
    one, other = (scinn_infer.load(tiny, threads=threads).impute(counts, genes, policy=policy) for _ in range(2))
    assert equal(one, other)
