"""Models that the tests of the command line share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ..command import Outcome, sbn
from ..small_models import Classifier


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
