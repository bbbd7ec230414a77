"""The two programs as they are installed, with and without a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sysconfig
import termios
import threading
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scinn_infer

TINY = Path(__file__).parents[2] / "models" / "tiny.onnx"
ABOUT_TERMINALS = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


def environment(changes: dict[str, str]) -> dict[str, str]:
    """Return this process's environment as it would be in a plain terminal of 100 columns, with some changes."""
    kept = {name: value for name, value in os.environ.items() if name not in ABOUT_TERMINALS}
    return kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | changes


def as_typed(program: str, *arguments: object) -> list[str]:
    return [str(Path(sysconfig.get_path("scripts")) / program), *map(str, arguments)]


@pytest.fixture(scope="session")
def command_line():
    """Return what starts an installed program."""
    return as_typed


@pytest.fixture(scope="session")
def run():
    """Run an installed program without a terminal."""

    def run(program: str, *arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
        command = as_typed(program, *arguments)
        return subprocess.run(command, capture_output=True, text=True, env=environment(changes), check=False)

    return run


@pytest.fixture(scope="session")
def run_in_terminal():
    """Run an installed program with one of its streams on a terminal; return the exit code and what that shows."""

    def run(stream: str, program: str, *arguments: object, **changes: str) -> tuple[int, str]:
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = as_typed(program, *arguments)
        shown: list[bytes] = []
        with subprocess.Popen(command, **streams | {stream: terminal}, env=environment(changes)) as process:
            os.close(terminal)
            reader = threading.Thread(target=_read, args=(controller, shown))
            reader.start()
            code = process.wait(timeout=120)
            reader.join(timeout=30)
        os.close(controller)
        return code, b"".join(shown).decode()

    return run


def _read(controller: int, shown: list[bytes]) -> None:
    try:
        while piece := os.read(controller, 65536):
            shown.append(piece)
    except OSError:  # how Linux says that the other end is closed
        pass


@pytest.fixture(scope="session")
def tiny() -> Path:
    return TINY


@pytest.fixture(scope="session")
def batches(tmp_path_factory) -> dict[str, Path]:
    """Files that the tiny model fits, fits with warnings, and does not fit."""
    folder = tmp_path_factory.mktemp("batches")
    model = scinn_infer.load(TINY)
    random = np.random.default_rng(0)
    mean = np.array(model.info.training_data.gene_mean)
    X = sparse.csr_matrix(random.poisson(mean * random.gamma(8, 0.125, (300, 1)).clip(0.2)).astype(np.float32))
    fits = anndata.AnnData(
        X, obs=pd.DataFrame(index=[f"cell{n}" for n in range(300)]), var=pd.DataFrame(index=model.genes)
    )
    fits.obs["label"] = [f"type {n % 3}" for n in range(300)]
    paths = {name: folder / f"{name}.h5ad" for name in ("fits", "lacks", "other")}
    fits.write_h5ad(paths["fits"])
    fits[:, :42].copy().write_h5ad(paths["lacks"])
    fits[:, :6].copy().write_h5ad(paths["other"])
    return paths


@pytest.fixture(scope="session")
def documented_keys():
    """Return the keys that the page on commands names for the JSON document of a command."""
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")

    def documented_keys(command: str) -> set[str]:
        section = page.partition(f"### `{command} --json`\n")[2].partition("\n### ")[0]
        cells = re.findall(r"^\| (`[^|]+) \|", section, flags=re.MULTILINE)
        return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}

    return documented_keys
