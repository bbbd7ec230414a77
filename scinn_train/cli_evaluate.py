"""``scinn-train evaluate``: the paper's protocol on a raw and an imputed ``.h5ad`` file or zarr store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from scipy import sparse

from scinn_infer.commands.console import print_json
from scinn_infer.commands.options import INPUT, json_option, quiet_option
from scinn_infer.errors import ScinnError
from scinn_infer.labels import read_labels
from scinn_infer.progress import track
from scinn_train.report import comparison_record, print_comparison
from scinn_train.transforms import HEADLINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


ROWS_AT_ONCE = 1024


@click.command(short_help="How well cell types can be told apart, before and after imputation.")
@click.argument("raw", type=INPUT)
@click.argument("imputed", type=INPUT)
@click.option("--labels", required=True, metavar="COLUMN", help="Column of RAW's obs with the known cell types.")
@click.option("--layer", default="scinn", show_default=True, metavar="NAME", help="Layer of IMPUTED that was imputed.")
@click.option("--raw-layer", metavar="NAME", help="Layer of RAW that it was imputed from.  [default: X]")
@click.option("--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="Number of seeds.")
@click.option("--restarts", type=click.IntRange(1), default=50, show_default=True, help="k-means restarts per seed.")
@json_option
@quiet_option
def evaluate(
    *,
    raw: Path,
    imputed: Path,
    labels: str,
    layer: str,
    raw_layer: str | None,
    seeds: int,
    restarts: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Hold the cell types of RAW against what can be told from RAW and from IMPUTED, .h5ad files or zarr stores.

    Both are brought to a depth of 10,000 and ln(1 + x). Then 50 principal components, k-means with as many clusters as
    there are cell types, and ARI, NMI and Jaccard index; and the silhouette of the cell types in a 2-D UMAP picture.

    \b
    Example:

    \b
        scinn-train evaluate new.h5ad imputed.h5ad --labels cell_type
    """  # noqa: D301 - \b keeps click from filling the lines
    before, after = _read(raw, raw_layer, progress=not quiet), _read(imputed, layer, progress=not quiet)
    _check_same(before, after, "cell")
    _check_same(before, after, "gene")
    types = read_labels(raw, labels)

    from scinn_train.evaluate import compare

    comparison = compare(before.X, after.X, types, seeds=range(seeds), restarts=restarts, progress=not quiet)
    changed = _changed_entries(before.X, after.X)
    if as_json:
        facts = {"cells": len(before.cells), "genes": len(before.genes), "types": len(set(types))}
        print_json({**facts, "restarts": restarts, "changed": changed, **comparison_record(comparison)})
        return
    click.echo(f"{len(before.cells):,} cells, {len(before.genes):,} genes, {len(set(types))} types ({labels})\n")
    print_comparison(comparison)
    kept = "every observed (non-zero) value is kept" if not changed else f"{changed:,} observed values were changed"
    click.echo(f"Scale: {HEADLINE}. Scores: median of {seeds} seed(s) (range). Imputed: {kept}.")


@dataclass(frozen=True)
class _Expression:
    """One matrix of a file (cells × genes), and what its cells and genes are called."""

    path: Path
    X: Any
    cells: list[str]
    genes: list[str]


def _read(path: Path, layer: str | None, *, progress: bool) -> _Expression:
    from scinn_infer.checks import check_chunk
    from scinn_infer.inputs.opening import open_matrix

    with open_matrix(path, layer=layer) as matrix:
        read = track(
            matrix.chunks(ROWS_AT_ONCE),
            description=f"reading {path.name}",
            total=matrix.shape[0],
            size=lambda rows: rows.shape[0],
            enabled=progress,
        )
        chunks = list(read)
        X = np.concatenate(chunks) if matrix.storage == "dense" else sparse.vstack(chunks, format="csr")
        check_chunk(X, genes=matrix.genes, cell_names=matrix.cells, source=matrix.source)
        return _Expression(path, X, matrix.cells, matrix.genes)


def _check_same(before: _Expression, after: _Expression, what: str) -> None:
    """Refuse files whose rows or columns are not the same things in the same order."""
    first, second = (getattr(file, f"{what}s") for file in (before, after))
    if first == second:
        return
    if len(first) != len(second):
        problem = f"{before.path} has {len(first):,} {what}s and {after.path} has {len(second):,}"
    elif sorted(first) == sorted(second):
        problem = f"{before.path} and {after.path} have the same {what}s in another order"
    else:
        number, names = _first_difference(first, second)
        problem = f"{what} {number} is {names[0]!r} in {before.path} and {names[1]!r} in {after.path}"
    msg = f"{problem}. Give the file that was imputed, and its result."
    raise ScinnError(msg)


def _first_difference(first: Sequence[str], second: Sequence[str]) -> tuple[int, tuple[str, str]]:
    pairs = enumerate(zip(first, second, strict=True), start=1)
    return next((number, pair) for number, pair in pairs if pair[0] != pair[1])


def _changed_entries(raw: Any, imputed: Any) -> int:
    """Count the observed entries that are not what they were."""
    raw, imputed = sparse.csr_array(raw), imputed if isinstance(imputed, np.ndarray) else imputed.tocsr()
    raw.eliminate_zeros()
    rows = np.repeat(np.arange(raw.shape[0]), np.diff(raw.indptr))
    return int(np.count_nonzero(np.asarray(imputed[rows, raw.indices]).ravel() != raw.data))
