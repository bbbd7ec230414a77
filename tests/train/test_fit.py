from __future__ import annotations

import gc
from dataclasses import replace
from types import SimpleNamespace

import anndata
import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import scinn_infer
import scinn_train
from scinn_infer.errors import ScinnWarning
from scinn_train import Config, ScinnError, losses, minibatch
from scinn_train.reference import prepare


def test_finds_the_planted_types_and_their_number(fitted, reference):
    _, _, types = reference
    assert fitted.clusters.shape == types.shape
    assert adjusted_rand_score(types, fitted.clusters) > 0.8
    assert 4 <= fitted.clusters.max() + 1 <= 6


def test_similarity_is_the_mean_pearson_correlation_and_higher_within_a_type(fitted, reference):
    _, _, types = reference
    everyone = np.arange(len(types))
    similarity = fitted.similarity(everyone, everyone)
    np.testing.assert_allclose(np.diag(similarity), 1, atol=1e-5)
    np.testing.assert_allclose(similarity, similarity.T, atol=1e-6)
    same = types[:, None] == types[None]
    assert similarity[same].mean() > similarity[~same].mean() + 0.3
    np.testing.assert_allclose(fitted.similarity([3, 5], [8]), similarity[[3, 5]][:, [8]], atol=1e-6)


def test_the_history_has_every_named_term_and_falls(fitted):
    first, last = fitted.history[0], fitted.history[fitted.best_epoch]
    assert set(first.training) == {"total", "clusters", "similarity", "neighbourhood", "masked"}
    assert last.held_out["neighbourhood"] < first.held_out["neighbourhood"]
    assert last.held_out["total"] == min(epoch.held_out["total"] for epoch in fitted.history)


def test_what_is_told_of_a_step_is_numbers_and_no_tensor_stays_of_it(fitted, reference, quick, monkeypatch):
    """Kept for each of thousands of minibatches, a tensor keeps its graph, or the memory that was freed around it."""
    import torch

    X, genes, _ = reference
    left, masked = [], losses.masked

    def watched(*arguments):
        if torch.is_grad_enabled():  # a step of the training, and not what is held out
            found = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor]
            left.append(sum(tensor.ndim == 0 or tensor.grad_fn is not None for tensor in found))
        return masked(*arguments)

    monkeypatch.setattr(losses, "masked", watched)
    config = replace(quick, module2=replace(quick.module2, epochs=2, fewest_steps=20))
    gc.collect()  # what other tests have left
    result = scinn_train.fit(X, genes, config=config, cell_map=fitted.cell_map)
    assert len(left) >= 20
    assert max(left[2:]) <= left[2]  # at the first step the optimiser has nothing yet
    told = [value for epoch in result.history for terms in (epoch.training, epoch.held_out) for value in terms.values()]
    assert {type(value) for value in told} == {float}


def test_new_cells_are_imputed_nearer_the_truth_than_raw_or_gene_means(fitted, new_batch, tmp_path):
    """The programme of the types is known, so that the expectation of each new cell is too."""
    counts, genes, types = new_batch
    programme = np.random.default_rng(7).gamma(0.6, 1.0, (4, counts.shape[1])) + 0.02
    raw = counts.toarray()
    truth = programme[types] / programme[types].sum(axis=1, keepdims=True) * raw.sum(axis=1, keepdims=True)
    fitted.export(tmp_path / "model.onnx")
    model = scinn_infer.load(tmp_path / "model.onnx")
    imputed, denoised = (model.impute(counts, genes, policy=policy) for policy in ("keep", "denoise"))
    shares = raw / raw.sum(axis=1, keepdims=True)
    gene_mean = np.where(raw > 0, raw, shares.mean(axis=0) * raw.sum(axis=1, keepdims=True))

    def error(matrix: np.ndarray) -> float:
        return float(((np.log1p(matrix) - np.log1p(truth))[raw == 0] ** 2).mean())

    assert error(denoised) < 0.5 * error(gene_mean) < error(raw)
    assert error(imputed) < error(gene_mean)  # at the level of observed values, which stand for more than they show


def test_the_same_run_makes_the_same_file_and_another_seed_another(reference, quick, fitted, tmp_path):
    X, genes, _ = reference
    fitted.export(tmp_path / "first.onnx")
    scinn_train.fit(X, genes, config=quick).export(tmp_path / "second.onnx")
    scinn_train.fit(X, genes, config=replace(quick, seed=1)).export(tmp_path / "third.onnx")
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    assert (tmp_path / "first.onnx").read_bytes() != (tmp_path / "third.onnx").read_bytes()


def test_global_random_state_and_threads_are_left_alone(reference, quick):
    import torch

    X, genes, _ = reference
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global state is what is watched
    before = (torch.get_rng_state().clone(), np.random.get_state()[1].copy(), torch.get_num_threads())  # noqa: NPY002
    scinn_train.fit(X[:60], genes, config=replace(quick, threads=1))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.get_num_threads() == before[2]


@pytest.mark.parametrize("form", ["dense", "csc", "coo", "int", "anndata", "layer"])
def test_every_form_of_the_same_matrix_gives_the_same_model(form, reference, quick, fitted):
    X, genes, _ = reference
    adata = anndata.AnnData(sparse.csr_matrix(X))
    adata.var_names = genes
    adata.layers["counts"] = adata.X.copy()
    match form:
        case "dense":
            result = scinn_train.fit(X.toarray(), genes, config=quick)
        case "csc":
            result = scinn_train.fit(sparse.csc_array(X), genes, config=quick)
        case "coo":
            result = scinn_train.fit(sparse.coo_array(X), genes, config=quick)
        case "int":
            result = scinn_train.fit(X.toarray().astype(np.int64), genes, config=quick)
        case "anndata":
            result = scinn_train.fit(adata, config=quick)
        case "layer":
            adata.X = adata.X * 0
            result = scinn_train.fit(adata, layer="counts", config=quick)
    assert result.info.training_data == fitted.info.training_data
    np.testing.assert_array_equal(result.clusters, fitted.clusters)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("form", ["unsorted", "explicit zeros", "duplicates"])
def test_the_callers_matrix_is_not_touched(dtype, form, reference, quick):
    X = reference[0].astype(dtype)
    match form:
        case "unsorted":
            rows = [slice(*X.indptr[row : row + 2]) for row in range(X.shape[0])]
            order = np.concatenate([np.arange(row.start, row.stop)[::-1] for row in rows])
            given = sparse.csr_matrix((X.data[order], X.indices[order], X.indptr), shape=X.shape)
        case "explicit zeros":
            given = sparse.csr_matrix(X)
            given.data[::5] = 0
        case "duplicates":
            given = sparse.csr_matrix((np.repeat(X.data, 2), np.repeat(X.indices, 2), X.indptr * 2), shape=X.shape)
    before = [array.copy() for array in (given.data, given.indices, given.indptr)]
    prepare(given, reference[1], config=quick)
    for array, copy in zip((given.data, given.indices, given.indptr), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_numpys_integers_can_configure(quick):
    config = replace(quick, seed=np.int64(3), clusters=np.int32(4))
    assert (type(config.seed), type(config.clusters)) == (int, int)


def test_quality_is_measured_on_cells_from_all_over_the_data(reference, quick, fitted, monkeypatch):
    X, genes, _ = reference
    dense, looked_at = minibatch.dense, []

    def watched(X, rows, device):
        looked_at.append(rows.tolist())
        return dense(X, rows, device)

    apart = SimpleNamespace(dense=watched, in_order=minibatch.in_order)
    monkeypatch.setattr("scinn_train.quality.minibatch", apart)  # the training has one of its own
    scinn_train.fit(X, genes, config=quick, cell_map=fitted.cell_map)
    (everyone,) = looked_at[:1]
    looked_at.clear()
    monkeypatch.setattr("scinn_train.quality._MOST_CELLS", 10)
    result = scinn_train.fit(X, genes, config=quick, cell_map=fitted.cell_map)
    assert result.info.quality["held_out_cells"] == len(looked_at[0]) == 10
    assert set(looked_at[0]) < set(everyone)
    assert looked_at[0] != everyone[:10]


def test_of_noise_nothing_can_be_predicted_and_no_more_is_claimed(quick):
    noise = np.random.default_rng(0).poisson(0.7, (200, 240))
    result = scinn_train.fit(noise, [f"g{number}" for number in range(240)], config=quick)
    assert result.info.quality["masked_deviance_explained"] < 0.005


def test_a_layer_of_an_array_is_refused(reference, quick):
    with pytest.raises(ScinnError, match="no AnnData"):
        scinn_train.fit(reference[0], reference[1], layer="counts", config=quick)


def test_cells_without_expression_are_said_left_out_and_keep_their_place(reference, quick):
    X, genes, _ = reference
    dense = X.toarray()[:80]
    dense[[0, 33]] = 0
    dense[40] = 0
    dense[40, 17] = 5
    dense[:40, 17] = dense[41:, 17] = 0  # a gene seen in one cell, and a cell with no other gene
    with pytest.warns(ScinnWarning, match=r"3 cell\(s\) have no expression"):
        result = scinn_train.fit(dense, genes, config=quick)
    assert list(np.flatnonzero(result.clusters < 0)) == [0, 33, 40]
    assert np.isnan(result.latent[[0, 33]]).all()
    assert not np.isnan(result.latent[1:33]).any()
    assert np.isnan(result.similarity([0], [5])).all()


def test_the_number_of_clusters_can_be_given(reference, quick):
    X, genes, _ = reference
    result = scinn_train.fit(X, genes, config=replace(quick, clusters=7))
    assert result.info.clusters == result.clusters.max() + 1 <= 7
    assert result.info.clusters >= 5


def test_a_fit_can_begin_with_the_cell_map_of_another(reference, quick, fitted, tmp_path):
    X, genes, _ = reference
    fitted.export(tmp_path / "first.onnx")
    again = scinn_train.fit(X, genes, config=quick, cell_map=fitted.cell_map)
    again.export(tmp_path / "second.onnx")
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    with pytest.raises(ScinnError, match="cell map is of 200 cells, the data has 80"):
        scinn_train.fit(X[:80], genes, config=quick, cell_map=fitted.cell_map)


def test_fixed_components_stay_and_others_are_trained(reference, quick, fitted):
    X, genes, _ = reference
    trained = replace(quick, module2=replace(quick.module2, fixed_components=False))
    result = scinn_train.fit(X, genes, config=trained, cell_map=fitted.cell_map)
    untouched = scinn_train.fit(
        X,
        genes,
        config=replace(quick, module2=replace(quick.module2, epochs=1, fewest_steps=1)),
        cell_map=fitted.cell_map,
    )
    np.testing.assert_array_equal(fitted._weights.components, untouched._weights.components)
    assert (fitted._weights.components != result._weights.components).any()


def test_tpm_is_used_as_it_is(reference, quick, tmp_path):
    X, genes, _ = reference
    dense = X.toarray()
    tpm = dense / dense.sum(axis=1, keepdims=True) * 1e6
    result = scinn_train.fit(tpm, genes, config=replace(quick, unit="tpm"))
    result.export(tmp_path / "model.onnx")
    model = scinn_infer.load(tmp_path / "model.onnx")
    imputed = model.impute(tpm, genes)
    np.testing.assert_array_equal(imputed[tpm > 0], tpm[tpm > 0])
    columns = [genes.index(gene) for gene in model.genes]
    np.testing.assert_allclose(imputed[:, columns], model.run(tpm[:, columns])["imputed"], rtol=1e-5)
    assert model._log_expression is not None
    assert result.info.unit == "tpm"
    assert result.info.capture_efficiency is None  # one TPM is not one molecule
    assert result.info.molecule_value > 0
    expected = scinn_infer.load(tmp_path / "model.onnx").impute(tpm, genes, policy="denoise")
    np.testing.assert_allclose(imputed[tpm == 0], expected[tpm == 0], rtol=1e-5)
    tpm[0] = 0
    nothing = anndata.AnnData(tpm)
    nothing.var_names = genes
    with pytest.warns(ScinnWarning, match="no expression"):
        scinn_infer.impute(nothing, scinn_infer.load(tmp_path / "model.onnx"))
    assert (nothing.layers["scinn"][0] == 0).all()


def test_the_paper_preset_is_the_published_objective_alone(reference, quick):
    paper = Config.preset("paper", seed=3)
    assert paper.seed == 3
    weights = paper.module2.weights
    assert (weights.clusters, weights.similarity, weights.neighbourhood, weights.masked) == (1, 1, 0, 0)
    X, genes, _ = reference
    result = scinn_train.fit(X, genes, config=replace(quick, module2=replace(quick.module2, weights=weights)))
    assert set(result.history[0].training) == {"total", "clusters", "similarity"}


def test_gene_ids_are_stored_without_their_version(reference, quick):
    X, genes, _ = reference
    ids = [f"ENSG{number:011d}.{number % 7}" for number in range(len(genes))]
    result = scinn_train.fit(X, genes, gene_ids=ids, config=quick)
    assert result.info.gene_ids[0] == ids[genes.index(result.genes[0])].split(".")[0]
