"""Which run it is: everything that decides the bytes of its result, so that no other goes on with what it reached."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer._version import __version__
from scinn_infer.unchanged import files_as_listed
from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.model import Model

    Identity = dict[str, str]

PACKAGES = ("onnxruntime", "numpy", "scipy", "anndata", "zarr", "numcodecs")
"""What the values and their packing depend on besides scinn."""

DIGITS = 16
"""Hexadecimal digits of a digest that are kept; they are to be told apart by people."""


def identify(model: Model, matrix: ExpressionMatrix, options: Mapping[str, object]) -> Identity:
    """Return what decides the result of a run, by the name that a sentence gives it.

    The number of threads is not among it, since a block of cells is computed in one. Of the input's values some cells
    from all over it are looked at; a change of others shows in the dates of its files.

    Parameters
    ----------
    model
        The model.
    matrix
        The input.
    options
        What was asked for, by the name of the option.
    """
    return {
        "the model": f"SHA-256 {model.sha256[:DIGITS]}",
        "the shape of the input": f"{matrix.shape[0]:,} × {matrix.shape[1]:,}, {matrix.stored:,} entries",
        "the list of genes": _digest(gene.encode() for gene in (*matrix.genes, "", *matrix.var_names)),
        "the expression in the input": _digest(_sampled(matrix)),
        "the size or the date of the input": _digest(files_as_listed(matrix.path)),
        **{option: _text(value) for option, value in options.items()},
        "the execution provider": ", ".join(model.providers),
        "scinn": __version__,
        **{package: _version(package) for package in PACKAGES},
    }


def difference(begun: Mapping[str, str], now: Identity) -> str:
    """Return the first thing in which two runs differ, as part of a sentence; nothing if they are the same."""
    for name, value in now.items():
        if begun.get(name) != value:
            return f"{name} differs ({begun.get(name, 'unknown')} there, {value} now)"
    return ""


def _text(value: object) -> str:
    if isinstance(value, tuple):  # of names, perhaps of thousands
        return f"{len(value):,} named, {_digest(str(name).encode() for name in value)}"
    return "not given" if value is None else str(value)


def _sampled(matrix: ExpressionMatrix) -> Iterable[bytes]:
    for start, rows in matrix.sample():
        yield str((start, rows.dtype)).encode()
        parts = (rows,) if isinstance(rows, np.ndarray) else (rows.indptr, rows.indices, rows.data)
        yield from (np.ascontiguousarray(part).tobytes() for part in parts)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:DIGITS]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def write_identity(path: Path, identity: Identity) -> None:
    """Write it down."""
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(identity, indent=1), encoding="utf-8")


def read_identity(path: Path) -> dict[str, Any]:
    """Return what was written down; nothing if that cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
