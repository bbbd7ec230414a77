"""What the pages and docstrings tell a reader to type is typed here, and has to do what they say it does."""

from __future__ import annotations

import doctest
import os
import pkgutil
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from code_blocks import blocks_of, commands_outside_of_fences
from run_page import agree

import scinn_infer
import scinn_train
from scinn_infer.threads import available_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("run_page.py")
PAGES = {str(path.relative_to(ROOT)): path for path in [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]}
NEEDS_DATA = re.compile(r"datasets\.(load|fetch)\(|datasets fetch|demo --dataset")

NOT_RUN = {
    "README.md": ["make demo", 'pip install -c constraints.txt ".[train]"'],
    "CONTRIBUTING.md": ["make test"],
    "docs/index.md": ["scinn-train fit reference.h5ad -o tissue.onnx --tissue pancreas --species human"],
    "docs/anywhere.md": ['pip install "scinn[anndata]" snakemake', "cd examples/javascript"],
    "docs/dask.md": ['pip install "scinn[anndata,dask]"'],
    "docs/tutorial-scanpy.md": ['pip install "scinn[train]" scanpy igraph'],
    "docs/start.md": ['pip install -c constraints.txt ".[train]"', "scinn-train demo"],
}
"""The first line of each block that is not run, page by page: a block gets in here when somebody has looked at it."""


def with_blocks(*, run: bool) -> list[str]:
    kinds = {"python", "doctest", "bash"} if run else {"not run"}
    return [
        name for name, path in PAGES.items() if any(block.kind in kinds for block in blocks_of(path.read_text("utf-8")))
    ]


@pytest.fixture(scope="session")
def runs(request, tmp_path_factory) -> Iterator[dict[str, Future[str]]]:
    """Run the pages that are asked for, a few at a time: most of their time goes into a single thread."""
    asked = [item.callspec.params["name"] for item in request.session.items if item.function is test_page_runs]
    with ThreadPoolExecutor(max_workers=available_threads()) as pool:
        yield {name: pool.submit(run, PAGES[name], tmp_path_factory.mktemp("page")) for name in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", with_blocks(run=True))
def test_page_runs(name, runs):
    if NEEDS_DATA.search(PAGES[name].read_text(encoding="utf-8")) and mirror() is None:
        pytest.skip("the page takes public data, and no mirror of it is here: SCINN_DATA_MIRROR names one")
    assert runs[name].result() == ""


def run(page: Path, folder: Path) -> str:
    """Run a page in a folder; return what went wrong."""
    environment = os.environ | {"COLUMNS": "80", "MPLBACKEND": "Agg", "NO_COLOR": "1"}
    environment["SCINN_CACHE"] = str(folder / ".cache")
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if found := mirror():
        environment["SCINN_DATA_MIRROR"] = found
    elif NEEDS_DATA.search(page.read_text(encoding="utf-8")):
        return "no data"
    (folder / "models").symlink_to(ROOT / "models")
    command = [sys.executable, str(RUNNER), str(page)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return f"{done.stdout}\n{done.stderr}" if done.returncode else ""


def mirror() -> str | None:
    """Return where the real data is, if it is anywhere near."""
    place = os.environ.get("SCINN_DATA_MIRROR") or str(ROOT.parent / "shared" / "datasets")
    return place if "://" in place or Path(place).is_dir() else None


def test_blocks_that_are_not_run_have_been_reviewed():
    found = {
        name: [block.first_line for block in blocks_of(PAGES[name].read_text("utf-8")) if block.kind == "not run"]
        for name in with_blocks(run=False)
    }
    assert found == NOT_RUN


@pytest.mark.parametrize("name", PAGES)
def test_commands_stand_in_fences(name):
    assert commands_outside_of_fences(PAGES[name].read_text(encoding="utf-8")) == []


def modules() -> list[str]:
    return [
        found.name
        for package in (scinn_infer, scinn_train)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ] + ["scinn_infer", "scinn_train"]


def docstring_examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = {"scinn_infer": scinn_infer, "scinn_train": scinn_train}
    return [test for name in modules() for test in finder.find(import_module(name), extraglobs=names) if test.examples]


@pytest.mark.parametrize("example", docstring_examples(), ids=lambda example: example.name)
def test_docstring_example(example, tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    told: list[str] = []
    assert runner.run(example, out=told.append).failed == 0, "".join(told)


PAGE = """
Text.

<!-- setup
hidden = 1
-->

```python
print(hidden)
```

```text title="output"
1
```

1. A list:

    ```bash
    echo done
    ```

<!-- not run: takes hours -->
```python
wait()
```

```js
console.log(1)
```

<!-- not run: too far from the block -->
Words.

```bash
false
```
"""


def test_blocks_are_found():
    assert [(block.kind, block.code.strip(), block.line) for block in blocks_of(PAGE)] == [
        ("python", "hidden = 1", 5),
        ("python", "print(hidden)", 9),
        ("output", "1", 13),
        ("bash", "echo done", 19),
        ("not run", "wait()", 24),
        ("bash", "false", 35),
    ]


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n", "line 6, in <module>"),
        ("```python\n>>> 1 + 1\n3\n```\n", "a doctest fails"),
        ("```bash\nfalse | true\n```\n", "exit code 1"),
        ('```bash\necho fits\n```\n\n```text title="output"\nrefused\n```\n', "what is printed is\nfits"),
    ],
)
def test_a_wrong_page_fails(tmp_path, page, complaint):
    (tmp_path / "page.md").write_text(page)
    done = subprocess.run(
        [sys.executable, RUNNER, "page.md"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert complaint in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("said", "printed", "agrees"),
    [
        ("ARI 0.76 (0.72–0.77)", "ARI  0.74 (0.70–0.78)\n", True),
        ("ARI 0.76", "ARI 0.56", False),
        ("ARI 0.76", "NMI 0.76", False),
        ("1,200 cells, ... s", "1,150 cells, 3.4 s", True),
        ("best ..., ... s", "best 23, 2.3 s", True),
        ("1,200 cells", "12 cells", False),
        ("wrote a.h5ad", "wrote b.h5ad", False),
        ("wrote a.h5ad", "wrote a.h5ad again", False),
        ("torch 2.13.0", "torch 2.12.0", False),
    ],
)
def test_output_is_held_to_its_words_and_near_its_figures(said, printed, agrees):
    assert agree(said, printed) is agrees
