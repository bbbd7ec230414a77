"""The processors that a process may really use, in containers of both kinds."""

from __future__ import annotations

import os

import pytest

from scinn_infer import threads

V2 = "0::/outer/inner\n"
V1 = "7:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with eight processors and the control groups that a test writes down."""
    monkeypatch.setattr(threads, "CGROUP_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "OWN_CGROUPS", tmp_path / "self")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def write(own: str, files: dict[str, str]) -> None:
        (tmp_path / "self").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {}, 8),
        (V2, {"outer/inner/cpu.max": "max 100000\n"}, 8),
        (V2, {"outer/inner/cpu.max": "300000 100000\n"}, 3),
        (V2, {"outer/inner/cpu.max": "400000 100000\n", "outer/cpu.max": "200000 100000\n"}, 2),
        (V2, {"cpu.max": "500000 100000\n"}, 5),
        (V2, {"outer/inner/cpu.max": "250000 100000\n"}, 2),
        (V2, {"outer/inner/cpu.max": "20000 100000\n"}, 1),
        (V2, {"outer/inner/cpu.max": "9900000 100000\n"}, 8),
        (V2, {"outer/inner/cpu.max": "nonsense"}, 8),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/../elsewhere\n", {"cpu.max": "400000 100000\n"}, 4),
        (V1, {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu/job/cpu.cfs_quota_us": "600000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 6),
        (V1, {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/job/cpu.cfs_quota_us": "200000\n"}, 8),
    ],
)
def test_takes_the_smallest_limit(machine, own, files, expected):
    machine(own, files)
    assert threads.available_threads() == expected


def test_takes_the_affinity(machine, monkeypatch):
    machine("", {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4}, raising=False)
    assert threads.available_threads() == 1


def test_counts_processors_where_there_is_no_affinity(machine, monkeypatch):
    machine("", {})
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.available_threads() == 1
