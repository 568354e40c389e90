"""Linux, from a phone to a server."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import IO

from .arm_cores import ARM_CORES
from .core_time import CoreTime
from .kernel_files import read_text

assert sys.platform != "win32"
assert sys.platform != "darwin"

from .posix import *  # noqa: F403  (all of it is part of `host`)
from .posix import process_limit

INSTALL = {"ssh": "sudo apt-get install openssh-client", "adb": "sudo apt-get install adb"}
LACKS: tuple[str, ...] = ()
KERNEL_FILES = True

# Of the times of a core in /proc/stat: all that are spent on programs or interrupts, and the
# time for which the host of a virtual machine let the core wait.
BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
STOLEN = 7
# By the controllers that /proc/self/cgroup names, of the second version and of the first.
MEMORY_GROUPS = {
    "": (Path("/sys/fs/cgroup"), "memory.max"),
    "memory": (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
}
_PR_SET_PDEATHSIG = 1
_M_MMAP_THRESHOLD = -3


def usable_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def memory_limit() -> int:
    limits = [process_limit()]
    # Of the groups of processes that this one is in, as those of containers.
    for line in (read_text(Path("/proc/self/cgroup")) or "").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers not in MEMORY_GROUPS:
            continue
        folder, name = MEMORY_GROUPS[controllers]
        inside = Path(group.strip("/"))
        for outer in (inside, *inside.parents):
            found = read_text(folder / outer / name) or ""
            limits += [int(found)] if found.isdecimal() else []
    return min(limits)


def return_memory() -> None:
    # Else glibc keeps blocks of up to 32 MB in heaps, where gaps remain. Other libraries do not.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 16)


def keep_to(cores: Sequence[int]) -> None:
    os.sched_setaffinity(0, cores)


def core_times(root: Path = Path("/")) -> dict[int, CoreTime]:
    """See `sbn_deploy.system`; `root` is where /proc is."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for line in (read_text(root / "proc/stat") or "").splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            # Old kernels tell less.
            times = [int(number) for number in numbers] + [0] * (STOLEN + 1)
            busy = sum(times[index] for index in BUSY)
            found[int(name[3:])] = CoreTime(busy / tick, times[STOLEN] / tick)
    return found


def cpu_name() -> str | None:
    names = _cpuinfo("model name")[:1]
    if not names:
        board = read_text(Path("/proc/device-tree/model"))
        parts = dict.fromkeys(ARM_CORES.get(part) for part in _cpuinfo("CPU part"))
        names = [name for name in (board, *parts) if name]
    return ", ".join(names) or None


def cpu_features() -> frozenset[str]:
    return frozenset(" ".join(_cpuinfo("flags") or _cpuinfo("Features")).split())


def sme_bits() -> int | None:
    length = read_text(Path("/proc/sys/abi/sme_default_vector_length"))
    return 8 * int(length) if length else None


def machine_id() -> str:
    return read_text(Path("/etc/machine-id")) or ""


def resident_bytes() -> int | None:
    return _memory("VmRSS")


def peak_bytes() -> int | None:
    return _memory("VmHWM")


def forget_peak() -> None:
    """Without permission, memory is overstated, if stated at all."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def start_bound(
    command: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes]
) -> Popen[bytes]:
    return Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)


def bind_to_parent() -> None:
    # Held by a signal, it would not notice that its input has ended.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _cpuinfo(key: str) -> list[str]:
    text = read_text(Path("/proc/cpuinfo")) or ""
    return re.findall(rf"^{key}\s*: (.*)$", text, re.MULTILINE)


def _memory(entry: str) -> int | None:
    """An entry of /proc/self/status in bytes."""
    for line in (read_text(Path("/proc/self/status")) or "").splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    return None
