"""Describes the machine that a measurement was made on."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version

from sbn_deploy.machine.cpu_state import read_state
from sbn_deploy.records.machine import Machine
from sbn_deploy.system import host
from sbn_runtime import isa
from sbn_runtime.native import native_version

EXTENSIONS = (
    *("avx2", "avx512f", "avx512bw", "avx512_vpopcntdq", "avx512vbmi", "avx_vnni"),
    *("avx512_vnni", "amx_int8", "asimddp", "i8mm", "sme2"),
)


def describe() -> Machine:
    """CPU and its state, cores, kernel set in use, operating system and versions.

    Raises what `sbn_runtime.isa` raises.
    """
    features = host.cpu_features()
    return Machine(
        id=_identity(),
        cpu=host.cpu_name() or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=len(host.usable_cores()),
        memory_bytes=host.memory_bytes(),
        isa=isa(),
        extensions=tuple(name for name in EXTENSIONS if name in features),
        sme_bits=host.sme_bits(),
        lacks=host.LACKS,
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
    names = (platform.node(), host.machine_id())
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
