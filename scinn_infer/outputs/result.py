"""Where a result goes and in which format, by the output's name."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scinn_infer.errors import ScinnError
from scinn_infer.h5ad import check_unlocked, import_io
from scinn_infer.h5ad_cells import check_free_places, quality_in
from scinn_infer.h5ad_write import ROOM_FOR_NAMES, bytes_needed, check_free, check_name, write_with_layer
from scinn_infer.inputs.opening import open_anndata
from scinn_infer.inputs.recognise import Format, recognise
from scinn_infer.inputs.zarr_store import import_zarr
from scinn_infer.outputs.base import base_bytes, base_file
from scinn_infer.outputs.sparse_layer import write_through_hdf5
from scinn_infer.outputs.unfinished import check_unfinished, has_reached, unfinished_store
from scinn_infer.outputs.zarr_names import check_zarr_key, check_zarr_names
from scinn_infer.outputs.zarr_store import write_zarr_with_layer, zarr_bytes_needed
from scinn_infer.unchanged import read_whole
from scinn_infer.wholefile import HDF5_SUFFIXES, ZARR_MARKS, check_output, check_space, check_suffix, whole_file
from scinn_infer.wholefolder import check_output_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from scinn_infer.cell_quality import CellQuality
    from scinn_infer.h5ad_cells import CellColumns
    from scinn_infer.inputs.matrix import ExpressionMatrix
    from scinn_infer.outputs.addition import Addition
    from scinn_infer.outputs.extent import Extent
    from scinn_infer.outputs.unfinished import Unfinished
    from scinn_infer.run_identity import Identity
    from scinn_infer.unchanged import Lasting


def check_place(output: Path, *, overwrite: bool, keep: Sequence[Path], resume: bool = False) -> None:
    """Refuse an output that must not be written, before any work is done for it.

    Raises
    ------
    ScinnError
        If it is one of ``keep``, exists (without ``overwrite``) or has no folder to be in; if its name ends as another
        format's; if a package that writes it is not installed; if what an earlier run has reached would be lost, or
        there cannot be anything to resume.
    """
    import_io("writing")
    if is_zarr(output):
        import_zarr("writing")
        check_unfinished(output, resume=resume, overwrite=overwrite)
        if resume and not overwrite and output.exists() and not has_reached(output):
            msg = (
                f"the output {output} exists already, and there is no unfinished one to go on with. If it is what was "
                "wanted, all is done; otherwise choose another name, or give --overwrite (overwrite=True)."
            )
            raise ScinnError(msg)
        check_output_folder(output, marks=ZARR_MARKS, overwrite=overwrite, keep=keep)
        return
    if resume:
        msg = (
            f"the output {output} is an .h5ad file, which is written in one go: only a zarr store can be gone on with. "
            "Leave --resume (resume=True) out, or give the output a name that ends in .zarr."
        )
        raise ScinnError(msg)
    check_output(output, overwrite=overwrite, keep=keep)
    check_suffix(output, suffixes=HDF5_SUFFIXES, written="an .h5ad file, or a zarr store", endings=".h5ad or in .zarr")
    check_unlocked(output)


@contextmanager
def begin_result(
    output: Path,
    *,
    identity: Identity,
    resume: bool,
    overwrite: bool,
    keep: Sequence[Path],
    needs: int,
) -> Iterator[Unfinished | None]:
    """Give the zarr store that becomes the output when the block ends; None for a file, which is written in one go.

    Parameters
    ----------
    output
        The file, or the folder.
    identity
        Which run it is: what another has reached is not gone on with.
    resume
        Whether to go on with what an earlier run has reached.
    overwrite
        Whether an existing output may be replaced, and what was reached be lost.
    keep
        What the output must not be: the inputs.
    needs
        What :func:`result_bytes` says.

    Raises
    ------
    ScinnError
        If there is no room, or the unfinished store is of another run, or is still being written.
    """
    if not is_zarr(output):
        check_space(output.resolve().parent, needs, purpose=f"writing {output}")
        yield None
        return
    with unfinished_store(
        output,
        identity=identity,
        resume=resume,
        overwrite=overwrite,
        needs=needs,
        check=lambda: check_output_folder(output, marks=ZARR_MARKS, overwrite=overwrite, keep=keep),
    ) as unfinished:
        yield unfinished


def check_key(matrix: ExpressionMatrix, output: Path, key: str, *, quality: bool) -> None:
    """Refuse a name for the new layer and all that comes with it that the input has, or that cannot be one.

    Raises
    ------
    ScinnError
        If it is taken, or no name for a layer; if the output is a zarr store, which cannot hold it or another name that
        is in the input.
    """
    check_name(key)
    if is_zarr(output):
        check_zarr_key(key)
        check_zarr_names(matrix, output)
    path = matrix.path
    if recognise(path) not in {Format.H5AD, Format.ZARR}:
        return
    with open_anndata(path) as root:
        check_free(root, path, key)
        if quality:
            check_free_places(root, path, key)


def read_quality(output: Path, key: str) -> CellQuality:
    """Return what a result says of the cells, but for what is wide."""
    with open_anndata(output) as root:
        return quality_in(root, key)


def write_result(
    output: Path,
    matrix: ExpressionMatrix,
    blocks: Iterable[npt.NDArray[np.floating[Any]]],
    addition: Addition,
    *,
    lasting: Lasting,
    unfinished: Unfinished | None,
    overwrite: bool = False,
    keep: Sequence[Path] = (),
) -> None:
    """Write what the input holds and what is added to it, by the output's name.

    It is a zarr store if the name ends in ``.zarr``, and an ``.h5ad`` file otherwise: :func:`check_place` refuses a
    name that ends as another format's.

    An ``.h5ad`` file and a zarr store are kept with all that is in them; of other formats the matrix becomes ``X``
    (CSR), and what the file says of its genes ``var``.

    Parameters
    ----------
    output
        The file, or the folder, that appears when it is whole.
    matrix
        The input (cells × genes).
    blocks
        The layer's rows in order, a block at a time (cells × genes).
    addition
        What is added.
    lasting
        The input as it was before it was opened: what is copied by its name has to be that.
    unfinished
        From :func:`begin_result`.
    overwrite
        Whether an existing output may be replaced.
    keep
        What the output must not be: the inputs.

    Raises
    ------
    ScinnError
        If the output cannot be written, or the input has changed; nothing is there then that was not before.
    """
    if unfinished is not None:
        write_zarr_with_layer(unfinished, matrix, blocks, addition, lasting=lasting)
        return
    extent = addition.extent
    write = write_through_hdf5 if extent.sparse or not extent.matrix else write_with_layer
    with base_file(matrix, output, genes=extent.genes, lasting=lasting) as base:
        needs = bytes_needed(base, extent.shape[0], extent.layer_bytes, addition.columns)
        with whole_file(output, overwrite=overwrite, keep=keep, needs=needs) as temporary:
            with read_whole(lasting):
                shutil.copyfile(base, temporary)
            write(temporary, blocks, addition)


def result_bytes(output: Path, matrix: ExpressionMatrix, extent: Extent, columns: CellColumns | None) -> int:
    """Return how much room writing a result takes, at most, in bytes; of a sparse layer, and of text, about."""
    if is_zarr(output) and recognise(matrix.path) is Format.ZARR:
        return zarr_bytes_needed(matrix.path, extent, columns)
    if recognise(matrix.path) is Format.H5AD and extent.genes is None:
        return bytes_needed(matrix.path, extent.shape[0], extent.layer_bytes, columns)
    copies = 1 if is_zarr(output) else 2  # what an .h5ad file is made of stays beside it until it is whole
    added = extent.layer_bytes + extent.shape[0] * (columns.bytes_per_cell if columns else 0) + ROOM_FOR_NAMES
    return copies * base_bytes(matrix, extent.genes) + added


def is_zarr(output: Path) -> bool:
    """Tell whether the output is a zarr store, by its name."""
    return output.suffix.lower() == ".zarr"
