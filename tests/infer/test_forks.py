"""A fork finds nothing under way, and parent and child go on, whatever other threads are about to do."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

BEGIN = """
import os, queue, sys, threading

told, wait_for = queue.SimpleQueue(), threading.Condition.wait_for

def end_with_child(child, same=True):
    os._exit(0 if same and (child == 0 or os.waitpid(child, 0)[1] == 0) else 1)
"""

TELL_THAT_THE_FORK_WAITS = """
def watched(self, predicate, timeout=None):
    if not predicate():
        told.put("the fork waits")
    return wait_for(self, predicate, timeout)

threading.Condition.wait_for = watched
"""

UNDER_WAY = """
from scinn_infer import forks

forks.SECONDS_WAITED = 3600
began, done = threading.Event(), []

def call():
    with forks.no_fork():
        began.set()
        done.append(told.get())

threading.Thread(target=call, daemon=True).start()
began.wait()
child = os.fork()
end_with_child(child, done == ["the fork waits"])
"""


def test_a_fork_waits_for_what_is_under_way(runs_to_its_end):
    runs_to_its_end(BEGIN + TELL_THAT_THE_FORK_WAITS + UNDER_WAY)


ABOUT_TO_BEGIN = """
forked = threading.Event()

def watched(self, predicate, timeout=None):
    if not predicate():
        told.put("it waits")
        forked.wait()  # with the lock, which the child's thread has not
    return wait_for(self, predicate, timeout)

def call():
    with forks.no_fork():
        told.put("it began")

def between():
    thread.start()
    seen.append(told.get())

thread, seen = threading.Thread(target=call, daemon=True), []
threading.Condition.wait_for = watched
os.register_at_fork(before=between, after_in_parent=forked.set)  # the last before a fork, and the first after it
from scinn_infer import forks

forks.SECONDS_WAITED = 3600
child = os.fork()
same = seen == ["it waits"]
if same and child:
    thread.join()
    same = told.get() == "it began"
elif same:
    with forks.no_fork():
        pass
end_with_child(child, same)
"""


def test_what_begins_when_a_fork_is_about_to_happen_waits_for_it(runs_to_its_end):
    """Until it has happened, in the parent; the child knows nothing of it."""
    runs_to_its_end(BEGIN + ABOUT_TO_BEGIN)


FOR_EVER = """
from scinn_infer import forks

forks.SECONDS_WAITED = 0.01
began = threading.Event()

def call():
    with forks.no_fork():
        began.set()
        threading.Event().wait()

threading.Thread(target=call, daemon=True).start()
began.wait()
child = os.fork()
if child == 0:
    with forks.no_fork():
        pass
end_with_child(child)
"""


def test_a_fork_does_not_wait_for_ever(runs_to_its_end):
    runs_to_its_end(BEGIN + FOR_EVER)


STEP_OF_ONNXRUNTIME = """
import numpy, onnxruntime, scinn_infer
from scinn_infer import forks

forks.SECONDS_WAITED = 3600
model = scinn_infer.load(sys.argv[1], threads=1)
X = numpy.arange(600).reshape(10, 60) % 3
began, done, step = threading.Event(), [], getattr(onnxruntime.InferenceSession, sys.argv[2])

def slow(*arguments, **options):
    if threading.current_thread() is thread and not done:
        began.set()
        done.append(told.get())
    return step(*arguments, **options)

setattr(onnxruntime.InferenceSession, sys.argv[2], slow)
thread = threading.Thread(target=model.impute, args=(X, model.genes), daemon=True)
thread.start()
began.wait()
child = os.fork()
same = done == ["the fork waits"]
if same:
    model.impute(X, model.genes)
end_with_child(child, same)
"""


@pytest.mark.parametrize("step", ["__init__", "run"])
def test_a_fork_waits_for_a_step_of_onnxruntime(tiny, runs_to_its_end, step):
    runs_to_its_end(BEGIN + TELL_THAT_THE_FORK_WAITS + STEP_OF_ONNXRUNTIME, tiny, step)


OWN_SESSIONS = """
import numpy, onnxruntime, scinn_infer

make, made = onnxruntime.InferenceSession.__init__, []

def watched(*arguments, **options):
    made.append(os.getpid())
    make(*arguments, **options)

onnxruntime.InferenceSession.__init__ = watched
model = scinn_infer.load(sys.argv[1], threads=1)
X = numpy.arange(600).reshape(10, 60) % 3
model.impute(X, model.genes)
made.clear()
model.impute(X, model.genes)
kept = not made
child = os.fork()
model.impute(X, model.genes)
end_with_child(child, kept and made == [os.getpid()])
"""


def test_parent_and_child_each_make_a_session(tiny, runs_to_its_end):
    runs_to_its_end(BEGIN + OWN_SESSIONS, tiny)


ANOTHER_MODEL = """
import numpy, scinn_infer.model

find = scinn_infer.model.find_log_expression
began, forked = threading.Event(), threading.Event()

def slow(*arguments, **options):
    if threading.current_thread() is thread:
        began.set()
        forked.wait()
    return find(*arguments, **options)

scinn_infer.model.find_log_expression = slow
one, other = (scinn_infer.load(sys.argv[1], threads=1) for _ in range(2))
X = numpy.arange(600).reshape(10, 60) % 3
thread = threading.Thread(target=one.impute, args=(X, one.genes), daemon=True)
thread.start()
began.wait()
child = os.fork()
other.impute(X, other.genes)
forked.set()
if child:
    thread.join()
end_with_child(child)
"""


def test_a_child_does_not_wait_for_what_a_thread_was_finding_out(tiny, runs_to_its_end):
    runs_to_its_end(BEGIN + ANOTHER_MODEL, tiny)


MANY_FORKS = """
import numpy, scinn_infer

model = scinn_infer.load(sys.argv[1], threads=1)
X = numpy.arange(1440).reshape(24, 60) % 3
expected, stop = model.impute(X, model.genes), threading.Event()

def again():
    while not stop.is_set():
        model.impute(X, model.genes)

threads = [threading.Thread(target=again) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        os._exit(0 if (model.impute(X, model.genes) == expected).all() else 1)
    if os.waitpid(child, 0)[1]:
        os._exit(1)
stop.set()
for thread in threads:
    thread.join()
"""


def test_children_of_a_busy_process_impute(tiny, runs_to_its_end):
    """Whatever locks its threads hold, as that of a cached property was."""
    runs_to_its_end(BEGIN + MANY_FORKS, tiny, "30")
