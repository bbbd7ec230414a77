"""Match the genes of a batch to those of a model, and say what was found: a report, not a guess."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scinn_infer.errors import ScinnError
from scinn_infer.gene_traps import find_traps

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    import numpy.typing as npt

    from scinn_infer.contract import ModelInfo
    from scinn_infer.gene_table import GeneTable
    from scinn_infer.gene_traps import Trap

REFUSE, SUM = "refuse", "sum"
DUPLICATES = (REFUSE, SUM)
"""What can become of columns of a batch that name the same gene of the model."""

WARN_BELOW = 0.8
"""Overlap under which the result deserves a look."""

REFUSE_BELOW = 0.3
"""Overlap under which a batch is refused. Training hides genes at random, but never most of them: with fewer than this
the network extrapolates, and so small an overlap nearly always means names of another kind or another species."""

TRAP_SHARE = 0.01
"""Share of the model's genes, or of its expression, that has to be lost to a way of writing names for a warning."""

BETTER_BY = 0.1
"""By how much more of the model's genes other names of the batch have to match to be worth a word."""

ROWS_LOOKED_AT = 100_000
"""Names of rows that may be those of genes: no batch has more of these."""

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
    summed
        Those of them whose columns are summed for the model, because the caller asked for it.
    expression_share
        Share of the mean training expression that lies in the matched genes.
    problem
        Why the batch cannot be used and what to do, as a sentence; empty if it can.
    warning
        What deserves a look although the batch can be used, in sentences; empty if nothing does.
    notes
        What else was seen about the names, each a sentence: it concerns few genes.
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
    summed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
        if self.summed:
            text += f" Summed for the model: the columns of {_some(self.summed)}."
        return " ".join((text, *self.notes))


def gene_names(genes: Iterable[object], *, argument: str = "genes") -> list[str]:
    """Return the names of genes as a list of text, whatever sequence they come in.

    Parameters
    ----------
    genes
        The names.
    argument
        How messages, at their beginning, name them.

    Raises
    ------
    ScinnError
        If they are one text, which Python would take letter by letter, or no sequence.
    """
    if isinstance(genes, str | bytes):
        msg = f"{argument} is the text {genes[:20]!r}; pass a list of names, also of a single one."
        raise ScinnError(msg)
    if not hasattr(genes, "__iter__"):
        msg = f"{argument} is of type {type(genes).__name__}; pass a list of names."
        raise ScinnError(msg)
    return [gene.decode(errors="replace") if isinstance(gene, bytes) else str(gene) for gene in genes]


def look_like_barcodes(names: Sequence[str]) -> bool:
    """Tell whether most names look like cell barcodes: the matrix is then transposed."""
    return _share(map(_is_barcode, names), names) >= SHARE_THAT_TELLS


def look_like_ids(names: Sequence[str]) -> bool:
    """Tell whether most names are Ensembl ids of genes, with or without version."""
    return _share(map(_is_ensembl, names), names) >= SHARE_THAT_TELLS


def match_genes(
    info: ModelInfo,
    genes: Sequence[str],
    *,
    source: str = "The batch",
    duplicates: str = REFUSE,
    table: GeneTable | None = None,
    cell_names: Sequence[str] | None = None,
) -> GeneMatch:
    """Match the genes of a batch to those of a model.

    Names must agree to the letter, except for the version of an Ensembl id, which is ignored. Where most of the batch's
    names are Ensembl ids they are compared with the ids that the model knows for its genes. Names that are probably
    meant for a gene of the model, but are written in another way, are reported and not taken for it.

    Parameters
    ----------
    info
        What the model says about itself.
    genes
        Names of the batch's genes, in the order of its columns.
    source
        How sentences, at their beginning, name the batch.
    duplicates
        ``"refuse"``: columns that name the same gene of the model are a problem. ``"sum"``: they are summed for the
        model (:class:`scinn_infer.columns.GeneColumns`).
    table
        What else the batch calls its genes. Where few of the names match, it is looked through for better ones, which
        are reported.
    cell_names
        Names of the batch's rows. Where few of the columns' match, these may be the genes.

    Returns
    -------
    GeneMatch
        The report. A batch that cannot be used is reported as well: see its ``problem``.

    Raises
    ------
    ScinnError
        If ``genes`` is not a list of names, or ``duplicates`` is neither of the two.
    """
    if duplicates not in DUPLICATES:
        msg = f"duplicates is {duplicates!r}; it is {' or '.join(map(repr, DUPLICATES))}."
        raise ScinnError(msg)
    names = gene_names(genes)
    ids = _go_by_ids(info, names)
    columns = _find_columns(info, names, ids=ids)
    measured = np.zeros(len(info.genes), dtype=np.float32)
    measured[columns[columns >= 0]] = 1
    copies = _repeated(names, columns.tolist(), where=columns >= 0)
    traps = _traps(info, names, columns, measured)
    problem = _problem(info, names, source, measured=measured, traps=traps, copies=() if duplicates == SUM else copies)
    if problem and (across := _across(info, () if cell_names is None else cell_names, float(measured.mean()))):
        problem = f"{source} seems to have its genes in rows: {across}"
    grave = [trap.sentence for trap in traps if _is_grave(info, trap)]
    cautions = [_few(source, float(measured.mean()), _expression_share(info, measured)), *grave]
    better = _better_names(info, table, float(measured.mean()))
    return GeneMatch(
        by="Ensembl ids" if ids else "symbols",
        columns=columns,
        measured=measured,
        missing=tuple(gene for gene, there in zip(info.genes, measured, strict=True) if not there),
        extra=tuple(name for name, column in zip(names, columns, strict=True) if column < 0),
        duplicated=(*copies, *_repeated(names, names, where=columns < 0)),
        expression_share=_expression_share(info, measured),
        problem=_joined(problem, better) if problem else "",
        warning="" if problem else _joined(*cautions, better),
        summed=copies if duplicates == SUM else (),
        notes=tuple(trap.sentence for trap in traps if trap.sentence not in grave and trap.sentence not in problem),
    )


def _go_by_ids(info: ModelInfo, names: Sequence[str]) -> bool:
    """Tell whether a batch's names are compared with the model's ids."""
    return any(info.gene_ids) and look_like_ids(names)


def _find_columns(info: ModelInfo, names: Sequence[str], *, ids: bool) -> npt.NDArray[np.intp]:
    """Return the model's column of each name, or -1 (genes,)."""
    table = _column_table(_labels(info) if ids else info.genes)
    return np.array([_look_up(table, name) for name in names], dtype=np.intp)


def _traps(
    info: ModelInfo, names: Sequence[str], columns: npt.NDArray[np.intp], measured: npt.NDArray[np.float32]
) -> list[Trap]:
    ids = info.gene_ids or info.genes
    missing = [(gene, gene_id) for gene, gene_id, there in zip(info.genes, ids, measured, strict=True) if not there]
    return find_traps(
        [name for name, column in zip(names, columns, strict=True) if column < 0],
        missing={gene_id: gene for gene, gene_id in missing if gene_id} | {gene: gene for gene, _ in missing},
        known={name for name, column in zip(names, columns, strict=True) if column >= 0},
        species=info.species,
    )


def _is_grave(info: ModelInfo, trap: Trap) -> bool:
    """Tell whether a trap costs the model more than a few genes."""
    lost = np.isin(info.genes, trap.lost).astype(np.float32)
    return max(float(lost.mean()), _expression_share(info, lost)) >= TRAP_SHARE and bool(trap.lost)


def _better_names(info: ModelInfo, table: GeneTable | None, overlap: float) -> str:
    """Return which other names of the batch match many more of the model's genes, and how to ask for them."""
    if table is None or overlap >= WARN_BELOW:
        return ""
    best, sentence = max(overlap + BETTER_BY, REFUSE_BELOW), ""
    for place, request, names in table.others():
        columns = _find_columns(info, names, ids=_go_by_ids(info, names))
        found = np.unique(columns[columns >= 0]).size / len(info.genes)
        if found > best:
            best, sentence = found, f"But {place} has {found:.0%} of them: {request}"
    return sentence


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


def _problem(
    info: ModelInfo,
    names: Sequence[str],
    source: str,
    *,
    measured: npt.NDArray[np.float32],
    traps: Sequence[Trap],
    copies: Sequence[str],
) -> str:
    overlap = float(measured.mean())
    if overlap < REFUSE_BELOW:
        return (
            f"{source} has {overlap:.0%} of the model's {len(info.genes):,} genes; at least {REFUSE_BELOW:.0%} are "
            f"needed. {_diagnosis(info, names, matched=int(measured.sum()), traps=traps)}"
        )
    if copies:
        return (
            f"{source} names genes of the model more than once: {_some(copies)}. Sum the copies for the model with "
            "duplicates='sum' (--sum-duplicates), or drop them; AnnData.var_names_make_unique() keeps the first of "
            "each under its name."
        )
    return ""


def _across(info: ModelInfo, cell_names: Sequence[str], overlap: float) -> str:
    """Return what to do where it is the rows that have the names of the model's genes."""
    rows = set(cell_names[:ROWS_LOOKED_AT])
    named = max((rows.intersection(labels) for labels in (info.genes, filter(None, info.gene_ids))), key=len)
    if len(named) < max(REFUSE_BELOW, overlap) * len(info.genes):
        return ""
    return (
        f"the model's are among the names of its cells, such as {_examples(sorted(named))}. Pass cells × genes: the "
        "transposed matrix, or a table with --transpose (transpose=True), or without it if it is given."
    )


def _few(source: str, overlap: float, share: float) -> str:
    if overlap >= WARN_BELOW:
        return ""
    return (
        f"{source} has only {overlap:.0%} of the model's genes, which hold {share:.0%} of the expression in the "
        "training data; the others are treated as unknown. If the batch was filtered by genes, pass all of them."
    )


def _diagnosis(info: ModelInfo, names: Sequence[str], *, matched: int, traps: Sequence[Trap]) -> str:
    """Say what the names of a batch that shares few genes with the model seem to be, and what to do."""
    batch_ids, model_ids = look_like_ids(names), look_like_ids(info.genes)
    telling = REFUSE_BELOW * min(len(info.genes), len(names))
    species = f"is the batch of another species? The model is of {info.species or 'a species that is not stated'}."
    if not names:
        return "It has no genes at all."
    if look_like_barcodes(names):
        return (
            f"Its gene names look like cell barcodes ({_examples(names)}): pass the transposed matrix, cells × genes."
        )
    if traps and len(max(traps, key=_cost).lost) >= telling:
        return max(traps, key=_cost).sentence
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


def _cost(trap: Trap) -> int:
    return len(trap.lost)


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _is_barcode(name: str) -> bool:
    return _BARCODE.fullmatch(name) is not None


def _share(answers: Iterable[bool], of: Sequence[str]) -> float:
    return sum(answers) / max(len(of), 1)


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:EXAMPLES])


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
