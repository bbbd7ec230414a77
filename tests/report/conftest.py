"""A browser that opens pages and forgives nothing, and the small data that they are made of."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scinn_infer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TINY = Path(__file__).parents[2] / "models" / "tiny.onnx"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync"),
)
DRAWN = "window.Bokeh && Bokeh.documents.length && Bokeh.documents.every(document => document.is_idle)"


@dataclass
class Opened:
    """A page in the browser, and everything that it did which it must not do."""

    page: object
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")  # open longer, it would be in the way of other tests that open one
def chromium() -> Iterator[object]:
    """A browser: the one that SCINN_TEST_BROWSER names, or one that is installed.

    Where there is none the test is skipped, or fails under SCINN_REQUIRE_BROWSER=1.
    """
    found = os.environ.get("SCINN_TEST_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if not found:
        reason = "no browser: install chromium and playwright, or name its executable in SCINN_TEST_BROWSER"
        (pytest.fail if os.environ.get("SCINN_REQUIRE_BROWSER") == "1" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_page(chromium) -> Callable[..., Opened]:
    """Open a page, and listen for whatever it must not do: errors, dialogs, requests."""

    def open_page(path: Path, *, width: int = 1200) -> Opened:
        page = chromium.new_page(viewport={"width": width, "height": 900})
        opened = Opened(page)
        complain = opened.complaints.append
        page.on("console", lambda said: said.type in ("error", "warning") and complain(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complain(f"error: {error}"))
        page.on("dialog", lambda dialog: (complain(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url != path.as_uri() and complain(f"request: {request.url[:200]}"))
        page.goto(path.as_uri())
        page.wait_for_function(DRAWN)
        return opened

    return open_page


def counts(cells: int, *, seed: int = 0) -> np.ndarray:
    """Counts that resemble what the tiny model was trained on."""
    random = np.random.default_rng(seed)
    mean = np.array(scinn_infer.load(TINY).info.training_data.gene_mean)
    return random.poisson(mean * random.gamma(8, 0.125, (cells, 1)).clip(0.2)).astype(np.float32)


@pytest.fixture(scope="session")
def tiny() -> Path:
    return TINY


SAMPLE_PIXELS = """
() => {
  const canvases = [];
  const search = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (element.tagName === "CANVAS" && element.width > 0) canvases.push(element);
      if (element.shadowRoot) search(element.shadowRoot);
    }
  };
  return [...document.querySelectorAll(".plot")].map((plot) => {
    canvases.length = 0;
    search(plot);
    const colours = new Set();
    let pixels = 0, coloured = 0;
    for (const canvas of canvases) {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      for (let place = 0; place < data.length; place += 4 * 3) {
        const colour = (data[place] << 16) | (data[place + 1] << 8) | data[place + 2];
        pixels += 1;
        if (data[place + 3] === 0 || colour === 0xffffff) continue;
        coloured += 1;
        colours.add(colour);
      }
    }
    return [colours.size, coloured / pixels];
  });
}
"""


@dataclass(frozen=True)
class Drawn:
    """How many colours a plot shows (blank: none; empty axes: few), and what share of it is not white."""

    colours: int
    filled: float


@pytest.fixture(scope="session")
def look() -> Callable[[Opened], list[Drawn]]:
    """Look at every plot of a page, once: chromium warns of whoever reads a canvas again and again."""
    return lambda opened: [Drawn(*found) for found in opened.page.evaluate(SAMPLE_PIXELS)]


@pytest.fixture(scope="session")
def make_counts() -> Callable[..., np.ndarray]:
    return counts
