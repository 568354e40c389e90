"""How many threads may share the work of a call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .errors import InputError

MOST_THREADS = max(256, 4 * (os.cpu_count() or 1))
"""More only cost: onnxruntime starts all of them, and they wait for each other."""


def check_threads(threads: int) -> int:
    """The number itself. Raises InputError unless it is 1 to `MOST_THREADS`."""
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads must be 1 to {MOST_THREADS}, not {threads}")
    return threads


def default_threads() -> int:
    """How many threads onnxruntime should start: 0, which is one for each core, on most CPUs.

    Where there are fast and slow cores, one for each fast core: a call is done when its slowest
    thread is.
    """
    if not hasattr(os, "sched_getaffinity"):
        return 0
    return fast_cores(os.sched_getaffinity(0))


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
    topology = [system / f"system/cpu/cpu{cpu}/topology" for cpu in fast]
    named = {(_number(at / "physical_package_id"), _number(at / "core_id")) for at in topology}
    # Cores of some Arm devices have no number of their own.
    return len(named) if known else len(fast)


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _numbers(path: Path) -> set[int]:
    """A list of the kernel's, as 0-3,8."""
    found: set[int] = set()
    try:
        for part in path.read_text().strip().split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    except (OSError, ValueError):
        return set()
    return found
