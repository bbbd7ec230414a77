"""MAGIC (van Dijk et al., Cell 2018): diffusion over a graph of nearest neighbours. Needs the package magic-impute."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from quality.tasks import UnavailableError
from scinn_train.normalise import Normalisation, depth

if TYPE_CHECKING:
    import numpy.typing as npt

    from quality.data import Dataset


def impute(cells: Dataset, *, seed: int) -> npt.NDArray[np.float32]:
    """Return MAGIC's values for all entries, linear and depth-normalised (cells × genes).

    Its input is the square root of the expression at the median depth, of the genes that have any; its settings are its
    own defaults.
    """
    try:
        from magic import MAGIC
    except ImportError as error:
        msg = f"MAGIC cannot be run ({error}): pip install 'scinn[bench]'"
        raise UnavailableError(msg) from error
    root = Normalisation.from_depths(depth(cells.X), unit="counts").normalise(cells.X).sqrt()
    expressed = np.flatnonzero(cells.X.getnnz(axis=0))
    values = np.zeros(cells.X.shape, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it takes the genes, where cells are fewer than its principal components
        # At -1 it is quiet, at 0 it still says that many genes take long.
        smoothed = MAGIC(random_state=seed, n_jobs=1, verbose=-1).fit_transform(root[:, expressed].toarray())
    values[:, expressed] = np.square(smoothed)
    return values
