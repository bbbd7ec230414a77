"""The file contract between training and inference: what a model file's inputs, outputs and metadata are and mean.

``scinn_train`` writes it, ``scinn_infer`` reads it, and any other ONNX runtime can: every value is a string in the ONNX
``metadata_props``, JSON where it has structure.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from scinn_infer import cell_reference
from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scinn_infer.cell_reference import CellReference

FORMAT_VERSION = 3
"""The format that this version writes, and the newest that it reads."""

OPSET = 17
IR_VERSION = 8

INPUT_EXPRESSION = "expression"
INPUT_MEASURED = "measured"
INPUT_COLUMNS = "columns"
INPUTS = (INPUT_EXPRESSION, INPUT_MEASURED, INPUT_COLUMNS)
OUTPUT_IMPUTED = "imputed"
OUTPUT_EXPECTED = "expected"
OUTPUT_DENOISED = "denoised"
OUTPUT_CLUSTER_PROBABILITY = "cluster_probability"
OUTPUT_EMBEDDING = "embedding"
OUTPUT_IMPUTED_COLUMNS = "imputed_columns"
OUTPUT_DENOISED_COLUMNS = "denoised_columns"
GENE_OUTPUTS = (OUTPUT_IMPUTED, OUTPUT_EXPECTED, OUTPUT_DENOISED)
"""The outputs with a column for each gene."""

COLUMN_OUTPUTS = {OUTPUT_IMPUTED: OUTPUT_IMPUTED_COLUMNS, OUTPUT_DENOISED: OUTPUT_DENOISED_COLUMNS}
"""The outputs of which some columns can be had by themselves, and what these are called."""

OUTPUTS = (
    OUTPUT_IMPUTED,
    OUTPUT_EXPECTED,
    OUTPUT_DENOISED,
    OUTPUT_CLUSTER_PROBABILITY,
    OUTPUT_EMBEDDING,
    OUTPUT_IMPUTED_COLUMNS,
    OUTPUT_DENOISED_COLUMNS,
)
"""Those of the newest format; ``denoised`` came with format 2, and the two of single columns with format 3."""

UNITS = ("counts", "tpm", "fpkm")
"""Units of expression: raw counts (UMI or reads), transcripts per million, fragments per kilobase per million."""

_PREFIX = "scinn."


@dataclass(frozen=True)
class Spread:
    """Five-number summary of one quantity over the training cells."""

    minimum: float
    q05: float
    median: float
    q95: float
    maximum: float


@dataclass(frozen=True)
class TrainingData:
    """What the training data looked like, so that a new batch can be held against it.

    Attributes
    ----------
    cells
        Number of training cells.
    genes_before_filter
        Number of genes in the training matrix, before the model's genes were chosen.
    zero_fraction
        Share of zero entries in the (cells × model genes) matrix.
    depth
        Sum over the model's genes per cell, in the model's unit.
    genes_per_cell
        Number of the model's genes with a non-zero entry per cell.
    gene_mean
        Mean per model gene over the training cells, in the model's unit, in the model's gene order.
    sha256
        Digest of the training matrix (see ``scinn_train.provenance``).
    """

    cells: int
    genes_before_filter: int
    zero_fraction: float
    depth: Spread
    genes_per_cell: Spread
    gene_mean: tuple[float, ...]
    sha256: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """Everything that a model file knows about itself.

    Attributes
    ----------
    genes
        The model's genes as the training data named them, in column order.
    gene_ids
        Their Ensembl ids without version, where known (an empty string where not); empty when none is known.
    unit
        ``"counts"``, ``"tpm"`` or ``"fpkm"``: the unit of ``expression``, ``imputed``, ``expected`` and ``denoised``.
    clusters
        Number of columns of ``cluster_probability``.
    training_data
        What the training data looked like.
    training
        How the model was trained: configuration, seed, versions.
    quality
        Quality measured on cells held out of the training, name to number.
    capture_efficiency
        Share of a cell's molecules that the model takes to have been captured, between 0 and 1: it decides how
        ``imputed`` and ``denoised`` follow from ``expected``. None where it decides nothing: for reads, or where the
        first is ``expected`` at the zeros and the second ``expected`` itself, as in format 1.
    molecule_value
        What one captured molecule shows as, above 0, in the unit of the data at the target depth: of read counts, TPM
        and FPKM it decides the same. None where it does not.
    cell_reference
        What is known of cells held out of the training, for the drift and the confidence of new cells; None where the
        file does not say.
    tissue, species, licence
        Free text; empty when not stated.
    format
        Format version of the file.
    """

    genes: tuple[str, ...]
    unit: str
    clusters: int
    training_data: TrainingData
    gene_ids: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    capture_efficiency: float | None = None
    molecule_value: float | None = None
    cell_reference: CellReference | None = None
    tissue: str = ""
    species: str = ""
    licence: str = ""
    format: int = FORMAT_VERSION

    def to_metadata(self) -> dict[str, str]:
        """Return the ONNX metadata: one string per field, under ``scinn.<field>``, in a fixed order."""
        fields = asdict(self)
        return {_PREFIX + name: value if isinstance(value, str) else _json(value) for name, value in fields.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, source: str = "the model") -> ModelInfo:
        """Read and check the metadata of a model file.

        Parameters
        ----------
        metadata
            The ``custom_metadata_map`` of an onnxruntime session.
        source
            How error messages name the file.

        Raises
        ------
        ScinnError
            If the metadata is not scINN's, is of a later format, or contradicts itself.
        """
        _check_format(metadata, source)
        try:
            clusters = _integer(_parse(metadata[_PREFIX + "clusters"]))
            info = cls(
                genes=_strings(metadata, "genes"),
                unit=metadata[_PREFIX + "unit"],
                clusters=clusters,
                training_data=_training_data(_parse(metadata[_PREFIX + "training_data"])),
                gene_ids=_strings(metadata, "gene_ids", "[]"),
                training=_dict(metadata, "training"),
                quality=_dict(metadata, "quality"),
                capture_efficiency=_share(_parse(metadata.get(_PREFIX + "capture_efficiency", "null"))),
                molecule_value=_positive(_parse(metadata.get(_PREFIX + "molecule_value", "null"))),
                cell_reference=cell_reference.parse(
                    _parse(metadata.get(_PREFIX + "cell_reference", "null")), clusters=clusters
                ),
                tissue=metadata.get(_PREFIX + "tissue", ""),
                species=metadata.get(_PREFIX + "species", ""),
                licence=metadata.get(_PREFIX + "licence", ""),
                format=int(metadata[_PREFIX + "format"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            msg = (
                f"{source}: its metadata is damaged ({type(error).__name__}: {error}). Fetch or export the model again."
            )
            raise ScinnError(msg) from error
        _check_consistency(info, source)
        return info


def _check_format(metadata: Mapping[str, str], source: str) -> None:
    stated = metadata.get(_PREFIX + "format")
    if stated is None:
        msg = f"{source} is an ONNX model, but not a scINN model: it has no {_PREFIX}format in its metadata."
        raise ScinnError(msg)
    if not (stated.isascii() and stated.isdigit() and len(stated) < 10) or int(stated) < 1:
        msg = (
            f"{source}: its format version {stated[:20]!r} is not a positive integer. Fetch or export the model again."
        )
        raise ScinnError(msg)
    if int(stated) > FORMAT_VERSION:
        msg = (
            f"{source} has model format {int(stated)}; this scinn reads formats up to {FORMAT_VERSION}. "
            "Upgrade with: pip install --upgrade scinn"
        )
        raise ScinnError(msg)


def _check_consistency(info: ModelInfo, source: str) -> None:
    problem = ""
    if not info.genes:
        problem = "it lists no genes"
    elif len(set(info.genes)) != len(info.genes):
        problem = "it lists a gene twice"
    elif info.gene_ids and len(info.gene_ids) != len(info.genes):
        problem = f"it lists {len(info.genes)} genes but {len(info.gene_ids)} gene ids"
    elif info.unit not in UNITS:
        problem = f"its unit {info.unit[:20]!r} is none of {', '.join(UNITS)}"
    elif len(info.training_data.gene_mean) != len(info.genes):
        problem = f"it lists {len(info.genes)} genes but {len(info.training_data.gene_mean)} gene means"
    elif info.training_data.cells < 1 or min(info.training_data.gene_mean) < 0:
        problem = "it states no training cells, or negative expression"
    elif "\0" in "".join((info.tissue, info.species, info.licence, *info.genes)):
        problem = "it has a text with a null character"
    elif info.capture_efficiency is not None and info.molecule_value is not None:
        problem = "it states a capture efficiency and a molecule value, of which one is for molecules and one for reads"
    elif info.clusters < 1:
        problem = f"it states {info.clusters} clusters"
    if problem:
        msg = f"{source}: its metadata contradicts itself: {problem}. Fetch or export the model again."
        raise ScinnError(msg)


def _training_data(fields: dict[str, Any]) -> TrainingData:
    return TrainingData(
        cells=_integer(fields["cells"]),
        genes_before_filter=_integer(fields["genes_before_filter"]),
        zero_fraction=_number(fields["zero_fraction"]),
        depth=_spread(fields["depth"]),
        genes_per_cell=_spread(fields["genes_per_cell"]),
        gene_mean=tuple(_number(value) for value in fields["gene_mean"]),
        sha256=str(fields.get("sha256", "")),
    )


def _spread(fields: dict[str, Any]) -> Spread:
    return Spread(**{name: _number(fields[name]) for name in ("minimum", "q05", "median", "q95", "maximum")})


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{str(value)[:20]!r} is not an integer"
        raise TypeError(msg)
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"{str(value)[:20]!r} is not a finite number"
        raise TypeError(msg)
    return float(value)


def _share(value: Any) -> float | None:
    """Return a number between 0 and 1, both left out, or None."""
    if value is None:
        return None
    if not 0 < _number(value) < 1:
        msg = f"{value} is not between 0 and 1"
        raise ValueError(msg)
    return float(value)


def _positive(value: Any) -> float | None:
    """Return a number above 0, or None."""
    if value is None:
        return None
    if not _number(value) > 0:
        msg = f"{value} is not above 0"
        raise ValueError(msg)
    return float(value)


def _strings(metadata: Mapping[str, str], name: str, default: str | None = None) -> tuple[str, ...]:
    text = metadata[_PREFIX + name] if default is None else metadata.get(_PREFIX + name, default)
    values = _parse(text)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        msg = f"{name} is not a list of strings"
        raise TypeError(msg)
    return tuple(values)


def _dict(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    value = _parse(metadata.get(_PREFIX + name, "{}"))
    if not isinstance(value, dict):
        msg = f"{name} is not a JSON object"
        raise TypeError(msg)
    return value


def _parse(text: str) -> Any:
    """Read JSON, without the NaN and Infinity that Python's reader lets through."""

    def refuse(constant: str) -> Any:
        msg = f"{constant} is not JSON"
        raise ValueError(msg)

    return json.loads(text, parse_constant=refuse)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
