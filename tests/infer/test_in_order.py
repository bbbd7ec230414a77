"""Blocks are worked on in several threads, and nothing but the time tells of it."""

from __future__ import annotations

import gc
import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scinn_infer import ScinnError
from scinn_infer.batch import open_batch
from scinn_infer.cell_quality import QualityRecorder
from scinn_infer.in_order import in_order
from scinn_infer.stream import BLOCK, STRIP

pytestmark = pytest.mark.filterwarnings("ignore:.*cells have no expression")  # of the one among the counts


def ours() -> list[str]:
    """The threads that work on blocks."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("scinn")]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_whatever_takes_long(threads):
    waits = np.random.default_rng(0).uniform(0, 0.005, 40)

    def work(number):
        time.sleep(waits[number])
        return number**2

    assert list(in_order(work, range(40), threads=threads)) == [number**2 for number in range(40)]
    assert ours() == []


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("where", ["work", "things"])
def test_what_goes_wrong_is_raised_after_all_that_comes_before_it(threads, where):
    def fail(number, here):
        if here == where and number == 7:
            raise ValueError(number)
        return number

    seen = []
    with pytest.raises(ValueError, match="7"):  # noqa: PT012 - what was seen before it is the point
        for number in in_order(lambda n: fail(n, "work"), (fail(n, "things") for n in range(40)), threads=threads):
            seen.append(number)
    assert seen == list(range(7))
    assert ours() == []


def test_no_more_things_are_drawn_than_are_worked_on():
    drawn = []
    results = in_order(str, (drawn.append(number) or number for number in range(50)), threads=3)
    for done in range(20):
        next(results)
        assert len(drawn) <= done + 1 + 3
    results.close()


def test_threads_end_with_an_iterator_that_is_closed_or_dropped(model, counts, genes):
    for end in (lambda stream: stream.close(), lambda stream: None):
        stream = model.with_threads(3).impute_chunks(np.tile(counts, (5, 1)), genes)
        next(stream)
        assert ours()
        end(stream)
        del stream
        gc.collect()
        assert ours() == []


@settings(deadline=None, derandomize=True, max_examples=40)
@given(data=st.data(), policy=st.sampled_from(["keep", "denoise"]), threads=st.integers(2, 6))
def test_the_number_of_threads_changes_no_bit(data, policy, threads, model, counts, genes, results):
    rows = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=400))
    rows[0] = 5  # not the empty cell
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    to = data.draw(st.sampled_from([np.array, sparse.csr_array, sparse.csc_matrix]))
    order = np.random.default_rng(data.draw(st.integers(0, 5))).permutation(len(genes))
    chunks = [to(part) for part in np.split(counts[rows][:, order], cuts)]
    names = [genes[column] for column in order]
    size = data.draw(st.sampled_from([None, 1, 50, 97]))
    pieces = model.with_threads(threads).impute_chunks(chunks, names, policy=policy, batch_size=size)
    result = np.concatenate([block for _, block in pieces])
    assert result.tobytes() == results[policy][rows][:, order].tobytes()


def test_estimated_counts_neither(model, counts, genes):
    X = counts * np.random.default_rng(0).uniform(0.5, 30, counts.shape)
    one, four = (model.with_threads(threads).impute(X, genes, unit_checked=True) for threads in (1, 4))
    assert one.tobytes() == four.tobytes()


@pytest.mark.parametrize("threads", [2, 4])
def test_the_quality_of_the_cells_is_told_in_their_order(model, counts, genes, threads):
    X = np.tile(counts, (4, 1))[np.random.default_rng(0).permutation(4 * len(counts))]

    def told(threads):
        recorder = QualityRecorder(model.info)
        batch = open_batch(model.info, genes, source="new")
        parts = [
            {name: values.copy() for name, values in recorder.drain().columns().items()}
            for _ in model.with_threads(threads).stream([X], batch, recorder=recorder)
        ]
        return parts, recorder.profile.gene_mean, recorder.profile.depth

    (one, *profile), (several, *other) = told(1), told(threads)
    assert [len(part["drift"]) for part in several] == [24] * 38 + [8]  # when a block is yielded, its cells are told
    for part, same in zip(several, one, strict=True):
        assert part.keys() == same.keys()
        assert all(part[name].tobytes() == same[name].tobytes() for name in part)
    np.testing.assert_array_equal(other[0], profile[0])
    assert other[1] == profile[1]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_bad_value_is_told_after_the_blocks_before_it(model, counts, genes, threads):
    X = np.tile(counts, (3, 1)).astype(np.float32)
    X[500, 6] = np.nan
    X[520, 0] = -1
    seen = []
    with pytest.raises(ScinnError, match="cell 501, gene GENE7: the value is missing"):  # noqa: PT012
        for start, _ in model.with_threads(threads).impute_chunks([X[:300], sparse.csr_array(X[300:])], genes):
            seen.append(start)
    assert seen == [*range(0, 2 * STRIP, BLOCK)]  # the two strips before it


def test_empty_cells_are_told_once(model, counts, genes):
    with pytest.warns() as told:
        model.with_threads(3).impute(np.tile(counts, (4, 1)), genes)
    (warning,) = told
    assert "4 of 920 cells have no expression in the model's genes" in str(warning.message)


FORK_HALF_WAY = """
import os, sys, numpy, scinn_infer
model = scinn_infer.load(sys.argv[1], threads=3)
X = numpy.arange(60_000).reshape(1000, 60) % 3
expected = model.impute(X, model.genes)
stream = model.impute_chunks(X, model.genes)
blocks = [next(stream)[1], next(stream)[1]]
left = model.impute_chunks(X, model.genes)  # nobody goes on with this one after the fork
next(left)
child = os.fork()
blocks += [block for _, block in stream]
same = (numpy.concatenate(blocks) == expected).all()
if child == 0:
    sys.exit(0 if same else 1)  # an end that tidies up
sys.exit(0 if same and os.waitpid(child, 0)[1] == 0 else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_half_way_goes_on_in_parent_and_child(tiny, runs_to_its_end):
    runs_to_its_end(FORK_HALF_WAY, tiny)
