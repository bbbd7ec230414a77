"""The folders of 10x Genomics' Cell Ranger: ``matrix.mtx`` with barcodes and features (version 3) or genes (2).

The matrix is genes × cells, usually cell by cell, but a Matrix Market file may list its entries in any order.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from scinn_infer.damage import naming_damage
from scinn_infer.errors import ScinnError
from scinn_infer.inputs.matrix import GENE_IDS, GENE_SYMBOLS, FileMatrix
from scinn_infer.inputs.names import look_like_cells, look_like_genes
from scinn_infer.inputs.recognise import MTX_BANNER, is_mtx_name, open_text
from scinn_infer.inputs.spool import Spooled, as_float32
from scinn_infer.inputs.tenx_h5 import FEATURE_TYPES, only_genes
from scinn_infer.unchanged import Unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scinn_infer.inputs.spool import Entry

LINES_AT_A_TIME = 1 << 17
"""About 20 MB at work."""

COMMENT = "%"
KINDS = ("integer", "real")
FIELDS = ("gene", "cell", "value")
CELLS_FILES, GENES_FILES = ("barcodes.tsv",), ("features.tsv", "genes.tsv")


def open_mtx(path: Path, *, temporary_folder: Path) -> FileMatrix:
    """Open a folder with ``matrix.mtx``, or that file (cells × genes); genes are named by their symbols.

    ``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv`` or ``genes.tsv`` may have a prefix in common, and be
    compressed with gzip.

    Raises
    ------
    ScinnError
        If one of the three files is not there, is damaged, or does not fit the others.
    """
    matrix = _only_matrix(path) if path.is_dir() else path
    cells_file, genes_file = _beside(matrix, CELLS_FILES), _beside(matrix, GENES_FILES)
    cells, features = _lines(cells_file), [line.split("\t") for line in _lines(genes_file)]
    unchanged = Unchanged(matrix, source=str(matrix))
    genes_named, cells_named, entries = _sizes(matrix)
    _check_sizes(matrix, (genes_named, cells_named), genes_file, features, cells_file, cells)
    columns = _columns(features)
    shape = (cells_named, genes_named)
    spooled = Spooled(
        lambda: _entries(matrix, (genes_named, cells_named), entries, unchanged),
        shape=shape,
        dtype=np.dtype(np.float32),
        storage="coordinate",
        folder=temporary_folder,
    )
    storage, columns, notes = only_genes(spooled, columns, source=str(matrix))
    return FileMatrix(
        path,
        source=str(matrix),
        storage=storage,
        genes=columns[GENE_SYMBOLS],
        cells=[cell.partition("\t")[0] for cell in cells],
        columns=columns,
        notes=notes,
    )


def _only_matrix(folder: Path) -> Path:
    there = sorted(file for file in folder.iterdir() if is_mtx_name(file.name))
    if len(there) > 1:
        listed = ", ".join(file.name for file in there)
        msg = f"{folder} holds more than one matrix: {listed}. Give one of them, with its barcodes and genes beside it."
        raise ScinnError(msg)
    return there[0]


def names_beside(matrix: Path) -> list[Path]:
    """Return the files that name the cells and the genes of ``matrix.mtx``, as far as they are there."""
    return [file for names in (CELLS_FILES, GENES_FILES) if (file := _find_beside(matrix, _written(matrix, names)))]


def _beside(matrix: Path, names: tuple[str, ...]) -> Path:
    wanted = _written(matrix, names)
    if file := _find_beside(matrix, wanted):
        return file
    msg = f"{matrix.parent} has {matrix.name}, but no {', '.join(wanted[:-1])} or {wanted[-1]}. Copy it there too."
    raise ScinnError(msg)


def _find_beside(matrix: Path, names: list[str]) -> Path | None:
    return next((file for name in names if (file := matrix.parent / name).is_file()), None)


def _written(matrix: Path, names: tuple[str, ...]) -> list[str]:
    """Return how files that belong to a matrix may be called: with its prefix, compressed or not."""
    prefix = matrix.name.removesuffix(".gz").removesuffix("matrix.mtx") if is_mtx_name(matrix.name) else ""
    return [f"{prefix}{name}{suffix}" for name in names for suffix in ("", ".gz")]


def _lines(path: Path) -> list[str]:
    if path.stat().st_size == 0:
        msg = f"{path} is empty (0 bytes). Copy or download it again."
        raise ScinnError(msg)
    with naming_damage(str(path)), open_text(path) as file:
        lines = file.read().decode("utf-8-sig").splitlines()
    return [line for line in lines if line.strip()]


def _columns(features: list[list[str]]) -> dict[str, list[str]]:
    """Return id, symbol and type of each gene, as far as the file has them."""
    ids = [fields[0] for fields in features]
    columns = {GENE_IDS: ids, GENE_SYMBOLS: [fields[1] if len(fields) > 1 else fields[0] for fields in features]}
    if all(len(fields) > 2 for fields in features):
        columns[FEATURE_TYPES] = [fields[2] for fields in features]
    return columns


def _sizes(matrix: Path) -> tuple[int, int, int]:
    """Return the numbers of genes, cells and entries that the header states."""
    if matrix.stat().st_size == 0:
        msg = f"{matrix} is empty (0 bytes). Copy or download it again."
        raise ScinnError(msg)
    with naming_damage(str(matrix)), open_text(matrix) as file:
        first = file.readline().decode()
        banner = first.lower().split()  # the format does not mind the case
        line = next((line for line in file if line.strip() and not line.startswith(b"%")), b"")
    wanted = f"{MTX_BANNER} matrix coordinate, {' or '.join(KINDS)}, general"
    if len(banner) != 5 or banner[:3] != [MTX_BANNER.lower(), "matrix", "coordinate"] or banner[4] != "general":
        begins = " ".join(first.split())[:80]
        msg = f"{matrix}: line 1 is {begins!r}; expected is {wanted}. Write it again as 10x Genomics does."
        raise ScinnError(msg)
    if banner[3] not in KINDS:
        msg = f"{matrix} holds values of type {banner[3]!r}, not counts; expected is {wanted}."
        raise ScinnError(msg)
    fields = line.split()
    if len(fields) != 3 or not all(field.isdigit() for field in fields):
        msg = f"{matrix}: its header states {line.decode(errors='replace').strip()[:80]!r}; expected are three whole "
        msg += "numbers: genes, cells and entries. Copy or download it again."
        raise ScinnError(msg)
    genes, cells, entries = map(int, fields)
    return genes, cells, entries


def _check_sizes(
    matrix: Path,
    stated: tuple[int, int],
    genes_file: Path,
    features: list[list[str]],
    cells_file: Path,
    cells: list[str],
) -> None:
    """Tell which of the three files does not belong to the others."""
    _check_not_swapped(genes_file, features, cells_file, cells)
    found = (len(features), len(cells))
    if found == stated:
        return
    if found == stated[::-1]:
        msg = (
            f"{matrix} is {stated[0]:,} × {stated[1]:,}, for {found[0]:,} genes in {genes_file.name} and {found[1]:,} "
            f"cells in {cells_file.name}: it is swapped, or the names of these two are. 10x Genomics writes genes × "
            "cells: write the matrix transposed, or give the files their right names."
        )
        raise ScinnError(msg)
    wrong = [
        f"{file.name} lists {there:,} {what}, and the matrix has {size:,}"
        for file, what, there, size in zip((genes_file, cells_file), ("genes", "cells"), found, stated, strict=True)
        if there != size
    ]
    msg = f"{matrix} does not belong to the files beside it: {'; '.join(wrong)}. Take all three from the same run."
    raise ScinnError(msg)


def _check_not_swapped(genes_file: Path, features: list[list[str]], cells_file: Path, cells: list[str]) -> None:
    """Tell by what is in them, since their lengths may agree, whether genes and cells are in each other's file."""
    genes, barcodes = [fields[0] for fields in features], [cell.partition("\t")[0] for cell in cells]
    if (
        (look_like_cells(genes) and not look_like_cells(barcodes))
        or (look_like_genes(barcodes) and not look_like_genes(genes))
        or (all("\t" in cell for cell in cells) and all(len(fields) == 1 for fields in features))
    ):
        msg = (
            f"{genes_file} and {cells_file.name} are swapped, by what is in them: the first lists {genes[0]!r} for a "
            f"gene, the second {barcodes[0]!r} for a cell. Swap their names."
        )
        raise ScinnError(msg)


def _entries(matrix: Path, shape: tuple[int, int], stated: int, unchanged: Unchanged) -> Iterator[Entry]:
    """Yield cells, genes and values of the entries."""
    seen = 0
    with open_text(matrix) as file:
        number = 1
        for number, line in enumerate(file, 1):
            if number > 1 and line.strip() and not line.startswith(b"%"):
                break  # the sizes
        while lines := [line.decode() for line in islice(file, LINES_AT_A_TIME)]:
            table = _parse(lines, matrix, shape, first=number + 1)
            values = as_float32(table[:, 2], source=str(matrix))
            yield table[:, 1].astype(np.int64) - 1, table[:, 0].astype(np.int64) - 1, values
            number += len(lines)
            seen += len(table)
    unchanged.check()
    if seen != stated:
        msg = f"{matrix} states {stated:,} entries and has {seen:,}: it is truncated or damaged. Copy it again."
        raise ScinnError(msg)


def _parse(lines: list[str], matrix: Path, shape: tuple[int, int], *, first: int) -> np.ndarray:
    if not any(_is_entry(line) for line in lines):
        return np.empty((0, 3))
    try:
        table = np.loadtxt(lines, comments=COMMENT, ndmin=2)
    except ValueError:
        _refuse_line(lines, matrix, shape, first=first)
    if table.shape[1] != 3:
        _refuse_line(lines, matrix, shape, first=first)
    places, sizes = table[:, :2], np.array(shape)
    if not ((places >= 1) & (places <= sizes) & (places == np.floor(places))).all():
        _refuse_line(lines, matrix, shape, first=first)
    return table


def _is_entry(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(COMMENT)


def _refuse_line(lines: list[str], matrix: Path, shape: tuple[int, int], *, first: int) -> NoReturn:
    """Name the first line that is no entry, and what of it is wrong."""
    for number, line in enumerate(lines, first):
        if _is_entry(line) and (problem := _problem(line.split(), shape)):
            msg = f"{matrix}: line {number:,} {problem}. Copy or write it again."
            raise ScinnError(msg)
    msg = f"{matrix}: lines {first:,} to {first + len(lines) - 1:,} cannot be read. Copy or write it again."
    raise ScinnError(msg)


def _problem(fields: list[str], shape: tuple[int, int]) -> str:
    if len(fields) != len(FIELDS):
        return f"has {len(fields)} numbers, not three ({', '.join(FIELDS)})"
    for what, field in zip(FIELDS, fields, strict=True):
        try:
            float(field)
        except ValueError:
            return f"has {field[:40]!r} for the {what}"
    for what, field, size in zip(FIELDS[:2], fields[:2], shape, strict=True):
        if not (field.isdigit() and 1 <= int(field) <= size):
            return f"names {what} {field}, of {size:,}"
    return ""
