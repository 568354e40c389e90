"""Which wheel has the native libraries for the Python that runs."""

from __future__ import annotations

import platform
import sys
import sysconfig

# How names of wheels end, by system and architecture.
WHEELS = {
    ("linux", "x86_64"): "manylinux_*_x86_64",
    ("linux", "aarch64"): "manylinux_*_aarch64",
    ("darwin", "arm64"): "macosx_*_arm64",
    ("darwin", "x86_64"): "macosx_*_x86_64",
    ("win32", "amd64"): "win_amd64",
    ("win32", "arm64"): "win_arm64",
}


def advice() -> str:
    """What to install where the native library is missing, or is that of another platform."""
    if sys.maxsize < 2**32:
        board = "Raspberry Pi OS (64-bit), which a Raspberry Pi 3 or newer runs"
        other = "a 64-bit Python" if sys.platform == "win32" else f"a 64-bit system, as {board}"
        return f"this Python is a 32-bit program, for which there is none; install {other}"
    # On Windows for ARM a Python for x86-64 runs too: what counts is the Python, not the machine.
    machine = sysconfig.get_platform().rpartition("-")[2] if sys.platform == "win32" else ""
    machine = machine or platform.machine()
    wheel = WHEELS.get((sys.platform, machine))
    if wheel is None:
        return f"there is none for {machine} on {sys.platform}"
    return f"install the wheel sbn_deploy-*-py3-none-{wheel}.whl"
