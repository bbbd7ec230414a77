"""An experiment that takes no time. It is a module so that worker processes can import it, as they do the real ones."""

import os

from quality.tasks import UnavailableError, record


def run(task):
    """Do what the name of the dataset says."""
    if task.dataset == "unavailable":
        msg = "It is not installed here."
        raise UnavailableError(msg)
    if task.dataset == "deadly":
        os._exit(1)
    if task.dataset == "broken":
        msg = "It went wrong.\nAnd there is more to say."
        raise ValueError(msg)
    scores = {"process": os.getpid(), "threads": int(os.environ["OMP_NUM_THREADS"])}
    return [record(task, policy, scores) for policy in ("keep", "denoise")]
