"""The site: it builds without a warning, every link leads somewhere, and it loads nothing from elsewhere."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import scinn_infer
import scinn_train

ROOT = Path(__file__).parents[2]
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
STYLE_LOADS = re.compile(r"""(?:@import\s+|url\()\s*["']?(?P<url>[^"')\s;]+)""")


class Page(HTMLParser):
    """What a page loads, which anchors it has, and where its links lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        if values.get(LOADS.get(tag, "")):
            self.loads.append(values[LOADS[tag]])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_is_built(site, pages):
    written = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.relative_to(site).with_suffix("") for path in pages} == written


def test_nothing_is_loaded_from_elsewhere(site, pages):
    loads = {url for page in pages.values() for url in page.loads}
    for path in site.rglob("*.css"):
        loads |= {match["url"] for match in STYLE_LOADS.finditer(path.read_text(encoding="utf-8"))}
    assert loads
    assert {url for url in loads if urlsplit(url).netloc} == set()


def test_what_is_loaded_is_there(pages):
    missing = {
        f"{path.name}: {url}"
        for path, page in pages.items()
        for url in page.loads
        if not (urlsplit(url).scheme or (path.parent / unquote(urlsplit(url).path)).exists())
    }
    assert missing == set()


def test_links_and_anchors_lead_somewhere(pages):
    broken = set()
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or parts.netloc:
                continue
            anchored = not parts.fragment or (target in pages and unquote(parts.fragment) in pages[target].anchors)
            if not target.exists() or not anchored:
                broken.add(f"{path.name}: {link}")
    assert broken == set()


def test_docstrings_are_rendered(pages):
    """Every public name is in the API reference, and no role of Sphinx is left as it was typed."""
    reference = [page for path, page in pages.items() if path.parent.name == "api"]
    names = {f"{module.__name__}.{name}" for module in (scinn_infer, scinn_train) for name in module.__all__}
    names -= {"scinn_infer.__version__", "scinn_train.__version__", "scinn_train.ScinnError"}
    assert names - set().union(*(page.anchors for page in reference)) == set()
    assert not any(re.search(r":(func|meth|class|mod|attr):", page.text) for page in reference)


def test_every_module_is_on_the_map():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    modules = {
        found.name.partition(".")[2]
        for package in (scinn_infer, scinn_train)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not found.ispkg
    }
    assert {module for module in modules if f"`{module}`" not in text} == set()
