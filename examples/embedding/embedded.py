"""Impute inside a program of one's own: with onnxruntime and numpy, without scinn."""

import json
import os

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # recent onnxruntime reports home when it is imported
import onnxruntime

BLOCK = 96  # cells that are run together, always as many: then no cell's result depends on its neighbours


def open_model(path: str) -> onnxruntime.InferenceSession:
    """Open a model file; keep the session, for it can be used again and by several threads."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: onnxruntime warns of inputs that have a default, as "measured" has
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def impute(session: onnxruntime.InferenceSession, X: np.ndarray, genes: list[str]) -> np.ndarray:
    """Fill the zeros of X (cells × genes, in the model's unit) in the genes that the model knows, as float32."""
    model_genes = json.loads(session.get_modelmeta().custom_metadata_map["scinn.genes"])
    place = {gene: number for number, gene in enumerate(genes)}
    measured = np.array([gene in place for gene in model_genes])
    columns = [place[gene] for gene in model_genes if gene in place]
    result = np.array(X, dtype=np.float32)
    for start in range(0, len(X), BLOCK):
        cells = result[start : start + BLOCK]  # a view: what is written to it is in the result
        expression = np.zeros((BLOCK, len(model_genes)), dtype=np.float32)
        expression[: len(cells), measured] = cells[:, columns]
        inputs = {"expression": expression, "measured": measured.astype(np.float32)}
        (imputed,) = session.run(["imputed"], inputs)
        cells[:, columns] = imputed[: len(cells), measured]
    return result
