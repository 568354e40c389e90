"""Models that these tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbn_deploy.export import export_checkpoint

from ..built import ROOT
from ..native.test_answers import FORMS
from ..once import once


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trained network for digits in each form, by its name."""

    def make(folder: Path) -> None:
        checkpoint = ROOT / "models/digits-cnn/checkpoint.safetensors"
        for name, form in FORMS.items():
            export_checkpoint(checkpoint, folder / f"{name}.onnx", form)

    return once(tmp_path_factory, "web-digits", make)
