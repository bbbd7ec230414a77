"""Public single-cell datasets: pinned, verified, read from their upstream form into AnnData.

>>> from scinn_train import datasets
>>> adata = datasets.load("goolam")  # doctest: +SKIP

Needs no torch. Nothing is downloaded, and no folder made, before ``fetch`` or ``load`` is called.
"""

from __future__ import annotations

from scinn_train.datasets.catalogue import CATALOGUE, Dataset, SourceFile, names
from scinn_train.datasets.download import fetch
from scinn_train.datasets.loading import load

__all__ = ["CATALOGUE", "Dataset", "SourceFile", "fetch", "load", "names"]
