"""Seeds: every random step draws from a stream of its own, named after what it is for.

Nothing here touches a global generator for longer than the block that needs it.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def derive(seed: int, *purpose: str | int) -> int:
    """Return a seed for one purpose, independent of the seeds for any other purpose."""
    words = [zlib.crc32(str(word).encode()) for word in purpose]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1)[0])


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Run a block under a torch seed (weight initialisation, noise) and give the caller's random state back."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
