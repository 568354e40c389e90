"""How many threads a session has by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbn_runtime.threads import default_threads, fast_cores


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


def test_this_machine() -> None:
    assert default_threads() >= 0
