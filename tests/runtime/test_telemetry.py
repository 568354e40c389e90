"""onnxruntime writes nothing to the home folder behind its user's back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..small_models import Classifier

USE = """
import os, sys
from sbn_runtime import Session
Session(sys.argv[1], threads=1)
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""


def use(folder: Path, **variables: str) -> str:
    """What a program says that starts a session; its home folder is `folder` / home."""
    model, home = Classifier.random().write(folder / "model.onnx"), folder / "home"
    home.mkdir()
    hidden = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", USE, model],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_session_leaves_the_home_folder_empty(tmp_path: Path) -> None:
    assert use(tmp_path) == "1"
    assert list((tmp_path / "home").iterdir()) == []


def test_what_the_user_set_stays(tmp_path: Path) -> None:
    assert use(tmp_path, ORT_DISABLE_TELEMETRY="true") == "true"
