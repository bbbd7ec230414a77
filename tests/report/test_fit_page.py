"""The page of a fit: drawn by a real browser, alone with the file."""

from __future__ import annotations

import re

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_train
from scinn_infer import ScinnError
from scinn_infer.cli import main_for
from scinn_train import Config, Module1Config, Module2Config
from scinn_train.cli import group

HOSTILE = ("<script>alert(1)</script>", r"$$\alpha$$")
SECTIONS = [
    "Summary",
    "Training",
    "Clusters and similarity",
    "Cells before and after",
    "Genes before and after",
    "Recovery of hidden entries",
    "Zeros and values",
    "Genes",
    "Provenance",
]
TYPES = 3


def tissue(cells: int, genes: int) -> anndata.AnnData:
    """Counts of a few planted types; the hostile names are those of genes that mark the first type."""
    random = np.random.default_rng(0)
    programme = np.random.default_rng(7).gamma(0.6, 1.0, (TYPES, genes)) + 0.02
    programme[:, :2] = [[20, 20], [0.1, 0.1], [0.1, 0.1]]
    types = np.arange(cells) % TYPES
    rate = programme[types] / programme[types].sum(axis=1, keepdims=True) * random.lognormal(6, 0.4, (cells, 1))
    var = pd.DataFrame(index=[*HOSTILE, *(f"Gene{number}" for number in range(2, genes))])
    obs = pd.DataFrame({"cell_type": pd.Categorical([f"type {label}" for label in types])})
    obs.index = obs.index.map("cell{}".format)
    return anndata.AnnData(sparse.csr_matrix(random.poisson(rate).astype(np.float32)), obs=obs, var=var)


@pytest.fixture(scope="module")
def result() -> scinn_train.Result:
    quick = Config(
        threads=1,
        tissue="planted & simulated",
        module1=Module1Config(networks=2, snapshots=2, warmup_epochs=3, latent_epochs=8, most_clusters=5),
        module2=Module2Config(hidden=32, bottleneck=16, embedding=8, epochs=8, fewest_steps=150),
    )
    return scinn_train.fit(tissue(150, 120), config=quick)


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit.html"
    result.write_report(path, labels=tissue(150, 120).obs["cell_type"], labels_name="cell type", genes=HOSTILE)
    return path


@pytest.fixture(scope="module")
def wide(page, open_page):
    return open_page(page)


def test_is_drawn(wide, page, look):
    assert wide.page.locator("h2").all_inner_texts() == SECTIONS
    shown = look(wide)
    assert len(shown) == wide.page.locator("figure .plot").count() == 5 + 4 + 4 + 2 + 4 + 2 + 2 + 1
    assert min(plot.colours for plot in shown) > 5
    assert min(plot.filled for plot in shown[5:9]) > 0.2  # the heat maps
    assert f"{HOSTILE[0]}: imputed" in wide.page.inner_text("#genes-before-and-after")
    assert page.stat().st_size < 4e6
    assert wide.complaints == []


def test_fits_a_narrow_screen_and_prints(page, open_page, look):
    narrow = open_page(page, width=480)
    assert narrow.page.evaluate("document.documentElement.scrollWidth") <= 480
    assert min(plot.colours for plot in look(narrow)) > 5
    assert len(re.findall(rb"/Type\s*/Page\b", narrow.page.pdf(prefer_css_page_size=True))) >= 4
    assert narrow.complaints == []


def test_tells_what_the_result_holds(wide, result):
    quality, text = result.info.quality, wide.page.inner_text("main")
    assert f"correlation of {quality['masked_correlation']:.3f}" in text
    assert f"gene's mean alone reaches {quality['gene_mean_correlation']:.3f}" in text
    assert f"epoch {result.best_epoch + 1} of {len(result.history)}" in text
    assert result.info.training_data.sha256 in text
    cells = wide.page.locator("#clusters-and-similarity tbody tr td:nth-child(2)").all_inner_texts()
    assert [int(count) for count in cells] == np.bincount(result.clusters).tolist()
    kept = [epoch.held_out["masked"] for epoch in result.history][result.best_epoch]
    assert f"{kept:.4g}" in wide.page.inner_text("#training")


def test_the_entries_that_are_drawn_are_those_that_are_scored(result):
    recovery = result.recovery
    found = np.corrcoef(recovery.expected, recovery.observed)[0, 1]
    assert found == pytest.approx(result.info.quality["masked_correlation"], abs=1e-3)


def test_refuses_what_it_cannot_show(result, tmp_path):
    with pytest.raises(ScinnError, match="one for each of the 150 cells"):
        result.write_report(tmp_path / "r.html", labels=["a"])
    with pytest.raises(ScinnError, match="Is Gene17 or"):
        result.write_report(tmp_path / "r.html", genes=["GENE17"])
    with pytest.raises(ScinnError, match=r"r\.pdf cannot be a \.pdf"):
        result.write_report(tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []


def test_from_the_command_line(tmp_path, capsys, open_page):
    reference, model, page = (tmp_path / name for name in ("reference.h5ad", "model.onnx", "fit.html"))
    tissue(60, 40).write_h5ad(reference)

    def fit(*options: object) -> int:
        arguments = ["fit", reference, "-o", model, "--threads", 1, *options]
        return main_for(group, "scinn-train", [str(argument) for argument in arguments])

    cases = [
        (("--report", model), "would replace the result"),
        (("--report", tmp_path / "r.txt"), "cannot be a .txt: what is written is a page of HTML. Give it a name"),
        (("--report", page, "--report-genes", "Gene1"), "cannot show 'Gene1'"),
        (("--report", page, "--labels", "type"), "has the columns: cell_type"),
        (("--report-genes", "Gene2"), "Name its file with --report"),
    ]
    for options, sentence in cases:
        assert fit(*options) == 2
        assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["reference.h5ad"]
    assert fit("--report", page, "--labels", "cell_type", "--quiet") == 0
    opened = open_page(page)
    assert "scinn-train fit" in opened.page.inner_text("#provenance")
    assert "most common cell_type" in opened.page.inner_text("#clusters-and-similarity")
    assert opened.complaints == []
