"""The cores of a Linux machine, as the kernel describes them, and those this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from math import ceil
from pathlib import Path


def default_threads() -> int:
    """See `sbn_runtime.system`; a control group with a quota of time allows fewer cores, too."""
    if not hasattr(os, "sched_getaffinity"):
        return 0
    return usable_cores(os.sched_getaffinity(0), os.cpu_count() or 1, quota())


def core_count() -> int:
    """The cores of this machine; two threads of one count once."""
    cpus = range(os.cpu_count() or 1)
    return len({_core(cpu, Path("/sys/devices")) for cpu in cpus})


def usable_cores(
    cpus: Iterable[int], count: int, quota: float | None, system: Path = Path("/sys/devices")
) -> int:
    """How many threads these cores, of `count`, are for; 0 for one on each core.

    Args:
        quota: processor time in each second, in seconds; None without a limit.
        system: where the kernel describes the devices.
    """
    cpus = set(cpus)
    cores = fast_cores(cpus, system)
    if not cores and len(cpus) < count:
        # Two threads of a core count once.
        cores = len({_core(cpu, system) for cpu in cpus})
    if quota is None:
        return cores
    allowed = max(1, ceil(quota))
    return min(cores, allowed) if cores else (allowed if allowed < len(cpus) else 0)


def quota(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """Processor time that the control groups of this process allow in a second; None: all."""
    found: list[float] = []
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, kinds, path = line.split(":", 2) if line.count(":") >= 2 else ("", "", "")
        if kinds not in ("", "cpu", "cpu,cpuacct"):
            continue
        # A group has the limits of all above it; in a container its own path may not be seen.
        at = mounted / kinds / path.lstrip("/")
        above = [folder for folder in (at, *at.parents) if folder.is_relative_to(mounted)]
        found += [limit for folder in above for limit in _limits(folder)]
    return min(found, default=None)


def _limits(folder: Path) -> list[float]:
    """Of version 2, or of version 1."""
    try:
        limit, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return [] if limit == "max" else [int(limit) / int(period)]
    except (OSError, ValueError, ZeroDivisionError):
        pass
    limit_us, period_us = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return [limit_us / period_us] if limit_us > 0 and period_us > 0 else []


def fast_cores(cpus: Iterable[int], system: Path = Path("/sys/devices")) -> int:
    """How many of the cores with these numbers are fast; 0 where all are alike, or nothing says so.

    On Arm, Linux gives each core a capacity, up to 1024: fast ones have at least half of the
    largest. On hybrid x86, the fast ones are those of `cpu_core`; two threads of one count once.

    system: where the kernel describes the devices.
    """
    cpus = list(cpus)
    known = _numbers(system / "cpu_core" / "cpus")
    fast = [cpu for cpu in cpus if cpu in known]
    if not known:
        capacity = {cpu: _number(system / f"system/cpu/cpu{cpu}/cpu_capacity") for cpu in cpus}
        largest = max(capacity.values(), default=0)
        fast = [cpu for cpu, found in capacity.items() if largest and found >= largest / 2]
    if len(fast) == len(cpus):
        return 0
    named = {_core(cpu, system) for cpu in fast}
    # Cores of some Arm devices have no number of their own.
    return len(named) if known else len(fast)


def _core(cpu: int, system: Path) -> tuple[int, int]:
    """Package and core of a hardware thread; the thread's own number where nothing says it."""
    at = system / f"system/cpu/cpu{cpu}/topology"
    if not (at / "core_id").exists():
        return -1, cpu
    return _number(at / "physical_package_id"), _number(at / "core_id")


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _numbers(path: Path) -> set[int]:
    """A list of the kernel's, as 0-3,8."""
    found: set[int] = set()
    try:
        for part in path.read_text(encoding="utf-8").strip().split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    except (OSError, ValueError):
        return set()
    return found
