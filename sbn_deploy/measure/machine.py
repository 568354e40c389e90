"""Describes the machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sbn_runtime import isa
from sbn_runtime.native import native_version

EXTENSIONS = (
    *("avx2", "avx512f", "avx512bw", "avx512_vpopcntdq", "avx512vbmi", "avx_vnni"),
    *("avx512_vnni", "amx_int8", "asimddp", "i8mm"),
)


def describe() -> dict[str, Any]:
    """CPU, cores, kernel set in use, operating system and versions, JSON-able.

    Raises what `sbn_runtime.isa` raises.
    """
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "isa": isa(),
        "extensions": _extensions(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": version_of("numpy"),
        "onnxruntime": version_of("onnxruntime"),
        "sbn_kernels": native_version(),
    }


def _extensions() -> list[str]:
    """The instruction set extensions that decide how fast integer networks are."""
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return [name for name in EXTENSIONS if name in value.split()]
    return []


def version_of(package: str) -> str | None:
    """Installed version of a distribution, or None; does not import it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
