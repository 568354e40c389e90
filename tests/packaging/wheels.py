"""The wheels of this tree: building one for a platform, and checking what its name promises.

`python -m tests.packaging.wheels FOLDER` builds and checks one for each architecture.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.once import once

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ("x86_64", "aarch64")
CROSS_COMPILER = "aarch64-linux-gnu-gcc"
CONSTRAINTS = f"--constraint={ROOT / 'constraints.txt'}"
# The wheels of onnxruntime need the glibc of this tag, so ours may.
GLIBC = (2, 28)


def pip(*args: str) -> None:
    """Runs pip, which must succeed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"pip {args}\n{done.stdout}\n{done.stderr}"


def toolchain(architecture: str) -> list[str]:
    """Settings of the build that make it one for another architecture than this machine's."""
    if architecture == platform.machine():
        return []
    file = ROOT / "runtime" / "cmake" / f"{architecture}-linux-gnu.cmake"
    return [f"--config-settings=cmake.define.CMAKE_TOOLCHAIN_FILE={file}"]


def build(architecture: str, folder: Path, *, arm_library: bool = False) -> Path:
    """The manylinux wheel for an architecture, in `folder`.

    With `arm_library` it holds the library for 64-bit ARM as well, for `sbn bundle`.
    """
    tag = f"py3-none-manylinux_{GLIBC[0]}_{GLIBC[1]}_{architecture}"
    settings = [f"--config-settings=wheel.tags={tag}", *toolchain(architecture)]
    if arm_library:
        settings.append("--config-settings=cmake.define.SBN_AARCH64=ON")
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), *settings, str(ROOT))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return folder / f"sbn_deploy-{version}-{tag}.whl"


def built(factory: pytest.TempPathFactory, architecture: str) -> Path:
    """The wheel as `make wheels` builds it, once for all tests.

    That for x86-64 holds the library for 64-bit ARM where that can be built here.
    """
    cross = architecture == "x86_64" and shutil.which(CROSS_COMPILER) is not None

    def make(folder: Path) -> None:
        build(architecture, folder, arm_library=cross)

    (wheel,) = once(factory, f"wheel-{architecture}", make).glob("*.whl")
    return wheel


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


if __name__ == "__main__":
    for architecture in ARCHITECTURES:
        made = build(architecture, Path(sys.argv[1]), arm_library=architecture == "x86_64")
        print(made, check(made), sep="\n")
