"""Describes the machine that a measurement was made on."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sbn_deploy.machine.cores import usable
from sbn_deploy.machine.cpu_state import read_state, read_text
from sbn_deploy.records.machine import Machine
from sbn_runtime import isa
from sbn_runtime.native import native_version

EXTENSIONS = (
    *("avx2", "avx512f", "avx512bw", "avx512_vpopcntdq", "avx512vbmi", "avx_vnni"),
    *("avx512_vnni", "amx_int8", "asimddp", "i8mm"),
)
# Names of ARM's cores by the part number that Linux shows for them.
ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse N1",
    "0xd0d": "Cortex-A77",
    "0xd40": "Neoverse V1",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd49": "Neoverse N2",
    "0xd4d": "Cortex-A715",
    "0xd4e": "Cortex-X3",
    "0xd4f": "Neoverse V2",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd82": "Cortex-X4",
    "0xd85": "Cortex-X925",
    "0xd87": "Cortex-A725",
}


def describe() -> Machine:
    """CPU and its state, cores, kernel set in use, operating system and versions.

    Raises what `sbn_runtime.isa` raises.
    """
    return Machine(
        id=_identity(),
        cpu=_cpu_model(),
        architecture=platform.machine(),
        cores=len(usable()),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        isa=isa(),
        extensions=_extensions(),
        state=read_state(),
        system=platform.platform(),
        python=platform.python_version(),
        numpy=version_of("numpy"),
        onnxruntime=version_of("onnxruntime"),
        sbn_deploy=version_of("sbn-deploy"),
        sbn_kernels=native_version(),
    )


def version_of(package: str) -> str | None:
    """Installed version of a distribution, or None; does not import it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _identity() -> str:
    """A digest, which does not give away the names that it is made of."""
    names = (platform.node(), read_text(Path("/etc/machine-id")) or "")
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]


def _extensions() -> tuple[str, ...]:
    names = set(" ".join(_cpuinfo("flags") or _cpuinfo("Features")).split())
    return tuple(name for name in EXTENSIONS if name in names)


def _cpu_model() -> str:
    """The CPU of an x86 machine; board and cores of an ARM one."""
    names = _cpuinfo("model name")[:1]
    if not names:
        board = read_text(Path("/proc/device-tree/model"))
        parts = dict.fromkeys(ARM_CORES.get(part) for part in _cpuinfo("CPU part"))
        names = [name for name in (board, *parts) if name]
    return ", ".join(names) or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> list[str]:
    text = read_text(Path("/proc/cpuinfo")) or ""
    return re.findall(rf"^{key}\s*: (.*)$", text, re.MULTILINE)
