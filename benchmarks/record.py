"""What a benchmark leaves: a table for people, and a JSON file that names the machine beside the figures."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "scinn",
    "numpy",
    "scipy",
    "onnxruntime",
    "torch",
    "scikit-learn",
    "umap-learn",
    "anndata",
    "h5py",
    "magic-impute",
    "scvi-tools",
)


def write(name: str, figures: dict[str, Any]) -> None:
    """Write ``results/NAME.json``: the figures, and the machine that they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": machine(), **figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    """Return what ``results/NAME.json`` holds; nothing if it is not there."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def between(text: str, new: str, *, begin: str, end: str) -> str:
    """Return a text with something new between two markers.

    Raises
    ------
    ValueError
        If it lacks one of them.
    """
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        msg = f"the text lacks {begin} or {end}."
        raise ValueError(msg)
    return f"{before}{begin}\n\n{new}\n\n{end}{after}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its columns in line."""
    lines = [list(heading), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def machine() -> dict[str, Any]:
    """Describe the machine and the packages, by what bears on speed and on results."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {package: found for package in PACKAGES if (found := _version(package))},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
