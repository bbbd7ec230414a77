"""Names in place of files: which registries there are, and from a model's name to its verified file.

Registries are searched in order: those that are given, the one that ``SCINN_MODELS`` names, and the one that comes with
scINN, whose models need no network. Nothing happens at import.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scinn_infer.download import Wanted, cache_folder, is_url, read_url, retrieve, within
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.registry import LARGEST, NAME, ModelEntry, parse_registry
from scinn_infer.wholefile import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODELS_VARIABLE = "SCINN_MODELS"
"""Names a registry that is searched before the one that comes with scINN: a folder, or a URL."""

_DOCUMENT = "registry.json"


@dataclass(frozen=True)
class Registry:
    """A registry, read and checked.

    Attributes
    ----------
    place
        Folder or URL that its files are in.
    models
        What it lists.
    """

    place: str
    models: tuple[ModelEntry, ...]


@dataclass(frozen=True)
class Found:
    """A model of a registry.

    Attributes
    ----------
    entry
        What the registry says of it.
    place
        The registry's folder or URL.
    """

    entry: ModelEntry
    place: str

    @property
    def path(self) -> Path:
        """Where its file is, or will be once it is downloaded."""
        beside = within(self.place, self.entry.file)
        if isinstance(beside, Path) and (beside.exists() or not self.entry.url):
            return beside
        folder = f"{self.entry.name}-{self.entry.version}-{self.entry.sha256[:16]}"
        return cache_folder() / "models" / folder / Path(self.entry.file).name

    def fetch(self, *, progress: bool = False) -> Path:
        """Return the path of its file, downloaded if need be, and verified.

        Parameters
        ----------
        progress
            Whether to draw a bar for a download, on stderr, when that is a terminal.

        Raises
        ------
        ScinnError
            If the file cannot be had, or is not the one that the registry states.
        """
        entry, path = self.entry, self.path
        if not is_url(self.place) and path == within(self.place, entry.file):
            _verify(path, self)
            return path
        wanted = Wanted(
            source=entry.url or within(self.place, entry.file),
            path=path,
            sha256=entry.sha256,
            part_of=entry.pinned,
            pinned_by=f"the registry {self.place}",
            advice="Try again later, or ask whoever keeps that registry.",
            size=entry.size,
        )
        return retrieve(wanted, progress=progress)


def resolve(model: str | os.PathLike[str], *, registries: Sequence[str] = (), progress: bool = False) -> Path:
    """Return the file of a model that is given by its path, or by its name in a registry.

    Parameters
    ----------
    model
        A path: whatever ends in ``.onnx``, has a separator, is no string, or is the name of a file. Or a name, which
        can have a version: ``"human-pancreas"``, ``"human-pancreas@1"``.
    registries
        Folders or URLs of registries to search before all others.
    progress
        Whether to draw a bar for a download, on stderr, when that is a terminal.

    Raises
    ------
    ScinnError
        If there is no model of that name, or its file cannot be had. Paths are returned as they are.
    """
    if isinstance(model, str) and is_name(model):
        return find(model, registries=registries).fetch(progress=progress)
    return Path(model)


def is_name(model: str) -> bool:
    """Return whether a text is the name of a model, rather than a path."""
    if model.endswith(".onnx") or any(separator in model for separator in {"/", os.sep}):
        return False
    path = Path(model)
    return path.is_dir() or not path.exists()  # a folder is no model, and may well be called like one


def find(name: str, *, registries: Sequence[str] = ()) -> Found:
    """Return a model given by name, from the first registry that has it.

    Parameters
    ----------
    name
        Its name, alone or with a version.
    registries
        Folders or URLs of registries to search before all others.

    Raises
    ------
    ScinnError
        If no registry has it; the message lists the models that there are, or says that it is a file.
    """
    wanted, _, version = name.partition("@")
    known: dict[str, None] = {}  # a set that keeps the order
    for registry in read_registries(registries):
        entries = {entry.version: entry for entry in registry.models if entry.name == wanted}
        known |= dict.fromkeys(entry.pinned if version and entries else entry.name for entry in registry.models)
        if entries and not version:
            return Found(entries[max(entries)], registry.place)
        if version.isdecimal() and len(version) < 10 and int(version) in entries:
            return Found(entries[int(version)], registry.place)
    raise ScinnError(_unknown(name, list(known)))


def list_models(*, registries: Sequence[str] = ()) -> list[Found]:
    """Return every version of every model, in the order in which registries are searched.

    Parameters
    ----------
    registries
        Folders or URLs of registries to search before all others.

    Raises
    ------
    ScinnError
        If a registry cannot be read.
    """
    return [Found(entry, registry.place) for registry in read_registries(registries) for entry in registry.models]


def shipped_models() -> list[Found]:
    """Return the models that come with scINN, and ask no other registry.

    Raises
    ------
    ScinnError
        If their registry cannot be read.
    """
    folder = shipped_folder()
    if folder is None:
        return []
    registry = _read_registry(str(folder))
    return [Found(entry, registry.place) for entry in registry.models]


def read_registries(registries: Sequence[str] = ()) -> Iterator[Registry]:
    """Read the registries in the order in which they are searched, each when it is reached.

    Raises
    ------
    ScinnError
        If one cannot be read: another model of the same name must not silently take its place.
    """
    chosen = os.environ.get(MODELS_VARIABLE)
    places = [*registries, *([chosen] if chosen else []), *([str(shipped)] if (shipped := shipped_folder()) else [])]
    for place in dict.fromkeys(places):
        yield _read_registry(place)


def shipped_folder() -> Path | None:
    """Return the folder of the models that come with scINN: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    folders = (package / "models", package.parent / "models")
    return next((folder for folder in folders if (folder / _DOCUMENT).is_file()), None)


def _read_registry(place: str) -> Registry:
    document = within(place) if place.endswith(".json") else within(place, _DOCUMENT)
    if isinstance(document, str):
        return Registry(document.rpartition("/")[0], _download_registry(document))
    try:
        with document.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        msg = f"the registry {document} cannot be read: {error.strerror}. Check the folder, and {MODELS_VARIABLE}."
        raise ScinnError(msg) from error
    return Registry(str(document.parent), _parse(content, str(document)))


def _download_registry(url: str) -> tuple[ModelEntry, ...]:
    """Return what a server lists; where it does not answer, what it listed when it last did."""
    copy = cache_folder() / "registries" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
    try:
        content = read_url(url, limit=LARGEST)
    except ScinnError as error:
        if not copy.is_file():
            msg = f"the registry cannot be read: {error} Check the address, and {MODELS_VARIABLE}."
            raise ScinnError(msg) from error
        warnings.warn(f"{error} The registry is taken as it was when it was last read.", ScinnWarning, stacklevel=2)
        return _parse(copy.read_bytes(), str(copy))
    models = _parse(content, url)
    with contextlib.suppress(ScinnError, OSError):  # the copy is for another day; today it is not needed
        copy.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(copy, overwrite=True) as temporary:
            temporary.write_bytes(content)
    return models


def _parse(content: bytes, source: str) -> tuple[ModelEntry, ...]:
    if len(content) > LARGEST:
        msg = f"{source} has more than {LARGEST:,} bytes; it is not a registry of models."
        raise ScinnError(msg)
    return parse_registry(content, source=source)


def _verify(path: Path, found: Found) -> None:
    """Refuse a file of a registry's folder that is not the one that the registry states."""
    if not path.resolve().is_relative_to(Path(found.place).resolve()):
        msg = (
            f"{found.entry.pinned}: {path} is a link that leads out of the folder of its registry; it is not followed."
        )
        raise ScinnError(msg)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        msg = (
            f"{found.entry.pinned}: {path} cannot be read: {error.strerror}. Install scinn, or copy the folder, again."
        )
        raise ScinnError(msg) from error
    if digest != found.entry.sha256:
        msg = (
            f"{found.entry.pinned}: {path} has the SHA-256 {digest}, and not {found.entry.sha256} as its registry "
            "states: it is damaged, or another version. It is not used; copy it again, or mend the registry."
        )
        raise ScinnError(msg)


def _unknown(name: str, known: list[str]) -> str:
    with contextlib.suppress(OSError):  # too long for a file's name, for one
        if Path(name).is_file():
            return (
                f"{name} is a file, and what is asked for is the name of a model: 'scinn-infer models list' has them. "
                f"What a file says of itself is shown by: scinn-infer inspect {shlex.quote(name)}"
            )
    close = difflib.get_close_matches(name.lower(), known, cutoff=0.4)
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    listed = ", ".join(known) or "none"
    what = f"no model {name[:80]!r}" if NAME.fullmatch(name.partition("@")[0]) else f"no model file {name[:80]!r}"
    return (
        f"There is {what}, and no file of that name.{guess} The models are: {listed}. A file is given by its path, "
        "which ends in .onnx."
    )
