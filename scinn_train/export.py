"""Export: the trained networks as one self-contained ONNX file, proven before it gets its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

import scinn_infer
from scinn_infer import contract
from scinn_infer.errors import ScinnError
from scinn_infer.wholefile import whole_file
from scinn_train import graph
from scinn_train.capture import Capture
from scinn_train.forward import forward
from scinn_train.half_precision import FLOAT16, FLOAT32, check_storage, rounded

if TYPE_CHECKING:
    import os

    import numpy.typing as npt
    from scipy import sparse

    from scinn_train.scale import NetworkScale
    from scinn_train.training import TrainedNetworks

    Array = npt.NDArray[np.float32]

TOLERANCE = 1e-5
"""Largest relative difference between torch and onnxruntime."""
SINGLE_PRECISION = 4
"""How many times as far from double precision as torch in single precision a file may be: it does other sums, in
another order. Seen on cells that no tissue has, and shuffled genes: 2.5 times."""

HALF_TOLERANCE = 5e-3
"""Largest relative difference that weights stored as float16 may make to what the network computes without them."""

_PROVEN_CELLS = 64  # training cells, and as many random ones, on which the file is proven
_PROVEN_COLUMNS = 8
_LARGEST_EXPONENT = 60.0


def network_weights(
    networks: TrainedNetworks, scale: NetworkScale, *, target_depth: float | None, capture: Capture
) -> graph.NetworkWeights:
    """Collect the trained weights, as numpy arrays in the orientation of the exported graph."""
    imputation, quality = networks.imputation, networks.quality
    return graph.NetworkWeights(
        depth_share=scale.depth_share,
        target_depth=target_depth,
        log_mean=scale.log_mean,
        log_scale=scale.log_scale,
        components=_array(imputation.components),
        encoder_weight=_array(imputation.encoder.weight).T,
        encoder_bias=_array(imputation.encoder.bias),
        norm_weight=_array(imputation.norm.weight),
        norm_bias=_array(imputation.norm.bias),
        hidden_weight=_array(imputation.hidden.weight).T,
        hidden_bias=_array(imputation.hidden.bias),
        decoder_weight=_array(imputation.decoder.weight).T,
        decoder_bias=_array(imputation.decoder.bias),
        embedding_weight=_array(quality.embedding.weight).T,
        embedding_bias=_array(quality.embedding.bias),
        cluster_weight=_array(quality.clusters.weight).T,
        cluster_bias=_array(quality.clusters.bias),
        capture=capture,
    )


def export(
    weights: graph.NetworkWeights,
    info: contract.ModelInfo,
    path: str | os.PathLike[str],
    *,
    proof: sparse.csr_array,
    storage: str = FLOAT32,
    overwrite: bool = False,
) -> None:
    """Write a model file.

    A file with float16 matrices is proven twice: to compute what torch does with the rounded weights, and to be within
    ``HALF_TOLERANCE`` of what it does with the trained ones.

    Parameters
    ----------
    weights, info
        The trained networks, and what the file says of itself.
    path
        Where to write it.
    proof
        Training cells in the model's unit (cells × genes), some of which the file must impute as torch does.
    storage
        How the large matrices are stored: ``"float32"``, or ``"float16"`` for half the size.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    ScinnError
        If the file exists, cannot be written, or fails its proof; if there is no such storage, or a weight is too large
        for it. Nothing is written then.
    """
    content = serialise(weights, info, proof=proof, storage=storage)
    with whole_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def serialise(
    weights: graph.NetworkWeights, info: contract.ModelInfo, *, proof: sparse.csr_array, storage: str = FLOAT32
) -> bytes:
    """Return the content of a model file.

    Parameters
    ----------
    weights, info, proof, storage
        As :func:`export` takes them.

    Raises
    ------
    ScinnError
        If it fails its proof.
    """
    check_storage(storage)
    stored = weights
    if storage == FLOAT16:
        stored, info = rounded(weights), replace(info, training=info.training | {"weights": storage})
    model = graph.build(stored, info, storage=storage)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    prove(content, stored, proof)
    if stored is not weights:
        prove(content, weights, proof, tolerance=HALF_TOLERANCE)
    return content


def prove(
    content: bytes, weights: graph.NetworkWeights, cells: sparse.csr_array, *, tolerance: float = TOLERANCE
) -> None:
    """Hold a model file against torch, on training cells and on random ones, with and without missing genes.

    Torch computes in double precision. Where single precision cannot come as close to that as is asked, in torch
    either, the file may be ``SINGLE_PRECISION`` times as far from it as torch is: little more is to be had of any file.

    Raises
    ------
    ScinnError
        If a non-zero value is changed, a value is negative or not finite, or the file and torch differ.
    """
    # The last hidden layer is within (-1, 1), so this bounds the exponent whatever the input.
    largest = float((weights.decoder_bias + np.abs(weights.decoder_weight).sum(axis=0)).max())
    _require(largest < _LARGEST_EXPONENT, f"its expected expression can reach e^{largest:.0f}")
    model = scinn_infer.load(content, threads=1)
    stated = Capture(efficiency=model.info.capture_efficiency, molecule=model.info.molecule_value)
    _require(stated == weights.capture, f"it states a capture that is not its own: {stated}")
    genes = len(weights.log_mean)
    random = np.random.default_rng(0)
    for expression in (cells[:_PROVEN_CELLS].toarray(), _random_cells(cells, random)):
        for measured in (np.ones(genes, np.float32), (random.random(genes) < 0.7).astype(np.float32)):
            block = np.ascontiguousarray(expression * measured, dtype=np.float32)
            columns = random.permutation(genes)[:_PROVEN_COLUMNS]
            outputs = model.run(block, measured, outputs=contract.OUTPUTS, columns=columns)
            _check_values(block, outputs[contract.OUTPUT_IMPUTED])
            inputs = torch.from_numpy(block), torch.from_numpy(measured), columns
            exact, single = (
                {name: value.numpy() for name, value in forward(weights, *inputs, dtype=dtype).items()}
                for dtype in (torch.float64, torch.float32)
            )
            of_torch = _differences(single, exact, weights)
            for name, worst in _differences(outputs, exact, weights).items():
                failure = f"its output {name!r} differs from torch's by {worst:.1e} relative"
                _require(worst <= max(tolerance, SINGLE_PRECISION * of_torch[name]), failure)


def _check_values(expression: Array, imputed: Array) -> None:
    observed = expression != 0
    _require(bool((imputed[observed] == expression[observed]).all()), "it changes a value that is not zero")
    _require(bool(np.isfinite(imputed).all() and (imputed >= 0).all()), "it imputes a negative or infinite value")


def _differences(
    outputs: dict[str, Array], reference: dict[str, npt.NDArray[np.float64]], weights: graph.NetworkWeights
) -> dict[str, float]:
    """Return by how much each output differs from what it should be, relative, at most."""
    tiny = np.finfo(np.float32).tiny
    logits = reference[contract.OUTPUT_EMBEDDING] @ weights.cluster_weight + weights.cluster_bias
    scales = {
        contract.OUTPUT_IMPUTED: np.maximum(reference[contract.OUTPUT_IMPUTED], tiny),
        contract.OUTPUT_EXPECTED: np.maximum(reference[contract.OUTPUT_EXPECTED], tiny),
        contract.OUTPUT_DENOISED: np.maximum(reference[contract.OUTPUT_DENOISED], tiny),
        **{
            name: np.maximum(reference[name], tiny)
            for name in (contract.OUTPUT_IMPUTED_COLUMNS, contract.OUTPUT_DENOISED_COLUMNS)
        },
        contract.OUTPUT_EMBEDDING: np.abs(reference[contract.OUTPUT_EMBEDDING]).max(),
        # The softmax turns the relative error of a logit into an absolute one of the probability.
        contract.OUTPUT_CLUSTER_PROBABILITY: np.maximum(np.abs(logits).max(axis=1, keepdims=True), 1),
    }
    return {name: float((np.abs(outputs[name] - reference[name]) / scale).max()) for name, scale in scales.items()}


def _random_cells(cells: sparse.csr_array, random: np.random.Generator) -> Array:
    """Cells that no tissue has: each gene as in another training cell at random; one cell without any expression."""
    genes = np.arange(cells.shape[1])
    block = np.stack([cells[random.integers(0, cells.shape[0], len(genes)), genes] for _ in range(_PROVEN_CELLS)])
    block[0] = 0
    return block.astype(np.float32)


def _require(condition: bool, failure: str) -> None:
    if not condition:
        msg = f"the exported model failed its proof: {failure}. Nothing was written; please report this."
        raise ScinnError(msg)


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float32)
