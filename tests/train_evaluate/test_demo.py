import json
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest

from scinn_infer import ScinnError
from scinn_infer.cli import main_for
from scinn_train import demo_data
from scinn_train.cli import group
from scinn_train.demo import CONTENTS, run_demo
from scinn_train.simulate import SimulationConfig

SMALL = SimulationConfig(cells_per_batch=(180, 60), genes=300, types_per_lineage=(2, 1), depth=500)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return run_demo(folder=tmp_path_factory.mktemp("run") / "a" / "demo", threads=1, progress=False, simulation=SMALL)


def test_leaves_what_it_names(demo):
    assert demo.folder.name == "demo"
    assert {path.name for path in demo.folder.iterdir()} == set(CONTENTS)
    assert (demo.folder / "before_after.png").read_bytes().startswith(b"\x89PNG")


def test_trains_on_one_batch_and_imputes_the_other(demo):
    reference, new, imputed = (
        anndata.read_h5ad(demo.folder / name) for name in ("reference.h5ad", "new_batch.h5ad", "imputed.h5ad")
    )
    assert set(reference.obs["batch"]) == {"batch1"}
    assert "truth" not in reference.layers
    assert set(new.obs["batch"]) == {"batch2"}
    assert list(imputed.obs_names) == list(new.obs_names)
    observed = new.X.toarray()
    values = imputed.layers["scinn"]
    assert np.array_equal(values[observed != 0], observed[observed != 0])
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values[observed == 0] > 0).mean() > 0.5


def test_imputed_and_denoised_cells_are_closer_to_the_truth(demo):
    raw, gene_mean, imputed, denoised = (demo.truth[name] for name in ("raw", "gene mean", "imputed", "denoised"))
    # Filled zeros have the level of the kept values beside them, which these cells' own noise is part of.
    assert imputed.cellwise > raw.cellwise + 0.1
    assert imputed.genewise > max(raw.genewise, gene_mean.genewise)
    assert denoised.cellwise > max(raw.cellwise, gene_mean.cellwise, imputed.cellwise)
    assert denoised.genewise > imputed.genewise
    assert denoised.at_zeros > gene_mean.at_zeros


def test_results_hold_every_score(demo):
    results = json.loads((demo.folder / "results.json").read_text())
    assert results["reference"] == {"cells": 180, "genes": 300}
    assert results["new_batch"] == {"cells": 60, "genes": 300}
    assert results["correlation_with_truth"]["imputed"]["cellwise"] == demo.truth["imputed"].cellwise
    assert results["correlation_with_truth"]["raw"]["at_zeros"] is None
    assert results["cell_types"]["imputed"]["ARI"]["median"] == demo.comparison.imputed.scores["ARI"].median


def test_the_command_prints_one_document(demo, monkeypatch, capfd):
    monkeypatch.setattr("scinn_train.demo.run_demo", lambda *_, **__: demo)
    assert main_for(group, "scinn-train", ["demo", "--json"]) == 0
    shown, said = capfd.readouterr()
    assert json.loads(shown) == {
        "folder": str(demo.folder),
        **json.loads((demo.folder / "results.json").read_text()),
    }
    assert f"{demo.folder} holds:" in said
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("### `scinn-train demo --json`")[2].partition("###")[0]
    assert all(f"`{key}`" in section for key in json.loads(shown))


def test_the_command_prints_tables_and_is_else_quiet(demo, monkeypatch, capfd):
    monkeypatch.setattr("scinn_train.demo.run_demo", lambda *_, **__: demo)
    assert main_for(group, "scinn-train", ["demo", "--quiet"]) == 0
    shown, said = capfd.readouterr()
    assert "correlation with the truth" in shown
    assert said == ""


class TrainingReachedError(Exception):
    """Raised in place of a training, where only what comes before it is looked at."""


@pytest.fixture
def no_training(monkeypatch):
    import scinn_train

    def fit(*_, **__):
        raise TrainingReachedError

    monkeypatch.setattr(scinn_train, "fit", fit, raising=False)


def start(folder, **options):
    with pytest.raises(TrainingReachedError):
        run_demo(folder=folder, progress=False, simulation=SMALL, **options)


@pytest.mark.usefixtures("no_training")
def test_a_second_demo_loses_nothing(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()  # empty: it is taken
    start(folder)
    first = (folder / "reference.h5ad").stat().st_mtime_ns
    start(folder)
    start(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "demo-2", "demo-3"]
    assert (folder / "reference.h5ad").stat().st_mtime_ns == first


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", [".", "inner/.."])
def test_a_second_demo_goes_beside_this_folder(tmp_path, monkeypatch, name):
    here = tmp_path / "here"
    (here / "inner").mkdir(parents=True)
    monkeypatch.chdir(here)
    start(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "here-2"]
    assert [path.name for path in here.iterdir()] == ["inner"]
    assert (tmp_path / "here-2" / "reference.h5ad").is_file()


@pytest.mark.parametrize("name", ["/", "file"])
def test_looks_at_the_folder_before_anything_is_simulated(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    monkeypatch.setattr("scinn_train.demo.simulated", lambda _: pytest.fail("was simulated"))
    with pytest.raises(ScinnError, match="Give the name of a folder"):
        run_demo(folder=name, progress=False)


@pytest.mark.usefixtures("no_training")
def test_overwriting_keeps_other_files_and_drops_old_results(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / "results.json").write_text("of an earlier demo")
    start(tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "new_batch.h5ad", "reference.h5ad"]


def test_refuses_before_anything_is_written(tmp_path, capsys):
    arguments = ["demo", "--dataset", "gulam", "-o", str(tmp_path / "demo")]
    assert main_for(group, "scinn-train", arguments) == 2
    assert "goolam" in capsys.readouterr().err
    (tmp_path / "file").write_text("precious")
    assert main_for(group, "scinn-train", ["demo", "-o", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_told_in_a_sentence(tmp_path):
    """In a process of its own: HDF5 ends it with a segmentation fault where it writes to the disk itself."""
    pytest.importorskip("resource", reason="this system cannot limit the size of a file")
    code = (
        "import resource, sys; from scinn_infer.cli import main_for; from scinn_train.cli import group\n"
        "import matplotlib.font_manager, scinn_train.demo as demo, scinn_train.simulate as simulate\n"
        "small = simulate.SimulationConfig(cells_per_batch=(180, 60), genes=300)\n"
        "demo.SimulationConfig = lambda seed: small\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        f"sys.exit(main_for(group, 'scinn-train', ['demo', '--quiet', '-o', {str(tmp_path / 'demo')!r}]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "reference.h5ad could not be written: File too large" in run.stderr
    assert list((tmp_path / "demo").iterdir()) == []


def test_a_single_batch_cannot_be_split():
    with pytest.raises(ScinnError, match="two simulated batches"):
        demo_data.simulated(SimulationConfig(cells_per_batch=(30,), genes=50))


# ------------------------------------------------------------------------------------------- datasets of the catalogue


def catalogue(monkeypatch, **columns):
    """Stand in for a downloaded dataset of 100 cells."""
    adata = anndata.AnnData(np.ones((100, 5), np.float32))
    for name, values in columns.items():
        adata.obs[name] = values
    adata.layers["ref"] = adata.X.copy()
    monkeypatch.setattr("scinn_train.datasets.loading.load", lambda *_, **__: adata)
    return demo_data.from_catalogue("goolam", seed=0)


def test_the_last_batch_is_held_out(monkeypatch):
    data = catalogue(monkeypatch, label=["a", "b"] * 50, batch=["p1"] * 50 + ["p3"] * 20 + ["p2"] * 30)
    assert set(data.new.obs["batch"]) == {"p3"}
    assert set(data.reference.obs["batch"]) == {"p1", "p2"}
    assert data.title == "goolam, batch p3: 20 cells never seen in training"


def test_small_last_batches_are_held_out_together(monkeypatch):
    data = catalogue(monkeypatch, label=["a", "b"] * 50, batch=[f"run{cell // 4:02d}" for cell in range(100)])
    assert set(data.new.obs["batch"]) == {"run22", "run23", "run24"}
    assert data.title.startswith("goolam, 3 batches")


def test_one_batch_stays_to_train_on(monkeypatch):
    data = catalogue(monkeypatch, label=["a", "b"] * 50, batch=["p1"] * 95 + ["p2"] * 5)
    assert set(data.new.obs["batch"]) == {"p2"}


def test_the_batches_before_the_last_are_held_out_only_if_needed(monkeypatch):
    data = catalogue(monkeypatch, label=["a", "b"] * 50, batch=["p1"] * 42 + ["p2"] * 50 + ["p3"] * 8)
    assert set(data.new.obs["batch"]) == {"p2", "p3"}


def test_without_batches_each_type_is_split(monkeypatch):
    data = catalogue(monkeypatch, label=["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    assert data.new.obs["label"].value_counts().to_dict() == {"a": 18, "b": 9, "c": 3}
    assert not set(data.new.obs_names) & set(data.reference.obs_names)
    again = catalogue(monkeypatch, label=["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    assert list(again.new.obs_names) == list(data.new.obs_names)


def test_counts_before_down_sampling_are_the_truth(monkeypatch):
    data = catalogue(monkeypatch, label=["na"] * 100)
    assert data.truth_layer == "ref"
    assert "ref" in data.new.layers
    assert "ref" not in data.reference.layers
