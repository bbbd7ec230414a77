"""Names that a zarr store cannot hold: refused before anything is copied, since zarr would lose what has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scinn_infer.arguments import is_text
from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.inputs.opening import open_anndata
from scinn_infer.inputs.recognise import Format, recognise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import h5py

    from scinn_infer.inputs.matrix import ExpressionMatrix

OF_ZARR = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
"""Files of zarr's own, in the folder of what they describe."""


def check_zarr_key(key: str) -> None:
    """Refuse a name for a result that a zarr store cannot hold.

    Raises
    ------
    ScinnError
        If it cannot.
    """
    if problem := _problem(key):
        msg = f"{key!r} is no name for a layer in a zarr store: {problem}. Choose another one with --key-added."
        raise ScinnError(msg)


def check_zarr_names(matrix: ExpressionMatrix, output: Path) -> None:
    """Refuse to write into a zarr store what an input holds under a name that the store cannot hold.

    Raises
    ------
    ScinnError
        If there is such a name; the message says where.
    """
    kind = recognise(matrix.path)
    if kind is Format.H5AD:
        with naming_damage(str(matrix.path)), open_anndata(matrix.path) as file:
            found = list(_of_file(file))
    else:  # the names in a store are zarr's already
        found = [] if kind is Format.ZARR else [("var", str(name)) for name in matrix.var_columns()]
    for place, name in found:
        if problem := _problem(name):
            msg = (
                f"{matrix.path}: {f'{place} has ' if place else 'it has '}{name!r}, which a zarr store cannot hold: "
                f"{problem}. Rename it, or write an .h5ad file instead of {output}."
            )
            raise ScinnError(msg)


def _problem(name: str) -> str:
    """Return why zarr cannot hold a name; nothing if it can."""
    for sign in "\\/":
        if sign in name:
            return f"{sign} would begin a folder there"
    if name in OF_ZARR:
        return "zarr has a file of that name"
    return "" if is_text(name) else "it is not UTF-8"


def _of_file(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Yield where in a file there is a name, and the name: of all that it holds, and of the columns of tables."""
    places: list[str] = []
    file.visit(lambda place: places.append(_as_text(place)))
    for place in places:
        parent, _, name = place.rpartition("/")
        yield parent, name
        attributes = file[place].attrs
        if "column-order" in attributes:
            columns = [attributes["_index"], *attributes["column-order"]] if "_index" in attributes else []
            yield from ((place, _as_text(column)) for column in columns)


def _as_text(name: str | bytes) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)
