"""The two native libraries: where they are, and which kernel set they use.

libsbn has the operators for onnxruntime, libsbn_native runs models without it. Both hold the same
kernels, each with a choice of its own, so that every choice is made in both.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from time import perf_counter_ns

from .errors import IsaError, MissingDependencyError
from .system.wheel import advice

ISA_VARIABLE = "SBN_ISA"
# As long as 0.1 ms at 3 GHz.
CLOCK_CYCLES = 300_000
ISAS = ("scalar", "avx2", "avx512bw", "avx512", "neon", "neon_lut2", "sme2")
# How the system names a library.
_NAMED = {"win32": "{}.dll", "darwin": "lib{}.dylib"}.get(sys.platform, "lib{}.so")
_OPERATORS, _RUNTIME = _NAMED.format("sbn"), _NAMED.format("sbn_native")


def library_path() -> Path:
    """Path of the onnxruntime custom-operator library.

    Pass it to `onnxruntime.SessionOptions.register_custom_ops_library`.

    Raises:
        MissingDependencyError: this installation has no native library.
    """
    return _path(_OPERATORS)


def runtime() -> ctypes.CDLL:
    """libsbn_native, which loads and runs models. Raises MissingDependencyError."""
    return _library(_RUNTIME)


def available_isas() -> tuple[str, ...]:
    """The kernel sets that this CPU can run.

    Slowest first; on 64-bit ARM, which one is fastest depends on the core.
    """
    library = _library(_OPERATORS)
    return tuple(name for name in ISAS if library.sbn_isa_available(name.encode()))


def isa() -> str:
    """The kernel set that a session started now would use.

    It is the fastest one of this CPU unless the environment variable SBN_ISA
    names another.

    Raises:
        IsaError: SBN_ISA names a kernel set that is unknown or that this CPU lacks.
    """
    select_isa()
    return _current(_library(_OPERATORS))


def native_version() -> str:
    """Version that the native library was built as."""
    library = _library(_OPERATORS)
    return bytes(library.sbn_version()).decode()


def clock_ghz() -> float:
    """The clock of the core that this thread runs on, measured now, in 10^9 cycles a second.

    Takes about 0.1 ms. If the thread is interrupted, the result is too low.
    """
    library = _library(_OPERATORS)
    begin = perf_counter_ns()
    cycles = library.sbn_run_cycles(CLOCK_CYCLES)
    return float(cycles) / (perf_counter_ns() - begin)


def select_isa() -> None:
    """Makes kernels created from now on follow SBN_ISA. Raises IsaError."""
    wanted = os.environ.get(ISA_VARIABLE, "")
    # What one of them says, the other says too.
    status = max(_library(name).sbn_set_isa(wanted.encode()) for name in (_OPERATORS, _RUNTIME))
    if status == 1:
        raise IsaError(
            f"{ISA_VARIABLE}={wanted!r}: no such kernel set; choose one of {', '.join(ISAS)}"
        )
    if status:
        raise IsaError(
            f"{ISA_VARIABLE}={wanted!r}: this CPU cannot run it;"
            f" it can run {', '.join(available_isas())}"
        )


@contextmanager
def forced_isa(name: str) -> Iterator[None]:
    """Sessions started inside use the kernel set `name`, as if SBN_ISA named it.

    It sets SBN_ISA and the libraries' kernel set, both of the whole process: sessions started by
    other threads during this time use `name` too, as do processes started inside.
    Sessions started before keep their own. Afterwards all is as before.

    Raises:
        IsaError: the kernel set is unknown or this CPU lacks it.
    """
    before = os.environ.get(ISA_VARIABLE)
    os.environ[ISA_VARIABLE] = name
    try:
        select_isa()
        yield
    finally:
        if before is None:
            del os.environ[ISA_VARIABLE]
        else:
            os.environ[ISA_VARIABLE] = before
        select_isa()


def _current(library: ctypes.CDLL) -> str:
    return bytes(library.sbn_isa()).decode()


def _path(name: str) -> Path:
    path = Path(str(files(__package__).joinpath(name)))
    if not path.is_file():
        raise MissingDependencyError(f"{path}: the native library is missing; {advice()}")
    return path


@cache
def _library(name: str) -> ctypes.CDLL:
    path = _path(name)
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise MissingDependencyError(
            f"{path}: the native library does not load ({error}); {advice()}"
        ) from error
    library.sbn_version.restype = ctypes.c_char_p
    library.sbn_isa.restype = ctypes.c_char_p
    library.sbn_set_isa.argtypes = [ctypes.c_char_p]
    library.sbn_isa_available.argtypes = [ctypes.c_char_p]
    library.sbn_run_cycles.argtypes = [ctypes.c_int64]
    library.sbn_run_cycles.restype = ctypes.c_int64
    return library
