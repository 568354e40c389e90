"""Programs for Windows, in Wine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from ..built import ROOT, RUNTIME
from .host import HERE, need, run

COMPILER = "x86_64-w64-mingw32-gcc"
# Wine's settings and its drive C, made once.
PREFIX = ROOT / "build/wine"
ENVIRONMENT = {
    **os.environ,
    "WINEPREFIX": str(PREFIX),
    "WINEDEBUG": "-all",
    # Neither .NET nor a browser is asked for.
    "WINEDLLOVERRIDES": "mscoree,mshtml=",
}


def ready() -> dict[str, str]:
    """The environment for Wine; skips the test where it, or a compiler for it, is missing."""
    need("wine", COMPILER)
    if platform.machine() != "x86_64":
        pytest.skip("Wine needs a processor for x86-64")
    PREFIX.parent.mkdir(exist_ok=True)
    with FileLock(PREFIX.with_suffix(".lock")):
        if not (PREFIX / "system.reg").is_file():
            shutil.rmtree(PREFIX, ignore_errors=True)
            subprocess.run(["wineboot", "-i"], env=ENVIRONMENT, capture_output=True, timeout=300)
        if not (PREFIX / "system.reg").is_file():
            pytest.skip("Wine does not start here")
    return ENVIRONMENT


def compiled(name: str, folder: Path) -> Path:
    """A program of this folder for Windows."""
    program = folder / f"{name}.exe"
    options = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-I", RUNTIME / "include")
    run(COMPILER, *options, HERE / f"{name}.c", "-o", program)
    return program
