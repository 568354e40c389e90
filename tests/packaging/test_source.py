"""`pip install .` on a board with 64-bit ARM, as docs/raspberry-pi.md says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from . import arm, system
from .conftest import Answers
from .system import SOURCE, WORK
from .wheels import CONSTRAINTS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(arm.missing()), reason=arm.missing()),
]
CORE = "cortex-a72"
# What pip fetches besides: what builds the library, made for the device too.
BUILDING = ("scikit-build-core", "cmake", "ninja")


def succeed(work: Path, *command: str, **variables: str) -> str:
    done = system.run(CORE, work, *command, timeout=3600, **variables)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_install_from_the_source(project: dict[str, Any], trained: Answers, tmp_path: Path) -> None:
    try:
        system.make()
    except RuntimeError as error:
        pytest.skip(f"no system for 64-bit ARM can be had: {error}")
    tried = system.run(CORE, tmp_path, "uname", "-m")
    if tried.returncode:
        pytest.skip(f"a namespace with binfmt_misc is needed (Linux 6.7): {tried.stderr.strip()}")
    assert tried.stdout == "aarch64\n"

    python = (system.FOLDER / "usr/bin/python3").resolve().name.removeprefix("python")
    wanted = (CONSTRAINTS, *project["dependencies"], *BUILDING)
    arm.download_wheels(python, tmp_path / "wheels", *wanted)
    succeed(tmp_path, "python3", "-m", "venv", f"{WORK}/sbn")
    # Its own network is not asked: pip's settings of this machine chose the wheels.
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{WORK}/wheels"}
    succeed(tmp_path, f"{WORK}/sbn/bin/pip", "install", SOURCE, **offline)
    assert succeed(tmp_path, f"{WORK}/sbn/bin/sbn", "doctor").endswith("models run here\n")

    shutil.copytree(trained.folder, tmp_path / "models")
    answers = (f"{SOURCE}/tests/packaging/answers.py", f"{WORK}/models", f"{WORK}/there.npz")
    succeed(tmp_path, f"{WORK}/sbn/bin/python", *answers)
    trained.compare(tmp_path / "there.npz")
