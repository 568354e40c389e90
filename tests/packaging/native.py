"""Building and running native code, also for 64-bit ARM; tests skip where a program is missing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import arm
from .wheels import CROSS_COMPILER, ROOT, build_folder, compiling, toolchain

HERE = Path(__file__).parent
# Debian's packages of the programs that tests need.
PACKAGES = {
    **arm.PROGRAMS,
    CROSS_COMPILER: arm.PROGRAMS["aarch64-linux-gnu-g++"],
    "cc": "gcc",
    "musl-gcc": "musl-tools",
    "readelf": "binutils",
}
STRICT = (
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Werror",
)


def need(*programs: str) -> None:
    """Skips the test unless all of these programs are installed."""
    for program in programs:
        if shutil.which(program) is None:
            remedy = f"sudo apt-get install {PACKAGES.get(program, program)}"
            pytest.skip(f"{program} is not installed. Type: {remedy}")


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Standard output of a program that must succeed."""
    done = try_run(*command, cwd=cwd, **variables)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def try_run(
    *command: str | Path, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=900,
    )


def arm_library() -> Path:
    """The library of this tree for 64-bit ARM, built if it is out of date."""
    return arm_build("sbn") / "libsbn.so"


def arm_program() -> Path:
    """The program that measures models on a phone, built if it is out of date."""
    return arm_build("sbn_measure") / "phone" / "sbn_measure"


def arm_build(target: str) -> Path:
    """The folder in which a target of CMake is up to date."""
    need(f"{CROSS_COMPILER[:-3]}g++")
    # That of the wheels' builds, which is the first on the path.
    cmake = shutil.which("cmake", path=f"{os.environ['PATH']}:{Path(sys.prefix, 'bin')}")
    if cmake is None:
        pytest.skip("cmake is not installed. Type: pip install cmake")
    folder = build_folder("aarch64")
    options = [f"-D{name}={value}" for name, value in toolchain("aarch64").items()]
    # As the wheels' builds choose it.
    generator = "Ninja" if shutil.which("ninja") else "Unix Makefiles"
    with compiling():
        run(cmake, "-S", ROOT / "runtime", "-B", folder, *options, CMAKE_GENERATOR=generator)
        run(cmake, "--build", folder, "--target", target, "--parallel", str(os.cpu_count()))
    return folder


def arm_packages(folder: Path, *names: str) -> Path:
    """Debian's arm64 packages of these names, unpacked into `folder`; installs nothing."""
    need("apt-get", "dpkg-deb")
    try:
        for package in arm.download(folder / "apt", *names):
            run("dpkg-deb", "--extract", package, folder)
    except RuntimeError as error:
        pytest.skip(f"apt has no {', '.join(names)} for arm64 within reach: {error}")
    return folder


def emulator(core: str) -> tuple[str, ...]:
    """What runs programs for 64-bit ARM on this machine, as this core."""
    return ("qemu-aarch64", "-cpu", core, "-L", "/usr/aarch64-linux-gnu")


def compiled_as_described(bundle: Path, compiler: str = "cc") -> None:
    """Compiles the C program of a bundle with the command of its README.md, without warnings."""
    need(compiler)
    readme = (bundle / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^cc (.*)$", readme, re.MULTILINE)
    run(compiler, *STRICT, *shlex.split(command), cwd=bundle)
