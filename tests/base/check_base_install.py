"""The base install alone, at the oldest supported onnxruntime: run by ``make compat`` in an environment of its own.

Not a pytest module: that environment has nothing but what ``pip install scinn`` brings.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from scipy import sparse

import scinn_infer
from scinn_infer import store

HEAVY = ("torch", "onnx", "sklearn", "anndata", "h5py", "matplotlib")


def with_onnxruntime_only(path: str, X: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["imputed"], {"expression": X})[0]


def apply_by_name(name: str) -> str:
    model = scinn_infer.load(name)
    assert "site-packages" in str(model.path), "not the installed model"
    mean = np.array(model.info.training_data.gene_mean)
    X = np.random.default_rng(0).poisson(mean, (5, len(mean)))
    imputed = model.impute(X, model.genes)
    np.testing.assert_array_equal(imputed[X > 0], X[X > 0])
    np.testing.assert_allclose(with_onnxruntime_only(str(model.path), X.astype(np.float32)), imputed, rtol=1e-5)
    return name


def main(path: str) -> None:
    there = [name for name in HEAVY if importlib.util.find_spec(name)]
    assert not there, f"not a base install: {there}"
    assert "site-packages" in scinn_infer.__file__, "not the installed package"
    model = scinn_infer.load(path)
    X = np.random.default_rng(0).poisson(0.7, (37, len(model.genes))).astype(np.float32)
    dense = model.impute(X, model.genes)
    np.testing.assert_array_equal(dense, model.impute(sparse.csr_array(X), model.genes))
    np.testing.assert_array_equal(dense[X > 0], X[X > 0])
    assert np.isfinite(dense).all()
    assert (dense >= 0).all()
    np.testing.assert_allclose(with_onnxruntime_only(path, X), dense, rtol=1e-5)
    shipped = [apply_by_name(found.entry.name) for found in store.list_models()]
    assert shipped, "no model came with the package"
    print(f"found by name, and applied: {', '.join(shipped)}")
    versions = f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"
    print(f"base install: {len(X)} cells imputed, dense and sparse, as onnxruntime alone does ({versions})")


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()))
