"""Files of others into the cache: downloaded by pooch, verified by SHA-256 before anything opens them."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from scinn_infer.download_bar import download_bar
from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_VARIABLE = "SCINN_CACHE"
"""Names the folder that downloads are kept in; by default the user's cache folder."""

TIMEOUT = 30.0
"""How long a server may stay silent, in seconds."""

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Wanted:
    """A file that is to be in the cache.

    Attributes
    ----------
    source
        Where it comes from: a URL, or a path.
    path
        Where it is to be, in the cache.
    sha256
        Its SHA-256, as 64 hexadecimal digits.
    part_of
        How messages, at their beginning, name what it belongs to.
    pinned_by
        How messages name what states the SHA-256.
    advice
        What to do when it cannot be had from its source: one or more sentences.
    size
        How many bytes it has, if that is known: more are not taken.
    """

    source: str | Path
    path: Path
    sha256: str
    part_of: str
    pinned_by: str
    advice: str
    size: int | None = None


def retrieve(wanted: Wanted, *, timeout: float = TIMEOUT, progress: bool = False) -> Path:
    """Return the path of a file in the cache, verified by SHA-256.

    What is in the cache already is verified, not downloaded again; a damaged file there is replaced.

    Parameters
    ----------
    timeout
        How long a server may stay silent, in seconds.
    progress
        Whether to draw a bar for the download, on stderr, when that is a terminal.

    Raises
    ------
    ScinnError
        The file cannot be had: the message names it and its source. No part of it stays in the cache.
    """
    import pooch

    folder, name = wanted.path.parent, wanted.path.name
    with _quiet(pooch.get_logger()), download_bar(name, enabled=progress) as bar:
        if isinstance(wanted.source, Path):
            downloader: Any = _copy
        else:
            downloader = _limited(pooch.HTTPDownloader(progressbar=bar, chunk_size=_CHUNK, timeout=timeout), wanted)
        try:
            path = pooch.retrieve(
                str(wanted.source), known_hash=wanted.sha256, fname=name, path=folder, downloader=downloader
            )
        except (OSError, ValueError) as error:
            msg = f"{wanted.part_of}: cannot get {name} from {wanted.source}: {_explain(error, wanted)}"
            raise ScinnError(msg) from error
    return Path(path)


def read_url(url: str, *, limit: int, timeout: float = TIMEOUT) -> bytes:
    """Return what a server answers, in memory.

    Parameters
    ----------
    url
        Address, ``http`` or ``https``.
    limit
        Most bytes that are taken.
    timeout
        How long the server may stay silent, in seconds.

    Raises
    ------
    ScinnError
        The server does not answer, answers with an error, or sends more.
    """
    import requests

    content = bytearray()
    try:
        with requests.get(url, timeout=timeout, stream=True) as response:
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if len(content) > limit:
                    msg = f"{url} sends more than {limit:,} bytes; this is not what was expected there."
                    raise ScinnError(msg)
    except (OSError, ValueError) as error:
        if isinstance(error, ScinnError):
            raise
        msg = f"cannot get {url}: {_explain_server(error) or error}."
        raise ScinnError(msg) from error
    return bytes(content)


def cache_folder() -> Path:
    """Return the folder that downloads are kept in; it need not be there."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("scinn"))


def is_url(place: str) -> bool:
    """Return whether a place is on a server, and not in a folder."""
    return place.startswith(("http://", "https://"))


def within(place: str, *parts: str) -> str | Path:
    """Return where a file is in a place that the user named: a URL, a ``file://`` URL, or a folder."""
    if is_url(place):
        return "/".join((place.rstrip("/"), *parts))
    if place.startswith("file://"):
        from urllib.request import url2pathname  # brings half of the standard library's network along

        place = url2pathname(place.removeprefix("file://"))
    return Path(place).expanduser().joinpath(*parts)


class _TooLargeError(ValueError):
    """More was sent than the file has: whatever it is, it is another file."""


class _LimitedFile:
    """A file that takes so many bytes and no more, so that no server fills the disk."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit

    def write(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise _TooLargeError
        self._file.write(chunk)

    def flush(self) -> None:
        self._file.flush()


def _limited(download: Any, wanted: Wanted) -> Any:
    """Return a downloader that takes no more bytes than the file has."""
    if wanted.size is None:
        return download
    limit = wanted.size

    def downloader(url: str, target: str, pooch: object) -> None:
        with Path(target).open("wb") as file:
            download(url, _LimitedFile(file, limit), pooch)

    return downloader


def _copy(source: str, target: str, _pooch: object) -> None:
    """Stand in for a download when the source is in a folder."""
    with Path(source).open("rb") as original, Path(target).open("wb") as copy:
        shutil.copyfileobj(original, copy)


def _explain(error: OSError | ValueError, wanted: Wanted) -> str:
    """Say what went wrong and what to do about it."""
    if reason := _explain_server(error):
        return f"{reason}. {wanted.advice}"
    match error:
        case ValueError():
            return (
                f"what came is not the file that {wanted.pinned_by} pins (SHA-256 {wanted.sha256}): cut short, damaged "
                f"on its way, or another version. It was not kept. {wanted.advice}"
            )
        case OSError(filename=filename) if filename == str(wanted.source):
            return f"{error.strerror}. {wanted.advice}"
    # pooch puts some system errors into its own words, and keeps the original as the cause.
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return (
        f"the cache folder {cache_folder()} cannot take it ({cause.strerror or cause}). "
        f"Make room there, or name another folder in {CACHE_VARIABLE}."
    )


def _explain_server(error: OSError | ValueError) -> str:
    """Say what a server did wrong; nothing if it was not the server."""
    import requests

    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"the server answered {response.status_code} {response.reason}"
        case requests.Timeout():
            return "the server did not answer in time"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection broke off before the end of the file"
        case requests.RequestException():
            return f"the server cannot be reached, or fell silent ({type(error).__name__})"
    return ""


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silence pooch's account of each download; what fails is raised anyway."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
