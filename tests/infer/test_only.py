"""Some genes of a result, only its larger values, another precision: the same values as in the whole."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import scinn_infer
from scinn_infer import ScinnError, ScinnWarning

pytestmark = pytest.mark.filterwarnings("ignore:.*cells have no expression")  # of the one among the counts

OLD = sorted((Path(__file__).parent / "old_models").iterdir())


def models() -> dict[str, scinn_infer.Model]:
    tiny = Path(__file__).parents[2] / "models" / "tiny.onnx"
    return {path.stem: scinn_infer.load(path, threads=1) for path in [*OLD, tiny]}


MODELS = models()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("policy", ["keep", "denoise"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_chosen_genes_are_those_columns_of_the_whole(name, policy, counts, genes, data):
    extra = data.draw(st.integers(0, 3))
    names = data.draw(st.permutations([*genes[data.draw(st.integers(0, 20)) :], *(f"other{n}" for n in range(extra))]))
    X = counts[:, [genes.index(gene) if gene in genes else 0 for gene in names]].astype(
        data.draw(st.sampled_from(["int64", "float32", "float64"]))
    )
    only = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=8, unique=True))
    form = data.draw(st.sampled_from([np.asarray, sparse.csr_array, sparse.csc_matrix]))
    model = MODELS[name]
    with pytest.warns() if len(names) - extra < 48 else nullcontext():
        whole = model.impute(X, names, policy=policy)
        chosen = model.impute(form(X), names, policy=policy, only=only, batch_size=data.draw(st.integers(1, 250)))
    np.testing.assert_array_equal(chosen, whole[:, [names.index(gene) for gene in only]])
    assert chosen.dtype == whole.dtype


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("places", [slice(5), [3, 9, 20], [4, 3, 2]])
def test_observed_values_keep_all_their_digits(name, form, places, counts, genes):
    X = counts * 1.1000000000000001  # of which single precision holds half of the digits
    X[0, 0] = 100.3
    only = list(np.array(genes)[places])
    with pytest.warns(ScinnWarning, match="not whole numbers"):
        result = MODELS[name].impute(form(X), genes, only=only)
    observed = X[:, places]
    np.testing.assert_array_equal(result[observed > 0], observed[observed > 0])


def test_the_whole_is_not_computed_for_a_few_genes(model, counts, genes, monkeypatch):
    asked = set()
    run = model._session.run

    def watch(outputs, inputs, **given):
        results = run(outputs, inputs, **given)
        asked.update((tuple(inputs["columns"]), result.shape[1]) for result in results)
        return results

    monkeypatch.setattr(model._session, "run", watch)
    model.impute(counts, genes, only=[genes[7], genes[3]])
    assert asked == {((3, 7), 2)}
    part = model._session._get(["imputed_columns"])
    assert [node.name for node in part.runtime.get_outputs()] == ["imputed_columns"]


def test_copies_of_a_gene_share_its_value_also_where_one_alone_is_chosen(model, counts, genes):
    names = [*genes, genes[5], genes[9]]
    X = np.concatenate([counts, counts[:, [9]], counts[:, [5]]], axis=1)
    for policy in ("keep", "denoise"):
        whole = model.impute(X, names, duplicates="sum", policy=policy)
        for place in (5, 9):
            chosen = model.impute(X, names, duplicates="sum", policy=policy, only=[genes[2], genes[place]])
            both = [column for column, gene in enumerate(names) if gene == genes[place]]
            np.testing.assert_array_equal(chosen, whole[:, [2, *both]])


@pytest.mark.parametrize(
    ("only", "sentence"),
    [
        (["GENE7", "gene12"], "^X has no gene 'gene12'. Is GENE12"),
        (["Albumin", "Actb"], "^X has no gene 'Albumin', nor 1 more of those that are named"),
        ([], "no gene is named"),
        (["GENE7", "GENE7"], "the gene 'GENE7' is named twice"),
        ("GENE7", "^only is the text 'GENE7'; pass a list of names"),
        (b"GENE7", "^only is the text b'GENE7'"),
        (7, "^only is of type int; pass a list of names"),
    ],
)
def test_genes_that_cannot_be_chosen_are_refused(model, counts, genes, only, sentence):
    with pytest.raises(ScinnError, match=sentence):
        model.impute(counts, genes, only=only)


@pytest.mark.parametrize("policy", ["keep", "denoise"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_small_filled_values_stay_zero_and_nothing_observed_does(model, counts, genes, results, policy, form):
    X = counts * 0.25  # observed values below the limit
    whole = model.impute(X, genes, policy=policy, unit_checked=True)
    cut = model.impute(form(X), genes, policy=policy, unit_checked=True, min_value=0.3)
    np.testing.assert_array_equal(cut, np.where((X == 0) & (whole < 0.3), 0, whole))
    assert (cut[X == 0] == 0).any()
    assert ((cut > 0) & (cut < 0.3)).any()
    only = [genes[8], genes[1]]
    np.testing.assert_array_equal(
        model.impute(form(X), genes, policy=policy, unit_checked=True, min_value=0.3, only=only), cut[:, [8, 1]]
    )


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_filled_value_at_the_limit_stays(model, counts, genes, results, form):
    assert counts[0, 0] == 0
    limit = float(results["keep"][0, 0])
    cut = model.impute(form(counts), genes, min_value=limit)
    np.testing.assert_array_equal(cut, np.where((counts == 0) & (results["keep"] < limit), 0, results["keep"]))
    assert cut[0, 0] == results["keep"][0, 0]


def test_zeros_that_are_stored_are_filled_and_cut_as_others_are(model, counts, genes):
    stored = sparse.csr_array(counts + 1)
    stored.data -= 1
    assert stored.nnz == counts.size
    cut = model.impute(stored, genes, min_value=0.3)
    np.testing.assert_array_equal(cut, model.impute(counts, genes, min_value=0.3))
    assert (cut[3] == 0).all()
    assert ((cut == 0) & (counts == 0)).sum() > 60


def test_chosen_genes_may_come_in_any_sequence(model, counts, genes):
    expected = model.impute(counts, genes, only=["GENE7", "GENE3"])
    for only in (np.array(["GENE7", "GENE3"]), [b"GENE7", b"GENE3"], (name for name in ("GENE7", "GENE3"))):
        np.testing.assert_array_equal(model.impute(counts, genes, only=only), expected)


@pytest.mark.parametrize("min_value", [-1, np.nan, np.inf, "3", None, [1]])
def test_a_limit_that_is_none_is_refused(model, counts, genes, min_value):
    with pytest.raises(ScinnError, match="min_value is"):
        model.impute(counts, genes, min_value=min_value)


@pytest.mark.parametrize("dtype", [np.float16, np.dtype("float16"), "f2", "float16"])
def test_a_precision_may_be_named_as_numpy_does(model, counts, genes, results, dtype):
    half = model.impute(counts, genes, dtype=dtype)
    np.testing.assert_array_equal(half, results["keep"].astype(np.float16))
    assert half.dtype == "float16"


@pytest.mark.parametrize("dtype", ["fine", "float128", np.int8, "int8,,", 16, [1], str])
def test_a_precision_that_is_none_is_refused(model, counts, genes, dtype):
    with pytest.raises(ScinnError, match=r"^dtype is .*; it is float16, float32, float64\.$"):
        model.impute(counts, genes, dtype=dtype)


def test_precision(model, counts, genes, results):
    for policy, whole in results.items():
        half = model.impute(counts, genes, policy=policy, dtype="float16")
        np.testing.assert_array_equal(half, whole.astype(np.float16))
        wide = model.impute(counts, genes, policy=policy, dtype="float64")
        np.testing.assert_array_equal(wide, whole)
        assert (half.dtype, wide.dtype) == ("float16", "float64")


@pytest.mark.parametrize(
    "options", [{"dtype": "float32"}, {"dtype": "float16"}, {"min_value": 0.5}, {"only": ["GENE7"]}]
)
@pytest.mark.parametrize("cells", [20, 230])
def test_entries_in_any_order_are_left_in_theirs(model, counts, genes, options, cells):
    """Of a matrix that cannot be written to, so that whoever sorts it in place is found out."""
    X = sparse.csr_array(counts[:cells].astype(np.float64))
    backwards = sparse.csr_array((X.data[::-1].copy(), X.indices[::-1].copy(), X.indptr), shape=X.shape)
    sums = np.concatenate([[0], np.cumsum(np.diff(X.indptr)[::-1])])
    backwards.indptr = sums.astype(X.indptr.dtype)
    before = backwards.indices.copy()
    for part in (backwards.data, backwards.indices, backwards.indptr):
        part.flags.writeable = False
    result = model.impute(backwards, genes, **options)
    np.testing.assert_array_equal(result[::-1], model.impute(X, genes, **options))
    np.testing.assert_array_equal(backwards.indices, before)


def test_an_observed_value_that_a_precision_cannot_hold_is_refused(model, counts, genes):
    X = counts.copy()
    X[120, 4] = 2049
    with pytest.raises(ScinnError, match=r"2049 of cell 121 in gene 'GENE5' cannot be stored as float16 unchanged"):
        model.impute(X, genes, dtype="float16")
    assert model.impute(X, genes, dtype="float16", only=genes[5:8]).dtype == "float16"
    model.impute(X, genes, dtype="float16", policy="denoise")
    fine = counts.astype(np.float64) + (counts > 0) * 1e-12
    with pytest.raises(ScinnError, match="cannot be stored as float32 unchanged"):
        model.impute(fine, genes, dtype="float32", unit_checked=True)
    X[120, 4] = 3_000_000
    with pytest.raises(ScinnError, match="cannot be stored as float16"):
        model.impute(X, genes, dtype="float16", policy="denoise")
    with pytest.raises(ScinnError, match="dtype is 'int8'"):
        model.impute(X, genes, dtype="int8")


@pytest.mark.parametrize("columns", [[], [60], [-1], [1.5], [[1]]])
def test_columns_that_are_none_are_refused(model, counts, columns):
    with pytest.raises(ScinnError, match="columns has to be a list of positions from 0 to 59"):
        model.run(counts, outputs=["imputed_columns"], columns=columns)


def test_outputs_of_columns_have_a_default(model, counts):
    network = model.run(counts, outputs=["imputed", "imputed_columns"])
    np.testing.assert_allclose(network["imputed_columns"], network["imputed"][:, :1], rtol=1e-6)


@pytest.mark.parametrize("policy", ["keep", "denoise"])
def test_a_copy_that_is_chosen_alone_has_its_share(model, counts, policy):
    names = [f"{gene}.1" for gene in model.info.gene_ids]
    X, names = np.concatenate([counts, counts[:, [9]]], axis=1), [*names, names[9].replace(".1", ".2")]
    whole = model.impute(X, names, duplicates="sum", policy=policy)
    chosen = model.impute(X, names, duplicates="sum", policy=policy, only=[names[-1], names[3]])
    np.testing.assert_array_equal(chosen, whole[:, [60, 3]])
