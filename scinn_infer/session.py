"""onnxruntime at arm's length: sessions that survive a fork, the file contract, errors told in a sentence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

# From 1.29 on onnxruntime, when imported, writes a device identifier to the user's cache and reports to its maker, in a
# thread that keeps a forked child from ending. What is computed on such data is nobody's business: off, unless set.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from scinn_infer.contract import (
    COLUMN_OUTPUTS,
    INPUT_COLUMNS,
    INPUT_EXPRESSION,
    INPUT_MEASURED,
    INPUTS,
    OUTPUT_CLUSTER_PROBABILITY,
    OUTPUT_EMBEDDING,
    ModelInfo,
)
from scinn_infer.errors import ScinnError
from scinn_infer.forks import before_fork, no_fork
from scinn_infer.formats import outputs_of, takes_columns
from scinn_infer.onnxpaths import only_paths_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

DEFAULT_PROVIDERS = ("CPUExecutionProvider",)
"""The provider that every onnxruntime brings."""

NO_LOG = 4
"""onnxruntime's severity level for fatal errors only: other errors are raised, and told in a sentence."""


_OPEN: WeakSet[Session] = WeakSet()


class _Part(NamedTuple):
    """An onnxruntime session that computes some outputs, and the names of what it needs for that."""

    runtime: Any
    inputs: frozenset[str]


class Session:
    """Run a model file's bytes, with onnxruntime sessions that are made when they are first needed.

    There is one for each set of outputs that is asked for, of a file that has been cut down to what leads to them, or
    to what does so from values within it that are given. Such a session cannot be pickled. Nor can it be used after a
    fork, where its threads are missing; a child would even wait for them when it ends. So it is closed before a fork,
    and parent and child each make a new one.

    A call computes in the thread that makes it, and in no other: onnxruntime's own threads share out single operations,
    most of which are too small for it. Calls may be made in several threads at once.

    Parameters
    ----------
    content
        The bytes of the file, already looked through.
    providers
        Names of onnxruntime's execution providers, in order of preference.
    source
        How messages name the file.
    """

    def __init__(self, content: bytes, *, providers: Sequence[str], source: str) -> None:
        self._content = content
        self._providers = list(providers)
        self._source = source
        self._parts: dict[tuple[frozenset[str], tuple[str, ...]], _Part] = {}
        _OPEN.add(self)

    def read_info(self) -> ModelInfo:
        """Return what the file says about itself.

        Raises
        ------
        ScinnError
            If onnxruntime cannot load the file, or it is not a scINN model.
        """
        session = self._new(self._content)
        try:
            info = ModelInfo.from_metadata(session.get_modelmeta().custom_metadata_map, source=self._source)
            _check_contract(session, info, self._source)
        except UnicodeDecodeError as error:
            msg = f"{self._source} is damaged: its metadata or its names are not text. Fetch or export the model again."
            raise ScinnError(msg) from error
        return info

    def width(self, output: str) -> int:
        """Return how many columns an output has."""
        return next(int(node.shape[1]) for node in self._get([output]).runtime.get_outputs())

    def takes(self, name: str, outputs: Sequence[str], *, given: tuple[str, ...] = ()) -> bool:
        """Return whether an input is needed for some outputs, as :meth:`run` takes both."""
        return name in self._get(outputs, given).inputs

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]], *, given: tuple[str, ...] = ()
    ) -> list[npt.NDArray[Any]]:
        """Return the outputs asked for; only what they need is computed.

        Parameters
        ----------
        outputs
            Their names.
        inputs
            By name; those that the outputs do not need are passed over, and need not be there.
        given
            Which of these are values within the graph, known already.

        Raises
        ------
        ScinnError
            If onnxruntime cannot load or run the model.
        """
        part = self._get(outputs, given)
        needed = {name: inputs[name] for name in part.inputs & inputs.keys()}
        try:
            with no_fork():
                return list(part.runtime.run(list(outputs), needed))
        except MemoryError:
            raise
        except Exception as error:
            msg = f"{self._source} cannot be run ({_first_line(error)}). Fetch or export the model again."
            raise ScinnError(msg) from error

    def close(self) -> None:
        """Let go of the onnxruntime sessions; the next call makes another."""
        self._parts = {}

    def _get(self, outputs: Sequence[str], given: tuple[str, ...] = ()) -> _Part:
        wanted = (frozenset(outputs), given)
        part = self._parts.get(wanted)  # a local name, because a fork in another thread may close it meanwhile
        if part is None:
            runtime = self._new(only_paths_to(self._content, outputs, droppable=INPUTS, given=given))
            nodes = [*runtime.get_inputs(), *runtime.get_overridable_initializers()]
            part = _Part(runtime, frozenset(node.name for node in nodes))
            self._parts[wanted] = part
        return part

    def _new(self, content: bytes) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = NO_LOG
        try:
            with no_fork():
                return onnxruntime.InferenceSession(content, options, providers=self._providers, enable_fallback=0)
        except MemoryError:
            raise
        except Exception as error:
            msg = f"{self._source} cannot be loaded ({_first_line(error)}). Fetch or export the model again."
            raise ScinnError(msg) from error


def _close_all() -> None:
    for session in list(_OPEN):
        session.close()


before_fork(_close_all)


def check_providers(providers: Sequence[str]) -> tuple[str, ...]:
    """Return the names of execution providers, if this onnxruntime has them.

    Raises
    ------
    ScinnError
        If there is none, or one is not available; the message lists those that are.
    """
    names = (providers,) if isinstance(providers, str) else tuple(providers)
    available = onnxruntime.get_available_providers()
    unknown = [name for name in names if name not in available]
    if unknown or not names:
        what = f"the provider {unknown[0]!r}" if unknown else "an empty list of providers"
        msg = f"This onnxruntime cannot use {what}. Available: {', '.join(available)}."
        raise ScinnError(msg)
    return names


def _check_contract(session: Any, info: ModelInfo, source: str) -> None:
    genes = len(info.genes)
    inputs = {node.name: node for node in session.get_inputs()}
    defaults = {node.name: node for node in session.get_overridable_initializers()}
    outputs = {node.name: node for node in session.get_outputs()}
    reference = info.cell_reference
    width = None if reference is None else len(reference.whitening)
    widths = {OUTPUT_CLUSTER_PROBABILITY: info.clusters, OUTPUT_EMBEDDING: width}
    narrow = COLUMN_OUTPUTS.values()  # as wide as the caller wants them
    mismatches = (
        _mismatch(outputs.get(name), name, widths.get(name, genes)) for name in outputs_of(info) if name not in narrow
    )
    open_ones = (_open_mismatch(outputs.get(name), name) for name in outputs_of(info) if name in narrow)
    problem = (
        _mismatch(inputs.pop(INPUT_EXPRESSION, None), INPUT_EXPRESSION, genes)
        or _mismatch(defaults.get(INPUT_MEASURED), INPUT_MEASURED, genes, by_cell=False)
        or next(filter(None, mismatches), "")
        or (_open_columns(defaults.get(INPUT_COLUMNS)) if takes_columns(info) else "")
        or next(filter(None, open_ones), "")
        or (f"it asks for {next(iter(inputs))!r} as well" if inputs else "")
    )
    if problem:
        msg = f"{source} breaks the file contract: {problem}. Fetch or export the model again."
        raise ScinnError(msg)


def _mismatch(node: Any, name: str, width: int | None, *, by_cell: bool = True) -> str:
    """Say what is wrong with an input or output. The number of cells must be left open; a width of None may be any."""
    if node is None:
        return f"it has no {name!r}" + ("" if by_cell else " with a default")
    if node.type != "tensor(float)":
        return f"{name!r} is {node.type} instead of tensor(float)"
    *rows, columns = node.shape or [None]
    open_rows = len(rows) == by_cell and not any(isinstance(size, int) for size in rows)
    if not open_rows or not isinstance(columns, int) or columns != (width or columns):
        wanted = ["cells"] * by_cell + [width or "any width"]
        return f"{name!r} is of shape {node.shape} instead of {wanted}"
    return ""


def _open_columns(node: Any) -> str:
    """Say what is wrong with the input that names columns: it must be open to any number of them."""
    if node is None:
        return f"it has no {INPUT_COLUMNS!r} with a default"
    if node.type != "tensor(int64)":
        return f"{INPUT_COLUMNS!r} is {node.type} instead of tensor(int64)"
    if len(node.shape) != 1 or isinstance(node.shape[0], int):
        return f"{INPUT_COLUMNS!r} is of shape {node.shape} instead of ['columns']"
    return ""


def _open_mismatch(node: Any, name: str) -> str:
    """Say what is wrong with an output that is as wide as the caller wants it."""
    if node is None:
        return f"it has no {name!r}"
    if node.type != "tensor(float)":
        return f"{name!r} is {node.type} instead of tensor(float)"
    if len(node.shape or ()) != 2 or any(isinstance(size, int) for size in node.shape):
        return f"{name!r} is of shape {node.shape} instead of ['cells', 'columns']"
    return ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
