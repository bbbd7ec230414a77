"""Folders that appear whole or not at all: written elsewhere, flushed to the disk, then renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scinn_infer.wholefile import Pathlike


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


def move_into_place(folder: Path, place: Path, *, aside: Path | None) -> None:
    """Give a folder its name.

    Parameters
    ----------
    folder
        The folder, whole and on the disk.
    place
        Its place.
    aside
        Where a folder that is there goes, since no file system replaces a folder in one step; None if there is none to
        be replaced.
    """
    if aside is None or not place.exists():
        folder.rename(place)  # which fails where something has appeared there
        return
    place.rename(aside)
    try:
        folder.rename(place)
    except BaseException:
        aside.rename(place)
        raise


def flush(folder: Path) -> None:
    """Wait until all files are on the disk, so that not even a power cut leaves the name without them."""
    flush_files(file for file in folder.rglob("*") if file.is_file())


def flush_files(files: Iterable[Path]) -> None:
    """Wait until files are on the disk; what is not there needs no waiting for."""
    for file in files:
        try:
            descriptor = os.open(file, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
