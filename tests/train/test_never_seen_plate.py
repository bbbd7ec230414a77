"""Train on two plates of the five-cell-line mixture, apply the file to the third: real cells, another batch."""

from __future__ import annotations

import numpy as np
import pytest

import scinn_infer
import scinn_train
from scinn_train.datasets import load
from scinn_train.evaluate import encode_types, kmeans_scores, principal_components
from scinn_train.transforms import log_depth

pytestmark = pytest.mark.data


def test_a_plate_never_seen(datasets_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("SCINN_DATA_MIRROR", str(datasets_folder))
    monkeypatch.setenv("SCINN_CACHE", str(tmp_path / "cache"))
    adata = load("scmix_5cl_celseq2")
    new = adata[adata.obs["batch"] == "p3"].copy()
    result = scinn_train.fit(adata[adata.obs["batch"] != "p3"].copy(), config=scinn_train.Config(threads=2))
    result.export(tmp_path / "model.onnx")
    scinn_infer.impute(new, scinn_infer.load(tmp_path / "model.onnx"))
    raw, imputed = new.X.toarray(), new.layers["scinn"]
    np.testing.assert_array_equal(imputed[raw > 0], raw[raw > 0])
    assert np.isfinite(imputed).all()
    assert (imputed >= 0).all()
    types = encode_types(new.obs["label"], cells=new.n_obs)
    before, after = (kmeans_scores(principal_components(log_depth(X)), types, seeds=[0]) for X in (raw, imputed))
    assert after["ARI"].median >= before["ARI"].median
