"""A model file, checked and ready to be applied to new cells."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer.arguments import check_count
from scinn_infer.batch import as_rows, check_sample, open_batch, sample_rows
from scinn_infer.cell_quality import QUALITY_OUTPUTS, QualityRecorder
from scinn_infer.columns import GeneColumns
from scinn_infer.contract import (
    COLUMN_OUTPUTS,
    GENE_OUTPUTS,
    INPUT_COLUMNS,
    INPUT_EXPRESSION,
    INPUT_MEASURED,
    OUTPUT_EMBEDDING,
    OUTPUT_IMPUTED,
)
from scinn_infer.errors import ScinnError
from scinn_infer.formats import outputs_of, takes_columns
from scinn_infer.genes import REFUSE, GeneMatch, match_genes
from scinn_infer.log_expression import LogExpression, find_log_expression
from scinn_infer.network_inputs import as_columns, as_float32
from scinn_infer.onnxfile import check_onnx, read_onnx
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.selection import WHOLE, SelectedColumns, Selection
from scinn_infer.session import DEFAULT_PROVIDERS, Session, check_providers
from scinn_infer.store import resolve
from scinn_infer.stream import BLOCK, for_each_block, impute_stream
from scinn_infer.threads import available_threads
from scinn_infer.zero_fill import find_zero_fill

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import dask.array
    import numpy.typing as npt

    from scinn_infer.batch import Batch
    from scinn_infer.cell_quality import CellQuality, SeenCells
    from scinn_infer.checks import Matrix
    from scinn_infer.columns import ModelBlock, Rows

    Outputs = dict[str, npt.NDArray[np.float32]]


def load(
    path: str | os.PathLike[str] | bytes,
    *,
    threads: int | None = None,
    providers: Sequence[str] | None = None,
) -> Model:
    """Load a model file. Nothing in it is trusted: what is not a scINN model is refused.

    Parameters
    ----------
    path
        The ``.onnx`` file, its bytes, or the name of a model (``scinn-infer models list``), which is downloaded if it
        is not here yet.
    threads
        Threads to compute with, each on other cells; as many as this process may really use if not given. The number
        does not change the result.
    providers
        onnxruntime's execution providers, in order of preference; the CPU if not given.

    Raises
    ------
    ScinnError
        If the file is not there, truncated, not ONNX, not a scINN model or of a later format, or asks for more than a
        model file may; if there is no model of that name, or its file cannot be had; if a provider is not available.

    Examples
    --------
    >>> model = scinn_infer.load("models/tiny.onnx")
    >>> model.info.unit, len(model.genes)
    ('counts', 60)
    """
    if isinstance(path, bytes):
        return Model(path, threads=threads, providers=providers)
    file = resolve(path)
    return Model(read_onnx(file), path=file, threads=threads, providers=providers)


class Model:
    """A trained model: imputes new cells of its tissue. Made by :func:`load`.

    Can be pickled, by its path where it was loaded from one, and used after a fork. Threads may share it.

    Attributes
    ----------
    info
        Everything that the file knows about itself.
    path
        The file; None where the model was loaded from bytes.
    sha256
        Digest of the file.
    source
        How messages name the file.
    providers
        onnxruntime's execution providers.
    """

    def __init__(
        self,
        content: bytes,
        *,
        path: Path | None = None,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        self.path = path.absolute() if path else None  # another process may run in another folder
        self.source = str(path) if path else "The model"
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.providers = check_providers(DEFAULT_PROVIDERS if providers is None else providers)
        self._threads = None if threads is None else check_count(threads, "threads")
        check_onnx(content, source=self.source)
        self._content = content
        self._session = self._new_session()
        # Not cached properties: those have one lock for all models before Python 3.12, which a fork may find held.
        self._zero_fills: dict[str, str | None] = {}
        self._looked_for: tuple[LogExpression | None] | None = None
        self.info = self._session.read_info()

    @property
    def genes(self) -> tuple[str, ...]:
        """The model's genes, in the order of its columns."""
        return self.info.genes

    @property
    def embedding_width(self) -> int:
        """Width of the quality network's embedding."""
        return self._session.width(OUTPUT_EMBEDDING)

    @property
    def threads(self) -> int:
        """Threads that the model computes with."""
        return self._threads or available_threads()

    def match(self, genes: Sequence[str], *, source: str = "The batch", duplicates: str = REFUSE) -> GeneMatch:
        """Report how the genes of a batch match the model's; a batch that cannot be used is reported as well.

        Parameters
        ----------
        genes
            Names of the batch's genes: symbols, or Ensembl ids.
        source
            How sentences, at their beginning, name the batch.
        duplicates
            As for :meth:`impute`.

        Examples
        --------
        >>> match = scinn_infer.load("models/tiny.onnx").match(["GENE2", "GENE1", "XIST"])
        >>> match.matched, match.extra
        (2, ('XIST',))
        """
        return match_genes(self.info, genes, source=source, duplicates=duplicates)

    def impute(
        self,
        X: Matrix,
        genes: Sequence[str],
        *,
        policy: str = KEEP,
        duplicates: str = REFUSE,
        batch_size: int | None = None,
        source: str = "X",
        cell_names: Sequence[str] | None = None,
        unit_checked: bool = False,
        recorder: QualityRecorder | None = None,
        only: Sequence[str] | None = None,
        min_value: float = 0,
        dtype: npt.DTypeLike | None = None,
    ) -> npt.NDArray[np.floating[Any]]:
        """Impute a batch: fill its zeros, or denoise all of it.

        Takes and returns values in the model's unit (``info.unit``) and at each cell's own depth: no normalisation, no
        logarithm, in or out.

        Parameters
        ----------
        X
            The batch (cells × genes), in the model's unit: a numpy array, or a scipy sparse matrix of any format; CSR
            is the fastest, and other formats are converted to it in memory. It is not changed.
        genes
            Names of its columns, in any order. Genes of the model that are not among them are treated as unknown,
            genes that the model does not know are returned as they are.
        policy
            ``"keep"``: non-zeros come back bit for bit; zeros are filled with values that can stand beside these, so
            that a cell adds up to more than it did. ``"denoise"``: every entry of the genes that the model knows is
            the model's, those observed too; what was counted is weighed with what is expected, so that a cell adds up
            to about what it did.
        duplicates
            What becomes of columns that name the same gene of the model. ``"refuse"``: they are refused. ``"sum"``:
            the model is given their sum, and in the result they add up to the gene's value. Where they are zero
            together the first of them gets it; where they are not they stay as they are (``keep``), or share it in the
            ratio of what was observed (``denoise``).
        batch_size
            Number of cells to take at a time; it changes neither the result nor, from 24 on, the speed.
        source
            How messages name the batch.
        cell_names
            Names of its rows, for messages.
        unit_checked
            Whether X is known to be in the model's unit: it is then taken as it is, even where it looks like logarithms
            (fractions, and no large value), as corrected counts of few genes may.
        recorder
            Is told the quality of each cell (:class:`scinn_infer.cell_quality.QualityRecorder`).
        only
            Names of the genes that are wanted; all if not given. The result has these columns alone, in that order, and
            they are all that is computed; of model files before format 3 the whole is, and the columns are taken from
            it. A name that several columns have means them all. With a ``recorder`` the whole is needed too.
        min_value
            Filled values below this, in the model's unit, stay zero. Where X is not zero the result is as without it.
        dtype
            Precision of the result: ``"float16"``, ``"float32"`` or ``"float64"``, or numpy's type; float64 where X is
            and float32 otherwise if not given. Under ``"keep"``, observed values must survive it.

        Returns
        -------
        numpy.ndarray
            The result (cells × genes), finite and nowhere negative, dense, in the caller's order, or that of ``only``.

        Raises
        ------
        ScinnError
            If X is no such matrix, is empty, holds values that are negative, missing, infinite or (in an integer type)
            above 2²⁴, looks log-transformed, has too few of the model's genes or (unless summed) one of them twice,
            holds nothing but zeros in them, or lacks a gene of ``only``; if ``dtype`` would change an observed value.

        Warns
        -----
        ScinnWarning
            If X lacks more than 20 % of the model's genes, may be in another unit, or has cells without any expression
            in the model's genes (they stay as they are).

        Examples
        --------
        >>> model = scinn_infer.load("models/tiny.onnx")
        >>> X = np.random.default_rng(0).poisson(1.0, (5, len(model.genes)))
        >>> imputed = model.impute(X, model.genes)
        >>> imputed.shape, bool((imputed[X > 0] == X[X > 0]).all()), bool((imputed[X == 0] > 0).all())
        ((5, 60), True, True)
        """
        if not hasattr(X, "shape") or not hasattr(X, "dtype"):
            msg = f"{source} is of type {type(X).__name__}; pass a numpy array or scipy sparse matrix, cells × genes."
            raise ScinnError(msg)
        blocks = self.impute_chunks(
            X,
            genes,
            policy=policy,
            duplicates=duplicates,
            batch_size=batch_size,
            source=source,
            cell_names=cell_names,
            unit_checked=unit_checked,
            recorder=recorder,
            only=only,
            min_value=min_value,
            dtype=dtype,
        )
        result: npt.NDArray[np.floating[Any]] | None = None
        for start, block in blocks:
            if result is None:
                result = np.empty((X.shape[0], block.shape[1]), dtype=block.dtype)
            result[start : start + block.shape[0]] = block
        assert result is not None  # a batch without cells is refused
        return result

    def impute_chunks(
        self,
        X: Matrix | Iterable[Matrix],
        genes: Sequence[str],
        *,
        policy: str = KEEP,
        duplicates: str = REFUSE,
        batch_size: int | None = None,
        source: str = "X",
        cell_names: Sequence[str] | None = None,
        unit_checked: bool = False,
        recorder: QualityRecorder | None = None,
        only: Sequence[str] | None = None,
        min_value: float = 0,
        dtype: npt.DTypeLike | None = None,
    ) -> Iterator[tuple[int, npt.NDArray[np.floating[Any]]]]:
        """Impute a batch some cells at a time, in memory bounded by them.

        Parameters
        ----------
        X
            As :meth:`impute` takes it; or an iterable of such matrices, the rows of the batch in order, cut in any way.
            Each has to be a matrix of its own: rows may wait for those of the next.
        genes, policy, duplicates, source, cell_names, unit_checked, recorder, only, min_value, dtype
            As for :meth:`impute`.
        batch_size
            Number of cells to yield at a time; 24, the fastest, if not given. It does not change the values.

        Yields
        ------
        start : int
            Position of the first cell of the block.
        block : numpy.ndarray
            What :meth:`impute` returns for these cells (cells × genes); the last block can be shorter. It is the
            caller's to keep and to change.

        Raises
        ------
        ScinnError
            As :meth:`impute`; for values, when the block that holds them is reached, except that cells from all over a
            matrix are looked at before. Of an iterable, the first cells with any expression have to tell the unit.
        """
        batch = open_batch(
            self.info, genes, source=source, cell_names=cell_names, duplicates=duplicates, unit_checked=unit_checked
        )
        selection = Selection(only=only, min_value=min_value, dtype=dtype)
        if not hasattr(X, "shape"):
            return self.stream(X, batch, policy=policy, batch_size=batch_size, recorder=recorder, selection=selection)
        rows = as_rows(X, batch)
        batch = replace(batch, unit_checked=check_sample(sample_rows(rows), batch))
        return self.stream([rows], batch, policy=policy, batch_size=batch_size, recorder=recorder, selection=selection)

    def lazy(
        self,
        X: Matrix | dask.array.Array,
        genes: Sequence[str],
        *,
        policy: str = KEEP,
        duplicates: str = REFUSE,
        chunk_size: int | None = None,
        unit_checked: bool = False,
    ) -> dask.array.Array:
        """Return the imputed matrix as a Dask array: only the chunks that are asked for are computed.

        So ``adata.layers["scinn"] = model.lazy(adata.X, adata.var_names)`` costs nothing until a part of it is read.

        Parameters
        ----------
        X
            As :meth:`impute` takes it, or a Dask array whose chunks are such matrices (cells × genes).
        genes, policy, duplicates
            As for :meth:`impute`.
        chunk_size
            Cells that are computed together; the chunks of a Dask array stay as they are if not given.
        unit_checked
            As for :meth:`impute`. Otherwise a matrix in memory is looked at in cells from all over it, and each chunk
            of a Dask array by itself.

        Returns
        -------
        dask.array.Array
            What :meth:`impute` returns, bit for bit (cells × genes).

        Raises
        ------
        ScinnError
            As :meth:`impute`; for values, when a chunk is computed that holds them, except that cells from all over a
            matrix in memory are looked at before. If Dask is not installed.
        """
        from scinn_infer.dask import impute

        return impute(
            X,
            self,
            genes=genes,
            policy=policy,
            duplicates=duplicates,
            chunk_size=chunk_size,
            threads=self.threads,
            unit_checked=unit_checked,
        )

    def with_threads(self, threads: int) -> Model:
        """Return the same model, to be computed with by another number of threads.

        Raises
        ------
        ScinnError
            If it is not a whole number from 1 on.
        """
        other = copy.copy(self)
        other._threads = check_count(threads, "threads")
        return other

    def stream(
        self,
        chunks: Iterable[Matrix],
        batch: Batch,
        *,
        policy: str = KEEP,
        batch_size: int | None = None,
        recorder: QualityRecorder | None = None,
        selection: Selection = WHOLE,
    ) -> Iterator[tuple[int, npt.NDArray[np.floating[Any]]]]:
        """Do what :meth:`impute_chunks` does once the genes, and perhaps the unit, have been looked at.

        Parameters
        ----------
        chunks
            The rows of the batch in order, cut in any way (cells × genes), in the model's unit.
        batch
            What was found out about it, from :func:`scinn_infer.batch.open_batch`.
        policy, batch_size, recorder
            As for :meth:`impute_chunks`, as is what it yields. When a block is yielded, its cells have been recorded.
        selection
            What of the result is wanted.

        Raises
        ------
        ScinnError
            As :meth:`impute_chunks`.
        """
        chosen = find_policy(policy)
        output = chosen.output_of(self.info)
        size = BLOCK if batch_size is None else check_count(batch_size, "batch_size")

        places = selection.columns(batch.genes, source=batch.source)
        alone = places is not None and takes_columns(self.info)
        if alone:
            output = COLUMN_OUTPUTS[output]
        fill = None
        if chosen.keeps_nonzeros and recorder is None and (alone or places is None):  # a recorder looks at the whole
            fill = self._zero_fill(output)
            output = fill or output
        selected = None if places is None else SelectedColumns(batch.match, places, network_keeps=fill is None)
        columns = selected.model_columns if selected else None
        outputs = (output,) if recorder is None else (output, *QUALITY_OUTPUTS)

        run = self._of_blocks(batch.match.measured, outputs, columns=columns if alone else None)

        def network(block: ModelBlock) -> tuple[npt.NDArray[np.float32], SeenCells | None]:
            results = run(block)
            seen = None if recorder is None else recorder.look(block, results)
            return results[output] if columns is None or alone else np.take(results[output], columns, axis=1), seen

        return impute_stream(
            chunks,
            batch,
            network,
            keep_nonzeros=chosen.keeps_nonzeros,
            network_keeps=fill is None,
            batch_size=size,
            threads=self.threads,
            recorder=recorder,
            selection=selection,
            selected=selected,
        )

    def assess(
        self,
        X: Matrix | Iterable[Matrix],
        genes: Sequence[str],
        *,
        duplicates: str = REFUSE,
        source: str = "X",
        cell_names: Sequence[str] | None = None,
        unit_checked: bool = False,
    ) -> CellQuality:
        """Tell the cluster of each cell, how sure that is, and how unlike the training data the cell is.

        Nothing is imputed. A cell's result depends on nothing but the cell: not on the cells around it.

        Parameters
        ----------
        X, genes, source, cell_names, unit_checked
            As for :meth:`impute_chunks`.
        duplicates
            Whether columns that name the same gene of the model are refused or summed: ``"refuse"`` or ``"sum"``.

        Raises
        ------
        ScinnError
            As :meth:`impute`.

        Warns
        -----
        ScinnWarning
            As :meth:`impute`.
        """
        batch = open_batch(
            self.info, genes, source=source, cell_names=cell_names, duplicates=duplicates, unit_checked=unit_checked
        )
        chunks: Iterable[Matrix] = X
        if hasattr(X, "shape"):
            rows = as_rows(X, batch)
            batch = replace(batch, unit_checked=check_sample(sample_rows(rows), batch))
            chunks = [rows]
        recorder = QualityRecorder(self.info)
        self.record(chunks, batch, recorder)
        quality = recorder.drain()
        if quality is None:
            msg = f"{batch.source} has no cells."
            raise ScinnError(msg)
        return quality

    def record(self, chunks: Iterable[Matrix], batch: Batch, recorder: QualityRecorder) -> None:
        """Tell a recorder the quality of each cell, without imputing, once the genes have been looked at.

        Parameters
        ----------
        chunks, batch
            As for :meth:`stream`.
        recorder
            Is told.

        Raises
        ------
        ScinnError
            As :meth:`impute`, except for a batch without cells.
        """
        for _ in self.record_blocks(chunks, batch, recorder):
            pass

    def record_blocks(self, chunks: Iterable[Matrix], batch: Batch, recorder: QualityRecorder) -> Iterator[int]:
        """Do what :meth:`record` does a block at a time, and yield how many cells it has, once it is recorded."""
        run = self._of_blocks(batch.match.measured, QUALITY_OUTPUTS)

        def look(_: int, __: Rows, block: ModelBlock) -> SeenCells:
            return recorder.look(block, run(block))

        for cells, seen in for_each_block(chunks, batch, GeneColumns(batch.match), look, threads=self.threads):
            recorder.record(seen)
            yield cells

    def run(
        self,
        expression: npt.NDArray[np.float32],
        measured: npt.NDArray[np.float32] | None = None,
        *,
        outputs: Sequence[str] = (OUTPUT_IMPUTED,),
        columns: npt.ArrayLike | None = None,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Run the network itself, as the file contract describes it: no matching, no checks of the values, one thread.

        Parameters
        ----------
        expression
            Cells in the model's unit, columns in the order of ``genes`` (cells × model genes).
        measured
            0 for each gene that the batch lacks, otherwise 1 (model genes,); all 1 if not given.
        outputs
            Names of the outputs to compute: ``"imputed"``, ``"expected"`` and, in files from format 2 on,
            ``"denoised"`` (cells × model genes, in the model's unit and at each cell's own depth),
            ``"cluster_probability"`` (cells × clusters), ``"embedding"`` (cells × d); from format 3 on
            ``"imputed_columns"`` and ``"denoised_columns"`` (cells × columns).
        columns
            Which genes the two outputs of columns are of, by position (columns,); the first alone if not given. They
            are those columns of ``"imputed"`` and ``"denoised"``, to 2e-6.

        Raises
        ------
        ScinnError
            If an array has the wrong shape, or there is no such output or column.
        """
        there = outputs_of(self.info)
        if not outputs or not set(outputs) <= set(there):
            msg = f"outputs is {list(outputs)}; choose from {', '.join(there)}."
            raise ScinnError(msg)
        genes = len(self.genes)
        inputs: dict[str, npt.NDArray[Any]] = {
            INPUT_EXPRESSION: as_float32(expression, INPUT_EXPRESSION, (None, genes))
        }
        if measured is not None:
            inputs[INPUT_MEASURED] = as_float32(measured, INPUT_MEASURED, (genes,))
        if set(outputs) & set(COLUMN_OUTPUTS.values()):
            inputs[INPUT_COLUMNS] = as_columns([0] if columns is None else columns, genes)
        return self._compute(outputs, inputs, cells=len(inputs[INPUT_EXPRESSION]))

    def _of_blocks(
        self, measured: npt.NDArray[np.float32], outputs: Sequence[str], *, columns: npt.ArrayLike | None = None
    ) -> Callable[[ModelBlock], Outputs]:
        """Return what computes outputs of the blocks of one batch, as :meth:`run` does but for the last digit."""
        fixed: dict[str, npt.NDArray[Any]] = {INPUT_MEASURED: measured}
        if columns is not None:
            fixed[INPUT_COLUMNS] = as_columns(columns, len(self.genes))
        logarithms = None if self._log_expression is None else self._log_expression.of_batch(measured)
        given = () if logarithms is None else logarithms.names
        takes_expression = self._session.takes(INPUT_EXPRESSION, outputs, given=given)

        def run(block: ModelBlock) -> Outputs:
            inputs = fixed if logarithms is None else fixed | logarithms.of_block(block)
            if takes_expression:
                inputs = inputs | {INPUT_EXPRESSION: block.expression}
            return self._compute(outputs, inputs, cells=block.shape[0], given=given)

        return run

    @property
    def _log_expression(self) -> LogExpression | None:
        """How the logarithms are computed that the network begins with; None where the file has to do it."""
        if self._looked_for is None:
            outputs = tuple(name for name in outputs_of(self.info) if name not in COLUMN_OUTPUTS.values())
            found = find_log_expression(self._content, self._new_session(), outputs=outputs, genes=len(self.genes))
            self._looked_for = (found,)
        return self._looked_for[0]

    def _zero_fill(self, output: str) -> str | None:
        """Return what the graph calls the values that fill an output's zeros; None where it does otherwise."""
        if output not in self._zero_fills:
            found = find_zero_fill(self._content, self._new_session(), output=output, genes=len(self.genes))
            self._zero_fills[output] = found
        return self._zero_fills[output]

    def _compute(
        self,
        outputs: Sequence[str],
        inputs: Mapping[str, npt.NDArray[Any]],
        *,
        cells: int,
        given: tuple[str, ...] = (),
    ) -> Outputs:
        """Run the network, or what is left of it from some given values on; refuse results of a wrong shape."""
        narrow = inputs[INPUT_COLUMNS].size if INPUT_COLUMNS in inputs else 0
        widths = dict.fromkeys(GENE_OUTPUTS, len(self.genes)) | dict.fromkeys(COLUMN_OUTPUTS.values(), narrow)
        results = self._session.run(outputs, inputs, given=given)
        for name, result in zip(outputs, results, strict=True):
            if result.ndim != 2 or len(result) != cells or result.shape[1] != widths.get(name, result.shape[1]):
                msg = f"{self.source} is damaged: its {name!r} has the shape {result.shape} for {cells:,} cells."
                raise ScinnError(msg)
        return dict(zip(outputs, results, strict=True))

    def __repr__(self) -> str:
        about = ", ".join(filter(None, (self.info.tissue, self.info.species, self.info.unit)))
        return f"<scinn_infer.Model {self.source}: {about}; {len(self.genes):,} genes>"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the session, which cannot be pickled, and the content where a path leads to it."""
        return self.__dict__ | {"_session": None, "_content": None if self.path else self._content}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read the file again where there is one, and refuse another than was pickled."""
        self.__dict__.update(state)
        if self.path is not None:
            self._content = read_onnx(self.path)
            if hashlib.sha256(self._content).hexdigest() != self.sha256:
                msg = f"{self.path} is not the file any more that this model was loaded from. Load it again."
                raise ScinnError(msg)
        self._session = self._new_session()

    def _new_session(self) -> Session:
        return Session(self._content, providers=self.providers, source=self.source)
