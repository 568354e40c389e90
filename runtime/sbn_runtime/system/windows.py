"""The cores of a Windows machine, and those this process may use."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from dataclasses import dataclass

assert sys.platform == "win32"

_PROCESSOR_CORE = 0


@dataclass(frozen=True)
class Core:
    """A core.

    Attributes:
        efficiency: its class; that of fast cores is the highest.
        group: of up to 64 hardware threads.
        threads: which ones of the group are its own, a bit for each.
    """

    efficiency: int
    group: int
    threads: int


def default_threads() -> int:
    """See `sbn_runtime.system`."""
    cores = _cores()
    return threads_for(cores, _affinity()) if cores else 0


def core_count() -> int:
    """See `sbn_runtime.system`."""
    return len(_cores()) or os.cpu_count() or 1


def threads_for(cores: list[Core], affinity: int) -> int:
    """How many threads these cores are for; 0 for one on each core.

    affinity: the hardware threads that this process may use, a bit for each. It says nothing
        where they are more than a group.
    """
    one_group = len({core.group for core in cores}) == 1
    usable = [core for core in cores if not one_group or core.threads & affinity]
    most = max((core.efficiency for core in usable), default=0)
    fast = [core for core in usable if core.efficiency == most]
    return 0 if len(fast) == len(cores) else len(fast)


def parse_cores(description: bytes) -> list[Core]:
    """The cores in what GetLogicalProcessorInformationEx returns for processor cores."""
    found, at = [], 0
    while at < len(description):
        kind, size = struct.unpack_from("<II", description, at)
        if kind == _PROCESSOR_CORE:
            efficiency, threads, group = struct.unpack_from("<xB22xQH", description, at + 8)
            found.append(Core(efficiency, group, threads))
        at += size
    return found


def _cores() -> list[Core]:
    kernel = ctypes.WinDLL("kernel32")
    size = ctypes.c_uint32(0)
    kernel.GetLogicalProcessorInformationEx(_PROCESSOR_CORE, None, ctypes.byref(size))
    description = ctypes.create_string_buffer(max(1, size.value))
    done = kernel.GetLogicalProcessorInformationEx(_PROCESSOR_CORE, description, ctypes.byref(size))
    return parse_cores(description.raw[: size.value]) if done else []


def _affinity() -> int:
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process, system = ctypes.c_size_t(0), ctypes.c_size_t(0)
    done = kernel.GetProcessAffinityMask(
        ctypes.c_void_p(kernel.GetCurrentProcess()), ctypes.byref(process), ctypes.byref(system)
    )
    return process.value if done else -1
