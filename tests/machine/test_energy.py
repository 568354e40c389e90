"""Energy counters, made up of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbn_deploy.machine.energy import Meter, find_meter


def domain(root: Path, name: str, label: str, joules: float, most: float = 100) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    (folder / "max_energy_range_uj").write_text(f"{round(most * 1e6) - 1}\n")
    return folder / "energy_uj"


def found(root: Path) -> Meter:
    meter = find_meter(root)
    assert meter is not None
    return meter


def spent(meter: Meter, before: tuple[int, ...] | None) -> float | None:
    assert before is not None
    return meter.since(before)


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first = domain(tmp_path, "intel-rapl:0", "package-0", 1)
    second = domain(tmp_path, "intel-rapl:1", "package-1", 2)
    part = domain(tmp_path, "intel-rapl:0:0", "core", 3)
    board = domain(tmp_path, "intel-rapl:2", "psys", 4)
    meter = found(tmp_path)
    before = meter.read()
    for path, joules in ((first, 1.5), (second, 2.25), (part, 9), (board, 9)):
        path.write_text(f"{round(joules * 1e6)}\n")
    assert spent(meter, before) == pytest.approx(0.75)


def test_a_counter_starts_again_at_zero(tmp_path: Path) -> None:
    path = domain(tmp_path, "intel-rapl:0", "package-0", 99.5, most=100)
    meter = found(tmp_path)
    before = meter.read()
    path.write_text("250000\n")
    assert spent(meter, before) == pytest.approx(0.75)


def test_a_counter_that_goes_away(tmp_path: Path) -> None:
    path = domain(tmp_path, "intel-rapl:0", "package-0", 1)
    meter = found(tmp_path)
    before = meter.read()
    path.unlink()
    assert meter.read() is None
    assert spent(meter, before) is None


@pytest.mark.parametrize("content", [None, "", "none\n"])
def test_machines_without_counters(tmp_path: Path, content: str | None) -> None:
    assert find_meter(tmp_path / "none") is None
    path = domain(tmp_path, "intel-rapl:0", "package-0", 1)
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert find_meter(tmp_path) is None
