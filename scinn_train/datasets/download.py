"""Upstream files into the cache, verified by the SHA-256 that the catalogue pins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from scinn_infer.download import TIMEOUT, Wanted, cache_folder, retrieve, within
from scinn_train.datasets.catalogue import Dataset, SourceFile, find

if TYPE_CHECKING:
    from pathlib import Path

MIRROR_VARIABLE = "SCINN_DATA_MIRROR"
"""Names a folder or URL to take all files from, as ``<dataset>/<file>``, in place of their own URLs."""


def fetch(dataset: str | Dataset, *, timeout: float = TIMEOUT, progress: bool = False) -> list[Path]:
    """Return the upstream files of a dataset, in the cache, verified by SHA-256.

    What is in the cache already is verified, not downloaded again; a damaged file there is replaced.

    Parameters
    ----------
    dataset
        A name of the catalogue (``names()``), or an entry.
    timeout
        How long a server may stay silent, in seconds.
    progress
        Whether to draw a bar for each download, on stderr, when that is a terminal.

    Raises
    ------
    ScinnError
        The name is unknown, or a file cannot be had: the message names the file and its source. No part of it stays
        in the cache.
    """
    entry = find(dataset)
    return [retrieve(_wanted(entry, file), timeout=timeout, progress=progress) for file in entry.files]


def _wanted(entry: Dataset, file: SourceFile) -> Wanted:
    mirror = os.environ.get(MIRROR_VARIABLE)
    return Wanted(
        source=within(mirror, entry.name, file.name) if mirror else file.url,
        path=cache_folder() / entry.name / file.name,
        sha256=file.sha256,
        part_of=entry.name,
        pinned_by="the catalogue",
        advice=_advice(entry, file, mirror),
    )


def _advice(entry: Dataset, file: SourceFile, mirror: str | None) -> str:
    if mirror:
        return (
            f"{MIRROR_VARIABLE} is {mirror}: it must hold the unchanged file as {entry.name}/{file.name}. "
            f"Mend it, or unset {MIRROR_VARIABLE} to download from {file.url}."
        )
    return (
        f"Try again later, or put the file into a folder as {entry.name}/{file.name} and name that folder in "
        f"{MIRROR_VARIABLE}."
    )
