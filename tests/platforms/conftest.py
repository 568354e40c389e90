"""What libraries for other platforms are compared with: this system's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..calibrations import calibrated
from ..native.library import path_of
from ..small_models import CLASSES, PREPROCESS, Classifier, StochasticClassifier
from .host import answers, compiled, golden


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The golden networks, and classifiers of pictures: with noise, and with a calibration."""
    folder = tmp_path_factory.mktemp("classifiers")
    noisy = StochasticClassifier.random().write(folder / "noisy.onnx", samples=6)
    described = {"classes": CLASSES, "preprocess": PREPROCESS | {"fit": "crop"}, "members": 1}
    plain = Classifier.random().write(folder / "plain.onnx", metadata=described)
    return [*golden(), noisy, calibrated(plain)]


@pytest.fixture(scope="session")
def expected(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The outputs of these, which are the same on every kernel set."""
    folder = tmp_path_factory.mktemp("linux")
    ran = answers(compiled(folder, "linux"), path_of("libsbn_native.so"), models, folder=folder)
    assert len(set(ran.outputs)) == 1
    return ran.outputs[0]
