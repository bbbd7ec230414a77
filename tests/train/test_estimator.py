"""The trained transformer, held to scikit-learn's own checks and to what the rest of the package does."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import scinn_infer
import scinn_train
from scinn_train import Config, Module1Config, Module2Config, ScinnError, ScinnImputer
from scinn_train.hidden_genes import deviance_explained
from scinn_train.transforms import TRANSFORMS

TINY = Config(
    threads=1,
    min_cells=1,
    clusters=2,
    module1=Module1Config(networks=1, snapshots=1, warmup_epochs=1, latent_epochs=1, smallest_batch=64),
    module2=Module2Config(
        components=2, hidden=4, bottleneck=2, embedding=2, neighbours=3, epochs=1, fewest_steps=4, batch_size=64
    ),
)
"""Every step of a fit, on a matrix of a few columns, in a twentieth of a second."""

FEW_CELLS = {
    "check_n_features_in_after_fitting": "fits 15 cells, and training needs 20",
    "check_estimators_nan_inf": "fits 10 cells, and training needs 20",
    "check_estimators_dtypes": "fits 20 cells, one of which has no expression, and training needs 20 that have some",
}
"""What these look at is looked at below, on more cells."""

# Not among those for estimators of others, but what they hold is promised here.
NAMES_AND_CONTAINERS = (
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
)


def tiny(**parameters) -> ScinnImputer:
    return ScinnImputer(**{"config": TINY, "unit_checked": True} | parameters)


# The matrices of scikit-learn hold small fractions, which would rightly be taken for logarithms: unit_checked.
@pytest.mark.filterwarnings("ignore::scinn_infer.ScinnWarning")  # some have rows of zeros
@parametrize_with_checks([tiny()], expected_failed_checks=lambda _: FEW_CELLS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", NAMES_AND_CONTAINERS)
def test_scikit_learns_checks_of_names_and_containers(check):
    getattr(estimator_checks, check)("ScinnImputer", tiny())


@pytest.fixture(scope="module")
def imputer(reference, quick) -> ScinnImputer:
    X, genes, _ = reference
    return ScinnImputer(config=quick, genes=genes).fit(X)


@pytest.fixture(scope="module")
def frame(reference) -> pd.DataFrame:
    X, genes, _ = reference
    return pd.DataFrame(X.toarray()[:60, :40], columns=genes[:40], index=[f"cell{row}" for row in range(60)])


def test_is_the_fit_that_scinn_train_makes(imputer, fitted, reference, tmp_path):
    imputer.export(tmp_path / "imputer.onnx")
    fitted.export(tmp_path / "fitted.onnx")
    assert (tmp_path / "imputer.onnx").read_bytes() == (tmp_path / "fitted.onnx").read_bytes()
    np.testing.assert_array_equal(imputer.clusters_, fitted.clusters)
    np.testing.assert_array_equal(imputer.latent_, fitted.latent)
    assert imputer.history_ == fitted.history
    assert tuple(imputer.genes_) == fitted.genes == imputer.model_.genes
    assert list(imputer.get_feature_names_out()) == reference[1]
    with pytest.raises(ScinnError, match="exists"):
        imputer.export(tmp_path / "fitted.onnx")


@pytest.mark.parametrize("policy", ["keep", "denoise"])
@pytest.mark.parametrize("to", [np.array, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_transforms_as_the_exported_file_imputes(imputer, new_batch, tmp_path, policy, to, dtype):
    X = new_batch[0].toarray().astype(dtype)
    imputer.export(tmp_path / "model.onnx")
    expected = scinn_infer.load(tmp_path / "model.onnx", threads=1).impute(X, new_batch[1], policy=policy)
    same_fit = pickle.loads(pickle.dumps(imputer)).set_params(policy=policy)  # the policy is of transform alone
    result = same_fit.transform(to(X))
    assert result.dtype == expected.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert result.tobytes() == expected.tobytes()
    if policy == "keep":
        assert (result[X != 0] == X[X != 0]).all()


def test_a_pickle_is_the_same_transformer_without_the_training_cells(imputer, new_batch):
    content = pickle.dumps(imputer)
    again = pickle.loads(content)
    assert again.transform(new_batch[0]).tobytes() == imputer.transform(new_batch[0]).tobytes()
    assert again.score(new_batch[0]) == imputer.score(new_batch[0])
    assert len(content) < 2 * len(imputer._content)


def test_fractions_that_need_more_than_float32_come_back(imputer, new_batch):
    X = new_batch[0].toarray().astype(np.float64)
    X[X != 0] += 1 / 3
    X[0, 0] = 1000 / 3
    with pytest.warns(scinn_infer.ScinnWarning, match="not whole numbers"):
        result = imputer.transform(X)
    np.testing.assert_array_equal(result[X != 0], X[X != 0])


def test_in_a_pipeline_from_counts_to_clusters(imputer, reference, quick):
    X, genes, types = reference
    pipeline = make_pipeline(
        clone(imputer),
        FunctionTransformer(next(iter(TRANSFORMS.values())), feature_names_out="one-to-one"),
        PCA(10, random_state=0),
        KMeans(4, n_init=10, random_state=0),
    )
    clusters = pipeline.fit_predict(X)
    assert adjusted_rand_score(types, clusters) > 0.8
    np.testing.assert_array_equal(pipeline.predict(X), clusters)
    assert list(pipeline[:2].get_feature_names_out()) == genes


def test_a_grid_search_prefers_what_has_learnt_something(reference, quick):
    X, genes, _ = reference
    untrained = replace(quick.module2, epochs=1, fewest_steps=1)
    quick = replace(quick, module1=TINY.module1, module2=replace(quick.module2, fewest_steps=120))
    grid = {"config": [replace(quick, module2=untrained), quick]}
    search = GridSearchCV(ScinnImputer(genes=genes), grid, cv=2, refit=False).fit(X)
    worse, better = search.cv_results_["mean_test_score"]
    assert better > worse + 0.05
    assert search.best_params_ == {"config": quick}


def test_the_score_is_what_is_measured_on_held_out_cells(imputer, new_batch):
    score = imputer.score(new_batch[0])
    assert score == pytest.approx(imputer.model_.info.quality["masked_deviance_explained"], abs=0.05)
    order = np.random.default_rng(0).permutation(new_batch[0].shape[0])
    assert imputer.score(new_batch[0].toarray()[order]) == pytest.approx(score, abs=1e-6)


def test_the_score_of_what_cannot_be_predicted_is_not_above_zero(imputer):
    noise = np.random.default_rng(0).poisson(1, (100, 240))
    assert imputer.score(noise) < 0


def test_the_score_does_not_see_what_it_asks_for(imputer, new_batch):
    """A model that gives back what it is shown, and the mean elsewhere, explains nothing."""

    class Repeating:
        info, genes, match = imputer.model_.info, imputer.model_.genes, imputer.model_.match

        def run(self, expression, measured, outputs):
            mean = np.array(self.info.training_data.gene_mean, dtype=np.float32)
            level = expression.sum(axis=1, keepdims=True) / (mean @ measured)
            return {"expected": np.where(expression > 0, expression, level * mean)}

    assert deviance_explained(Repeating(), new_batch[0], new_batch[1]) == pytest.approx(0, abs=1e-6)


def test_the_score_leaves_out_cells_without_expression(imputer, new_batch):
    X = new_batch[0].toarray()
    empty = np.zeros((5, X.shape[1]), dtype=X.dtype)
    assert imputer.score(np.vstack([X, empty])) == pytest.approx(imputer.score(X), abs=1e-6)
    with pytest.raises(ScinnError, match="nothing that a hidden gene could be predicted from"):
        imputer.score(empty)


def test_a_data_frame_names_genes_and_comes_back_as_one(frame):
    imputer = tiny().set_output(transform="pandas")
    result = imputer.fit_transform(frame)
    assert list(result.columns) == list(frame.columns) == list(imputer.feature_names_in_)
    assert list(result.index) == list(frame.index)
    assert set(imputer.genes_) <= set(frame.columns)
    with pytest.raises(ScinnError, match="same order as they were in fit"):
        imputer.transform(frame[frame.columns[::-1]])


def test_columns_without_names_are_called_as_scikit_learn_does(frame):
    imputer = tiny(genes=None).fit(frame.to_numpy())
    assert list(imputer.get_feature_names_out()[:3]) == ["x0", "x1", "x2"]
    assert imputer.model_.genes[0].startswith("x")


def test_sparse_and_dense_give_one_model(frame):
    dense, compressed = (tiny().fit(to(frame.to_numpy())) for to in (np.array, sparse.csr_matrix))
    assert dense._content == compressed._content


def test_the_seed_is_read_as_scikit_learn_does(frame):
    def model(random_state, **parameters) -> bytes:
        return tiny(random_state=random_state, **parameters).fit(frame)._content

    assert model(3) == model(np.int64(3)) == model(None, config=replace(TINY, seed=3)) != model(4)
    assert model(np.random.RandomState(3)) == model(np.random.RandomState(3))
    one = np.random.RandomState(3)
    assert model(one) != model(one)
    first, second = (ScinnImputer()._config().seed for _ in range(2))
    assert first != second


def test_parameters_take_precedence_over_the_configuration():
    given = {"unit": "tpm", "clusters": 5, "threads": 2, "device": "cpu", "random_state": 7}
    config = ScinnImputer(config=TINY, capture_efficiency=0.3, **given)._config()
    assert (config.unit, config.clusters, config.threads, config.device, config.seed) == ("tpm", 5, 2, "cpu", 7)
    assert config.module2 == replace(TINY.module2, capture_efficiency=0.3)
    assert ScinnImputer(config=TINY)._config() == TINY
    assert ScinnImputer(config=TINY, capture_efficiency=None)._config().module2.capture_efficiency is None
    assert ScinnImputer(preset="paper", random_state=0)._config() == Config.preset("paper")


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"policy": "fill"}, "policy is 'fill'"),
        ({"preset": "quick", "config": None}, "no preset 'quick'"),
        ({"preset": "paper"}, "exclude each other"),
        ({"config": {"clusters": 2}}, "config is of type dict"),
        ({"capture_efficiency": "high"}, "capture_efficiency is 'high'"),
        ({"capture_efficiency": 2.0}, "capture_efficiency is 2.0"),
        ({"random_state": "first"}, "random_state is 'first'"),
        ({"unit": "cpm"}, "unit is 'cpm'"),
        ({"clusters": "3"}, "clusters is '3'"),
        ({"threads": "2"}, "threads is '2'"),
        ({"config": Config(counted="molecules"), "unit": "tpm"}, "unit 'tpm' and counted 'molecules' exclude"),
        ({"genes": ["GENE1"]}, "genes has 1 names, X has 40 columns"),
        ({"genes": [f"other{number}" for number in range(40)]}, "column 'Gene0' is 'other0' in genes"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_at_fit(frame, parameters, sentence):
    with pytest.raises(ScinnError, match=sentence):
        tiny(**parameters).fit(frame)


def test_logarithms_are_refused_unless_the_unit_is_known(frame):
    half = frame.to_numpy() / 2
    half[half > 20] = 20
    with pytest.raises(ScinnError, match="log-transformed"):
        tiny(unit_checked=False).fit(half)
    imputer = tiny().fit(half)
    np.testing.assert_array_equal(imputer.transform(half)[half > 0], half[half > 0])
    for method in ("transform", "score"):
        with pytest.raises(ScinnError, match="log-transformed"):
            getattr(imputer.set_params(unit_checked=False), method)(half)


@pytest.mark.parametrize("method", ["fit", "transform", "score"])
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (np.nan, "cell 3, gene Gene4: the value is missing"),
        (np.inf, "cell 3, gene Gene4: inf"),
        (-1, "Negative values in data passed to ScinnImputer. X: cell 3, gene Gene4: -1"),
    ],
)
def test_a_bad_value_is_named_with_its_cell_and_gene(frame, method, value, sentence):
    imputer = tiny().fit(frame)
    bad = frame.copy()
    bad.iloc[2, 4] = value
    with pytest.raises(ScinnError, match=sentence):
        getattr(imputer, method)(bad)


@pytest.mark.parametrize("method", ["transform", "score"])
def test_other_columns_than_those_of_the_fit_are_refused(frame, method):
    imputer = tiny().fit(frame.to_numpy())
    with pytest.raises(ScinnError, match="X has 39 features, but ScinnImputer is expecting 40 features"):
        getattr(imputer, method)(frame.to_numpy()[:, 1:])
    with pytest.raises(NotFittedError):
        getattr(tiny(), method)(frame)
    with pytest.raises(NotFittedError):
        tiny().export("model.onnx")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, object])
def test_every_type_of_number_is_read(frame, dtype):
    imputer = tiny().fit(frame.to_numpy().astype(dtype))
    assert imputer.transform(frame.to_numpy().astype(dtype)).shape == frame.shape


def test_too_few_cells_and_an_anndata_are_refused_with_advice(frame):
    import anndata

    with pytest.raises(ScinnError, match=r"X has 15 cell\(s\); training needs 20"):
        tiny().fit(frame[:15])
    with pytest.raises(ScinnError, match=r"genes=adata.var_names, or adata.to_df\(\)"):
        tiny().fit(anndata.AnnData(frame))


def test_is_imported_only_when_it_is_asked_for():
    assert scinn_train.ScinnImputer is ScinnImputer
    assert "ScinnImputer" in scinn_train.__all__
