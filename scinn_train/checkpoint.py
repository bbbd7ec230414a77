"""Checkpoints: what a fit has reached, in a folder beside its output, so that one that was killed goes on from there.

A fit that goes on makes the same file as one that was never stopped: random generators are put back to where they were.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import numpy.typing as npt

    Arrays = list[npt.NDArray[Any]]
    State = dict[str, Any]

SUFFIX = ".checkpoint"
"""Behind the name of the output."""

SECONDS_BETWEEN = 30.0
"""A state that changes all the time is written this often: seldom enough to cost nothing."""

_IDENTITY, _STATE = "fit.json", ".pt"


class Checkpoint:
    """Where a fit keeps what it has reached, part by part.

    Parameters
    ----------
    folder
        The folder, which is made once there is something to keep; None keeps nothing.
    identity
        Which fit it is of.
    """

    def __init__(self, folder: Path | None = None, identity: str = "") -> None:
        self._folder = folder
        self._identity = identity
        self._written = time.monotonic()

    def remember(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return some arrays: those that are kept under this name, else what is computed, which is then kept."""
        kept = self.read(name)
        if kept is not None:
            return [array.numpy() for array in kept["arrays"]]
        arrays = compute()
        if self._folder is not None:
            import torch

            self.write(name, {"arrays": [torch.from_numpy(array) for array in arrays]})
        return arrays

    def read(self, name: str) -> State | None:
        """Return the state that is kept under a name, if any is.

        Raises
        ------
        ScinnError
            If it cannot be read.
        """
        if self._folder is None or not self._path(name).exists():
            return None
        import torch

        try:
            state: State = torch.load(self._path(name), map_location="cpu", weights_only=True)
        except Exception as error:
            msg = f"{self._path(name)} cannot be read, so the fit cannot go on from it. Remove it, and fit again."
            raise ScinnError(msg) from error
        return state

    def write(self, name: str, state: State) -> None:
        """Keep a state: tensors, numbers and text, in dictionaries and lists."""
        if self._folder is None:
            return
        import torch

        if not _is_begun(self._folder):
            _make(self._folder, self._identity)
        content = io.BytesIO()
        torch.save(state, content)  # straight to a disk, it would make a fault of the disk look like one of its own
        with whole_file(self._path(name), overwrite=True) as temporary:
            temporary.write_bytes(content.getbuffer())
        self._written = time.monotonic()

    def write_in_time(self, name: str, state: Callable[[], State]) -> None:
        """Keep a state, unless something was kept a moment ago."""
        if self._folder is not None and time.monotonic() - self._written >= SECONDS_BETWEEN:
            self.write(name, state())

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name.replace(' ', '-')}{_STATE}"


def open_checkpoint(folder: str | os.PathLike[str] | None, *, of: object, resume: bool) -> Checkpoint:
    """Return the checkpoint of a fit: a new one, or with ``resume`` that of a fit that was stopped, if it is there.

    Parameters
    ----------
    folder
        Where it is; None keeps nothing.
    of
        Everything that decides the fit: one of anything else cannot be gone on with.
    resume
        Whether to go on with what is there.

    Raises
    ------
    ScinnError
        If the folder is there without ``resume``, or is of another fit.
    """
    if folder is None:
        return Checkpoint()
    place, identity = _folder_at(folder), hashlib.sha256(repr(of).encode()).hexdigest()
    if not place.parent.is_dir():
        msg = f"the checkpoint {place} cannot be made: there is no folder {place.parent}. Make it first."
        raise ScinnError(msg)
    check_checkpoint(place, resume=resume)
    if _is_begun(place) and _identity_of(place) != identity:
        msg = (
            f"{place} is of another fit: other data, another configuration, or other versions. Fit with what it was "
            "begun with, or start again with --overwrite instead of --resume."
        )
        raise ScinnError(msg)
    return Checkpoint(place, identity)


def check_checkpoint(folder: Path, *, resume: bool) -> None:
    """Refuse to lose what an earlier fit has reached.

    Raises
    ------
    ScinnError
        If the folder is there without ``resume``, or holds something else.
    """
    if _is_begun(folder) and not resume:
        msg = (
            f"{folder} holds what an earlier fit had reached. Go on from there with --resume (resume=True), or start "
            "again with --overwrite."
        )
        raise ScinnError(msg)


def discard(folder: Path) -> None:
    """Remove a checkpoint, and nothing but a checkpoint.

    Raises
    ------
    ScinnError
        If it is there but is something else, or cannot be removed.
    """
    if not folder.exists():
        return
    if _is_begun(folder):
        _identity_of(folder)
    foreign = sorted(path.name for path in folder.iterdir() if not _is_own(path))
    if foreign:
        msg = f"{folder} holds {foreign[0]!r}, which is no part of a checkpoint. Move it away first."
        raise ScinnError(msg)
    try:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    except OSError as error:
        msg = f"the checkpoint {folder} cannot be removed: {error.strerror}."
        raise ScinnError(msg) from error


def _folder_at(folder: str | os.PathLike[str]) -> Path:
    try:
        return Path(folder)
    except TypeError as error:
        msg = f"checkpoint is {folder!r}; it has to be the path of a folder."
        raise ScinnError(msg) from error


def _is_begun(folder: Path) -> bool:
    """Tell whether a fit has kept anything in the folder. A kill may have left it empty, or with an unfinished file.

    Raises
    ------
    ScinnError
        If it is something else.
    """
    if not folder.exists():
        return False
    if not folder.is_dir() or (not (folder / _IDENTITY).exists() and not all(map(_is_unfinished, folder.iterdir()))):
        raise ScinnError(_no_checkpoint(folder))
    return (folder / _IDENTITY).exists()


def _is_own(path: Path) -> bool:
    return path.name == _IDENTITY or path.suffix == _STATE or _is_unfinished(path)


def _is_unfinished(path: Path) -> bool:
    """Tell whether a file was being written when the fit was killed: ``NAME.xxxxxxxx.part`` (``whole_file``)."""
    return path.suffix == ".part" and _is_own(Path(Path(path.stem).stem))


def _no_checkpoint(folder: Path) -> str:
    return f"{folder} is no checkpoint of a fit. Move it away, or choose another name for the output."


def _make(folder: Path, identity: str) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        msg = f"the checkpoint {folder} cannot be made: {error.strerror}."
        raise ScinnError(msg) from error
    with whole_file(folder / _IDENTITY) as temporary:
        temporary.write_text(json.dumps({"fit": identity}), encoding="utf-8")


def _identity_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / _IDENTITY).read_text(encoding="utf-8"))["fit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScinnError(_no_checkpoint(folder)) from error
