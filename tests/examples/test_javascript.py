"""The example in JavaScript gives what ``scinn_infer`` gives, in Node and in a browser.

Without Node these tests are skipped, and fail where ``SCINN_REQUIRE_NODE`` is set to 1.
"""

from __future__ import annotations

import csv
import functools
import os
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import scinn_infer

NEEDED = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def folder(examples, tmp_path_factory) -> Path:
    """A copy of the example with what it needs installed, by npm and from its lock file."""
    if NEEDED and os.environ.get("SCINN_REQUIRE_NODE") != "1":
        pytest.skip(f"{' and '.join(NEEDED)} not installed")
    assert not NEEDED, "SCINN_REQUIRE_NODE is 1"
    copy = tmp_path_factory.mktemp("javascript") / "javascript"
    shutil.copytree(examples / "javascript", copy, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=copy, check=True, timeout=300)
    return copy


@pytest.fixture
def impute(folder, tiny, tmp_path):
    """Run the command on a table, given as text."""

    def run(table: str, model: Path = tiny) -> subprocess.CompletedProcess[str]:
        (tmp_path / "batch.csv").write_text(table)
        command = ["node", "impute.mjs", str(model), str(tmp_path / "batch.csv"), str(tmp_path / "imputed.csv")]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)

    return run


def as_table(X, genes, separator=",") -> str:
    rows = [["", *genes], *([f"cell{number}", *row] for number, row in enumerate(X.tolist()))]
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def from_table(text: str, separator=",") -> tuple[list[str], list[str], np.ndarray]:
    heading, *rows = csv.reader(text.splitlines(), delimiter=separator)
    return heading[1:], [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=np.float64)


def assert_same(values, batch, imputed) -> None:
    X, _ = batch
    assert (values[X != 0] == X[X != 0]).all()
    np.testing.assert_allclose(values, imputed, rtol=1e-5)
    assert (values[:, :-1] > 0).all()
    assert (values[:, -1] == X[:, -1]).all()


def test_node_gives_the_same(impute, batch, imputed, tmp_path):
    run = impute(as_table(*batch))
    assert run.returncode == 0, run.stderr
    assert "59 of the model's 60 genes" in run.stderr
    genes, cells, values = from_table((tmp_path / "imputed.csv").read_text())
    assert genes == batch[1]
    assert cells == [f"cell{number}" for number in range(130)]
    assert_same(values, batch, imputed)
    assert {path.name for path in tmp_path.iterdir()} == {"batch.csv", "imputed.csv"}


def test_a_gene_may_be_named_by_its_ensembl_id_and_a_file_be_of_format_1(impute, model, batch, tmp_path):
    old = Path(__file__).parents[1] / "infer" / "old_models" / "format_1.onnx"
    ids = dict(zip(model.genes, model.info.gene_ids, strict=True))
    names = [ids[gene] + ".7" if gene in ids else gene for gene in batch[1]]
    X = batch[0].astype(np.float64)
    X[0, 0] = 1234.567890123  # more digits than float32 holds
    run = impute(as_table(X, names, "\t"), old)
    assert run.returncode == 0, run.stderr
    _, _, values = from_table((tmp_path / "imputed.csv").read_text(), "\t")
    with pytest.warns(scinn_infer.ScinnWarning, match="not whole numbers"):
        expected = scinn_infer.load(old, threads=1).impute(X, names)
    assert_same(values, (X, names), expected)


REFUSED = {
    "no model": (lambda table: table, b"<html>404</html>", "is not an ONNX model"),
    "later format": (lambda table: table, (b"scinn.format\x12\x013", b"scinn.format\x12\x014"), "formats up to 3"),
    "another model": (lambda table: table, (b"scinn.format", b"other.format"), "not a scINN model"),
    "few genes": (lambda table: table.replace("GENE", "Gene"), None, "0 of the model's 60 genes"),
    "a gene twice": (lambda table: table.replace("GENE18,", "GENE10,", 1), None, "the gene GENE10 more than once"),
    "negative": (lambda table: table + "bad," + ",".join(["-1"] * 60), None, 'cell bad, gene GENE23: "-1" is not'),
    "missing": (lambda table: table + "bad," + "," * 59, None, 'cell bad, gene GENE23: "" is not'),
    "short": (lambda table: table + "bad,1,2", None, "cell bad has 2 values; the heading names 60 genes"),
    "logarithms": (lambda table: table + "bad" + ",0.5" * 60, None, "looks log-transformed"),
    "no cells": (lambda table: table.splitlines()[0], None, "no cells"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imputed_is_refused_in_a_sentence(impute, batch, tiny, tmp_path, case):
    change, content, sentence = REFUSED[case]
    path = tmp_path / "model.onnx"
    whole = tiny.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole.replace(*content) if content else whole)
    run = impute(change(as_table(*batch)), path)
    assert run.returncode == 2
    assert sentence in run.stderr
    assert run.stderr.splitlines()[-1].startswith("error: ")
    assert not list(tmp_path.glob("imputed.csv*"))


@pytest.fixture
def address(folder):
    """Where the folder is served, on the loopback interface only."""
    handler = functools.partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_gives_the_same_and_sends_nothing(address, batch, imputed, tiny, tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    (tmp_path / "batch.csv").write_text(as_table(*batch))
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked, problems = [], []
        page.on("request", lambda request: asked.append((request.method, request.url)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/browser.html")
        page.set_input_files("#model", tiny)
        page.set_input_files("#batch", tmp_path / "batch.csv")
        api.expect(page.locator("#status")).to_contain_text("130 cells imputed", timeout=60_000)
        with page.expect_download() as download:
            page.click("#download")
        text = Path(download.value.path()).read_text()
        shown = page.locator("td.filled").count()
        page.set_input_files("#batch", {"name": "no.csv", "mimeType": "text/csv", "buffer": b",GENE1\ncell,-1\n"})
        api.expect(page.locator("#status")).to_contain_text('error: cell cell, gene GENE1: "-1" is not', timeout=60_000)
        assert page.locator("td").count() == 0
        browser.close()
    assert_same(from_table(text)[2], batch, imputed)
    assert shown == int((batch[0][:20, :12] == 0).sum())
    ours = [url for method, url in asked if method == "GET" and url.startswith((address, f"blob:{address}"))]
    assert len(ours) == len(asked)
    assert [problem for problem in problems if "favicon" not in problem] == []
