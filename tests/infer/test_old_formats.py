"""Files of earlier formats do what they did: ``old_models`` has one of each."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import scinn_infer
from scinn_infer import ScinnError
from scinn_infer.contract import FORMAT_VERSION

pytestmark = pytest.mark.filterwarnings("ignore:.*cells have no expression")  # of the one among the counts

FOLDER = Path(__file__).parent / "old_models"


@pytest.fixture(scope="module")
def format_1() -> scinn_infer.Model:
    return scinn_infer.load(FOLDER / "format_1.onnx", threads=1)


def test_there_is_a_file_of_each():
    files = {f"format_{number}.onnx" for number in range(1, FORMAT_VERSION)}
    assert {path.name for path in FOLDER.iterdir()} == files
    for number in range(1, FORMAT_VERSION):
        assert scinn_infer.load(FOLDER / f"format_{number}.onnx").info.format == number


def test_format_1_fills_with_what_is_expected(format_1, counts, genes):
    assert format_1.info.capture_efficiency is None
    network = format_1.run(counts, outputs=["imputed", "expected"])
    assert (network["imputed"] == np.where(counts == 0, network["expected"], counts)).all()
    kept = format_1.impute(counts, genes)
    assert (kept[counts != 0] == counts[counts != 0]).all()
    denoised = format_1.impute(counts, genes, policy="denoise")
    np.testing.assert_allclose(denoised, network["expected"], rtol=1e-5)
    assert (kept == np.where(counts == 0, denoised, counts)).all()


def test_format_1_has_no_denoised_output(format_1, counts):
    with pytest.raises(ScinnError, match=r"\['denoised'\]; choose from imputed, expected, cluster_probability"):
        format_1.run(counts, outputs=["denoised"])


def test_format_1_is_all_that_the_record_says(format_1, counts, genes):
    X = np.delete(counts, 3, axis=0).astype(np.float32)
    adata = anndata.AnnData(X, var=pd.DataFrame(index=genes))
    scinn_infer.impute(adata, format_1, policy="denoise")
    np.testing.assert_array_equal(adata.layers["scinn"], format_1.impute(X, genes, policy="denoise"))
    assert adata.uns["scinn"]["model"]["format"] == 1
    assert (adata.uns["scinn"]["policy"], adata.uns["scinn"]["output"]) == ("denoise", "expected")


def test_format_2_has_no_outputs_of_columns(counts):
    format_2 = scinn_infer.load(FOLDER / "format_2.onnx", threads=1)
    with pytest.raises(ScinnError, match="choose from imputed, expected, denoised, cluster_probability, embedding"):
        format_2.run(counts, outputs=["imputed_columns"])


def test_format_3_fills_as_format_2_did(counts, genes, results):
    format_2 = scinn_infer.load(FOLDER / "format_2.onnx", threads=1)
    for policy, result in results.items():
        np.testing.assert_array_equal(format_2.impute(counts, genes, policy=policy), result)


def test_a_file_that_only_says_that_it_is_of_format_3_is_refused():
    content = (FOLDER / "format_2.onnx").read_bytes()
    claim = content.replace(b"\x0cscinn.format\x12\x012", b"\x0cscinn.format\x12\x013")
    assert claim != content
    with pytest.raises(ScinnError, match="breaks the file contract: it has no 'columns' with a default"):
        scinn_infer.load(claim)


def test_a_file_that_only_says_that_it_is_of_format_2_is_refused(format_1):
    content = (FOLDER / "format_1.onnx").read_bytes()
    claim = content.replace(b"\x0cscinn.format\x12\x011", b"\x0cscinn.format\x12\x012")
    assert claim != content
    with pytest.raises(ScinnError, match="breaks the file contract: it has no 'denoised'"):
        scinn_infer.load(claim)
