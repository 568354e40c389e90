"""What is read of the CPU's state, on made-up systems."""

from __future__ import annotations

import os
from dataclasses import astuple
from pathlib import Path

import pytest

from sbn_deploy.machine.cpu_state import PI_FLAGS, CpuState, read_state
from sbn_deploy.machine.describe import describe


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3})
    monkeypatch.setenv("PATH", "")


def write(root: Path, **files: object) -> None:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert set(astuple(read_state(tmp_path))) == {None}


def test_a_board(tmp_path: Path) -> None:
    for core, (now, most) in enumerate([(600, 1500), (1800, 2400), (600, 1500), (1700, 2300)]):
        folder = f"sys__devices__system__cpu__cpu{core}__cpufreq"
        values = {
            f"{folder}__scaling_governor": "ondemand" if core else "powersave",
            f"{folder}__scaling_cur_freq": now * 1000,
            f"{folder}__scaling_max_freq": most * 1000,
        }
        write(tmp_path, **values)
    zones = "sys__class__thermal__thermal_zone"
    write(
        tmp_path,
        **{
            f"{zones}0__temp": 61234,
            f"{zones}0__trip_point_0_type": "critical",
            f"{zones}0__trip_point_0_temp": 110000,
            f"{zones}1__temp": 55000,
            f"{zones}1__trip_point_0_type": "passive",
            f"{zones}1__trip_point_0_temp": 85000,
            f"{zones}1__trip_point_1_type": "passive",
            f"{zones}1__trip_point_1_temp": 95000,
            f"{zones}2__temp": "not a number",
            "proc__loadavg": "0.25 0.10 0.05 1/200 4242",
        },
    )
    assert read_state(tmp_path) == CpuState(
        governor="ondemand",
        mhz=1700.0,
        max_mhz=2300.0,
        temperature_c=61.234,
        limit_c=85.0,
        throttled=None,
        throttle_count=None,
        load_average=0.25,
    )


def test_an_x86_machine(tmp_path: Path) -> None:
    lines = [f"processor : {core}\ncpu MHz\t\t: {2000 + core}.500" for core in range(4)]
    write(tmp_path, proc__cpuinfo="\n\n".join(lines))
    for core in range(4):
        name = f"sys__devices__system__cpu__cpu{core}__thermal_throttle__core_throttle_count"
        write(tmp_path, **{name: 10**core})
    state = read_state(tmp_path)
    assert (state.mhz, state.throttle_count) == (2001.5, 1010)


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("echo throttled=0x0", ()),
        ("echo throttled=0x50005", (0, 2, 16, 18)),
        ("echo throttled=0xF000F", tuple(PI_FLAGS)),
        ("echo VCHI initialization failed; exit 1", None),
        ("exit 0", None),
    ],
)
def test_flags_of_a_raspberry_pi(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    flags: tuple[int, ...] | None,
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f'#!/bin/sh\n[ "$*" = get_throttled ] && {script}\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    expected = None if flags is None else tuple(PI_FLAGS[bit] for bit in flags)
    assert read_state(tmp_path).throttled == expected


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    machine = describe()
    assert machine.cpu
    assert machine.id == describe().id
    assert machine.state.load_average is not None
    assert machine.state.load_average >= 0
