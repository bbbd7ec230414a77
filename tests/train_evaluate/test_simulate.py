from dataclasses import replace
from itertools import pairwise

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from scinn_infer import ScinnError
from scinn_train.simulate import SimulationConfig, simulate_tissue, write_simulated

SMALL = SimulationConfig(cells_per_batch=(40, 30, 20), genes=200, types_per_lineage=(2, 3))


def gene_statistics(X):
    """Mean, variance and zero fraction of each gene that is expressed."""
    X = X.toarray().astype(float)
    X = X[:, X.any(axis=0)]
    return X.mean(axis=0), X.var(axis=0), (X == 0).mean(axis=0)


def by_mean(mean, value, edges=(0.03, 0.1, 0.3, 1.0, 3.0)):
    """Median of a gene statistic in each class of mean expression."""
    return np.array([np.median(value[(low < mean) & (mean <= high)]) for low, high in pairwise(edges)])


def spread(X):
    depth = X.sum(axis=1).A1
    return np.quantile(depth, 0.95) / np.quantile(depth, 0.05)


def test_holds_counts_their_expectation_and_what_each_cell_is():
    tissue = simulate_tissue(SMALL)
    truth = tissue.layers["truth"]
    assert sp.issparse(tissue.X)
    assert tissue.X.format == "csr"
    assert tissue.X.dtype == truth.dtype == np.float32
    assert tissue.shape == truth.shape == (90, 200)
    assert (tissue.X.data == np.round(tissue.X.data)).all()
    assert (truth >= 0).all()
    assert tissue.obs["batch"].value_counts(sort=False).to_dict() == {"batch1": 40, "batch2": 30, "batch3": 20}
    assert set(tissue.obs["label"]) == {"A1", "A2", "B1", "B2", "B3"}
    assert (tissue.obs["label"].str[0] == tissue.obs["lineage"]).all()
    assert tissue.obs_names.is_unique
    assert tissue.var_names.is_unique
    assert (tissue.var["marker"] == (tissue.var["marker_of"] != "")).all()


def test_the_truth_is_the_mean_of_the_counts(tissue):
    depth, true_depth = tissue.X.sum(axis=1).A1, tissue.layers["truth"].sum(axis=1)
    assert tissue.X.sum() / tissue.layers["truth"].sum() == pytest.approx(1, abs=0.01)
    assert np.corrcoef(np.log(depth), np.log(true_depth))[0, 1] > 0.95


def test_cells_have_noise_of_their_own_beyond_sampling(tissue):
    truth = tissue.layers["truth"].astype(float)
    excess = ((tissue.X.toarray() - truth) ** 2 - truth).mean(axis=0) / (truth**2).mean(axis=0)
    high, low = (truth.mean(axis=0) > 3), (truth.mean(axis=0) < 0.3) & (truth.mean(axis=0) > 0.1)
    assert 0.15 < np.median(excess[high]) < 0.4
    assert np.median(excess[low]) > 2 * np.median(excess[high])


def test_markers_mark(tissue):
    for cell_type in tissue.obs["label"].cat.categories:
        own = tissue.obs["label"] == cell_type
        marked = tissue.var["marker_of"].str.split(", ").map(lambda groups, name=cell_type: name in groups)
        truth = tissue.layers["truth"][:, marked]
        assert np.median(truth[own].mean(axis=0) / truth[~own].mean(axis=0)) > 1.5


def test_one_seed_one_tissue():
    first, again, other = simulate_tissue(SMALL), simulate_tissue(SMALL), simulate_tissue(replace(SMALL, seed=1))
    assert (first.X != again.X).nnz == 0
    assert np.array_equal(first.layers["truth"], again.layers["truth"])
    assert (first.obs == again.obs).all(axis=None)
    assert (first.X != other.X).nnz > 0


def test_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator is what is looked at
    simulate_tissue(SMALL)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_batches_differ_by_gene_and_by_depth(tissue):
    one, two = (tissue.layers["truth"][tissue.obs["batch"] == batch] for batch in ("batch1", "batch2"))
    assert np.median(two.sum(axis=1)) / np.median(one.sum(axis=1)) == pytest.approx(0.8, abs=0.1)
    share = [batch.mean(axis=0) / batch.mean(axis=0).sum() for batch in (one, two)]
    assert 0.15 < np.std(np.log(share[1] / share[0])) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_looks_like_droplet_data(seed):
    tissue = simulate_tissue(SimulationConfig(seed=seed))
    assert 0.85 < 1 - tissue.X.nnz / np.prod(tissue.shape) < 0.95
    for batch in ("batch1", "batch2"):
        assert 4 < spread(tissue[tissue.obs["batch"] == batch].X) < 10
    mean, variance, zero = gene_statistics(tissue[tissue.obs["batch"] == "batch1"].X)
    assert (np.diff(by_mean(mean, variance / mean)) > 0).all(), "noise is to exceed Poisson's, more so in high genes"
    assert (by_mean(mean, zero - np.exp(-mean)) > 0).all(), "more zeros than Poisson counts of that mean have"
    assert np.sort(mean)[-30:].sum() / mean.sum() > 0.25, "few genes are to take a large part of the depth"


@pytest.mark.data
def test_resembles_a_real_dataset(tissue, baron):
    batch = tissue[tissue.obs["batch"] == "batch1"]
    mean, variance, zero = gene_statistics(batch.X)
    real_mean, real_variance, real_zero = gene_statistics(baron.X)
    quantiles = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    np.testing.assert_allclose(zero.mean(), real_zero.mean(), atol=0.04)
    np.testing.assert_allclose(by_mean(mean, zero), by_mean(real_mean, real_zero), atol=0.06)
    np.testing.assert_allclose(
        by_mean(mean, np.log10(variance)), by_mean(real_mean, np.log10(real_variance)), atol=0.35
    )
    np.testing.assert_allclose(
        np.quantile(np.log10(mean), quantiles), np.quantile(np.log10(real_mean), quantiles), atol=0.5
    )
    np.testing.assert_allclose(np.diff(batch.X.indptr).mean(), np.diff(baron.X.indptr).mean(), rtol=0.35)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        *(("cells_per_batch", value, "whole numbers from 1 on") for value in ((), (10, 0), (1.5,), 5, None, "12")),
        *(("types_per_lineage", value, "whole numbers from 1 on") for value in ((2, -1), 3)),
        ("types_per_lineage", (1,) * 27, "26 numbers at most"),
        *(("genes", value, "a whole number from 1 on") for value in (0, 2.5, None)),
        *(("seed", value, "a whole number from 0 on") for value in (-1, 1.5)),
        ("programmes", 0.5, "a whole number from 0 on"),
        *(("rarity", value, "a finite number above 0") for value in (0.0, float("inf"))),
        *(("depth", value, "a finite number above 0") for value in (float("nan"), float("inf"), "900")),
        *(("batch_effect", value, "a finite number from 0 on") for value in (-1.0, float("inf"))),
    ],
)
def test_refuses_what_cannot_be_simulated(name, value, wanted):
    with pytest.raises(ScinnError, match=f"SimulationConfig: {name} is .*it has to be .*{wanted}"):
        SimulationConfig(**{name: value})


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("wrong", [{"depth": 1e30}, {"batch_depth": 1e300}, {"depth_spread": 1e3}])
def test_refuses_more_counts_than_can_be_drawn(wrong):
    with pytest.raises(ScinnError, match="more counts in an entry than can be drawn"):
        simulate_tissue(replace(SMALL, **wrong))


def test_numbers_of_numpy_and_lists_make_the_same_tissue():
    same = replace(SMALL, cells_per_batch=np.array([40, 30, 20]), types_per_lineage=[2, 3], genes=np.int64(200))
    assert same == SMALL
    assert type(same.genes) is int
    smallest = SimulationConfig(cells_per_batch=(5,), genes=9, programmes=0, batch_effect=0, noise=np.float32(1))
    assert simulate_tissue(smallest).shape == (5, 9)


# ----------------------------------------------------------------------------------------------------------- in a file


def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "tissue.h5ad"
    path.write_text("precious")
    with pytest.raises(ScinnError, match="exists already"):
        write_simulated(path, SMALL)
    assert path.read_text() == "precious"
    write_simulated(path, SMALL, overwrite=True)
    assert anndata.read_h5ad(path).shape == (90, 200)


@pytest.mark.parametrize("cells_at_once", [0, -1, 1.5])
def test_no_number_of_cells_at_once_leaves_a_broken_file(tmp_path, cells_at_once):
    with pytest.raises(ScinnError, match=r"cells_at_once is .*whole number from 1 on"):
        write_simulated(tmp_path / "tissue.h5ad", SMALL, cells_at_once=cells_at_once)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_folder_is_refused(tmp_path):
    with pytest.raises(ScinnError, match="there is no folder"):
        write_simulated(tmp_path / "no" / "tissue.h5ad", SMALL)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_simulation_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "tissue.h5ad"
    path.write_text("precious")
    with pytest.raises(ScinnError, match="than can be drawn"):
        write_simulated(path, replace(SMALL, batch_depth=1e300), cells_at_once=50, overwrite=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_there(tmp_path):
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of a file")
    path = tmp_path / "tissue.h5ad"
    path.write_text("precious")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(ScinnError, match="could not be written: File too large"):
            write_simulated(path, SMALL, cells_at_once=10, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
