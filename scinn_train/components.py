"""Principal components of the training cells: the fixed first layer of the imputation network.

A first layer that is learnt from the data has a weight for every gene and every unit: on a few hundred cells of twenty
thousand genes it learns the cells by heart within a few epochs. The leading principal components are the same kind of
projection without that freedom. ``docs/research-log.md`` has the comparison.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA

from scinn_train.normalise import log1p, replace_data

if TYPE_CHECKING:
    import numpy.typing as npt

    from scinn_train.expression import Expression

    Array = npt.NDArray[np.float32]

_MOST_CELLS = 5000  # a sample of so many cells has the same leading components as all
_CELLS_PER_COMPONENT = 3
_SMALLEST_SHARE = 1e-3  # of the first one's deviation: what varies less is rounding, and would be blown up


def principal_directions(normalised: Expression, log_scale: Array, *, count: int, random: np.random.Generator) -> Array:
    """Return the directions onto which the network projects a cell (genes × components).

    Parameters
    ----------
    normalised
        Linear normalised expression of the cells to learn from (cells × genes).
    log_scale
        One over the standard deviation of each gene's ln(1 + normalised expression) (genes,).
    count
        Number of components; fewer where there are not three cells for each, not as many genes, or no more variance.
    random
        Draws the sample of a large number of cells.

    Returns
    -------
    For standardised log expression. Over these cells a projection has a standard deviation between zero and one: the
    root of its component's, relative to the first, so that late components count, but not as much as early ones.
    """
    cells, genes = normalised.shape
    sample = log1p(normalised.rows(np.sort(random.permutation(cells)[:_MOST_CELLS])))
    count = max(1, min(count, sample.shape[0] // _CELLS_PER_COMPONENT, genes - 1))
    standardised = replace_data(sample, sample.data * log_scale[sample.indices])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # cells that are all alike have no variance to explain
        pca = PCA(count, svd_solver="arpack", random_state=0).fit(standardised)
    deviation = np.maximum(np.sqrt(pca.explained_variance_), np.finfo(np.float32).tiny)
    varying = deviation >= _SMALLEST_SHARE * deviation[0]
    directions = pca.components_[varying] / np.sqrt(deviation[varying] * deviation[0])[:, None]
    return np.ascontiguousarray(directions.T, dtype=np.float32)
