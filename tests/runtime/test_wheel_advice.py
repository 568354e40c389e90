"""What is said where the native library is missing or of another platform."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import sbn_runtime
from sbn_runtime.system.wheel import advice

WIDE, NARROW = 2**63 - 1, 2**31 - 1


@pytest.mark.parametrize(
    ("system", "machine", "largest", "said"),
    [
        ("linux", "x86_64", WIDE, "install the wheel sbn_deploy-*-py3-none-manylinux_*_x86_64.whl"),
        ("linux", "aarch64", WIDE, "manylinux_*_aarch64.whl"),
        ("darwin", "arm64", WIDE, "macosx_*_arm64.whl"),
        ("win32", "amd64", WIDE, "win_amd64.whl"),
        ("win32", "arm64", WIDE, "win_arm64.whl"),
        ("linux", "riscv64", WIDE, "there is none for riscv64 on linux"),
        # A Raspberry Pi with a 32-bit system has a 64-bit kernel, whose name it shows.
        ("linux", "aarch64", NARROW, "install a 64-bit system, as Raspberry Pi OS (64-bit)"),
        ("linux", "armv6l", NARROW, "which a Raspberry Pi 3 or newer runs"),
        ("win32", "win32", NARROW, "install a 64-bit Python"),
    ],
)
def test_the_wheel_for_a_machine(
    system: str, machine: str, largest: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sys, "maxsize", largest)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: f"win-{machine}")
    assert said in advice()


@pytest.mark.parametrize("content", [None, b"MZ of another system"])
def test_a_library_that_cannot_be_used(content: bytes | None, tmp_path: Path) -> None:
    """The package as a wheel for another platform leaves it here."""
    package = tmp_path / "sbn_runtime"
    shutil.copytree(
        Path(sbn_runtime.__file__).parent, package, ignore=shutil.ignore_patterns("lib*")
    )
    if content is not None:
        package.joinpath(sbn_runtime.library_path().name).write_bytes(content)
    folders = [str(tmp_path), *(folder for folder in sys.path if "site-packages" in folder)]
    code = f"import sys; sys.path[:0] = {folders!r}; import sbn_runtime; sbn_runtime.isa()"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("sbn_runtime.errors.MissingDependencyError: ")
    assert (
        f"the native library {'is missing' if content is None else 'does not load'}" in done.stderr
    )
    assert done.stderr.endswith(f"; {advice()}\n")
