"""How many threads a session has by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbn_runtime.system import default_threads
from sbn_runtime.system.linux import fast_cores, quota, usable_cores


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """Four slow cores, three faster and one fastest, as in a Pixel 8."""
    for cpu, capacity in enumerate([160] * 4 + [746] * 3 + [1024]):
        write(tmp_path / f"system/cpu/cpu{cpu}/cpu_capacity", capacity)
    return tmp_path


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """Two fast cores of two threads each and four slow cores."""
    write(tmp_path / "cpu_core/cpus", "0-2,3")
    write(tmp_path / "cpu_atom/cpus", "4-7")
    for cpu, core in enumerate([0, 0, 1, 1, 8, 9, 10, 11]):
        write(tmp_path / f"system/cpu/cpu{cpu}/topology/core_id", core)
        write(tmp_path / f"system/cpu/cpu{cpu}/topology/physical_package_id", 0)
    return tmp_path


def test_fast_cores_of_a_phone(phone: Path) -> None:
    assert fast_cores(range(8), phone) == 4


def test_fast_cores_of_a_hybrid_laptop(laptop: Path) -> None:
    assert fast_cores(range(8), laptop) == 2


@pytest.mark.parametrize("cpus", [range(4), range(4, 7)])
def test_cores_that_are_alike(phone: Path, cpus: range) -> None:
    assert fast_cores(cpus, phone) == 0


def test_only_cores_that_may_be_used_count_on_a_phone(phone: Path) -> None:
    assert fast_cores([0, 1, 7], phone) == 1


def test_only_cores_that_may_be_used_count_on_a_laptop(laptop: Path) -> None:
    assert fast_cores([2, 4, 5], laptop) == 1
    assert fast_cores([4, 5], laptop) == 0


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    assert fast_cores(range(4), tmp_path) == 0
    write(tmp_path / "cpu_core/cpus", "nonsense")
    assert fast_cores(range(4), tmp_path) == 0


def test_as_many_as_this_process_may_use(phone: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    for cpu in range(8):  # four cores of two threads
        write(plain / f"system/cpu/cpu{cpu}/topology/core_id", cpu % 4)
        write(plain / f"system/cpu/cpu{cpu}/topology/physical_package_id", 0)
    assert usable_cores(range(8), 8, None, plain) == 0
    assert usable_cores([0, 1, 4], 8, None, plain) == 2
    assert usable_cores([5], 8, None, tmp_path / "nothing") == 1
    assert usable_cores(range(8), 8, 2.0, plain) == 2
    assert usable_cores(range(8), 8, 0.3, plain) == 1
    assert usable_cores(range(8), 8, 12.0, plain) == 0
    assert usable_cores([0, 1, 2], 8, 2.5, plain) == 3
    assert usable_cores(range(8), 8, 3.0, phone) == 3


def test_quota_of_version_2(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "fs"
    write(groups, "0::/a/b")
    assert quota(groups, mounted) is None
    write(mounted / "a/b/cpu.max", "max 100000")
    assert quota(groups, mounted) is None
    write(mounted / "a/cpu.max", "150000 100000")
    assert quota(groups, mounted) == 1.5
    write(mounted / "cpu.max", "50000 100000")  # of a container, which sees itself as the root
    assert quota(groups, mounted) == 0.5
    write(mounted / "cpu.max", "nonsense")
    assert quota(groups, mounted) == 1.5
    assert quota(tmp_path / "none", mounted) is None


def test_quota_of_version_1(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "fs"
    write(groups, "4:memory:/x\n3:cpu,cpuacct:/docker/1\n\nodd")
    write(mounted / "cpu,cpuacct/docker/1/cpu.cfs_quota_us", 300000)
    write(mounted / "cpu,cpuacct/docker/1/cpu.cfs_period_us", 100000)
    assert quota(groups, mounted) == 3.0
    write(mounted / "cpu,cpuacct/docker/1/cpu.cfs_quota_us", -1)
    assert quota(groups, mounted) is None


def test_this_machine() -> None:
    assert default_threads() >= 0
