"""Models that the tests of the command line share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from ..command import Outcome, sbn
from ..once import once
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

    def make(folder: Path) -> None:
        checkpoint = folder / "checkpoint.safetensors"
        training = sbn("train", "--out", folder, "--epochs", "2", "--json")
        export = sbn("export", checkpoint, "-o", folder / "digits.onnx", "--json")
        said = [asdict(outcome) for outcome in (training, export)]
        (folder / "said.json").write_text(json.dumps(said))

    folder = once(tmp_path_factory, "trained", make)
    training, export = (Outcome(**said) for said in json.loads((folder / "said.json").read_text()))
    return Trained(folder / "checkpoint.safetensors", folder / "digits.onnx", training, export)
