"""``scinn-train datasets list | fetch``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest
from click.testing import CliRunner, Result

from scinn_infer.errors import ScinnError
from scinn_train.datasets import CATALOGUE, catalogue
from scinn_train.datasets.cli import datasets as group

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import UpstreamServer

    from scinn_train.datasets import Dataset


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def refusal(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, ScinnError), result.output
    return str(result.exception)


@pytest.fixture
def known(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The made-up dataset, as if the catalogue listed it."""
    monkeypatch.setattr(catalogue, "CATALOGUE", {**CATALOGUE, "tiny": tiny})
    return tiny


def test_the_list_has_a_line_for_each_dataset() -> None:
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *CATALOGUE]
    assert max(map(len, lines)) <= 140


def test_the_list_as_json_holds_the_whole_catalogue() -> None:
    records = json.loads(run("list", "--json").stdout)
    assert [record["name"] for record in records] == list(CATALOGUE)
    for record in records:
        entry = CATALOGUE[record["name"]]
        assert record["files"] == [{"url": file.url, "sha256": file.sha256} for file in entry.files]
        assert (record["unit"], record["licence"]) == (entry.unit, entry.licence)


def test_fetch_writes_a_whole_file(known: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "tiny.h5ad"
    result = run("fetch", "tiny", "-o", output)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr.startswith(f"{output}: 3 cells × 2 genes, UMI counts.")
    adata = anndata.read_h5ad(output)
    assert adata.X.toarray().tolist() == [[5, 0], [0, 2], [1, 0]]
    assert adata.uns["scinn_dataset"]["unit"] == "counts"
    assert [path.name for path in tmp_path.glob("*tiny*")] == ["tiny.h5ad"]


def test_the_output_is_named_after_the_dataset(known: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("fetch", "tiny").exit_code == 0
    assert (tmp_path / "tiny.h5ad").is_file()


def test_an_output_that_exists_is_refused_before_the_download(
    known: Dataset, tmp_path: Path, upstream: UpstreamServer
) -> None:
    output = tmp_path / "precious.h5ad"
    output.write_text("precious")
    assert "exists already. Choose another name, or give --overwrite" in refusal("fetch", "tiny", "-o", output)
    assert output.read_text() == "precious"
    assert upstream.requests == []
    assert run("fetch", "tiny", "-o", output, "--overwrite").exit_code == 0
    assert anndata.read_h5ad(output).n_obs == 3


def test_an_output_with_no_place_is_refused_before_the_download(
    known: Dataset, tmp_path: Path, upstream: UpstreamServer
) -> None:
    assert "is a folder" in refusal("fetch", "tiny", "-o", tmp_path, "--overwrite")
    assert "there is no folder" in refusal("fetch", "tiny", "-o", tmp_path / "no" / "tiny.h5ad")
    assert upstream.requests == []


def test_an_output_of_another_format_is_refused_before_the_download(
    known: Dataset, tmp_path: Path, upstream: UpstreamServer
) -> None:
    sentence = refusal("fetch", "tiny", "-o", tmp_path / "y.txt")
    assert "y.txt cannot be a .txt: what is written is an .h5ad file. Give it a name that ends in .h5ad." in sentence
    assert upstream.requests == []
    for name in ("tiny.H5AD", "tiny.h5", "tiny"):
        assert run("fetch", "tiny", "-o", tmp_path / name).exit_code == 0


def test_a_full_disk_leaves_the_old_file_and_nothing_else(known: Dataset, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of a file")
    output = tmp_path / "out" / "old.h5ad"
    output.parent.mkdir()
    output.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        sentence = refusal("fetch", "tiny", "-o", output, "--overwrite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{output} could not be written: File too large" in sentence
    assert output.read_text() == "old"
    assert list(output.parent.iterdir()) == [output]


def test_an_unknown_dataset_is_refused(tmp_path: Path) -> None:
    assert "There is no dataset 'golam' in the catalogue. Did you mean goolam" in refusal("fetch", "golam")


def test_a_failed_download_writes_nothing(known: Dataset, tmp_path: Path, upstream: UpstreamServer) -> None:
    upstream.fault = "404"
    assert "tiny: cannot get profile.txt" in refusal("fetch", "tiny", "-o", tmp_path / "tiny.h5ad")
    assert not (tmp_path / "tiny.h5ad").exists()


@pytest.mark.data
@pytest.mark.parametrize("name", ["saver_downsample_baron", "camp_fetal220"])
def test_a_real_dataset_survives_the_file(
    name: str,
    data_folder: Path,
    load_real: Callable[[str], anndata.AnnData],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCINN_DATA_MIRROR", str(data_folder))
    assert run("fetch", name, "-o", tmp_path / "real.h5ad").exit_code == 0
    written, loaded = anndata.read_h5ad(tmp_path / "real.h5ad"), load_real(name)
    for one, other in [(written.X, loaded.X), *((written.layers[key], loaded.layers[key]) for key in loaded.layers)]:
        assert one.dtype == np.float32
        assert (one != other).nnz == 0
    assert written.obs.equals(loaded.obs)
    assert written.var_names.equals(loaded.var_names)
