"""The page of an imputed batch: drawn by a real browser, alone with the file."""

from __future__ import annotations

import re
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer
import scinn_infer.report
from scinn_infer import ScinnError
from scinn_infer.apply import apply_file
from scinn_infer.cli import group, main_for
from scinn_infer.report import ReportRequest

HOSTILE = "<script>alert(1)</script>"
FORMULA = r"$$\alpha$$"
SECTIONS = [
    "Summary",
    "Genes",
    "The batch and the training data",
    "Cell by cell",
    "Cells before and after",
    "Genes before and after",
    "Zeros and values",
    "Provenance",
]


@pytest.fixture(scope="module")
def new(tiny, make_counts, tmp_path_factory):
    """A file of 300 cells with types; two genes, one cell and one type have hostile names."""
    genes = [*scinn_infer.load(tiny).genes, HOSTILE, FORMULA]
    X = np.hstack([make_counts(300), np.ones((300, 2), dtype=np.float32)])
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(299)] + [HOSTILE])
    obs["cell_type"] = pd.Categorical(np.resize(["alpha", FORMULA, '"><img src=x onerror=alert(1)>'], 300))
    path = tmp_path_factory.mktemp("files") / "new.h5ad"
    anndata.AnnData(sparse.csr_matrix(X), obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)
    return path


def apply(tiny, new, output, *options) -> int:
    arguments = ["apply", str(tiny), str(new), "-o", str(output), *map(str, options)]
    return main_for(group, "scinn-infer", arguments)


@pytest.fixture(scope="module")
def page(tiny, new, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    path = folder / "report.html"
    assert apply(tiny, new, folder / "out.h5ad", "--report", path, "--labels", "cell_type", "--quiet") == 0
    return path


@pytest.fixture(scope="module")
def wide(page, open_page):
    return open_page(page)


def test_is_drawn(wide, look):
    assert wide.page.locator("h2").all_inner_texts() == SECTIONS
    shown = look(wide)
    assert len(shown) == wide.page.locator("figure .plot").count() >= 20
    assert min(plot.colours for plot in shown) > 5
    assert all(wide.page.locator(".plot").nth(place).get_attribute("aria-label") for place in range(len(shown)))
    assert wide.complaints == []


def test_fits_a_narrow_screen(page, open_page, look):
    narrow = open_page(page, width=480)
    assert narrow.page.evaluate("document.documentElement.scrollWidth") <= 480
    assert min(plot.colours for plot in look(narrow)) > 5
    assert narrow.complaints == []


def test_is_complete_in_itself(page):
    text = page.read_text()
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # bokeh names addresses that it never asks for
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//|@import|url\(""", own)
    assert "default-src 'none'" in own
    assert page.stat().st_size < 4e6


def test_hostile_names_stay_text(wide):
    wide.page.locator("summary", has_text="extra genes").click()
    assert f"{HOSTILE}, {FORMULA}" in wide.page.inner_text("#genes")
    wide.page.locator("#cells-before-and-after .plot").first.scroll_into_view_if_needed()
    x, y = wide.page.evaluate(LAST_CELL)
    wide.page.mouse.move(x - 5, y)
    wide.page.mouse.move(x, y)
    wide.page.wait_for_function(f"({TOOLTIPS})().includes('{HOSTILE}')")
    assert "onerror" in wide.page.evaluate(TOOLTIPS)
    assert not [name for name in wide.page.evaluate(LEGEND) if name.startswith("$$")]
    assert wide.page.evaluate(f"({EVERYWHERE})('img, main script').length") == 0
    assert wide.complaints == []


def test_runs_no_script_but_its_own(page, tmp_path, open_page):
    """Should a name ever get into the page unescaped, its policy stops it."""
    path = tmp_path / "attacked.html"
    path.write_text(page.read_text().replace("<main", "<script>window.attacked = 1</script><main"))
    attacked = open_page(path)
    assert attacked.page.evaluate("window.attacked === undefined")
    assert "Content Security Policy" in attacked.complaints[0]


def test_a_click_on_a_legend_hides_a_group_on_both_sides(wide):
    x, y = wide.page.evaluate(FIRST_ENTRY)
    wide.page.mouse.click(x, y)
    assert wide.page.evaluate(VISIBLE) == [False, False]
    wide.page.mouse.click(x, y)
    assert wide.page.evaluate(VISIBLE) == [True, True]
    assert wide.complaints == []


def test_prints_on_several_pages(wide):
    printed = wide.page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 4
    assert wide.complaints == []


def test_says_what_was_typed_what_was_warned_of_and_what_was_found(tiny, new, tmp_path, capfd):
    adata = anndata.read_h5ad(new)[:, 15:].copy()  # a quarter of the model's genes is missing
    X = adata.X.toarray()
    X[4, :-2] = 0
    adata.X = X
    adata.write_h5ad(tmp_path / "less.h5ad")
    path = tmp_path / "a page.html"
    options = ("--report", path, "--policy", "denoise", "--report-genes")
    assert apply(tiny, tmp_path / "less.h5ad", tmp_path / "out.h5ad", *options, "GENE20,gene30") == 2
    assert "cannot show 'gene30'" in (refused := capfd.readouterr().err)
    assert "Is GENE30" in refused
    assert apply(tiny, tmp_path / "less.h5ad", tmp_path / "out.h5ad", *options, "GENE20, GENE30") == 0
    told, text = capfd.readouterr().err, path.read_text()
    assert "scinn-infer apply" in text
    assert "--report-genes &#39;GENE20, GENE30&#39;" in text
    assert "GENE30: denoised" in text
    for warning in ("1 of 300 cells have no expression in the model", "has only 75% of the model"):
        assert warning in told
        assert warning in text
    assert list(path.parent.glob("*.part")) == []


def test_refuses_before_anything_is_computed(tiny, new, tmp_path, monkeypatch, capfd):
    there = tmp_path / "there.html"
    there.write_text("precious")
    page = tmp_path / "r.html"
    cases = [
        (("--report", there), "exists already"),
        (("--report", new, "--overwrite"), "same file"),
        (("--report", tmp_path / "out.h5ad"), "would replace the result"),
        (("--report", tmp_path / "no" / "report.html"), "Make it first"),
        (
            ("--report", tmp_path / "r.txt"),
            f"the report {tmp_path / 'r.txt'} cannot be a .txt: what is written is a page",
        ),
        (("--report", page, "--labels", "type"), "has the columns: cell_type"),
        (("--report", page, "--report-genes", ",".join(map(str, range(30)))), "24 at most"),
        (("--report", page, "--labels", ""), "--labels names nothing"),
        (("--report", page, "--report-genes", " ,"), "--report-genes names nothing"),
        (("--labels", "cell_type"), "Name its file with --report"),
    ]
    for options, sentence in cases:
        assert apply(tiny, new, tmp_path / "out.h5ad", *options) == 2
        assert sentence in capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "bokeh", None)
    assert apply(tiny, new, tmp_path / "out.h5ad", "--report", page) == 2
    assert 'pip install "scinn[report]"' in capfd.readouterr().err
    assert there.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


@pytest.mark.parametrize("name", ["r.html", "r.HTM", "r"])
def test_a_page_may_be_called(tiny, new, tmp_path, name):
    assert apply(tiny, new, tmp_path / "out.h5ad", "--report", tmp_path / name, "--quiet") == 0
    assert (tmp_path / name).read_text().startswith("<!doctype html>")


def test_of_a_page_that_fails_it_is_said_that_the_result_was_written(tiny, new, tmp_path, monkeypatch, capfd):
    def fail(*_, **__):
        raise TypeError("nobody has thought of that")

    monkeypatch.setattr("scinn_infer.apply.write_apply_page", fail)
    out = tmp_path / "out.h5ad"
    assert apply(tiny, new, out, "--report", tmp_path / "r.html") == 2
    told = (
        f"{out} was written, but not the page about it: unexpected TypeError: nobody has thought of that. This is a bug"
    )
    assert told in capfd.readouterr().err
    assert out.exists()


@pytest.mark.parametrize("column", [[1, None], [True, None]])
def test_a_column_of_labels_with_missing_values_will_do(tiny, tmp_path, make_counts, column):
    labels = pd.array(column * 15, dtype="boolean" if column[0] is True else "Int64")
    obs = pd.DataFrame({"type": labels}, index=[f"cell{number}" for number in range(30)])
    var = pd.DataFrame(index=list(scinn_infer.load(tiny).genes))
    anndata.AnnData(sparse.csr_matrix(make_counts(30)), obs=obs, var=var).write_h5ad(tmp_path / "new.h5ad")
    page = tmp_path / "r.html"
    assert apply(tiny, tmp_path / "new.h5ad", tmp_path / "out.h5ad", "--report", page, "--labels", "type") == 0
    assert "not stated" in page.read_text(encoding="utf-8")


def test_does_not_change_the_result(tiny, new, tmp_path):
    model = scinn_infer.load(tiny, threads=1)
    apply_file(model, new, tmp_path / "with.h5ad", report=ReportRequest(path=tmp_path / "r.html"), batch_size=17)
    apply_file(model, new, tmp_path / "without.h5ad")
    assert (tmp_path / "with.h5ad").read_bytes() == (tmp_path / "without.h5ad").read_bytes()


def test_of_arrays_with_what_is_known_of_each_cell(tiny, tmp_path, make_counts, open_page, look):
    model, X = scinn_infer.load(tiny, threads=1), make_counts(120)
    result = model.impute(X, model.genes)
    quality = model.assess(X, model.genes)
    path = tmp_path / "arrays.html"
    scinn_infer.report.write(path, model, X, model.genes, result, quality=quality, labels=["a", "b"] * 60)
    opened = open_page(path)
    assert opened.page.locator("#cell-by-cell tbody tr").count() == len(np.unique(quality.cluster))
    unlike = np.mean(quality.drift > 0.95)
    assert f"{unlike:.1%} of the cells have a drift above" in opened.page.inner_text("#cell-by-cell")
    assert min(plot.colours for plot in look(opened)) > 5
    assert opened.complaints == []
    with pytest.raises(ScinnError, match="one for each of the 120 cells"):
        scinn_infer.report.write(tmp_path / "b.html", model, X, model.genes, result, labels=["a"])
    with pytest.raises(ScinnError, match="pass what model"):
        scinn_infer.report.write(tmp_path / "b.html", model, X, model.genes, result[:5])


def test_each_dot_of_the_profiles_has_its_own_gene_where_columns_are_summed(tiny, tmp_path, make_counts, open_page):
    model, X = scinn_infer.load(tiny, threads=1), make_counts(120)
    genes, X = [*model.genes, *model.genes[:3]], np.hstack([X, X[:, :3]])
    result = model.impute(X, genes, duplicates="sum")
    scinn_infer.report.write(tmp_path / "sums.html", model, X, genes, result, duplicates="sum")
    opened = open_page(tmp_path / "sums.html")
    shown = opened.page.evaluate(
        "[...Bokeh.documents[0]._all_models.values()].map((model) => model.data).filter((data) => data)"
        ".map((data) => data.get ? Object.fromEntries(data) : data).find((data) => data.training && data.gene).gene"
    )
    assert sorted(shown) == sorted(model.genes)
    assert opened.complaints == []


@pytest.mark.parametrize("cells", [1, 2, 6])
def test_of_hardly_any_cells(tiny, tmp_path, make_counts, open_page, cells):
    model, X = scinn_infer.load(tiny, threads=1), make_counts(cells)
    path = tmp_path / "few.html"
    scinn_infer.report.write(path, model, X, model.genes, model.impute(X, model.genes))
    assert open_page(path).complaints == []


def test_loads_bokeh_only_when_a_page_is_drawn():
    code = (
        "import sys, scinn_infer.apply, scinn_infer.report, scinn_infer.commands.apply; "
        "assert not {'bokeh', 'jinja2', 'sklearn', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


CELL_PLOTS = "Bokeh.documents[0].roots().filter((root) => root.renderers.some((each) => each.view.filter.group))"
LAST_CELL = f"""
() => {{
  const [plot] = {CELL_PLOTS};
  const view = Bokeh.index.find_one_by_id(plot.id);
  const {{ before_x, before_y }} = plot.renderers[0].data_source.data;
  const box = view.el.getBoundingClientRect();
  return [box.left + view.frame.x_scale.compute(before_x[299]), box.top + view.frame.y_scale.compute(before_y[299])];
}}
"""
FIRST_ENTRY = f"""
() => {{
  const [plot] = {CELL_PLOTS};
  const legend = Bokeh.index.find_one_by_id(plot.below.at(-1).id);
  const box = legend.el.getBoundingClientRect();
  return [box.left + 12, box.top + 10];
}}
"""
LEGEND = f"() => {CELL_PLOTS}.flatMap((plot) => plot.below.at(-1).items.map((item) => item.label.value))"
VISIBLE = f"() => {CELL_PLOTS}.slice(0, 2).map((plot) => plot.renderers[0].visible)"
EVERYWHERE = """
(pick) => {
  const found = [];
  const search = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.matches(pick)) found.push(element);
      if (element.shadowRoot) search(element.shadowRoot);
    }
  };
  search(document);
  return found;
}
"""
TOOLTIPS = f"""
() => ({EVERYWHERE})(".bk-tooltip-content").map((element) => element.textContent).join(" ")
"""
