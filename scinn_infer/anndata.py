"""The AnnData adapter: what scanpy users expect around :meth:`scinn_infer.Model.impute`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scinn_infer._version import __version__
from scinn_infer.errors import ScinnError
from scinn_infer.policies import KEEP, find_policy

if TYPE_CHECKING:
    import anndata

    from scinn_infer.genes import GeneMatch
    from scinn_infer.model import Model

SHARE_DIGITS = 4
"""Digits of a share that are recorded; more are rounding errors of a sum."""


def impute(
    adata: anndata.AnnData,
    model: Model,
    *,
    policy: str = KEEP,
    layer: str | None = None,
    key_added: str = "scinn",
    copy: bool = False,
) -> anndata.AnnData | None:
    """Impute an AnnData object: fill its zeros, or denoise all of it. The result is a new layer.

    ``X``, the genes and the cells stay as they are. The result is dense: cells × genes × 4 bytes, or 8 where the matrix
    is float64. For a file that is too large for memory there is ``scinn-infer apply``.

    Parameters
    ----------
    adata
        The batch, in memory. A view becomes an object of its own, as whenever something is added to one.
    model
        The model to apply, from :func:`scinn_infer.load`.
    policy
        ``"keep"``: non-zeros are kept bit for bit; zeros are filled with values that can stand beside these, so that a
        cell adds up to more than it did. ``"denoise"``: every entry of the genes that the model knows is the model's,
        those observed too; a cell adds up to about what it did.
    layer
        Where the values are, in the model's unit (``model.info.unit``) and without any logarithm; ``X`` if not given.
    key_added
        Name of the layer (cells × genes), in the model's unit and at each cell's own depth, and of the record of how it
        was made in ``uns``. What is there under that name is replaced.
    copy
        Return a copy with the result instead of adding it to ``adata``.

    Returns
    -------
    anndata.AnnData or None
        The copy, if one was asked for.

    Raises
    ------
    ScinnError
        If there is no such policy or layer, ``adata`` is backed by a file, or :meth:`Model.impute` refuses the values
        or genes.

    Warns
    -----
    ScinnWarning
        As :meth:`Model.impute` does.
    """
    X, source = _matrix(adata, layer, key_added)
    result = model.impute(X, adata.var_names, policy=policy, source=source, cell_names=adata.obs_names)
    target = adata.copy() if copy else adata
    target.layers[key_added] = result
    target.uns[key_added] = provenance(model, model.match(adata.var_names), policy=policy, layer=layer)
    return target if copy else None


def provenance(model: Model, match: GeneMatch, *, policy: str, layer: str | None) -> dict[str, Any]:
    """Return how a result was made, in values that an ``.h5ad`` file can hold.

    Parameters
    ----------
    model
        The model that was applied.
    match
        How it matched the batch's genes.
    policy
        Name of the policy.
    layer
        Layer that was read; None for ``X``.
    """
    info, chosen = model.info, find_policy(policy)
    return {
        "scinn_version": __version__,
        "policy": policy,
        "policy_meaning": chosen.meaning,
        "output": chosen.output_of(info),
        "source": "X" if layer is None else f"layers/{layer}",
        "unit": info.unit,
        "model": {
            "file": model.path.name if model.path else "",
            "sha256": model.sha256,
            "format": info.format,
            "tissue": info.tissue,
            "species": info.species,
        },
        "genes": {
            "compared_by": match.by,
            "matched": match.matched,
            "missing": len(match.missing),
            "extra": len(match.extra),
            "training_expression_share": round(match.expression_share, SHARE_DIGITS),
        },
        "note": chosen.caution,
    }


def _matrix(adata: anndata.AnnData, layer: str | None, key_added: str) -> tuple[Any, str]:
    """Return the matrix to read and how messages name it."""
    if not hasattr(adata, "layers") or not hasattr(adata, "obs_names"):
        msg = f"adata is a {type(adata).__name__}, not an AnnData; for arrays there is Model.impute."
        raise ScinnError(msg)
    if adata.isbacked:
        msg = (
            f"adata is backed by the file {adata.filename}: read it with adata.to_memory(), or apply the model from "
            "file to file with: scinn-infer apply"
        )
        raise ScinnError(msg)
    if key_added == layer:
        msg = f"key_added is {key_added!r}, the layer that is read; choose another name for the result."
        raise ScinnError(msg)
    return matrix_of(adata, layer), "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def matrix_of(adata: anndata.AnnData, layer: str | None) -> Any:
    """Return a layer of an AnnData object, or its ``X`` if None (cells × genes).

    Raises
    ------
    ScinnError
        If it is not there; the message lists the layers that are.
    """
    if layer is not None and layer not in adata.layers:
        listed = ", ".join(adata.layers) or "none"
        msg = f"adata has no layer {layer!r}. Its layers: {listed}."
        raise ScinnError(msg)
    X = adata.X if layer is None else adata.layers[layer]
    if X is None:
        msg = "adata has no X; name the layer that holds the values with layer=."
        raise ScinnError(msg)
    return X
