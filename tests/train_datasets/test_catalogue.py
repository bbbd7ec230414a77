"""The catalogue: what every entry must hold, and what an unknown name is told."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scinn_infer.contract import UNITS
from scinn_infer.errors import ScinnError
from scinn_train import datasets

if TYPE_CHECKING:
    from pathlib import Path


def test_every_dataset_with_a_public_url_is_there() -> None:
    assert sorted(datasets.names()) == [
        "baron_h123_1000g",
        "camp_fetal220",
        "goolam",
        "klein_1000x900",
        "mouse_bladder_2100",
        "romanov_neurons845",
        "saver_downsample_baron",
        "saver_downsample_zeisel",
        "scmix_5cl_celseq2",
        "yan",
    ]


@pytest.mark.parametrize("entry", datasets.CATALOGUE.values(), ids=datasets.names())
def test_an_entry_is_pinned_by_commit_and_hash(entry: datasets.Dataset) -> None:
    for file in entry.files:
        assert re.fullmatch(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/\S+", file.url)
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    assert entry.unit in UNITS
    assert entry.licence
    assert "doi:" in entry.citation


@pytest.mark.data
def test_the_pins_are_those_of_the_provenance(data_folder: Path) -> None:
    with (data_folder / "PROVENANCE.tsv").open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["raw_url"]]
    stated = {(row["name"], row["raw_url"], row["sha256"]) for row in rows}
    pinned = {(entry.name, file.url, file.sha256) for entry in datasets.CATALOGUE.values() for file in entry.files}
    assert pinned == stated


@pytest.mark.parametrize(
    ("name", "guess"),
    [("golam", "goolam"), ("Yan", "yan"), ("camp", "camp_fetal220"), ("saver_zeisel", "saver_downsample_zeisel")],
)
def test_a_near_miss_is_told_what_was_meant(name: str, guess: str) -> None:
    with pytest.raises(ScinnError, match=f"no dataset '{name}'.* Did you mean [^?]*{guess}[^?]*\\?"):
        datasets.fetch(name)


@given(st.text().filter(lambda name: name not in datasets.CATALOGUE))
def test_any_unknown_name_is_told_all_names(name: str) -> None:
    with pytest.raises(ScinnError) as refusal:
        datasets.load(name)
    assert all(known in str(refusal.value) for known in datasets.names())


def test_importing_it_loads_nothing_heavy_and_makes_no_folder(tmp_path: Path) -> None:
    program = (
        "import sys; from scinn_train import datasets; assert datasets.names();"
        "print([name for name in ('torch', 'anndata', 'pandas', 'h5py', 'rdata', 'pooch') if name in sys.modules])"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "SCINN_CACHE": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert list(home.iterdir()) == []
