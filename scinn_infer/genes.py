"""Match the genes of a batch to those of a model, and say what was found: a report, not a guess."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.errors import ScinnError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    import numpy.typing as npt

    from scinn_infer.contract import ModelInfo

WARN_BELOW = 0.8
"""Overlap under which the result deserves a look."""

REFUSE_BELOW = 0.3
"""Overlap under which a batch is refused. Training hides genes at random, but never most of them: with fewer than this
the network extrapolates, and so small an overlap nearly always means names of another kind or another species."""

SHARE_THAT_TELLS = 0.5
"""Share of names of one kind from which they are taken to be all of that kind."""

NAMES_SHOWN = 5
EXAMPLES = 3

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?")
_BARCODE = re.compile(r"([A-Za-z0-9]+[-_#:])?[ACGT]{12,}([-_.:].*)?")


@dataclass(frozen=True, eq=False)
class GeneMatch:
    """What of a batch's genes a model knows.

    Attributes
    ----------
    by
        The names that were compared: ``"symbols"`` or ``"Ensembl ids"``.
    columns
        For each gene of the batch its column in the model, or -1 where the model does not know it (genes,).
    measured
        The contract's input: 1 for each gene of the model that the batch has, otherwise 0 (model genes,).
    missing
        Genes of the model that the batch lacks, as the model names them.
    extra
        Genes of the batch that the model does not know, as the batch names them. They pass through untouched.
    duplicated
        Names that stand more than once in the batch, whether the model knows them or not.
    expression_share
        Share of the mean training expression that lies in the matched genes.
    problem
        Why the batch cannot be used and what to do, as a sentence; empty if it can.
    warning
        What deserves a look although the batch can be used, as a sentence; empty if nothing does.
    """

    by: str
    columns: npt.NDArray[np.intp]
    measured: npt.NDArray[np.float32]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    duplicated: tuple[str, ...]
    expression_share: float
    problem: str
    warning: str

    @property
    def matched(self) -> int:
        """Number of the model's genes that the batch has."""
        return self.measured.size - len(self.missing)

    @property
    def overlap(self) -> float:
        """Share of the model's genes that the batch has."""
        return self.matched / self.measured.size

    @property
    def sentence(self) -> str:
        """The report in words."""
        text = (
            f"The batch has {self.matched:,} of the model's {self.measured.size:,} genes ({self.overlap:.0%}, by "
            f"{self.by}), which hold {self.expression_share:.0%} of the expression in the training data."
        )
        if self.missing:
            text += f" Missing: {_some(self.missing)}."
        if self.extra:
            text += f" Unknown to the model, and left as they are: {len(self.extra):,} of the batch's genes."
        if self.duplicated:
            text += f" More than once in the batch: {_some(self.duplicated)}."
        return text


def gene_names(genes: Iterable[object]) -> list[str]:
    """Return the names of genes as a list of text, whatever sequence they come in.

    Raises
    ------
    ScinnError
        If ``genes`` is itself a text.
    """
    if isinstance(genes, str | bytes):
        msg = f"genes is the text {genes[:20]!r}; pass a list with one name for each column."
        raise ScinnError(msg)
    return [gene.decode(errors="replace") if isinstance(gene, bytes) else str(gene) for gene in genes]


def look_like_barcodes(names: Sequence[str]) -> bool:
    """Tell whether most names look like cell barcodes: the matrix is then transposed."""
    return _share(map(_is_barcode, names), names) >= SHARE_THAT_TELLS


def match_genes(info: ModelInfo, genes: Sequence[str], *, source: str = "The batch") -> GeneMatch:
    """Match the genes of a batch to those of a model.

    Names must agree to the letter, except for the version of an Ensembl id, which is ignored. Where most of the batch's
    names are Ensembl ids they are compared with the ids that the model knows for its genes.

    Parameters
    ----------
    info
        What the model says about itself.
    genes
        Names of the batch's genes, in the order of its columns.
    source
        How sentences, at their beginning, name the batch.

    Returns
    -------
    GeneMatch
        The report. A batch that cannot be used is reported as well: see its ``problem``.

    Raises
    ------
    ScinnError
        If ``genes`` is not a list of names.
    """
    names = gene_names(genes)
    ids = _share(map(_is_ensembl, names), names) >= SHARE_THAT_TELLS and any(info.gene_ids)
    table = _column_table(_labels(info) if ids else info.genes)
    columns = np.array([_look_up(table, name) for name in names], dtype=np.intp)
    measured = np.zeros(len(info.genes), dtype=np.float32)
    measured[columns[columns >= 0]] = 1
    missing = tuple(gene for gene, there in zip(info.genes, measured, strict=True) if not there)
    extra = tuple(name for name, column in zip(names, columns, strict=True) if column < 0)
    ambiguous = _repeated(names, columns.tolist(), where=columns >= 0)
    share = _expression_share(info, measured)
    problem = _problem(info, names, source, matched=int(measured.sum()), ambiguous=ambiguous)
    return GeneMatch(
        by="Ensembl ids" if ids else "symbols",
        columns=columns,
        measured=measured,
        missing=missing,
        extra=extra,
        duplicated=(*ambiguous, *_repeated(names, names, where=columns < 0)),
        expression_share=share,
        problem=problem,
        warning="" if problem else _warning(source, overlap=float(measured.mean()), share=share),
    )


def _labels(info: ModelInfo) -> tuple[str, ...]:
    """Return the Ensembl id of each gene of the model, and its name where none is known."""
    return tuple(gene_id or gene for gene_id, gene in zip(info.gene_ids, info.genes, strict=True))


def _column_table(labels: Sequence[str]) -> dict[str, int]:
    """Map what names a gene of the model to its column: its label, and that without version where it stays unique."""
    table: dict[str, int] = {}
    for keys in (list(map(_without_version, labels)), labels):
        times = Counter(keys)
        table |= {key: column for column, key in enumerate(keys) if times[key] == 1}
    return table


def _look_up(table: dict[str, int], name: str) -> int:
    column = table.get(name)
    return table.get(_without_version(name), -1) if column is None else column


def _without_version(name: str) -> str:
    return name.partition(".")[0] if _is_ensembl(name) else name


def _repeated(names: Sequence[str], keys: Sequence[Hashable], *, where: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Return the names whose key stands more than once among those asked for, each name once."""
    times = Counter(key for key, asked in zip(keys, where, strict=True) if asked)
    return tuple(dict.fromkeys(name for name, key in zip(names, keys, strict=True) if times[key] > 1))


def _is_ensembl(name: str) -> bool:
    return name.startswith("ENS") and _ENSEMBL.fullmatch(name) is not None


def _expression_share(info: ModelInfo, measured: npt.NDArray[np.float32]) -> float:
    mean = np.asarray(info.training_data.gene_mean)
    total = float(mean.sum())
    return float(mean @ measured) / total if total > 0 else float(measured.mean())


def _problem(info: ModelInfo, names: Sequence[str], source: str, *, matched: int, ambiguous: Sequence[str]) -> str:
    overlap = matched / len(info.genes)
    if overlap < REFUSE_BELOW:
        return (
            f"{source} has {overlap:.0%} of the model's {len(info.genes):,} genes; at least {REFUSE_BELOW:.0%} are "
            f"needed. {_diagnosis(info, names, matched=matched)}"
        )
    if ambiguous:
        return (
            f"{source} names genes of the model more than once: {_some(ambiguous)}. Sum or drop the copies; "
            "AnnData.var_names_make_unique() keeps the first of each under its name."
        )
    return ""


def _warning(source: str, *, overlap: float, share: float) -> str:
    if overlap >= WARN_BELOW:
        return ""
    return (
        f"{source} has only {overlap:.0%} of the model's genes, which hold {share:.0%} of the expression in the "
        "training data; the others are treated as unknown. If the batch was filtered by genes, pass all of them."
    )


def _diagnosis(info: ModelInfo, names: Sequence[str], *, matched: int) -> str:
    """Say what the names of a batch that shares few genes with the model seem to be, and what to do."""
    batch_ids = _share(map(_is_ensembl, names), names) >= SHARE_THAT_TELLS
    model_ids = _share(map(_is_ensembl, info.genes), info.genes) >= SHARE_THAT_TELLS
    telling = REFUSE_BELOW * min(len(info.genes), len(names))
    species = f"is the batch of another species? The model is of {info.species or 'a species that is not stated'}."
    if not names:
        return "It has no genes at all."
    if look_like_barcodes(names):
        return (
            f"Its gene names look like cell barcodes ({_examples(names)}): pass the transposed matrix, cells × genes."
        )
    in_case = _differ_in_case(info, names)
    if len(in_case) >= telling:
        return (
            f"Many names differ from the model's only in upper and lower case ({_examples(in_case)}; the model has "
            f"{_examples(info.genes)}): {species}"
        )
    if matched >= telling:
        return (
            "The names agree, but most of the model's genes are missing: pass all genes of the batch, not a selection."
        )
    if batch_ids and not (model_ids or any(info.gene_ids)):
        return f"Its names are Ensembl ids, but the model knows symbols ({_examples(info.genes)}): pass the symbols."
    if batch_ids:
        return f"Its Ensembl ids ({_examples(names)}) are not the model's: {species}"
    if model_ids:
        return f"The model knows Ensembl ids ({_examples(info.genes)}), but the batch has {_examples(names)}."
    return (
        f"The model has genes such as {_examples(info.genes)}, the batch {_examples(names)}: pass the names of all its "
        "genes, and a model of the same species."
    )


def _differ_in_case(info: ModelInfo, names: Sequence[str]) -> list[str]:
    """Return the names that would be the model's if upper and lower case were the same."""
    exact = set(info.genes)
    folded = {gene.casefold() for gene in exact}
    return [name for name in names if name not in exact and name.casefold() in folded]


def _is_barcode(name: str) -> bool:
    return _BARCODE.fullmatch(name) is not None


def _share(answers: Iterable[bool], of: Sequence[str]) -> float:
    return sum(answers) / max(len(of), 1)


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:EXAMPLES])


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
