"""Windows 10 and newer."""

from __future__ import annotations

import ctypes
import errno
import glob
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from math import nan
from subprocess import Popen
from typing import IO, Any

from .core_time import CoreTime

assert sys.platform == "win32"

import msvcrt
import winreg

AWAY_FROM_CTRL_C: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
# The second when the window is closed.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGBREAK)
KERNEL_FILES = False
INSTALL = {
    "ssh": "add OpenSSH Client to the optional features in Windows' settings",
    "adb": "winget install Google.PlatformTools",
}
# Its ssh has no ControlMaster.
SHARES_SSH = False
SHORT_FOLDER: str | None = None
LACKS = (
    "the peak of memory includes the start of the process: Windows cannot reset it",
    "no energy, temperature or throttling: Windows has no interface for them without a driver",
)

# By the numbers of IsProcessorFeaturePresent.
_FEATURES = {40: "avx2", 41: "avx512f", 43: "asimddp", 66: "i8mm"}
_ENDS_WITH_ITS_JOB = 0x2000
_EXTENDED_LIMITS, _EXTENDED_LIMITS_SIZE = 9, 144
_TO_ADD_TO_A_JOB = 0x0101  # PROCESS_SET_QUOTA and PROCESS_TERMINATE
_STD_HANDLES = (-11, -12)
_VIRTUAL_TERMINAL = 4


def usable_cores() -> list[int]:
    import psutil

    return sorted(psutil.Process().cpu_affinity())


def keep_to(cores: Sequence[int]) -> None:
    import psutil

    psutil.Process().cpu_affinity(list(cores))


def core_times() -> dict[int, CoreTime]:
    import psutil

    # Interrupts are part of the system's time.
    return {
        core: CoreTime(times.user + times.system, nan)
        for core, times in enumerate(psutil.cpu_times(percpu=True))
    }


def load_average() -> float | None:
    return None


def cpu_name() -> str | None:
    name = _registry(r"HARDWARE\DESCRIPTION\System\CentralProcessor\0", "ProcessorNameString")
    return name.strip() or None


def cpu_features() -> frozenset[str]:
    has = ctypes.WinDLL("kernel32").IsProcessorFeaturePresent
    return frozenset(name for number, name in _FEATURES.items() if has(number))


def sme_bits() -> int | None:
    """Windows does not say."""
    return None


def machine_id() -> str:
    return _registry(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid")


def memory_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def memory_limit() -> int:
    return memory_bytes()


def starting_deaf() -> AbstractContextManager[None]:
    """What a process inherits here is set in consoles, not by signals."""
    return nullcontext()


def return_memory() -> None:
    """Nothing was seen to grow here."""


def resident_bytes() -> int | None:
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int | None:
    import psutil

    return int(psutil.Process().memory_info().peak_wset)


def forget_peak() -> None:
    """Nothing does that here, see `LACKS`."""


def hold(process: Popen[Any]) -> None:
    _each(process, "suspend")


def release(process: Popen[Any]) -> None:
    _each(process, "resume")


def start_bound(
    command: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes]
) -> Popen[bytes]:
    process = Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)
    # A job ends when its last handle is closed, which is when this process ends.
    kernel = ctypes.WinDLL("kernel32")
    kernel.CreateJobObjectW.restype = kernel.OpenProcess.restype = ctypes.c_void_p
    job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
    started = ctypes.c_void_p(kernel.OpenProcess(_TO_ADD_TO_A_JOB, False, process.pid))
    limits = (ctypes.c_uint32 * (_EXTENDED_LIMITS_SIZE // 4))()
    limits[4] = _ENDS_WITH_ITS_JOB
    kernel.SetInformationJobObject(job, _EXTENDED_LIMITS, limits, _EXTENDED_LIMITS_SIZE)
    kernel.AssignProcessToJobObject(job, started)
    return process


def bind_to_parent() -> None:
    """`start_bound` has done it."""


def lock(file: IO[bytes]) -> None:
    # Of the file's first byte.
    file.seek(0)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError(*error.args) from error


def forbid_core_file() -> None:
    """There are none."""


def expanded(words: list[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        pattern = not word.startswith("-") and ("*" in word or "?" in word)
        found += (sorted(glob.glob(word)) if pattern else []) or [word]
    return found


def use_console() -> None:
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetStdHandle.restype = ctypes.c_void_p
    for number in _STD_HANDLES:
        handle, mode = ctypes.c_void_p(kernel.GetStdHandle(number)), ctypes.c_uint32(0)
        if kernel.GetConsoleMode(handle, ctypes.byref(mode)):
            kernel.SetConsoleMode(handle, mode.value | _VIRTUAL_TERMINAL)


def is_closed_pipe(error: OSError) -> bool:
    # Python says "Invalid argument" of some of them.
    return isinstance(error, BrokenPipeError) or (
        error.errno == errno.EINVAL and error.filename is None
    )


def _each(process: Popen[Any], action: str) -> None:
    """Does that to a process and those it has started: a virtual environment's Python is one."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid)
        for one in (started, *started.children(recursive=True)):
            getattr(one, action)()


def _registry(path: str, name: str) -> str:
    """A text of this machine's, empty where it has none."""
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            return str(winreg.QueryValueEx(key, name)[0])
    except OSError:
        return ""
