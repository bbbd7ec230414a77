"""The Snakemake pipeline is run as it stands, on files as users have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("snakemake", reason='pip install "scinn[examples]"')


@pytest.fixture
def folder(examples, tiny, tmp_path) -> Path:
    """A folder with the pipeline, the model that its configuration names, and no batches yet."""
    for file in ("Snakefile", "config.yaml"):
        shutil.copy(examples / "snakemake" / file, tmp_path)
    shutil.copy(tiny, tmp_path / "tissue.onnx")
    (tmp_path / "batches").mkdir()
    return tmp_path


def write(path: Path, X, genes) -> None:
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(len(X))])
    anndata.AnnData(X.astype(np.float32), obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "snakemake", "--cores", "4", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_every_batch_is_imputed_and_one_that_is_refused_fails_the_pipeline(folder, model, batch):
    X, genes = batch
    write(folder / "batches" / "one.h5ad", X, genes)
    write(folder / "batches" / "a second.h5ad", X[:50] * 20, genes)  # of a depth that deserves a look
    write(folder / "batches" / "mouse.h5ad", X, [gene.title() for gene in genes])
    run = snakemake(folder, "--keep-going")
    assert run.returncode == 1
    assert "rule impute" in run.stderr
    imputed = folder / "imputed"
    assert {path.name for path in imputed.iterdir()} == {
        "one.h5ad",
        "one.log",
        "a second.h5ad",
        "a second.log",
        "mouse.log",
    }
    assert "Verdict: fits." in (imputed / "one.log").read_text()
    assert "most likely it is of another depth or unit" in (imputed / "a second.log").read_text()
    assert "refused: " in (imputed / "mouse.log").read_text()
    assert "differ from the model's only in upper and lower case" in (imputed / "mouse.log").read_text()
    assert "scinn-infer: error" not in (imputed / "mouse.log").read_text()  # apply was not even begun
    for name, values in {"one": X, "a second": X[:50] * 20}.items():
        layer = anndata.read_h5ad(imputed / f"{name}.h5ad").layers["scinn"]
        np.testing.assert_allclose(layer, model.impute(values.astype(np.float32), genes), rtol=1e-6)


def test_a_folder_without_batches_is_no_success(folder):
    run = snakemake(folder)
    assert run.returncode != 0
    assert "batches has no .h5ad files" in run.stderr
