"""Apply a model from file to file, in memory bounded by one chunk of cells."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.anndata import provenance
from scinn_infer.columns import result_dtype
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.h5ad import H5adMatrix
from scinn_infer.h5ad_write import bytes_needed, check_key, write_with_layer
from scinn_infer.progress import track
from scinn_infer.stream import BLOCK
from scinn_infer.suitability import check_sample
from scinn_infer.wholefile import check_output, whole_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from scinn_infer.genes import GeneMatch
    from scinn_infer.model import Model
    from scinn_infer.storage import Rows

CELLS_READ = 4 * BLOCK
"""Cells that are read together if not stated otherwise: each access to a file has its cost."""


def apply_file(
    model: Model,
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    layer: str | None = None,
    key_added: str = "scinn",
    batch_size: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], object] | None = None,
    progress: bool = False,
) -> None:
    """Write a copy of an ``.h5ad`` file with the imputed values as one more layer, in the input's unit and order.

    The layer is dense, float64 where the input is and float32 otherwise. Everything else in the file is kept as it is,
    and ``uns[key_added]`` says how the layer was made. The output appears when it is whole.

    Parameters
    ----------
    model
        The model.
    path
        The ``.h5ad`` file with the batch, in the model's unit.
    output
        The ``.h5ad`` file to write.
    layer
        The layer to impute; ``X`` if not given.
    key_added
        Name of the new layer, which the file must not have yet.
    batch_size
        Number of cells to read at a time; it does not change the result.
    overwrite
        Whether an existing ``output`` may be replaced. The input is never.
    say
        Is told what is found out about the batch, a sentence at a time.
    progress
        Whether to show a progress bar on a terminal.

    Raises
    ------
    ScinnError
        If the input cannot be read or does not fit the model, or the output cannot be written; nothing is written then.

    Warns
    -----
    ScinnWarning
        If the batch lacks more than 20 % of the model's genes or may be in another unit, or if cells have no expression
        at all (they stay as they are).
    """
    path, output = Path(path), Path(output)
    inputs = [path] if model.path is None else [path, model.path]
    check_output(output, overwrite=overwrite, keep=inputs)
    with H5adMatrix(path, layer=layer, temporary_folder=output.resolve().parent) as matrix:
        check_key(path, key_added)
        shape, dtype = matrix.shape, result_dtype(matrix.dtype)
        empty = _EmptyCells(matrix)
        chunks = empty.counted(matrix.chunks(batch_size or CELLS_READ))
        blocks = model.impute_chunks(chunks, matrix.genes, source=matrix.source, cell_names=matrix.cell_names)
        match = model.match(matrix.genes, source=matrix.source)
        if say:
            for sentence in _findings(matrix, match):
                say(sentence)
        check_sample(matrix, unit=model.info.unit)
        values = track(
            (block for _, block in blocks), description="imputing", total=shape[0], size=len, enabled=progress
        )
        record = provenance(model, match, layer=layer)
        needs = bytes_needed(path, shape, dtype)
        with whole_file(output, overwrite=overwrite, keep=inputs, needs=needs) as temporary, warnings.catch_warnings():
            # The stream looks at the unit of its first cells; the sample was a better look.
            warnings.simplefilter("ignore", ScinnWarning)
            write_with_layer(temporary, path, values, key=key_added, shape=shape, dtype=dtype, provenance=record)
    empty.warn()


def _findings(matrix: H5adMatrix, match: GeneMatch) -> Iterator[str]:
    yield match.sentence
    if matrix.storage == "csc":
        yield f"{matrix.source} is stored by columns (CSC); re-ordering it through a temporary file first."


class _EmptyCells:
    """Counts the cells without any expression while they pass."""

    def __init__(self, matrix: H5adMatrix) -> None:
        self._source, self._cells = matrix.source, matrix.shape[0]
        self._count = 0

    def counted(self, chunks: Iterable[Rows]) -> Iterator[Rows]:
        for rows in chunks:
            self._count += int(np.count_nonzero(np.asarray(rows.sum(axis=1)) == 0))
            yield rows
        if self._count == self._cells:
            msg = f"{self._source} holds nothing but zeros."
            raise ScinnError(msg)

    def warn(self) -> None:
        if self._count:
            share = f"{self._count:,} of {self._cells:,} cells"
            msg = f"{self._source}: {share} have no expression at all; they are kept as they are."
            warnings.warn(msg, ScinnWarning, stacklevel=3)
