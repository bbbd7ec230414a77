"""The AnnData adapter: what scanpy users expect around :meth:`scinn_infer.Model.impute`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scinn_infer._version import __version__
from scinn_infer.batch import as_rows, check_sample, open_batch, sample_rows
from scinn_infer.cell_quality import Places, QualityRecorder
from scinn_infer.columns import result_dtype
from scinn_infer.drift import find_doubt
from scinn_infer.errors import ScinnError, ScinnWarning
from scinn_infer.gene_table import GeneTable
from scinn_infer.genes import REFUSE
from scinn_infer.lazy import as_lazy
from scinn_infer.model import Model, load
from scinn_infer.policies import KEEP, find_policy
from scinn_infer.selection import Selection
from scinn_infer.wholefile import name_as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import anndata
    import numpy.typing as npt
    import pandas as pd

    from scinn_infer.batch import Batch
    from scinn_infer.cell_quality import CellQuality
    from scinn_infer.checks import Matrix
    from scinn_infer.contract import ModelInfo
    from scinn_infer.genes import GeneMatch

SHARE_DIGITS = 4
"""Digits of a share that are recorded; more are rounding errors of a sum."""


def impute(
    adata: anndata.AnnData,
    model: Model | str | os.PathLike[str],
    *,
    policy: str = KEEP,
    layer: str | None = None,
    use_raw: bool = False,
    gene_column: str | None = None,
    duplicates: str = REFUSE,
    key_added: str = "scinn",
    quality: bool = True,
    only: Sequence[str] | None = None,
    copy: bool = False,
    unit_checked: bool = False,
) -> anndata.AnnData | None:
    """Impute an AnnData object: fill its zeros, or denoise all of it. The result is a new layer.

    ``X``, the genes and the cells stay as they are. The result is dense and in memory: cells × genes × 4 bytes, or 8
    where the matrix is float64; 50,000 cells × 20,000 genes take 4 GB. For more than memory holds there is
    ``scinn-infer apply``, from file to file.

    Parameters
    ----------
    adata
        The batch. A view becomes an object of its own, as whenever something is added to one; what it is a view of
        stays as it is. A matrix that is backed by a file, was read lazily or is a dask array is read some cells at a
        time, and stays where it is.
    model
        The model to apply: from :func:`scinn_infer.load`, or what that takes.
    policy
        ``"keep"``: non-zeros are kept bit for bit; zeros are filled with values that can stand beside these, so that a
        cell adds up to more than it did. ``"denoise"``: every entry of the genes that the model knows is the model's,
        those observed too; a cell adds up to about what it did.
    layer
        Where the values are, in the model's unit (``model.info.unit``) and without any logarithm; ``X`` if not given.
    use_raw
        Take the values of ``adata.raw``. It must have the genes of ``adata``, which the layer belongs to.
    gene_column
        Column of ``var`` with the names of the genes, symbols or Ensembl ids; ``var_names`` if not given. Where it has
        no name for a gene, that in ``var_names`` counts. Messages and results keep to the order of ``var``.
    duplicates
        What becomes of columns that name the same gene of the model: ``"refuse"`` them, or give the model their
        ``"sum"``, as :meth:`Model.impute` says.
    key_added
        Name of the layer (cells × genes), in the model's unit and at each cell's own depth, and of the record of how it
        was made in ``uns``. An earlier result of that name is replaced.
    quality
        Whether what the quality-assessment network says of each cell
        (:class:`scinn_infer.cell_quality.CellQuality`) is added as well, with ``key_added`` for KEY:
        ``obs["KEY_cluster"]`` (categorical), ``obs["KEY_confidence"]``, ``obs["KEY_drift"]`` (where the model file has
        a reference for it), ``obsm["KEY_cluster_probability"]`` (cells × clusters) and ``obsm["X_KEY"]``, the
        embedding (cells × d). It hardly takes time, and does not change the result. None of these may be there, unless
        an earlier result of that name brought it.
    only
        Names of the genes that are wanted, as for :meth:`Model.impute`; all if not given. A layer has all genes of its
        object, so this takes ``copy``: the copy has these genes alone, in that order, in all that has the shape of
        ``X``. Without ``quality`` no others are computed.
    copy
        Return a copy with the result instead of adding it to ``adata``; of what is backed by a file, one in memory.
    unit_checked
        Whether the values are known to be in the model's unit, as for :meth:`Model.impute`: they are then taken as they
        are, even where they look like logarithms.

    Returns
    -------
    anndata.AnnData or None
        The copy, if one was asked for.

    Raises
    ------
    ScinnError
        If there is no such policy, layer or column of names, ``adata.raw`` has other genes, something else is called
        ``key_added`` or as the quality would be, ``adata`` is a view of what is backed by a file (and not to be
        copied), genes are chosen without a copy, or :meth:`Model.impute` refuses the values or genes.

    Warns
    -----
    ScinnWarning
        As :meth:`Model.impute` does; with ``quality``, if the cells do not look like the tissue that the model knows.

    Examples
    --------
    >>> scinn_infer.impute(adata, "tissue.onnx", layer="counts")  # doctest: +SKIP
    >>> adata.layers["scinn"], adata.uns["scinn"]["note"]  # doctest: +SKIP
    """
    find_policy(policy)  # refused before anything is read
    _check_adata(adata, layer=layer, use_raw=use_raw, key_added=key_added)
    _check_free(adata, key_added, quality=quality)
    if only is not None and not copy:
        msg = (
            "only is for copies: a layer has all genes of adata. Ask for one with copy=True; it has these genes alone."
        )
        raise ScinnError(msg)
    if adata.isbacked and adata.is_view:
        adata = _in_memory(adata, copy=copy)
    model = _as_model(model)
    X, source, place = _matrix(adata, layer, use_raw=use_raw)
    table = GeneTable(
        read=lambda: table_of((adata.raw if use_raw else adata).var),
        source="adata",
        option="gene_column={!r}",
        column=gene_column,
    )
    batch = open_batch(
        model.info,
        table.names(),
        source=source,
        cell_names=adata.obs_names,
        duplicates=duplicates,
        table=table,
        unit_checked=unit_checked,
    )
    recorder = QualityRecorder(model.info) if quality else None
    selection = Selection(only=only)
    result = _impute(model, X, batch, policy=policy, recorder=recorder, selection=selection)
    target = _copied(adata, selection.columns(batch.genes, source=source)) if copy else adata
    target.layers[key_added] = result
    _drop_quality(target, key_added)
    target.uns[key_added] = provenance(model, batch.match, policy=policy, place=place, names_from=table.origin)
    if recorder and (cells := recorder.drain()):
        _add_quality(target, cells, model.info, key_added)
        if sentence := find_doubt(recorder.profile, model.info, batch.match, source=source):
            warnings.warn(sentence, ScinnWarning, stacklevel=2)
    return target if copy else None


def _copied(adata: anndata.AnnData, columns: npt.NDArray[np.intp] | None) -> anndata.AnnData:
    """Return a copy in memory, of all genes or of some."""
    chosen = adata if columns is None else adata[:, columns]
    return chosen.to_memory() if adata.isbacked else chosen.copy()


def _drop_quality(target: anndata.AnnData, key: str) -> None:
    """Drop what an earlier model said of the cells: it must not stand beside the result of another."""
    places = [str(place).partition("/") for place in _earlier_record(target, key).get("cell_quality", {}).values()]
    stale = [name for part, _, name in places if part == "obs" and name in target.obs]
    if stale:
        is_lazy = hasattr(target.obs, "ds")
        target.obs = type(target.obs)(target.obs.ds.drop_vars(stale)) if is_lazy else target.obs.drop(columns=stale)
    for part, _, name in places:
        if part == "obsm" and name in target.obsm:
            del target.obsm[name]


def _add_quality(target: anndata.AnnData, cells: CellQuality, info: ModelInfo, key: str) -> None:
    """Add the quality of the cells."""
    import pandas as pd

    places, columns = Places.under(key), cells.columns()
    categories = [str(number) for number in range(info.clusters)]
    columns["cluster"] = pd.Categorical.from_codes(columns["cluster"], categories=categories)
    for name, place in places.obs.items():
        if name in columns:
            target.obs[place] = columns[name]
    for name, place in places.obsm.items():
        target.obsm[place] = columns[name]
    target.uns[key]["cell_quality"] = places.record(info)


def provenance(model: Model, match: GeneMatch, *, policy: str, place: str, names_from: str) -> dict[str, Any]:
    """Return how a result was made, in values that an ``.h5ad`` file can hold.

    Parameters
    ----------
    model
        The model that was applied.
    match
        How it matched the batch's genes.
    policy
        Name of the policy.
    place
        What was read: ``"X"``, ``"layers/counts"``.
    names_from
        Where the names of the genes come from, in words.
    """
    info, chosen = model.info, find_policy(policy)
    return {
        "scinn_version": __version__,
        "policy": policy,
        "policy_meaning": chosen.meaning,
        "output": chosen.output_of(info),
        "source": place,
        "unit": info.unit,
        "model": {
            "file": name_as_text(model.path) if model.path else "",
            "sha256": model.sha256,
            "format": info.format,
            "tissue": info.tissue,
            "species": info.species,
        },
        "genes": {
            "names_from": names_from,
            "compared_by": match.by,
            "matched": match.matched,
            "missing": len(match.missing),
            "extra": len(match.extra),
            "summed": len(match.summed),
            "training_expression_share": round(match.expression_share, SHARE_DIGITS),
            "notes": " ".join(match.notes),
        },
        "note": chosen.caution,
    }


def _check_adata(adata: Any, *, layer: str | None, use_raw: bool, key_added: str) -> None:
    """Refuse what is no AnnData, and names and settings that contradict each other or what is there."""
    if not hasattr(adata, "layers") or not hasattr(adata, "obs_names"):
        msg = f"adata is a {type(adata).__name__}, not an AnnData; for arrays there is Model.impute."
        raise ScinnError(msg)
    if use_raw and layer is not None:
        msg = f"use_raw takes the values of adata.raw, and layer those of {layer!r}; choose one of them."
        raise ScinnError(msg)
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        msg = f"key_added is {key_added!r}, which is no name for a layer."
        raise ScinnError(msg)
    if key_added == layer:
        msg = f"key_added is {key_added!r}, the layer that is read; choose another name for the result."
        raise ScinnError(msg)


def _check_free(adata: anndata.AnnData, key_added: str, *, quality: bool) -> None:
    """Refuse to replace what is not an earlier result. Layers and obsm of a view are its parent's, which keeps them."""
    record, places = _earlier_record(adata, key_added), Places.under(key_added)
    written = set(record.get("cell_quality", {}).values())
    if record:
        written |= {f"layers/{key_added}", f"uns/{key_added}"}
    names = {"layers": [key_added], "uns": [key_added]}
    if quality:
        names |= {"obs": list(places.obs.values()), "obsm": list(places.obsm.values())}
    taken = [
        (part, name)
        for part, candidates in names.items()
        if not (adata.is_view and part in {"layers", "obsm"})
        for name in candidates
        if f"{part}/{name}" not in written and name in getattr(adata, part)
    ]
    if taken:
        listed = " and ".join(f"{part}[{name!r}]" for part, name in taken)
        without = ", or leave out what is told of each cell (quality=False)" if taken[-1][0] in {"obs", "obsm"} else ""
        msg = (
            f"adata has {listed} already, which scINN did not make and will not replace: choose another key_added, or "
            f"delete what is there{without}."
        )
        raise ScinnError(msg)


def _earlier_record(adata: anndata.AnnData, key_added: str) -> Mapping[str, Any]:
    """Return how an earlier result of that name was made; empty if there is none."""
    record = adata.uns.get(key_added, {})
    return record if isinstance(record, Mapping) and "scinn_version" in record else {}


def _in_memory(view: anndata.AnnData, *, copy: bool) -> anndata.AnnData:
    """Return a view of an object that is backed by a file as one in memory, if a copy was asked for."""
    if not copy:
        msg = (
            f"adata is a view of what is backed by the file {view.filename}, and nothing can be added to one: pass "
            "adata.to_memory(), or ask for a copy with copy=True."
        )
        raise ScinnError(msg)
    return view.to_memory()


def _as_model(model: Any) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, str | bytes | os.PathLike):
        return load(model)
    msg = f"model is a {type(model).__name__}; pass what scinn_infer.load returns, or the path of a model file."
    raise ScinnError(msg)


def _matrix(adata: anndata.AnnData, layer: str | None, *, use_raw: bool) -> tuple[Any, str, str]:
    """Return the matrix to read, how messages name it and how the record does."""
    if not use_raw:
        name, place = ("adata.X", "X") if layer is None else (f"adata.layers[{layer!r}]", f"layers/{layer}")
        return matrix_of(adata, layer), name, place
    if adata.raw is None:
        msg = "adata.raw is not set; leave use_raw out, and name the layer that holds the values with layer=."
        raise ScinnError(msg)
    if not adata.raw.var_names.equals(adata.var_names):
        msg = (
            f"adata.raw has {adata.raw.n_vars:,} genes and adata {adata.n_vars:,}, not the same in the same order, and "
            "a layer has the genes of adata. Impute raw as an object of its own: adata.raw.to_adata()."
        )
        raise ScinnError(msg)
    return adata.raw.X, "adata.raw.X", "raw/X"


def matrix_of(adata: anndata.AnnData, layer: str | None) -> Any:
    """Return a layer of an AnnData object, or its ``X`` if None (cells × genes).

    Raises
    ------
    ScinnError
        If it is not there; the message lists the layers that are.
    """
    if layer is not None and layer not in adata.layers:
        listed = ", ".join(name for name in adata.layers if name is not None) or "none"  # anndata 0.13 has X there too
        msg = f"adata has no layer {layer!r}. Its layers: {listed}."
        raise ScinnError(msg)
    X = adata.X if layer is None else adata.layers[layer]
    if X is None:
        msg = "adata has no X; name the layer that holds the values with layer=."
        raise ScinnError(msg)
    return X


def table_of(var: Any) -> pd.DataFrame:
    """Return ``var`` as pandas has it, also of an object that was read lazily."""
    return var.to_memory() if hasattr(var, "to_memory") else var


def _impute(
    model: Model, X: Any, batch: Batch, *, policy: str, recorder: QualityRecorder | None, selection: Selection
) -> npt.NDArray[np.floating[Any]]:
    """Return the result (cells × genes) for a matrix in memory or elsewhere."""
    places = selection.columns(batch.genes, source=batch.source)

    def collect(chunks: Iterable[Matrix], batch: Batch, like: Any) -> npt.NDArray[np.floating[Any]]:
        result = np.empty((like.shape[0], like.shape[1] if places is None else places.size), result_dtype(like.dtype))
        for start, block in model.stream(chunks, batch, policy=policy, recorder=recorder, selection=selection):
            result[start : start + block.shape[0]] = block
        return result

    lazy = as_lazy(X, source=batch.source)
    if lazy is None:
        rows = as_rows(X, batch)
        return collect([rows], replace(batch, unit_checked=check_sample(sample_rows(rows), batch)), rows)
    with closing(lazy):
        return collect(lazy.chunks(), replace(batch, unit_checked=check_sample(lazy.sample(), batch)), lazy)
