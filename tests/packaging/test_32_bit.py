"""What is said on systems of 32 bits, for which there is no library."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .wheels import ROOT

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="compiles as for x86-64 processors of 32 bits"
)


def test_cmake_says_so(tmp_path: Path) -> None:
    options = ("-DCMAKE_CXX_FLAGS=-m32", "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY")
    command = (Path(sys.executable).with_name("cmake"), "-S", ROOT / "runtime", *options)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "This needs a 64-bit system, as Raspberry Pi OS (64-bit)" in done.stderr


@pytest.mark.long
@pytest.mark.skipif(shutil.which("setarch") is None, reason="missing: setarch")
def test_pip_says_so() -> None:
    """A kernel of 64 bits calls itself one of 32 here; on a board it is one."""
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--dry-run", str(ROOT))
    done = subprocess.run(["setarch", "i686", *pip], capture_output=True, text=True, timeout=600)
    assert done.returncode != 0
    assert "sbn-deploy needs a 64-bit system, as Raspberry Pi OS (64-bit)" in done.stderr
