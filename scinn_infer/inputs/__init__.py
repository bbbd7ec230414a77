"""Batches in every format that the field keeps them in, read by rows in bounded memory."""

from scinn_infer.inputs.matrix import ExpressionMatrix
from scinn_infer.inputs.opening import open_matrix

__all__ = ["ExpressionMatrix", "open_matrix"]
