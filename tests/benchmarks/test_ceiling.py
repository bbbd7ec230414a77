"""What knowing the types would give."""

import numpy as np
import pytest
from quality.ceiling import CEILINGS, type_mean


def test_cells_of_a_type_get_its_mean_share_at_their_own_depth_at_their_zeros(make):
    counts = np.array([[4, 0, 0], [1, 0, 1], [0, 0, 0], [0, 8, 2]], dtype=np.float32)
    cells = make(counts, labels=np.array(["a", "a", "a", "b"]))
    imputed = type_mean(cells, cells, seed=0)
    # shares of a: (1, 0, 0), (1/2, 0, 1/2), and of the empty cell none; a third of the sum is the mean
    assert imputed.everywhere == pytest.approx(np.array([[2, 0, 2 / 3], [1, 0, 1 / 3], [0, 0, 0], [0, 8, 2]]), rel=1e-6)
    assert imputed.kept == pytest.approx(np.array([[4, 0, 2 / 3], [1, 0, 1], [0, 0, 0], [0, 8, 2]]), rel=1e-6)


@pytest.mark.parametrize("name", CEILINGS)
def test_the_types_are_seen_better_than_in_the_counts(planted, name):
    imputed = CEILINGS[name].run(planted, planted, seed=0)
    counts = planted.X.toarray()
    assert (imputed.kept[counts > 0] == counts[counts > 0]).all()
    assert spread_within_types(imputed.kept, planted.labels) < 0.8 * spread_within_types(counts, planted.labels)


def spread_within_types(X, labels):
    logs = np.log1p(X / X.sum(axis=1, keepdims=True) * 100)
    within = np.mean([logs[labels == name].var(axis=0).mean() for name in np.unique(labels)])
    return within / logs.var(axis=0).mean()
