"""How many threads this process may really use.

onnxruntime looks at neither OMP_NUM_THREADS nor the control group, so in a container that may use two of 64 cores it
starts 64 threads, which then wait for each other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def available_threads() -> int:
    """Return the number of processors in this process's affinity mask and its control group's quota; at least 1.

    A quota of one and a half processors counts as one: a second thread would only wait for its share.
    """
    return max(1, int(min([_processors(), *_quotas()])))


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Yield the processors that each control group above this process allows."""
    for line in _read(OWN_CGROUPS).splitlines():
        _, _, entry = line.partition(":")
        controllers, _, path = entry.partition(":")
        if not controllers:  # version 2
            for group in _upwards(CGROUP_ROOT, path):
                quota, _, period = _read(group / "cpu.max").partition(" ")
                yield from _ratio(quota, period)
        elif "cpu" in controllers.split(","):  # version 1
            for group in _upwards(CGROUP_ROOT / "cpu", path):
                yield from _ratio(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield a control group and those above it; inside a container it may be visible only at the mount itself."""
    group = mount / path.strip("/")
    yield group
    while group != mount:
        group = group.parent
        yield group


def _ratio(quota: str, period: str) -> Iterator[float]:
    """Yield quota / period, unless there is no limit: "max" in version 2, -1 in version 1."""
    if quota.strip().isdigit() and period.strip().isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
