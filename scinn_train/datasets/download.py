"""Upstream files into the cache: downloaded by pooch, verified by SHA-256 before anything opens them."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import url2pathname

from scinn_infer.errors import ScinnError
from scinn_train.datasets.catalogue import Dataset, SourceFile, find
from scinn_train.datasets.download_bar import download_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_VARIABLE = "SCINN_CACHE"
"""Names the folder that downloads are kept in; by default the user's cache folder."""
MIRROR_VARIABLE = "SCINN_DATA_MIRROR"
"""Names a folder or URL to take all files from, as ``<dataset>/<file>``, in place of their own URLs."""


def fetch(dataset: str | Dataset, *, timeout: float = 30.0, progress: bool = False) -> list[Path]:
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
    return [_retrieve(entry, file, timeout=timeout, progress=progress) for file in entry.files]


def _retrieve(entry: Dataset, file: SourceFile, *, timeout: float, progress: bool) -> Path:
    import pooch

    source = _source(entry, file)
    folder = _cache_folder() / entry.name
    with _quiet(pooch.get_logger()), download_bar(file.name, enabled=progress) as bar:
        if isinstance(source, Path):
            downloader: Any = _copy
        else:
            downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=timeout)
        try:
            path = pooch.retrieve(
                str(source), known_hash=file.sha256, fname=file.name, path=folder, downloader=downloader
            )
        except (OSError, ValueError) as error:
            msg = f"{entry.name}: cannot get {file.name} from {source}: {_explain(error, source, entry, file)}"
            raise ScinnError(msg) from error
    return Path(path)


def _cache_folder() -> Path:
    import pooch

    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else pooch.os_cache("scinn")


def _source(entry: Dataset, file: SourceFile) -> str | Path:
    """Return where a file is to come from: a URL, or a path in a mirror folder."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return file.url
    if mirror.startswith(("http://", "https://")):
        return f"{mirror.rstrip('/')}/{entry.name}/{file.name}"
    if mirror.startswith("file://"):
        mirror = url2pathname(mirror.removeprefix("file://"))
    return Path(mirror).expanduser() / entry.name / file.name


def _copy(source: str, target: str, _pooch: object) -> None:
    """Stand in for a download when the mirror is a folder."""
    with Path(source).open("rb") as original, Path(target).open("wb") as copy:
        shutil.copyfileobj(original, copy)


def _explain(error: OSError | ValueError, source: str | Path, entry: Dataset, file: SourceFile) -> str:
    """Say what went wrong and what to do about it."""
    import requests

    at_source = _advice(entry, file)
    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"the server answered {response.status_code} {response.reason}. {at_source}"
        case requests.Timeout():
            return f"the server did not answer in time. {at_source}"
        case requests.exceptions.ChunkedEncodingError():
            return f"the connection broke off before the end of the file. {at_source}"
        case requests.RequestException():
            return f"the server cannot be reached, or fell silent ({type(error).__name__}). {at_source}"
        case ValueError():
            return (
                f"what came is not the file that the catalogue pins (SHA-256 {file.sha256}): cut short, damaged on "
                f"its way, or another version. It was not kept. {at_source}"
            )
        case OSError(filename=filename) if filename == str(source):
            return f"{error.strerror}. {at_source}"
    # pooch puts some system errors into its own words, and keeps the original as the cause.
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return (
        f"the cache folder {_cache_folder()} cannot take it ({cause.strerror or cause}). "
        f"Make room there, or name another folder in {CACHE_VARIABLE}."
    )


def _advice(entry: Dataset, file: SourceFile) -> str:
    if mirror := os.environ.get(MIRROR_VARIABLE):
        return (
            f"{MIRROR_VARIABLE} is {mirror}: it must hold the unchanged file as {entry.name}/{file.name}. "
            f"Mend it, or unset {MIRROR_VARIABLE} to download from {file.url}."
        )
    return (
        f"Try again later, or put the file into a folder as {entry.name}/{file.name} and name that folder in "
        f"{MIRROR_VARIABLE}."
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silence pooch's account of each download; what fails is raised anyway."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
