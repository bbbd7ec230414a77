"""Registries: JSON documents that list models, and what each of them says of a model.

A registry comes from someone else. Everything in it is checked before it is used: no name or file in it can lead out of
its own folder or out of the cache, and a model is never loaded unless it has the SHA-256 that is stated for it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from scinn_infer.contract import UNITS
from scinn_infer.errors import ScinnError
from scinn_infer.onnxfile import MAXIMUM_BYTES

REGISTRY_VERSION = 1
"""The version that is written, and the newest that is read."""

LARGEST = 2**24
"""Most bytes of a registry."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
"""What a model can be called."""

_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""What a folder or file can be called: no ``..``, no drive, nothing hidden."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"https?://[^\s/]+/\S+")
_LONGEST_TEXT, _LONGEST_PATH = 2000, 200


@dataclass(frozen=True)
class ModelEntry:
    """What a registry says of a model.

    Attributes
    ----------
    name
        Its name: lower-case letters, digits, ``.``, ``_`` and ``-``.
    version
        Counted from 1; the highest is taken where none is asked for.
    file
        The model file, as a path within the registry's folder.
    sha256
        Its SHA-256, as 64 hexadecimal digits.
    size
        Its size in bytes.
    unit
        Unit of the expression: ``"counts"``, ``"tpm"`` or ``"fpkm"``.
    cells, genes
        Number of training cells, and of the model's genes.
    url
        Where the file can be downloaded if it is not in the registry's folder; empty if it is.
    about
        What was sequenced, in one line.
    tissue, species, platform
        Of the training data; the platform is the technology that it was measured with.
    data, data_licence, citation
        The training data: which it is, its licence, and what to cite.
    licence
        Licence of the model.
    quality
        What was measured of it: for each score, the value of the model and of what it is compared with, by name.
    card
        The model card, as a path within the registry's folder.
    """

    name: str
    version: int
    file: str
    sha256: str
    size: int
    unit: str
    cells: int
    genes: int
    url: str = ""
    about: str = ""
    tissue: str = ""
    species: str = ""
    platform: str = ""
    data: str = ""
    data_licence: str = ""
    citation: str = ""
    licence: str = ""
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    card: str = ""

    @property
    def pinned(self) -> str:
        """Name and version, as they can be asked for."""
        return f"{self.name}@{self.version}"

    def __post_init__(self) -> None:
        """Refuse values that no model has."""
        _require(isinstance(self.name, str) and NAME.fullmatch(self.name), "name", self.name)
        for key in ("version", "size", "cells", "genes"):
            value = getattr(self, key)
            _require(type(value) is int and 0 < value <= MAXIMUM_BYTES, key, value)
        _require(isinstance(self.sha256, str) and _SHA256.fullmatch(self.sha256), "sha256", self.sha256)
        _require(_is_within(self.file) and self.file.endswith(".onnx"), "file", self.file)
        _require(self.card == "" or _is_within(self.card), "card", self.card)
        _require(self.unit in UNITS, "unit", self.unit)
        _require(isinstance(self.url, str) and (not self.url or _URL.fullmatch(self.url)), "url", self.url)
        for key in ("url", "about", "tissue", "species", "platform", "data", "data_licence", "citation", "licence"):
            value = getattr(self, key)
            _require(isinstance(value, str) and len(value) <= _LONGEST_TEXT, key, value)
        _require(_is_quality(self.quality), "quality", self.quality)


def parse_registry(content: bytes, *, source: str) -> tuple[ModelEntry, ...]:
    """Read a registry.

    Parameters
    ----------
    content
        The document, JSON.
    source
        How messages name it.

    Returns
    -------
        One entry for each model and version, in the order of the document. What this version does not know of an entry
        is left out.

    Raises
    ------
    ScinnError
        If it is not a registry, is of a later version, or an entry is not what it has to be.
    """
    try:
        document = json.loads(content)
        version, models = document["version"], document["models"]
        if type(version) is not int or version < 1 or not isinstance(models, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f'{source} is not a registry of models: {{"version": {REGISTRY_VERSION}, "models": [...]}}.'
        raise ScinnError(msg) from error
    if version > REGISTRY_VERSION:
        msg = (
            f"{source} is a registry of version {version}; this scinn reads versions up to {REGISTRY_VERSION}. "
            "Upgrade with: pip install --upgrade scinn"
        )
        raise ScinnError(msg)
    entries = tuple(_entry(fields, number, source) for number, fields in enumerate(models, start=1))
    pinned = [entry.pinned for entry in entries]
    if twice := next((name for name in pinned if pinned.count(name) > 1), None):
        msg = f"{source} lists {twice} twice; each version of a model has to be there once."
        raise ScinnError(msg)
    return entries


def _entry(fields: Any, number: int, source: str) -> ModelEntry:
    try:
        known = {key: value for key, value in fields.items() if key in ModelEntry.__dataclass_fields__}
        if known.get("url", "") is None:  # JSON's way of saying that there is none
            del known["url"]
        return ModelEntry(**known)
    except AttributeError as error:
        msg = f"{source}: model {number} is not a JSON object."
        raise ScinnError(msg) from error
    except TypeError as error:
        lacking = [key for key in ("name", *_REQUIRED) if key not in fields]
        msg = f"{source}: model {number} lacks {', '.join(lacking)}."
        raise ScinnError(msg) from error
    except _FieldError as error:
        msg = f"{source}: the {error} of model {number} is not one that a registry may state."
        raise ScinnError(msg) from None


_REQUIRED = ("version", "file", "sha256", "size", "unit", "cells", "genes")


class _FieldError(ScinnError):
    """A field has a value that it cannot have."""


def _require(condition: object, key: str, value: object) -> None:
    if not condition:
        msg = f"{key} {str(value)[:60]!r}"
        raise _FieldError(msg)


def _is_within(path: object) -> bool:
    """Return whether this is a relative path that stays in its folder."""
    return (
        isinstance(path, str) and len(path) <= _LONGEST_PATH and all(_PART.fullmatch(part) for part in path.split("/"))
    )


def _is_quality(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(scores, dict) and all(_is_number(score) for score in scores.values()) for scores in value.values()
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
