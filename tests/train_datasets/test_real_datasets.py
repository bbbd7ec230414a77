"""Every dataset of the catalogue, really downloaded, verified and read, against an independent reading."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from scinn_train import datasets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata

pytestmark = pytest.mark.data


@pytest.fixture(params=datasets.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def adata(name: str, load_real: Callable[[str], anndata.AnnData]) -> anndata.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_real(name)


@pytest.fixture
def expected(name: str, data_folder: Path) -> dict[str, Any]:
    return json.loads((data_folder / "EXPECTED.json").read_text(encoding="utf-8"))[name]


def test_the_values_are_the_expected_ones(adata: anndata.AnnData, expected: dict[str, Any]) -> None:
    assert adata.shape == (expected["cells"], expected["genes"])
    assert round(1 - adata.X.nnz / np.prod(adata.shape), 6) == expected["zero_fraction"]
    assert float(adata.X.sum()) == expected["sum"]
    assert float(adata.X.max()) == expected["max"]


def test_the_annotation_is_the_expected_one(adata: anndata.AnnData, expected: dict[str, Any]) -> None:
    counts = {column: adata.obs[column].value_counts().to_dict() for column in adata.obs}
    assert counts.get("label") == expected["labels"]
    assert counts.get("batch") == expected["batches"]
    assert adata.var_names[:3].tolist() == expected["first_genes"]
    assert adata.obs_names[:2].tolist() == expected["first_cells"]
    assert list(adata.layers) == expected["layers"]


def test_the_matrix_is_plain(adata: anndata.AnnData) -> None:
    for matrix in (adata.X, *adata.layers.values()):
        assert isinstance(matrix, sp.csr_matrix)
        assert matrix.dtype == np.float32
        assert matrix.has_canonical_format
        assert np.all(matrix.data > 0)
    if adata.uns["scinn_dataset"]["unit"] == "counts":
        assert np.array_equal(adata.X.data, np.round(adata.X.data))
    assert all(adata.obs[column].dtype == "category" for column in adata.obs)


def test_the_catalogue_tells_the_truth(name: str, adata: anndata.AnnData) -> None:
    entry = datasets.CATALOGUE[name]
    assert adata.shape == (entry.cells, entry.genes)
    assert ("batch" in adata.obs) == (entry.batches is not None)
    about = adata.uns["scinn_dataset"]
    assert (about["name"], about["unit"], about["licence"]) == (name, entry.unit, entry.licence)
    assert about["sha256"].tolist() == [file.sha256 for file in entry.files]
    assert about["url"].tolist() == [file.url for file in entry.files]


@pytest.mark.parametrize("name", ["saver_downsample_baron", "saver_downsample_zeisel"], indirect=True)
def test_the_reference_belongs_to_the_same_cells_and_genes(adata: anndata.AnnData) -> None:
    sampled, reference = adata.X, adata.layers["ref"]
    assert reference.sum() > sampled.sum()
    assert sampled.multiply(reference > 0).sum() == sampled.sum()
    for axis in (0, 1):
        depths = [np.asarray(matrix.sum(axis=axis)).ravel() for matrix in (sampled, reference)]
        assert np.corrcoef(depths)[0, 1] > 0.7


@pytest.mark.parametrize("name", ["scmix_5cl_celseq2"], indirect=True)
def test_plates_keep_their_cells_apart(adata: anndata.AnnData) -> None:
    assert adata.obs_names.is_unique
    assert all(cell.startswith(f"{plate}_") for cell, plate in adata.obs["batch"].items())


@pytest.mark.parametrize("name", ["goolam"], indirect=True)
def test_labels_stand_beside_their_own_cells(adata: anndata.AnnData) -> None:
    stages = adata.obs["label"][adata.obs["label"].isin(["2cell", "4cell", "8cell"])]
    assert all(stage in cell for cell, stage in stages.items())
