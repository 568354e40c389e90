"""The cores of a Mac, an iPhone or an iPad, as `sysctl` names them."""

from __future__ import annotations

import ctypes
import os


def default_threads() -> int:
    """See `sbn_runtime.system`."""
    kinds = sysctl_number("hw.nperflevels") or 1
    return sysctl_number("hw.perflevel0.physicalcpu") or 0 if kinds > 1 else 0


def core_count() -> int:
    """See `sbn_runtime.system`."""
    return sysctl_number("hw.physicalcpu") or os.cpu_count() or 1


def sysctl_number(name: str) -> int | None:
    """A value of the kernel's; None where it has none of this name."""
    value = _sysctl(name)
    return None if value is None else int.from_bytes(value, "little")


def sysctl_text(name: str) -> str | None:
    """A text of the kernel's; None where it has none of this name."""
    value = _sysctl(name)
    return None if value is None else value.rstrip(b"\0").decode(errors="replace")


def _sysctl(name: str) -> bytes | None:
    content = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(content))
    failed = ctypes.CDLL(None).sysctlbyname(
        name.encode(), content, ctypes.byref(size), None, ctypes.c_size_t(0)
    )
    return None if failed else content.raw[: size.value]
