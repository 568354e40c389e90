"""Programs on another operating system, as far as this one can be made to look like it.

`startup/other_system.py` says how.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from .typeshed import names

STARTUP = Path(__file__).parent / "startup"
SYSTEMS = ("win32", "darwin")
# All of Python's modules that differ between systems and that programs use.
MODULES = (
    *("fcntl", "grp", "mmap", "os", "posix", "pty", "pwd", "readline", "resource", "select"),
    *("signal", "socket", "sys", "syslog", "termios", "time", "tty"),
)


def hidden(system: str) -> dict[str, list[str]]:
    """By module, what Linux has and the system lacks."""
    return {name: sorted(names(name, "linux") - names(name, system)) for name in MODULES}


def missing(system: str) -> list[str]:
    """The modules that the system lacks."""
    return [
        name
        for name in MODULES
        if not any(not known.startswith("_") for known in names(name, system))
    ]


@cache
def library() -> Path:
    """other_system.c as a library; skips the test where nothing compiles it."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler")
    folder = Path(tempfile.mkdtemp(prefix="sbn-system-"))
    words = ("-shared", "-fPIC", "-Wall", "-Werror", "-o", "system.so", "other_system.c")
    shutil.copy(STARTUP / "other_system.c", folder)
    subprocess.run([compiler, *words], cwd=folder, check=True)
    return folder / "system.so"


def environment(system: str) -> dict[str, str]:
    """The variables with which Python, and all that it starts, finds itself there."""
    described = {
        "platform": system,
        "hidden": hidden(system),
        "missing": missing(system),
        "library": str(library()),
    }
    return os.environ | {
        "SBN_OTHER_SYSTEM": json.dumps(described),
        "PYTHONPATH": f"{STARTUP}{os.pathsep}{Path(__file__).parents[2]}",
        # A pipe there has the encoding of old consoles.
        "PYTHONIOENCODING": "cp437" if system == "win32" else "utf-8",
        "OMP_NUM_THREADS": "1",
        # Where programs look for a function of the system's.
        **({"LD_PRELOAD": str(library())} if system == "darwin" else {}),
    }


def run(system: str, code: str, folder: Path) -> str:
    """What a program writes there; it must succeed and warn of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=environment(system),
        capture_output=True,
        encoding="cp437" if system == "win32" else "utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
