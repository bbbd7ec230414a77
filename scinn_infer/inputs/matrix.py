"""What a batch in a file is to those who read it, and the one class that is it for every format but ``.h5ad``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from scinn_infer.errors import ScinnError
from scinn_infer.gene_table import GeneTable
from scinn_infer.storage import StoredRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    import pandas as pd

    from scinn_infer.storage import Rows, Storage

GENE_IDS, GENE_SYMBOLS = "gene_ids", "gene_symbols"
"""Columns of ``var`` for Ensembl ids and for symbols, as scanpy names them."""

PREPARED = {
    "csc": "is stored by columns (CSC)",
    "by gene": "is stored by genes",
    "coordinate": "is a list of entries",
    "text": "is text",
}
"""Storages that need a pass of their own before rows can be read, and how that is said."""


class ExpressionMatrix(Protocol):
    """A matrix (cells × genes) in a file, in the unit and the precision in which it is stored; a context manager.

    Attributes
    ----------
    path
        The file or folder.
    source
        How messages name the matrix.
    shape
        Number of cells and genes.
    dtype
        Type of the values that ``rows`` returns, in native byte order.
    storage
        How it is stored: ``"csr"``, ``"csc"``, ``"dense"``, ``"by gene"``, ``"coordinate"`` or ``"text"``.
    notes
        What was found in the file besides and is left out, each a sentence.
    gene_table
        What the file calls the genes.
    """

    path: Path
    source: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    storage: str
    notes: tuple[str, ...]
    gene_table: GeneTable

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    @property
    def genes(self) -> list[str]:
        """Names of the genes, from the index of ``var`` or the column that was named."""

    @property
    def var_names(self) -> list[str]:
        """Names of the genes in the index of ``var``."""

    @property
    def cells(self) -> list[str]:
        """Names of the cells."""

    @property
    def cell_names(self) -> Sequence[str]:
        """The same for messages: perhaps read only when one is looked at."""

    @property
    def stored(self) -> int:
        """Number of stored entries, once a pass that has to come first is over."""

    def var_columns(self) -> Mapping[str, Sequence[str]]:
        """Return what the file says of the genes in words, column by column: other names of them, for one."""

    def rows(self, start: int, stop: int) -> Rows:
        """Return the cells ``start`` to ``stop`` (cells × genes): a CSR array or a dense one."""

    def chunks(self, batch_size: int, *, start: int = 0) -> Iterator[Rows]:
        """Yield all cells from ``start`` on, ``batch_size`` at a time (cells × genes)."""

    def sample(self) -> Iterator[tuple[int, Rows]]:
        """Yield some cells from all over the matrix, with the position of the first of each few."""


def preparation(matrix: ExpressionMatrix) -> str:
    """Return what is to be said of the pass that has to come first; nothing if there is none."""
    how = PREPARED.get(matrix.storage)
    return f"{matrix.source} {how}; re-ordering it through a temporary file first." if how else ""


class FileMatrix(StoredRows):
    """An :class:`ExpressionMatrix` from its storage and its names.

    Parameters
    ----------
    path
        The file or folder.
    source
        How messages name the matrix.
    storage
        How its rows are read.
    genes, cells
        Names of its columns, as the index of ``var`` has them, and of its rows; these perhaps
        :class:`scinn_infer.stored_names.StoredNames`.
    columns
        What else the file says of the genes in words, by name, a value for each gene.
    var
        The table ``var``, where the file has one; it is made of ``columns`` where not.
    notes
        What was found besides and is left out, each a sentence.
    close
        Closes the file.

    Raises
    ------
    ScinnError
        If the matrix is empty, or there is not one name for each row and column.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: str,
        storage: Storage,
        genes: list[str],
        cells: Sequence[str],
        columns: Mapping[str, Sequence[str]] | None = None,
        var: pd.DataFrame | None = None,
        notes: Sequence[str] = (),
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self.path, self.source, self.notes = path, source, tuple(notes)
        self.var_names, self.genes, self.cell_names = genes, genes, cells
        self.gene_table = GeneTable(
            read=self._var if var is None else lambda: var, source=str(path), option="--gene-column {}"
        )
        self.shape, self.dtype, self.storage = storage.shape, storage.dtype, storage.storage
        self._storage, self._columns, self._close = storage, dict(columns or {}), close
        _check_shape(self.shape, expected=(len(cells), len(genes)), source=source)

    def name_genes_by(self, column: str | None) -> Self:
        """Take the genes' names from a column of ``var``; None leaves them as they are.

        Raises
        ------
        ScinnError
            If there is no such column of names.
        """
        if column is not None:
            self.gene_table = replace(self.gene_table, column=column)
            self.genes = self.gene_table.names()
        return self

    def _var(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self._columns, index=self.var_names)

    def close(self) -> None:
        """Close the file, and drop temporary ones."""
        self._storage.close()
        self._close()

    @property
    def cells(self) -> list[str]:
        """Names of the cells, all of them in memory."""
        return list(self.cell_names[:])

    @property
    def stored(self) -> int:
        """Number of stored entries, once a pass that has to come first is over."""
        return self._storage.stored

    def var_columns(self) -> dict[str, Sequence[str]]:
        """Return what the file says of the genes in words, column by column."""
        return self._columns


def _check_shape(shape: tuple[int, int], *, expected: tuple[int, int], source: str) -> None:
    if shape != expected:
        msg = (
            f"{source} is {shape[0]:,} × {shape[1]:,}, but {expected[0]:,} cells and {expected[1]:,} genes are listed: "
            "it is damaged. Copy or write it again."
        )
        raise ScinnError(msg)
    if 0 in shape:
        msg = f"{source} is empty: {shape[0]:,} cells × {shape[1]:,} genes."
        raise ScinnError(msg)
