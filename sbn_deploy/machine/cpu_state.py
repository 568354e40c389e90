"""The CPU's current state: governor, frequency, temperature, throttling, load. What a machine does
not report is None.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from sbn_deploy.records.machine import CpuState
from sbn_deploy.system import host
from sbn_deploy.system.kernel_files import read_text
from sbn_runtime.native import clock_ghz

CLOCK_LOOKS = 5
# Bits of `vcgencmd get_throttled` on a Raspberry Pi: what is so now, and what was since it started.
PI_FLAGS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage has occurred",
    17: "frequency capping has occurred",
    18: "throttling has occurred",
    19: "soft temperature limit has occurred",
}


def read_state(root: Path = Path("/")) -> CpuState:
    """The state of the cores that this thread may run on.

    On Linux from files below `root`, where /sys and /proc are. Elsewhere no interface tells the
    frequency of now, so it is measured, on the core that this thread runs on.
    """
    if host.KERNEL_FILES:
        return state_of(host.usable_cores(), root, throttled=_pi_flags())
    # The highest is of a time without interruptions.
    mhz = max(clock_ghz() for _ in range(CLOCK_LOOKS)) * 1e3
    return CpuState(mhz=mhz, load_average=host.load_average())


def state_of(
    usable: Iterable[int], root: Path, *, throttled: tuple[str, ...] | None = None
) -> CpuState:
    """The state of the cores with these numbers, read from the files below `root`."""
    cores = sorted(usable)
    folders = [root / f"sys/devices/system/cpu/cpu{core}" for core in cores]
    governors = {read_text(folder / "cpufreq/scaling_governor") for folder in folders} - {None}
    zones = list((root / "sys/class/thermal").glob("thermal_zone*"))
    counts = _numbers(folder / "thermal_throttle/core_throttle_count" for folder in folders)
    load = (read_text(root / "proc/loadavg") or "").split()
    return CpuState(
        governor=", ".join(sorted(filter(None, governors))) or None,
        mhz=_mhz(root, folders, cores),
        max_mhz=_thousandth(_numbers(folder / "cpufreq/scaling_max_freq" for folder in folders)),
        temperature_c=_thousandth([max(_numbers(zone / "temp" for zone in zones), default=0)]),
        limit_c=_thousandth(_numbers(_passive_trips(zones))),
        throttled=throttled,
        throttle_count=int(sum(counts)) if counts else None,
        load_average=float(load[0]) if load else None,
    )


def _mhz(root: Path, folders: list[Path], cores: list[int]) -> float | None:
    current = _numbers(folder / "cpufreq/scaling_cur_freq" for folder in folders)
    if current:
        return _thousandth(current)
    # Virtual machines on x86 have this only.
    stated = re.findall(r"^cpu MHz\s*: ([\d.]+)", read_text(root / "proc/cpuinfo") or "", re.M)
    return min((float(stated[core]) for core in cores if core < len(stated)), default=None)


def _passive_trips(zones: Iterable[Path]) -> Iterable[Path]:
    """The files with the temperatures at which the kernel lowers the frequency."""
    for zone in zones:
        for kind in zone.glob("trip_point_*_type"):
            if read_text(kind) == "passive":
                yield kind.with_name(kind.name.replace("_type", "_temp"))


def _pi_flags() -> tuple[str, ...] | None:
    try:
        done = subprocess.run(
            ["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", done.stdout.strip())
    if not found:
        return None
    bits = int(found[1], 16)
    return tuple(name for bit, name in PI_FLAGS.items() if bits >> bit & 1)


def _numbers(paths: Iterable[Path]) -> list[float]:
    """The numbers in those of the files that hold one."""
    found = []
    for path in paths:
        try:
            found.append(float(read_text(path) or ""))
        except ValueError:
            continue
    return found


def _thousandth(numbers: Iterable[float]) -> float | None:
    """The smallest in units of 1000; None if there is none above zero."""
    return min((number / 1000 for number in numbers if number > 0), default=None)
