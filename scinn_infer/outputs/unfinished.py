"""A store while it is written: in a folder ``OUTPUT.part`` beside its place, where another run can go on with it.

The folder holds the store, which run it is of, and what that has reached; at the very end, for a moment, also the store
that is replaced. The output gets its name by a rename, and nothing of all this is in it.
"""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.outputs.reached import CELLS, STATE, Reached
from scinn_infer.run_identity import difference, read_identity, write_identity
from scinn_infer.wholefile import check_space, not_written
from scinn_infer.wholefolder import move_into_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from scinn_infer.run_identity import Identity

SUFFIX = ".part"
"""Behind the name of the output."""

_LOCK, _RUN, _STORE, _OLD = "lock", "run.json", "store", "old"
_OWN = {_LOCK, _RUN, _STORE, _OLD, STATE, CELLS}


@dataclass(frozen=True)
class Unfinished:
    """A store that is being written.

    Attributes
    ----------
    path
        The store; it is not there at the beginning.
    reached
        Where it is kept what has been reached.
    before
        What an earlier run has kept there of the whole, by name; nothing at the beginning.
    """

    path: Path
    reached: Reached
    before: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The cell from which on to compute."""
        return int(self.before.get("first", 0))


def unfinished_folder(output: Path) -> Path:
    """Return where an output is while it is written."""
    place = output.resolve()
    return place.with_name(place.name + SUFFIX)


def has_reached(output: Path) -> bool:
    """Tell whether a run that was stopped has left something to go on with."""
    folder = unfinished_folder(output)
    return (folder / _STORE).is_dir() and Reached(folder).is_there()


def check_unfinished(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse to lose what an earlier run has reached; put back what it was about to replace.

    Raises
    ------
    ScinnError
        If there is something to go on with, and neither ``resume`` nor ``overwrite`` says what becomes of it; if what
        is in its place is something else.
    """
    folder = unfinished_folder(output)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or not all(entry.name in _OWN or entry.suffix == SUFFIX for entry in folder.iterdir()):
        msg = (
            f"{folder} is in the way: it is no unfinished result. Move it away, or choose another name for the output."
        )
        raise ScinnError(msg)
    if (folder / _OLD).exists() and not output.exists():
        with _locked(folder, output):
            _put_back(folder / _OLD, output)
    _refuse_loss(folder, output, resume=resume, overwrite=overwrite)


def _refuse_loss(folder: Path, output: Path, *, resume: bool, overwrite: bool) -> None:
    if has_reached(output) and not (resume or overwrite):
        msg = (
            f"{folder} holds what an earlier run had reached. Go on from there with --resume (resume=True), or start "
            "again with --overwrite."
        )
        raise ScinnError(msg)


@contextmanager
def unfinished_store(
    output: Path,
    *,
    identity: Identity,
    resume: bool,
    overwrite: bool,
    needs: int,
    check: Callable[[], None],
) -> Iterator[Unfinished]:
    """Give a store to write and to flush to the disk, which becomes ``output`` when the block ends without an error.

    Parameters
    ----------
    output
        Where the store is to appear.
    identity
        Which run it is: only the same can go on with what was reached.
    resume
        Whether to go on with what is there.
    overwrite
        Whether an existing store may be replaced, and what an earlier run has reached may be lost without ``resume``.
    needs
        Free space that the store takes, in bytes.
    check
        Refuses the output: what could be written at the beginning may have appeared at the end.

    Raises
    ------
    ScinnError
        If what is there is of another run, another run is still writing it, there is no room, or it cannot be written.
        What was reached stays, unless the block refuses the batch.
    """
    folder = unfinished_folder(output)
    new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        with _locked(folder, output):
            try:
                check()
                _refuse_loss(folder, output, resume=resume, overwrite=overwrite)  # it may have been reached since
                unfinished = _begin(folder, output, identity=identity, resume=resume, needs=needs)
            except BaseException:
                if new:
                    _discard(folder)
                raise
            try:
                yield unfinished
            except BaseException as error:
                if _is_refusal(error) or not has_reached(output):
                    _discard(folder)
                raise
            check()
            move_into_place(unfinished.path, output.resolve(), aside=folder / _OLD if overwrite else None)
            _discard(folder)
    except OSError as error:
        msg = str(not_written(output, error))
        if has_reached(output):
            msg += f" {folder} holds what was reached: go on with --resume (resume=True)."
        raise ScinnError(msg) from error


def _begin(folder: Path, output: Path, *, identity: Identity, resume: bool, needs: int) -> Unfinished:
    """Return what to go on with, or an empty place."""
    run, store, reached = folder / _RUN, folder / _STORE, Reached(folder)
    if resume and run.exists() and (differs := difference(read_identity(run), identity)):
        msg = (
            f"{folder} is of another run: {differs}. Go on with what that was begun with, or start again with "
            "--overwrite instead of --resume."
        )
        raise ScinnError(msg)
    there = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    check_space(folder.parent, needs - there, purpose=f"writing {output}")
    if resume and has_reached(output):
        return Unfinished(store, reached, reached.read())
    _empty(folder)
    write_identity(run, identity)
    return Unfinished(store, reached)


def _is_refusal(error: BaseException) -> bool:
    """Tell whether it is the batch that will not do; what a library or a disk fails at may go well the next time."""
    return isinstance(error, ScinnError) and error.__cause__ is None


def _put_back(old: Path, output: Path) -> None:
    """Give a store its name again that a run had moved aside, before it was stopped."""
    if old.exists() and not output.exists():
        old.rename(output.resolve())
        msg = f"a run was killed while it replaced {output}: what was there before has been put back."
        warnings.warn(ScinnWarning(msg), stacklevel=4)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == _LOCK:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _discard(folder: Path) -> None:
    """Remove the folder; the store first, without which the rest is nothing to go on with."""
    for entry in (folder / _STORE, folder):
        shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def _locked(folder: Path, output: Path) -> Iterator[None]:
    """Keep other runs off for the time of the block; a lock is gone with the process that has it."""
    with (folder / _LOCK).open("ab") as file:
        if not _lock(file.fileno()):
            msg = f"another run is writing {output}. Wait until it is done, or choose another name for the output."
            raise ScinnError(msg)
        yield


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    with suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
