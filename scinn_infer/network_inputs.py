"""The inputs of the network, as the file contract has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.contract import INPUT_COLUMNS
from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    import numpy.typing as npt


def as_float32(value: npt.ArrayLike, name: str, shape: tuple[int | None, ...]) -> npt.NDArray[np.float32]:
    """Return an array as the contract takes it; None in the shape stands for any size.

    Raises
    ------
    ScinnError
        If it is of another shape.
    """
    array = np.ascontiguousarray(value, dtype=np.float32)
    if array.ndim != len(shape) or any(
        size not in (None, found) for size, found in zip(shape, array.shape, strict=True)
    ):
        wanted = " × ".join("cells" if size is None else f"{size:,}" for size in shape)
        msg = f"{name} is of shape {array.shape}; it has to be {wanted}."
        raise ScinnError(msg)
    return array


def as_columns(value: npt.ArrayLike, genes: int) -> npt.NDArray[np.int64]:
    """Return positions of genes as the contract takes them (columns,).

    Raises
    ------
    ScinnError
        If they are not positions among so many genes, or none.
    """
    array = np.asarray(value)
    sound = array.ndim == 1 and array.dtype.kind in "iu" and array.size
    if not sound or array.min() < 0 or array.max() >= genes:
        msg = f"{INPUT_COLUMNS} has to be a list of positions from 0 to {genes - 1:,}, at least one."
        raise ScinnError(msg)
    return array.astype(np.int64)
