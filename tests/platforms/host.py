"""Programs of this machine that run libraries for others: answers.c, with a loader."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..built import ROOT, RUNTIME

HERE = Path(__file__).parent
ARM_COMPILER = "aarch64-linux-gnu-gcc"
ARM_EMULATOR = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
# Kernel sets by processor; every one must have run.
SETS = {
    "x86_64": ("scalar", "avx2", "avx512bw", "avx512"),
    "aarch64": ("scalar", "neon", "neon_lut2"),
}


@dataclass(frozen=True)
class Ran:
    """What answers.c did: kernel sets, the bytes of all outputs of each, and what it said last."""

    sets: tuple[str, ...]
    outputs: tuple[bytes, ...]
    version: str
    refusal: str


def golden() -> list[Path]:
    """The golden networks."""
    return sorted((ROOT / "tests/golden").glob("*.onnx"))


def platform_folder(triple: str) -> Path:
    """Where the libraries for a platform were built; skips the test where they were not, or from
    other sources."""
    built = ROOT / "build/platforms" / triple / "built"
    if not built.is_file():
        pytest.skip(f"make test-platforms builds the libraries for {triple}")
    sources = [RUNTIME / "CMakeLists.txt"]
    for name in ("cmake", "include", "src"):
        sources += (RUNTIME / name).rglob("*.*")
    if built.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        pytest.skip(f"make test-platforms builds the libraries for {triple} anew")
    return built.parent


def need(*programs: str) -> None:
    """Skips the test where one is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"missing: {program}")


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=600, env=env
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def compiled(folder: Path, machine: str, *definitions: str) -> Path:
    """answers.c for a machine, with the loader that a definition chooses."""
    compiler = "cc"
    if machine == "aarch64":
        need(ARM_COMPILER, ARM_EMULATOR[0])
        compiler = ARM_COMPILER
    elif machine == "x86_64" != platform.machine():
        pytest.skip("needs a processor for x86-64")
    program = folder / f"answers-{machine}"
    options = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror")
    given = (f"-D{name}" for name in definitions)
    sources = ("-I", RUNTIME / "include", HERE / "answers.c")
    run(compiler, *options, *given, *sources, "-o", program, "-ldl", "-pthread")
    return program


def answers(
    program: Path,
    library: Path,
    models: Sequence[Path],
    *,
    features: str = "",
    cpu: str = "max",
    folder: Path | None = None,
) -> Ran:
    """Runs it: under qemu as the core `cpu` if it is for 64-bit ARM.

    Args:
        features: what the system says that the processor has, for systems that are asked.
    """
    arm = program.name.endswith("aarch64")
    emulator = (*ARM_EMULATOR, "-cpu", cpu) if arm else ()
    environment = {**os.environ, "SBN_FEATURES": features}
    return finished((*emulator, program), library, models, env=environment, folder=folder)


def finished(
    command: Sequence[str | Path],
    library: Path,
    models: Sequence[Path],
    *,
    env: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Ran:
    out = (folder or library.parent) / f"{library.name}.{os.getpid()}.out"
    first, version, refusal = run(*command, library, out, *models, env=env).splitlines()
    sets = tuple(first.split())
    data = out.read_bytes()
    out.unlink()
    size = len(data) // len(sets)
    parts = tuple(data[i * size : (i + 1) * size] for i in range(len(sets)))
    return Ran(sets, parts, version, refusal)


def functions() -> set[str]:
    """The functions of sbn.h that the native runtime has."""
    return _declared((RUNTIME / "include/sbn.h").read_text()) - {"RegisterCustomOps"}


def operator_functions() -> set[str]:
    """Those that the library of operators has: in the header they come first."""
    text, _, _ = (RUNTIME / "include/sbn.h").read_text().partition("\n/* libsbn_native")
    return _declared(text)


def _declared(text: str) -> set[str]:
    return set(re.findall(r"^[a-z][^\n(]*[ *](\w+)\(", text, re.MULTILINE))
