"""The wheels of this tree: building one for a platform, and checking what its name promises.

`python -m tests.packaging.wheels FOLDER` builds and checks one for each architecture of Linux, and
for Windows and macOS, or those named after the folder.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from filelock import FileLock

from tests.once import once

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ("x86_64", "aarch64")
CROSS_COMPILER = "aarch64-linux-gnu-gcc"
CONSTRAINTS = f"--constraint={ROOT / 'constraints.txt'}"
# The wheels of onnxruntime need the glibc of this tag, so ours may.
GLIBC = (2, 28)
# 1980, the first year of zip archives, in seconds since 1970.
FIRST_DATE = "315532800"


def pip(*args: str) -> None:
    """Runs pip, which must succeed. What it builds has the same date each time."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *args]
    environment = {"SOURCE_DATE_EPOCH": FIRST_DATE} | os.environ
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, f"pip {args}\n{done.stdout}\n{done.stderr}"


def build_folder(architecture: str) -> Path:
    """Where the native parts for an architecture are compiled, by `make` too: once for all."""
    return ROOT / "build" / f"wheel-{architecture}"


def compiling() -> FileLock:
    """Held by the process that compiles there."""
    (ROOT / "build").mkdir(exist_ok=True)
    return FileLock(ROOT / "build" / "wheels.lock")


def toolchain(architecture: str) -> dict[str, str]:
    """Definitions of CMake for a build for an architecture, this machine's or another."""
    if architecture == platform.machine():
        return {}
    file = ROOT / "runtime" / "cmake" / f"{architecture}-linux-gnu.cmake"
    return {"CMAKE_TOOLCHAIN_FILE": str(file), "SBN_MEASURE": "ON", "SBN_NATIVE": "ON"}


def can_cross_compile(architecture: str) -> bool:
    """Whether a wheel for this architecture can hold the library for 64-bit ARM as well."""
    return architecture == "x86_64" and shutil.which(CROSS_COMPILER) is not None


def can_build_for_browsers() -> bool:
    """Whether a wheel can hold the runtime for browsers as well."""
    return all(shutil.which(program) for program in ("clang++-19", "wasm-ld-19"))


def can_build_for_ios() -> bool:
    """Whether a wheel can hold the runtime for iOS as well: once `make ios` has built it."""
    programs = ("clang++-19", "ld64.lld-19", "llvm-lipo-19")
    return (ROOT / "build/ios").is_dir() and all(map(shutil.which, programs))


def can_build_for_android() -> bool:
    """Whether a wheel can hold the runtime for Android as well."""
    return can_build_for_browsers() and shutil.which("javac") is not None


def build(architecture: str, folder: Path, *, arm_library: bool = False) -> Path:
    """The manylinux wheel for an architecture, in `folder`.

    With `arm_library` it holds the libraries for 64-bit ARM as well, for `sbn bundle`, and where
    they can be built the runtimes for browsers, iOS and Android.
    """
    tag = f"py3-none-manylinux_{GLIBC[0]}_{GLIBC[1]}_{architecture}"
    definitions = toolchain(architecture) | {"SBN_AARCH64": "ON" if arm_library else "OFF"}
    definitions["SBN_AARCH64_DIR"] = str(build_folder("aarch64"))
    return pip_wheel(tag, build_folder(architecture), definitions, folder)


def pip_wheel(tag: str, build: Path, definitions: dict[str, str], folder: Path) -> Path:
    """The wheel of a tag, in `folder`, with what bundles for other platforms need as far as that
    can be built here; compiled in the folder `build` with definitions of CMake."""
    for name, can in (
        ("WEB", can_build_for_browsers()),
        ("IOS", can_build_for_ios()),
        ("ANDROID", can_build_for_android()),
    ):
        definitions = {
            **definitions,
            f"SBN_{name}": "ON" if can else "OFF",
            f"SBN_{name}_DIR": str(ROOT / "build" / name.lower()),
        }
    settings = {"wheel.tags": tag, "build-dir": str(build)}
    settings |= {f"cmake.define.{name}": value for name, value in definitions.items()}
    given = [f"--config-settings={name}={value}" for name, value in settings.items()]
    with compiling():
        # It names pip's environment for this build; with another all would be compiled again.
        (build / ".skbuild-info.json").unlink(missing_ok=True)
        pip("wheel", "--no-deps", "--wheel-dir", str(folder), *given, str(ROOT))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return folder / f"sbn_deploy-{version}-{tag}.whl"


def built(factory: pytest.TempPathFactory, architecture: str) -> Path:
    """The wheel as `make wheels` builds it, once for all tests.

    That for x86-64 holds the library for 64-bit ARM where that can be built here.
    """

    def make(folder: Path) -> None:
        build(architecture, folder, arm_library=can_cross_compile(architecture))

    (wheel,) = once(factory, f"wheel-{architecture}", make).glob("*.whl")
    return wheel


def installed(factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with this machine's wheel and what it requires, once for all tests."""
    wheel = built(factory, platform.machine())

    def make(folder: Path) -> None:
        venv.create(folder / "venv", symlinks=True)
        pip(f"--python={folder / 'venv/bin/python'}", "install", CONSTRAINTS, str(wheel))

    return once(factory, "installed", make) / "venv"


def check(wheel: Path) -> str:
    """What auditwheel says, in one line.

    Raises:
        ValueError: the wheel needs something that its platform tag does not promise.
    """
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = " ".join((done.stdout if done.returncode == 0 else done.stderr).split())
    tag = wheel.stem.split("-")[-1]
    needed = re.search(r'"manylinux_(\d+)_(\d+)_(\w+)"', said)
    if (
        needed is None
        or not tag.endswith(f"_{needed[3]}")
        or (int(needed[1]), int(needed[2])) > GLIBC
    ):
        raise ValueError(f"{wheel.name} does not keep its tag {tag}: {said}")
    return said


def system_libraries(wheel: Path) -> set[str]:
    """The libraries of the system that a wheel needs. Raises what `check` raises."""
    return set(re.findall(r"(\S+) with versions", check(wheel)))


if __name__ == "__main__":
    from . import foreign

    dist = Path(sys.argv[1])
    for wanted in sys.argv[2:] or (*ARCHITECTURES, *foreign.PLATFORMS):
        if wanted in foreign.PLATFORMS:
            made = foreign.build(wanted, dist)
            said = foreign.check(made)
        else:
            made = build(wanted, dist, arm_library=can_cross_compile(wanted))
            said = check(made)
        print(made, said, sep="\n")
