"""The example for programs without scinn gives what ``scinn_infer`` gives, and imports nothing of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

CALL = """
import sys, numpy, embedded
batch = numpy.load("batch.npz")
imputed = embedded.impute(embedded.open_model(sys.argv[1]), batch["X"], list(batch["genes"]))
numpy.save("imputed.npy", imputed)
print(*{name.partition(".")[0] for name in sys.modules} & {"scinn_infer", "scinn_train", "scipy", "onnx", "torch"})
"""


def test_it_gives_the_same_with_onnxruntime_and_numpy_alone(examples, tiny, batch, imputed, tmp_path):
    X, genes = batch
    np.savez(tmp_path / "batch.npz", X=X, genes=genes)
    (tmp_path / "embedded.py").write_bytes((examples / "embedding" / "embedded.py").read_bytes())
    (tmp_path / "call.py").write_text(CALL)
    run = subprocess.run([sys.executable, "call.py", tiny], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == run.stderr == ""
    np.testing.assert_allclose(np.load(tmp_path / "imputed.npy"), imputed, rtol=1e-5)
