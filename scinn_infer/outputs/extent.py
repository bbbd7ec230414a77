"""What is written of a result: how large its matrix is and how it is stored, and which genes of the input stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class Extent:
    """What is written of a result besides the input.

    Attributes
    ----------
    shape
        Number of cells and genes of the output.
    dtype
        The layer's precision.
    matrix
        Whether there is a layer at all.
    sparse
        Whether it is stored sparse and compressed.
    genes
        Which genes of the input are in the output, in this order; None for all.
    density
        Share of entries that are not zero, as far as is known before.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    matrix: bool = True
    sparse: bool = False
    genes: npt.NDArray[np.intp] | None = None
    density: float = 1

    @property
    def layer_bytes(self) -> int:
        """What the layer takes: exactly where it is dense, and at most, by the density, where it is sparse."""
        if not self.matrix:
            return 0
        entries = self.shape[0] * self.shape[1]
        if not self.sparse:
            return entries * self.dtype.itemsize
        return int(entries * self.density * (self.dtype.itemsize + INDEX_BYTES)) + self.shape[0] * POINTER_BYTES


INDEX_BYTES, POINTER_BYTES = 4, 8
"""What an entry of a sparse matrix takes besides its value, and a row besides its entries."""
