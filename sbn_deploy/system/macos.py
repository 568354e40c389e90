"""macOS, on Apple silicon and on Intel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from math import nan
from subprocess import Popen
from typing import IO

from sbn_runtime.system.apple import sysctl_number, sysctl_text

from .core_time import CoreTime

assert sys.platform == "darwin"

import resource

from .posix import *  # noqa: F403  (all of it is part of `host`)
from .posix import process_limit

KERNEL_FILES = False
memory_limit = process_limit
INSTALL = {
    "ssh": "it is a part of macOS, check PATH",
    "adb": "brew install --cask android-platform-tools",
}
LACKS = (
    "threads are not pinned: macOS lets no program choose its cores",
    "the peak of memory includes the start of the process: macOS cannot reset it",
    "no energy, temperature or throttling: macOS tells them to root only",
)

# The kernel's names of what Linux calls otherwise.
_FEATURES = {
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.avx512bw": "avx512bw",
    "hw.optional.avx512vbmi": "avx512vbmi",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_SME2": "sme2",
}


def usable_cores() -> list[int]:
    return list(range(os.cpu_count() or 1))


def keep_to(cores: Sequence[int]) -> None:
    """The scheduler chooses, see `LACKS`."""


def core_times() -> dict[int, CoreTime]:
    import psutil

    return {
        core: CoreTime(times.user + times.nice + times.system, nan)
        for core, times in enumerate(psutil.cpu_times(percpu=True))
    }


def cpu_name() -> str | None:
    return sysctl_text("machdep.cpu.brand_string")


def cpu_features() -> frozenset[str]:
    return frozenset(name for key, name in _FEATURES.items() if sysctl_number(key))


def sme_bits() -> int | None:
    length = sysctl_number("hw.optional.arm.sme_max_svl_b")
    return 8 * length if length else None


def machine_id() -> str:
    try:
        said = subprocess.run(
            ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=5,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r'"IOPlatformUUID" = "([^"]+)"', said)
    return found[1] if found else ""


def return_memory() -> None:
    """Nothing was seen to grow here."""


def resident_bytes() -> int | None:
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int | None:
    # In bytes, where other systems have kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> None:
    """Nothing does that here, see `LACKS`."""


def start_bound(
    command: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes]
) -> Popen[bytes]:
    # A group whose parent is gone is orphaned: the kernel sends SIGHUP and SIGCONT to those in it
    # that are stopped. Those that run notice that their input has ended.
    return Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, process_group=0)


def bind_to_parent() -> None:
    """`start_bound` has done it."""
