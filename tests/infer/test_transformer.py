"""A model file as a transformer: one of scikit-learn's where that is installed, and the same without it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import scinn_infer
from scinn_infer import ScinnError, ScinnTransformer, contract
from scinn_train import graph
from scinn_train.capture import Capture

TINY = Path(__file__).parents[2] / "models" / "tiny.onnx"

GENES = 5


def small_model(prefix: str) -> scinn_infer.Model:
    """A model of a few genes, named as the columns of a matrix of scikit-learn's checks are.

    Those have 2 to 10 columns: it knows enough of them to be applied to each.
    """
    random = np.random.default_rng(0)
    gene_mean = np.ones(GENES)
    weights = {
        name: random.normal(scale=0.3, size=shape).astype(np.float32)
        for name, shape in {
            "components": (GENES, 2),
            "encoder_weight": (2, 4),
            "encoder_bias": (4,),
            "norm_weight": (4,),
            "norm_bias": (4,),
            "hidden_weight": (4, 3),
            "hidden_bias": (3,),
            "decoder_weight": (3, GENES),
            "decoder_bias": (GENES,),
            "embedding_weight": (GENES, 2),
            "embedding_bias": (2,),
            "cluster_weight": (2, 2),
            "cluster_bias": (2,),
        }.items()
    }
    of_genes = {"depth_share": gene_mean / GENES, "log_mean": np.log1p(gene_mean), "log_scale": gene_mean}
    weights |= {name: values.astype(np.float32) for name, values in of_genes.items()}
    spread = contract.Spread(1.0, 2.0, 3.0, 4.0, 5.0)
    info = contract.ModelInfo(
        genes=tuple(f"{prefix}{number}" for number in range(GENES)),
        unit="counts",
        clusters=2,
        training_data=contract.TrainingData(20, GENES, 0.5, spread, spread, tuple(gene_mean.tolist())),
        capture_efficiency=0.15,
    )
    model = graph.build(graph.NetworkWeights(target_depth=6.0, capture=Capture(efficiency=0.15), **weights), info)
    return scinn_infer.load(model.SerializeToString(deterministic=True), threads=1)


MODELS = {prefix: small_model(prefix) for prefix in ("x", "col", "col_")}  # x0, x1, …: columns without names

NAMES_AND_CONTAINERS = {  # not among the checks for estimators of others, but what they hold is promised here
    "check_dataframe_column_names_consistency": "col_",
    "check_get_feature_names_out_error": "x",
    "check_global_output_transform_pandas": "col",
    "check_set_output_transform": "x",
    "check_set_output_transform_pandas": "col",
    "check_transformer_get_feature_names_out": "x",
    "check_transformer_get_feature_names_out_pandas": "col",
}


# The matrices of scikit-learn hold small fractions, which would rightly be taken for logarithms: unit_checked.
@pytest.mark.filterwarnings("ignore::scinn_infer.ScinnWarning")  # the narrow ones lack genes of the model
@parametrize_with_checks([ScinnTransformer(MODELS["x"], unit_checked=True)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::scinn_infer.ScinnWarning")
@pytest.mark.parametrize(("check", "prefix"), NAMES_AND_CONTAINERS.items())
def test_scikit_learns_checks_of_names_and_containers(check, prefix):
    transformer = ScinnTransformer(MODELS[prefix], unit_checked=True)
    getattr(estimator_checks, check)("ScinnTransformer", transformer)


@pytest.fixture(scope="module")
def cells(counts) -> np.ndarray:
    """Counts without the cell that has none (cells × model genes)."""
    return np.delete(counts, 3, axis=0)


@pytest.mark.parametrize("policy", ["keep", "denoise"])
@pytest.mark.parametrize("to", [np.array, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_transforms_as_the_model_imputes(model, cells, policy, to, dtype):
    X = cells.astype(dtype)
    expected = model.impute(X, model.genes, policy=policy)
    transformer = ScinnTransformer(TINY, policy=policy, threads=1)
    for result in (transformer.transform(to(X)), transformer.fit(to(X)).transform(to(X))):
        assert result.dtype == expected.dtype
        assert result.tobytes() == expected.tobytes()
    if policy == "keep":
        assert (result[X != 0] == X[X != 0]).all()


@pytest.mark.parametrize("given", [TINY, str(TINY), TINY.read_bytes(), scinn_infer.load(TINY, threads=1)])
def test_takes_what_a_model_can_be_loaded_from(given, model, cells):
    result = ScinnTransformer(given, threads=1, batch_size=7).fit_transform(cells)
    assert result.tobytes() == model.impute(cells, model.genes).tobytes()


def test_genes_are_matched_by_name_in_any_order(model, cells):
    order = np.random.default_rng(0).permutation(60)[:50]  # a sixth of the genes is missing, another one is unknown
    genes = [*(model.genes[column] for column in order), "other"]
    X = np.hstack([cells[:, order], np.arange(len(cells))[:, None]])
    expected = model.impute(X, genes)
    frame = pd.DataFrame(X, columns=genes)
    named, framed = ScinnTransformer(model, genes=genes).fit(X), ScinnTransformer(model).fit(frame)
    assert named.transform(X).tobytes() == framed.transform(frame).tobytes() == expected.tobytes()
    assert named.match_.extra == framed.match_.extra == ("other",)
    assert list(named.get_feature_names_out()) == list(framed.get_feature_names_out()) == genes
    assert ScinnTransformer(model).transform(frame).tobytes() == expected.tobytes()


def test_columns_without_names_are_the_models_genes_where_there_are_as_many(model, cells):
    transformer = ScinnTransformer(model).fit(cells)
    assert tuple(transformer.get_feature_names_out()) == model.genes
    framed = transformer.set_output(transform="pandas").transform(cells)
    assert tuple(framed.columns) == model.genes
    with pytest.raises(ScinnError, match=r"tiny.onnx has 60 genes, and X has 59 feature\(s\) without names: name the"):
        ScinnTransformer(TINY).transform(cells[:, 1:])


def test_a_grid_search_compares_policies(model, cells):
    depth = cells.sum(axis=1)
    pipeline = make_pipeline(
        ScinnTransformer(TINY, threads=1), FunctionTransformer(np.log1p), LogisticRegression(max_iter=1000)
    )
    search = GridSearchCV(pipeline, {"scinntransformer__policy": ["keep", "denoise"]}, cv=2)
    search.fit(cells, depth > np.median(depth))
    kept, denoised = search.cv_results_["mean_test_score"]
    assert min(kept, denoised) > 0.8
    assert search.best_estimator_[0].policy == ("denoise" if denoised > kept else "keep")


def test_copies_and_pickles_do_the_same(model, cells):
    expected = model.impute(cells, model.genes).tobytes()
    for transformer in (ScinnTransformer(model), ScinnTransformer(TINY.read_bytes(), threads=1)):
        fitted = transformer.fit(cells)
        assert pickle.loads(pickle.dumps(fitted)).transform(cells).tobytes() == expected
        assert clone(fitted).transform(cells).tobytes() == expected


def test_is_not_changed_by_what_it_transforms(cells):
    transformer = ScinnTransformer(TINY)
    before = dict(vars(transformer))
    transformer.transform(cells)
    assert vars(transformer) == before


def frame_of(X, genes):
    return pd.DataFrame(X, columns=[f"other{gene}" for gene in genes])


@pytest.mark.parametrize(
    ("parameters", "change", "sentence"),
    [
        ({"policy": "fill"}, None, "policy is 'fill'"),
        ({"model": "nowhere.onnx"}, None, "nowhere.onnx is not there"),
        ({"genes": ["GENE1"]}, None, "genes has 1 names, X has 60 columns"),
        ({"genes": "GENE1"}, None, "genes is the text"),
        ({}, frame_of, "X has 0% of the model's 60 genes"),
        ({}, lambda X, genes: X * -1, "Negative values in data passed to ScinnTransformer. X: cell 1, gene GENE"),
        ({}, lambda X, genes: np.where(X > 5, np.nan, X), "gene GENE.*: the value is missing"),
        ({}, lambda X, genes: X[0], "Reshape your data"),
        ({}, lambda X, genes: X[:0], "0 sample"),
        ({}, lambda X, genes: np.log1p(X), "looks log-transformed"),
    ],
)
def test_what_cannot_be_imputed_is_refused(cells, genes, parameters, change, sentence):
    transformer = ScinnTransformer(**{"model": TINY} | parameters)
    X = cells.astype(float)
    with pytest.raises(ScinnError, match=sentence):
        transformer.transform(X if change is None else change(X, genes))


def test_what_looks_like_logarithms_is_taken_where_the_unit_is_known(model, cells):
    X = np.minimum(cells, 20) / 2
    transformer = ScinnTransformer(TINY, threads=1)
    for impute in (transformer.transform, lambda X: model.impute(X, model.genes)):
        with pytest.raises(ScinnError, match="looks log-transformed"):
            impute(X)
    result = transformer.set_params(unit_checked=True).transform(X)
    assert result.tobytes() == model.impute(X, model.genes, unit_checked=True).tobytes()
    chunks = model.impute_chunks([X[:50], X[50:]], model.genes, unit_checked=True)
    assert result.tobytes() == np.concatenate([block for _, block in chunks]).tobytes()
    np.testing.assert_array_equal(result[X != 0], X[X != 0])


WITHOUT = """
import pickle, sys
sys.modules["sklearn"] = None  # as if it were not installed
import numpy as np, pandas as pd
import scinn_infer
from scinn_infer import ScinnError, ScinnTransformer

def refused(call, words):
    try:
        call()
    except ScinnError as error:
        assert words in str(error), error
    else:
        raise AssertionError(words)

model, data, pickled, out = sys.argv[1:]
X = np.load(data)
transformer = ScinnTransformer(model, threads=1)
assert not [name for name in sys.modules if name.startswith("sklearn.")]
assert transformer.get_params() == {
    "model": model, "policy": "keep", "genes": None, "duplicates": "refuse", "threads": 1,
    "batch_size": None, "unit_checked": False
}
try:
    transformer.get_feature_names_out()
except AttributeError as error:
    assert "not fitted" in str(error)
result = transformer.fit_transform(X)
assert result.tobytes() == ScinnTransformer(model, threads=1).transform(X).tobytes()
assert result.tobytes() == transformer.fit(X, None).transform(X).tobytes()
with open(pickled, "rb") as file:
    assert result.tobytes() == pickle.load(file).transform(X).tobytes()  # one that was made with scikit-learn
genes = list(transformer.get_feature_names_out())
assert genes == list(transformer.model_.genes) == list(transformer.get_feature_names_out(genes))
refused(lambda: transformer.get_feature_names_out(genes[1:]), "not the names of the columns")
refused(lambda: transformer.transform(X[:, 1:]), "X has 59 features, but ScinnTransformer is expecting 60")
refused(lambda: transformer.transform(X[0]), "pass a numpy array")
refused(lambda: transformer.transform(-X), "Negative values")
refused(lambda: transformer.set_params(colour="red"), "no parameter 'colour'")
frame = pd.DataFrame(X, columns=genes)
framed = ScinnTransformer(model, threads=1).fit(frame)
assert list(framed.feature_names_in_) == genes
assert framed.transform(frame).tobytes() == result.tobytes()
refused(lambda: framed.transform(frame[genes[::-1]]), "should match those that were passed during fit")
denoised = transformer.set_params(policy="denoise").fit_transform(X)
np.save(out, np.stack([result, denoised]))
"""


def test_works_without_scikit_learn(model, cells, tmp_path):
    np.save(tmp_path / "cells.npy", cells)
    with (tmp_path / "fitted.pickle").open("wb") as file:
        pickle.dump(ScinnTransformer(model).fit(cells), file)
    files = [tmp_path / name for name in ("cells.npy", "fitted.pickle", "out.npy")]
    subprocess.run([sys.executable, "-c", WITHOUT, TINY, *files], check=True, timeout=60)
    expected = [model.impute(cells, model.genes, policy=policy) for policy in ("keep", "denoise")]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_copies_are_summed_when_asked_to(model, cells):
    names = [*list(model.genes)[:-1], model.genes[0]]
    with pytest.raises(ScinnError, match="more than once"):
        ScinnTransformer(model, genes=names).fit(cells)
    transformer = ScinnTransformer(model, genes=names, duplicates="sum")
    np.testing.assert_array_equal(
        transformer.fit_transform(cells), model.impute(cells, names, duplicates="sum"), strict=True
    )
