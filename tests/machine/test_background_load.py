"""What else the cores did, on a made-up system and on this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest

from sbn_deploy.machine.background_load import BackgroundLoad
from sbn_deploy.system.linux import core_times

TICK = os.sysconf("SC_CLK_TCK")
# user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice
BEFORE = [100, 10, 50, 7000, 300, 1, 2, 5, 40, 0]


def write_stat(root: Path, cores: list[list[int]]) -> None:
    lines = ["cpu  " + " ".join(str(sum(times)) for times in zip(*cores, strict=True))]
    lines += [f"cpu{core} {' '.join(map(str, times))}" for core, times in enumerate(cores)]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text("\n".join([*lines, "intr 5 0 0", "cpufreq 3"]))


def test_a_made_up_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cores, of which two are ours to use, in two watches of two seconds together."""
    monkeypatch.setattr("sbn_deploy.machine.background_load.process_time", lambda: 0.0)
    now = 0.0
    found = BackgroundLoad({0, 2}, lambda: core_times(tmp_path), lambda: now)
    write_stat(tmp_path, [BEFORE] * 3)
    for turn in (1, 2):
        before = found.look()
        now += 1.0
        passed = [TICK // 2, 0, TICK // 4, TICK, TICK, 0, 0, TICK // 10, 9, 0]
        after = [a + turn * b for a, b in zip(BEFORE, passed, strict=True)]
        write_stat(tmp_path, [after, [10**6] * 10, after])
        found.count(before, 0.75)
        now += 100.0  # between watches nothing counts
    assert found.busy_cores == pytest.approx(2 * 0.75 - 0.75)
    assert found.stolen_cores == pytest.approx(2 * 0.1)


@pytest.mark.parametrize("stat", [None, "", "cpu 1 2 3\n", "cpu5 1 2 3 4\n"])
def test_a_system_that_tells_nothing(tmp_path: Path, stat: str | None) -> None:
    if stat is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/stat").write_text(stat)
    found = BackgroundLoad({0, 1}, lambda: core_times(tmp_path))
    found.count(found.look(), 1.0)
    assert found.busy_cores is None
    assert found.stolen_cores is None


def test_an_old_kernel_tells_less(tmp_path: Path) -> None:
    now = 0.0
    found = BackgroundLoad({0}, lambda: core_times(tmp_path), lambda: now)
    write_stat(tmp_path, [BEFORE[:4]])
    before = found.look()
    now = 1.0
    write_stat(tmp_path, [[a + TICK for a in BEFORE[:4]]])
    found.count(before, 0.0)
    assert found.stolen_cores == 0.0


def test_this_system() -> None:
    """What we do ourselves does not count, what another process does counts."""
    found = BackgroundLoad(os.sched_getaffinity(0))
    loop = "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    before = found.look()
    end = process_time() + 0.2
    while process_time() < end:
        pass
    subprocess.run([sys.executable, "-c", loop], check=True)
    found.count(before, 0.0)
    assert found.busy_cores is not None
    assert found.busy_cores * found._seconds > 0.4
