"""Files that appear whole or not at all: written beside their place, flushed to the disk, then renamed.

A run that fails or is killed leaves what was there before; at most a file ``NAME.xxxxxxxx.part`` stays beside it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scinn_infer.errors import RoomError, ScinnError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Pathlike = str | os.PathLike[str]

HDF5_SUFFIXES = (".h5ad", ".h5", ".hdf5")
"""What the name of an ``.h5ad`` file may end in."""

ZARR_MARKS = (".zgroup", ".zattrs", "zarr.json")
"""What a zarr store, which is a folder, is known by."""


@contextmanager
def whole_file(
    path: Pathlike, *, overwrite: bool = False, keep: Sequence[Pathlike] = (), needs: int = 0
) -> Iterator[Path]:
    """Give the path of an empty temporary file that becomes ``path`` when the block ends without an error.

    Parameters
    ----------
    path
        Where the file is to appear. A symbolic link is followed: its target is what is written.
    overwrite
        Whether an existing file may be replaced. Without it, a file that appears while the block runs is kept as well.
    keep
        Files that ``path`` must not be, under whatever name: the inputs.
    needs
        Free space that the file will take, in bytes.

    Raises
    ------
    ScinnError
        If ``path`` is one of ``keep``, exists (without ``overwrite``), is no regular file, has no room, or cannot be
        written for another reason.
    """
    check_output(path, overwrite=overwrite, keep=keep)
    place = Path(path).resolve()
    check_space(place.parent, needs, purpose=f"writing {path}")
    temporary = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    try:
        # Made by hand rather than by tempfile, which would hide the finished file from everybody but its owner.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        if overwrite:
            _replace(temporary, place)
        else:
            _name(temporary, place)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(place.parent)


def check_output(path: Pathlike, *, overwrite: bool = False, keep: Sequence[Pathlike] = ()) -> None:
    """Refuse an output that must not be written, before any work is done for it.

    Raises
    ------
    ScinnError
        If ``path`` is one of ``keep`` or within a zarr store that is, exists (without ``overwrite``), is no regular
        file, or has no folder.
    """
    place = Path(path)
    for other in keep:
        if place.exists() and Path(other).exists() and place.samefile(other):
            msg = f"the output {path} is the same file as {other}, which is never written to. Choose another name."
            raise ScinnError(msg)
        if _is_store(Path(other)) and place.resolve().is_relative_to(Path(other).resolve()):
            msg = f"the output {path} is within {other}, a zarr store that is never written to. Choose another folder."
            raise ScinnError(msg)
    if place.exists() and not place.is_file():
        msg = f"the output {path} is a folder or a device, not a file. Give the name of a file."
        raise ScinnError(msg)
    if place.exists() and not overwrite:
        msg = f"the output {path} exists already. Choose another name, or give --overwrite (overwrite=True)."
        raise ScinnError(msg)
    if not place.resolve().parent.is_dir():
        msg = f"the output {path} cannot be written: there is no folder {place.resolve().parent}. Make it first."
        raise ScinnError(msg)


def check_suffix(path: Pathlike, *, suffixes: Sequence[str], written: str, endings: str, kind: str = "output") -> None:
    """Refuse an output whose name ends as that of another format; a name without an ending passes.

    Parameters
    ----------
    path
        The output.
    suffixes
        Endings that it may have, in lower case.
    written, endings
        How the message names what is written, and the endings to choose from.
    kind
        How it names the output.

    Raises
    ------
    ScinnError
        If it has another ending.
    """
    suffix = Path(path).suffix
    if suffix and suffix.lower() not in suffixes:
        msg = (
            f"the {kind} {path} cannot be a {suffix}: what is written is {written}. Give it a name that ends in "
            f"{endings}."
        )
        raise ScinnError(msg)


def _is_store(path: Path) -> bool:
    return any((path / mark).exists() for mark in ZARR_MARKS)


def name_as_text(path: Path) -> str:
    """Return a file's name as it can be stored: one that is no UTF-8 with a sign for what is not."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def check_space(folder: Path, needed: int, *, purpose: str, elsewhere: str = "write elsewhere") -> None:
    """Refuse work for which a folder's disk has no room.

    Raises
    ------
    ScinnError
        If fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        from rich.filesize import decimal

        needed_and_free = f"needs {decimal(needed)}, and {folder} has {decimal(free)} free"
        msg = f"{purpose} {needed_and_free}. Make room, or {elsewhere}."
        raise RoomError(msg)


def not_written(path: Pathlike, error: OSError) -> ScinnError:
    """Return how it is told that an output could not be written."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of a folder: every file that failed
        reason = str(error.args[0][0][-1])
    else:  # HDF5's own text runs over several lines, with addresses in memory
        reason = os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]
    return ScinnError(f"{path} could not be written: {reason}. Whatever was there before is unchanged.")


def _replace(temporary: Path, place: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.copymode(place, temporary)
    temporary.replace(place)


def _name(temporary: Path, place: Path) -> None:
    """Give the file its name unless something has it; a rename would silently replace it."""
    try:
        place.hardlink_to(temporary)
    except FileExistsError:
        check_output(place)
        raise
    except OSError:  # a file system without hard links
        check_output(place)
        temporary.replace(place)


def _flush(path: Path) -> None:
    """Wait until the content is on the disk, so that not even a power cut leaves the name without it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # which opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
