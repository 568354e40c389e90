"""A Python for 64-bit ARM that runs on this machine, under qemu.

Debian's packages for arm64 are fetched with apt's settings of this machine, but into a
folder of their own: no privileges are needed and nothing is installed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .wheels import GLIBC, ROOT, pip

FOLDER = ROOT / "build" / "arm64-python"
CORES = ("cortex-a53", "cortex-a72", "cortex-a76")
# A72 has the instructions of A53; only A76 has more.
CORES_TO_TEST = [
    pytest.param(core, marks=[pytest.mark.long] if core != "cortex-a76" else []) for core in CORES
]
PACKAGES = ("python3", "libgomp1", "libstdc++6")
PROGRAMS = {
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "qemu-aarch64": "qemu-user",
}
# Takes the place of Python, so that programs which start `sys.executable` find one that runs.
LAUNCHER = """#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../..
exec qemu-aarch64 -L "$root" -0 "$0" "$root/usr/bin/python3" "$@"
"""
# qemu 7 shows programs the cpuinfo of the machine it runs on, at which onnxruntime from
# 1.28 on crashes. Files below the root take precedence.
CPUINFO = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


def missing() -> str:
    """Why there can be no such Python here, empty if nothing is in the way."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "ARM is emulated on x86-64 Linux only"
    if shutil.which("apt-get") is None:
        return "a Python for ARM comes from Debian's packages, and there is no apt-get"
    packages = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if packages:
        return f"missing: {' '.join(packages)}. Type: sudo apt-get install {' '.join(packages)}"
    return ""


@dataclass(frozen=True)
class Arm:
    """A root folder with a Python for 64-bit ARM.

    Attributes:
        python: starts it; the environment variable QEMU_CPU chooses the core.
        version: such as "3.11".
    """

    python: Path
    version: str

    def run(
        self, core: str, *args: str, path: list[Path], timeout: int = 600
    ) -> subprocess.CompletedProcess[str]:
        """Runs Python with these arguments, importing from the folders of `path`."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SBN_"))},
            "QEMU_CPU": core,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [self.python, *args],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def install(self, folder: Path, *requirements: str) -> Path:
        """What pip on such a machine would install, wheels only, into `folder`."""
        return install(self.version, folder, *requirements)


def install(version: str, folder: Path, *requirements: str) -> Path:
    """What pip of a Python `version` on 64-bit ARM Linux would install into `folder`."""
    pip("install", f"--target={folder}", *_there(version), *requirements)
    return folder


def download_wheels(version: str, folder: Path, *requirements: str) -> Path:
    """The wheels that it would install, in `folder`."""
    pip("download", f"--dest={folder}", *_there(version), *requirements)
    return folder


def _there(version: str) -> list[str]:
    """Options with which pip looks for wheels as it would on 64-bit ARM Linux."""
    platforms = [f"manylinux_{GLIBC[0]}_{minor}_aarch64" for minor in range(GLIBC[1], 16, -1)]
    return [
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={version}",
        *(f"--platform={name}" for name in (*platforms, "manylinux2014_aarch64")),
    ]


def make() -> Arm:
    """The Python below build/, fetched first if it is not there.

    Raises:
        RuntimeError: apt has no packages for arm64 within reach.
    """
    unpack_once(FOLDER, PACKAGES, _complete)
    version = (FOLDER / "usr/bin/python3").resolve().name.removeprefix("python")
    return Arm(FOLDER / "usr/bin/python", version)


def unpack_once(root: Path, packages: Sequence[str], complete: Callable[[Path], None]) -> None:
    """Debian's packages for arm64 in `root`, with what `complete` adds, unless it is there.

    Raises:
        RuntimeError: apt has none within reach.
    """
    if root.exists():
        return
    root.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        made = Path(folder, "root")
        for package in download(Path(folder), *packages):
            _run("dpkg-deb", "--extract", str(package), str(made))
        complete(made)
        try:
            made.rename(root)
        except OSError:
            if not root.exists():  # no other process was faster
                raise


def download(folder: Path, *packages: str) -> list[Path]:
    """Debian's packages for arm64 of these names, and what they depend on.

    Raises:
        RuntimeError: apt has none within reach.
    """
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
        "Dir::Cache": folder / "cache",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
    }
    apt = ["apt-get", "-q", *(f"--option={key}={value}" for key, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "install", "--yes", "--download-only", *packages)
    return sorted(folder.glob("cache/archives/*.deb"))


def _complete(root: Path) -> None:
    if not (root / "lib").exists():  # where /lib is a link, no package but base-files has it
        (root / "lib").symlink_to("usr/lib")
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(cpuinfo())
    launcher = root / "usr" / "bin" / "python"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


def cpuinfo() -> str:
    """What /proc/cpuinfo says on a board with as many cores as this machine."""
    return "".join(CPUINFO.format(number=number) for number in range(os.cpu_count() or 1))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeError(f"{' '.join(command[:1])}: {last[0]}")


if __name__ == "__main__":
    if reason := missing():
        sys.exit(reason)
    try:
        print(make().python)
    except RuntimeError as error:
        sys.exit(str(error))
