"""One wheel for every Python, with the oldest onnxruntime and numpy that it accepts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Answers
from .oldest import OLDEST
from .wheels import ROOT, pip


def interpreter(version: str) -> str | None:
    """A Python of this version, on the path or of pyenv."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(name), *pyenv.glob(f"versions/{version}.*/bin/{name}")]
    for candidate in filter(None, candidates):
        # One of pyenv's shims may name a version that is not selected.
        if subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    return None


def test_floor_is_what_is_tested(project: dict[str, Any]) -> None:
    oldest = [pin.replace("==", ">=") for pin in OLDEST["3.11"]]
    here = [each for each in project["dependencies"] if "sys_platform" not in each]
    assert sorted(here) == sorted(oldest)
    assert project["requires-python"] == f">={min(OLDEST, key=lambda v: int(v[2:]))}"


OLDEST_PYTHON, *_, NEWEST_PYTHON = OLDEST


@pytest.mark.parametrize(
    ("version", "pins"),
    [
        pytest.param(OLDEST_PYTHON, OLDEST[OLDEST_PYTHON], marks=pytest.mark.long),
        pytest.param(NEWEST_PYTHON, (), marks=pytest.mark.long),
        *(
            pytest.param(version, OLDEST[version], marks=pytest.mark.long)
            for version in OLDEST
            if version != OLDEST_PYTHON
        ),
    ],
)
def test_answers_are_those_of_this_python(
    version: str, pins: tuple[str, ...], wheel: Path, trained: Answers, tmp_path: Path
) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here; pyenv install {version} brings it")
    site, output = tmp_path / "site", tmp_path / "there.npz"
    pip(f"--python={python}", "install", f"--target={site}", str(wheel), *pins)
    script = ROOT / "tests" / "packaging" / "answers.py"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SBN_"))}
    done = subprocess.run(
        [python, "-s", script, trained.folder, output],
        env=environment | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    trained.compare(output)
