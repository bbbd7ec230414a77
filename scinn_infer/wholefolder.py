"""Folders that appear whole or not at all: written beside their place, flushed to the disk, then renamed.

A run that fails or is killed leaves what was there before; at most a folder ``NAME.xxxxxxxx.part`` stays beside it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import check_space, not_written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scinn_infer.wholefile import Pathlike


@contextmanager
def whole_folder(
    path: Pathlike,
    *,
    marks: Sequence[str],
    overwrite: bool = False,
    keep: Sequence[Pathlike] = (),
    needs: int = 0,
) -> Iterator[Path]:
    """Give the path of a temporary folder, still to be made, that becomes ``path`` when the block ends without error.

    Parameters
    ----------
    path
        Where the folder is to appear.
    marks
        Files of which a folder that may be replaced has at least one: what it is known by.
    overwrite
        Whether an existing folder may be replaced.
    keep
        Files and folders that ``path`` must not be, nor be within, nor hold: the inputs.
    needs
        Free space that the folder will take, in bytes.

    Raises
    ------
    ScinnError
        If :func:`check_output_folder` refuses ``path``, it has no room, or cannot be written for another reason.
    """
    check_output_folder(path, marks=marks, overwrite=overwrite, keep=keep)
    place = Path(path).resolve()
    check_space(place.parent, needs, purpose=f"writing {path}")
    temporary = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        _flush(temporary)
        if overwrite and place.exists():
            _replace(temporary, place)
        else:
            temporary.rename(place)  # which fails where something has appeared there
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_output_folder(
    path: Pathlike, *, marks: Sequence[str], overwrite: bool = False, keep: Sequence[Pathlike] = ()
) -> None:
    """Refuse an output folder that must not be written, before any work is done for it.

    Raises
    ------
    ScinnError
        If ``path`` is one of ``keep``, within one or around one, exists (without ``overwrite``), is no folder of that
        kind, or has no folder to be in.
    """
    place = Path(path)
    for other in map(Path, keep):
        if place.resolve().is_relative_to(other.resolve()):
            msg = f"the output {path} is, or is within, {other}, which is never written to. Choose another name."
            raise ScinnError(msg)
        if other.resolve().is_relative_to(place.resolve()):
            msg = f"the output {path} holds {other}, which would be lost with it. Choose another name."
            raise ScinnError(msg)
    if place.exists() and not overwrite:
        msg = f"the output {path} exists already. Choose another name, or give --overwrite (overwrite=True)."
        raise ScinnError(msg)
    if place.exists() and not any((place / mark).exists() for mark in marks):
        msg = f"the output {path} exists and is no zarr store, so it is not replaced. Choose another name."
        raise ScinnError(msg)
    if not place.resolve().parent.is_dir():
        msg = f"the output {path} cannot be written: there is no folder {place.resolve().parent}. Make it first."
        raise ScinnError(msg)


def _replace(temporary: Path, place: Path) -> None:
    """Put a folder in the place of another, which no file system does in one step: the old one steps aside first."""
    aside = temporary.with_suffix(".old")
    place.rename(aside)
    try:
        temporary.rename(place)
    except BaseException:
        aside.rename(place)
        raise
    shutil.rmtree(aside)


def _flush(folder: Path) -> None:
    """Wait until all files are on the disk, so that not even a power cut leaves the name without them."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
