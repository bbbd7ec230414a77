import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quality import data
from scipy import sparse

COUNTS = np.random.default_rng(0).poisson(0.4, (60, 50))
LABELS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=80).map(np.array)


@given(share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_two_parts_add_up_to_all_molecules(share, seed):
    dataset = of(COUNTS)
    kept, rest = data.thinned(dataset, share, seed)
    assert ((kept.X + rest) != dataset.X).nnz == 0
    for part in (kept.X, rest):
        assert part.shape == dataset.X.shape
        assert part.dtype == np.float32
        assert (part.data > 0).all()  # neither a molecule of both parts nor a stored zero
        assert (part.data == part.data.round()).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_molecules_are_divided_independently_in_the_share_that_was_asked_for(make, share):
    count = 8
    kept, rest = data.thinned(make(np.full((300, 200), count)), share, 0)
    stays = kept.X.toarray()
    assert stays.mean() == pytest.approx(count * share, rel=0.005)
    assert stays.var() == pytest.approx(count * share * (1 - share), rel=0.03)  # of a binomial, not of a rounding
    assert rest.toarray().mean() == pytest.approx(count * (1 - share), rel=0.005)


def test_thinning_leaves_everything_else_as_it_was(make):
    counts = COUNTS.copy()
    counts[3] = counts[:, 5] = 0  # an empty cell and an empty gene keep their places
    labels, reference = np.repeat(["x", "y"], 30), sparse.csr_matrix(counts * 2.0)
    dataset = make(counts, labels=labels, reference=reference)
    kept, rest = data.thinned(dataset, 0.5, 0)
    assert (dataset.X.toarray() == counts).all()
    assert kept.X[3].nnz == kept.X[:, 5].nnz == rest[3].nnz == rest[:, 5].nnz == 0
    assert (kept.genes, kept.labels is labels, kept.reference is reference) == (dataset.genes, True, True)


def test_another_seed_is_another_division_and_the_same_one_the_same():
    first, again, other = (data.thinned(of(COUNTS), 0.9, seed)[1] for seed in (0, 0, 1))
    assert (first != again).nnz == 0
    assert (first != other).nnz > 0


@given(labels=LABELS, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_three_in_ten_cells_of_each_type_are_held_out(labels, seed):
    held = data.held_out(of(np.ones((len(labels), 1)), labels=labels), data.RANDOM, seed)
    assert held.shape == labels.shape
    assert held.dtype == bool
    for name in np.unique(labels):
        assert abs(held[labels == name].sum() - 0.3 * (labels == name).sum()) < 1


def test_without_types_three_in_ten_of_all_cells_are_held_out(make):
    assert data.held_out(make(COUNTS), data.RANDOM, 0).sum() == 18


def test_each_seed_holds_out_other_cells_and_every_cell_equally_often(make):
    dataset = make(COUNTS, labels=np.repeat(["many", "few"], [53, 7]))
    splits = np.array([data.held_out(dataset, data.RANDOM, seed) for seed in range(500)])
    assert len(np.unique(splits, axis=0)) == 500
    assert (splits[7] == data.held_out(dataset, data.RANDOM, 7)).all()
    assert splits.mean(axis=0) == pytest.approx(np.full(60, 0.3), abs=0.09)  # more than 4 standard errors


def test_a_held_out_batch_is_all_of_it_and_nothing_else(make):
    batches = np.array(["p1", "p2", "p3"])[np.arange(60) % 3]
    dataset = make(COUNTS, batches=batches)
    held = data.held_out(dataset, "p3", 0)
    assert (held == data.held_out(dataset, "p3", 1)).all()
    new, others = data.rows(dataset, held), data.rows(dataset, ~held)
    assert set(new.batches) == {"p3"}
    assert set(others.batches) == {"p1", "p2"}
    assert (new.X.toarray() == COUNTS[2::3]).all()
    assert len(new.batches) + len(others.batches) == 60


def test_a_part_of_the_cells_keeps_what_belongs_to_each(planted):
    index = np.array([5, 0, 7])
    part = data.rows(planted, index)
    assert (part.X.toarray() == planted.X.toarray()[index]).all()
    assert (part.reference.toarray() == planted.reference.toarray()[index]).all()
    assert part.labels.tolist() == planted.labels[index].tolist()
    assert part.batches is None


def test_no_dataset_is_both_tuned_on_and_confirmed_on():
    assert not set(data.TUNING) & set(data.CONFIRMATION)
    named = {*data.CLUSTER_SETS, *data.REFERENCE_SETS, *data.UMI_SETS, *data.BATCH_SPLITS}
    assert named <= {*data.TUNING, *data.CONFIRMATION}


def test_the_quick_part_has_cells_of_everywhere_and_the_genes_that_vary(make):
    counts = np.random.default_rng(0).poisson(1, (500, 450))
    counts[:, :50] = 1  # constant
    small = data._small(make(counts, labels=np.repeat(list("abcde"), 100), reference=sparse.csr_matrix(counts * 2)))
    assert small.X.shape == small.reference.shape == (200, 400)
    assert small.genes == tuple(f"g{gene}" for gene in range(50, 450))
    assert np.unique(small.labels, return_counts=True)[1].tolist() == [40] * 5
    assert (small.reference.toarray() == 2 * small.X.toarray()).all()


def of(counts, labels=None):
    """Return a dataset of counts, where hypothesis would not let a fixture make one."""
    X = sparse.csr_matrix(np.asarray(counts, dtype=np.float32))
    genes = tuple(f"g{gene}" for gene in range(X.shape[1]))
    return data.Dataset("planted", "counts", True, X, genes, labels, None, None)
