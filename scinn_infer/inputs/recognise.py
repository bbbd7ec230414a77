"""Which format a file or a folder is in, by what is in it: names are often wrong."""

from __future__ import annotations

import gzip
import zipfile
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO, cast

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.h5ad import import_io
from scinn_infer.wholefile import ZARR_MARKS

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

HDF5_MAGIC, ZIP_MAGIC, GZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b"
MTX_BANNER = "%%MatrixMarket"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
NO_TEXT = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1a\x1b")
"""Signs that steer machines, and are in whatever is no text, in any encoding."""

HEAD = 1 << 16

EXPECTED = (
    "Expected is an .h5ad file, a zarr store of anndata's, a 10x Genomics .h5 file or folder (matrix.mtx, barcodes.tsv "
    "and features.tsv or genes.tsv), a loom file, or a table as .csv or .tsv, as such or compressed with gzip"
)


class Format(Enum):
    """The formats that are read, as they are called."""

    H5AD = ".h5ad"
    ZARR = "zarr"
    TENX_H5 = "10x Genomics .h5"
    MTX = "10x Genomics mtx"
    LOOM = "loom"
    TEXT = "text table"


def recognise(path: Path) -> Format:
    """Return the format of a file or a folder.

    Raises
    ------
    ScinnError
        If it is not there, is empty, may not be read, or is in no format that is read.
    """
    with naming_damage(str(path)):
        return _recognise(path)


def _recognise(path: Path) -> Format:
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        msg = f"{path} is not there. Check the name."
        raise ScinnError(msg)
    with path.open("rb") as file:
        start = file.read(len(ZIP_MAGIC))
    if not start:
        msg = f"{path} is empty (0 bytes). Copy or download it again."
        raise ScinnError(msg)
    if _is_hdf5(path):
        return _hdf5(path)
    if start.startswith(ZIP_MAGIC):
        return _zip(path)
    return _text(path)


def open_text(path: Path) -> BinaryIO:
    """Return the bytes of a file that may be compressed with gzip, whatever its name."""
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP_MAGIC
    return cast("BinaryIO", gzip.open(path, "rb")) if compressed else path.open("rb")


def _folder(path: Path) -> Format:
    there = {entry.name for entry in path.iterdir()}
    if there.intersection(ZARR_MARKS):
        return Format.ZARR
    if any(is_mtx_name(name) for name in there):
        return Format.MTX
    inside = sorted(file.parent for file in path.glob("*/*") if is_mtx_name(file.name) or file.name in ZARR_MARKS)
    if inside:
        msg = f"{path} is a folder that holds no matrix itself. Give the one inside: {inside[0]}."
        raise ScinnError(msg)
    listed = (
        f"It holds {', '.join(sorted(there)[:5])}{' and more' if len(there) > 5 else ''}" if there else "It is empty"
    )
    msg = f"{path} is a folder without a matrix: no matrix.mtx, and no zarr store. {listed}. {EXPECTED}."
    raise ScinnError(msg)


def is_mtx_name(name: str) -> bool:
    """Whether a file is called as 10x Genomics calls its matrix, perhaps after a prefix."""
    return name.endswith(("matrix.mtx", "matrix.mtx.gz"))


def _is_hdf5(path: Path) -> bool:
    """Whether HDF5's mark is where it may be: in front, or after a block of 512 bytes, 1024, and so on."""
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            if file.read(len(HDF5_MAGIC)) == HDF5_MAGIC:
                return True
            place = max(512, 2 * place)
    return False


def _hdf5(path: Path) -> Format:
    h5py = import_io("reading")
    try:
        with h5py.File(path, "r") as file:
            return _hdf5_layout(file)
    except OSError:
        return Format.H5AD  # whose reader says why it cannot be opened


def _hdf5_layout(file: h5py.File) -> Format:
    if "row_attrs" in file and "matrix" in file:
        return Format.LOOM
    if any("barcodes" in group for group in file.values() if hasattr(group, "keys")):
        return Format.TENX_H5
    return Format.H5AD  # whose reader says what is missing


def _zip(path: Path) -> Format:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.rpartition("/")[2] in ZARR_MARKS for name in names):
        return Format.ZARR
    msg = f"{path} is a .zip file, but no zarr store. Unpack it, and give what is inside. {EXPECTED}."
    raise ScinnError(msg)


def _text(path: Path) -> Format:
    with open_text(path) as file:
        head = file.read(HEAD)
    if head.startswith(UTF_16):
        msg = f"{path} is text in UTF-16, and UTF-8 is read. Write it again as UTF-8, in pandas with encoding='utf-8'."
        raise ScinnError(msg)
    line = head.decode("utf-8-sig", errors="replace").partition("\n")[0]
    if line.upper().startswith(MTX_BANNER.upper()):
        return Format.MTX
    is_text = not NO_TEXT.intersection(head)
    if is_text and ("\t" in line or "," in line):
        return Format.TEXT  # whose reader says where it is in another encoding
    if is_text and ";" in line:
        msg = (
            f"{path} seems to be a table with semicolons between its values. Write it with commas or tabs, and with "
            "points in its numbers."
        )
        raise ScinnError(msg)
    msg = f"{path} is in no format that is read: its first line is no table's. {EXPECTED}."
    raise ScinnError(msg)
