"""The ``.h5ad`` file to which a result is added: the input itself, or one made of an input in another format."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scinn_infer.hdf5_write import open_to_write
from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.outputs.copied_bytes import LOOKED_AT, copied_bytes, sparse_bytes, text_bytes
from scinn_infer.outputs.filling import fill
from scinn_infer.unchanged import read_whole
from scinn_infer.wholefile import check_space, not_written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.unchanged import Lasting


def base_bytes(matrix: ExpressionMatrix, genes: npt.NDArray[np.intp] | None) -> int:
    """Return what the input takes in a file that has to be made, at most; of all genes, or of some. Of text, about."""
    cells, of = matrix.shape
    if recognise(matrix.path) in {Format.H5AD, Format.ZARR}:
        return copied_bytes(matrix.path, genes, of=of)
    names = text_bytes(cells, matrix.cell_names[:LOOKED_AT])
    names += sum(text_bytes(of, column) for column in (matrix.var_names, *matrix.var_columns().values()))
    return names + sparse_bytes((cells, of if genes is None else genes.size), matrix.stored, matrix.dtype.itemsize)


@contextmanager
def base_file(
    matrix: ExpressionMatrix, output: Path, *, lasting: Lasting, genes: npt.NDArray[np.intp] | None = None
) -> Iterator[Path]:
    """Give the path of an ``.h5ad`` file with what the input holds; unless it is the input, it is gone after the block.

    Parameters
    ----------
    matrix
        The input (cells × genes).
    output
        Where the result will be; a file that has to be made is made beside it.
    lasting
        The input as it was before it was opened.
    genes
        Which genes it has, in this order; all if not given.

    Raises
    ------
    ScinnError
        If there is no room for it, or the input has changed.
    """
    if recognise(matrix.path) is Format.H5AD and genes is None:
        yield matrix.path
        return
    place = output.resolve()
    check_space(place.parent, base_bytes(matrix, genes), purpose=f"writing {output}")
    base = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
    try:
        with open_to_write(base, "w") as (file, _), read_whole(lasting):
            fill(file, matrix, temporary_folder=place.parent, genes=genes)
        yield base
    except OSError as error:
        raise not_written(output, error) from error
    finally:
        base.unlink(missing_ok=True)
