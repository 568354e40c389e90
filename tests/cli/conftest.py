"""Runs `sbn` the way a person at a terminal does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..small_models import Classifier

COMMAND = (sys.executable, "-m", "sbn_deploy.cli")


@dataclass(frozen=True)
class Outcome:
    """What a finished command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    def refused(self) -> str:
        """The message of a command that met bad usage or input: one line, status 2."""
        assert len(self.stderr.splitlines()) == 1, self
        return self.refused_after_progress()

    def refused_after_progress(self) -> str:
        """The same of a command that had told before what it was about to do."""
        assert self.status == 2, self
        assert self.stdout == ""
        assert "Traceback" not in self.stderr
        line = self.stderr.splitlines()[-1]
        assert line.startswith("sbn: error: ")
        return line.removeprefix("sbn: error: ")


def sbn(*arguments: str | Path, prefix: Sequence[str] = (), **variables: str) -> Outcome:
    """Runs one command to its end, with more environment variables."""
    done = subprocess.run(
        [*prefix, *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small classifier of 4×4 images."""
    return Classifier.random().write(tmp_path / "small.onnx")


@dataclass(frozen=True)
class Trained:
    """A briefly trained network and what `sbn` said about it."""

    checkpoint: Path
    model: Path
    training: Outcome
    export: Outcome


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`sbn train` and `sbn export`, for two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    training = sbn("train", "--out", folder, "--epochs", "2", "--json")
    checkpoint, exported = folder / "checkpoint.safetensors", folder / "digits.onnx"
    export = sbn("export", checkpoint, "-o", exported, "--json")
    return Trained(checkpoint, exported, training, export)
