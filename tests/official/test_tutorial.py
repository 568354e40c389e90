"""`sbn import` of BinaryNet, larq's tutorial, from LCE's own converter, against LCE."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from sbn_converters.tflite.read import read
from sbn_deploy.importing import import_tflite
from sbn_deploy.lce.process import run_lce
from sbn_runtime import Session
from tests.tools import lce_models

pytestmark = pytest.mark.skipif(
    any(find_spec(package) is None for package in lce_models.PACKAGES),
    reason="needs TensorFlow and larq, the extra tflite: make test-lce",
)

ROOT = Path(__file__).parents[2]


def converted(path: Path, *options: str) -> bytes:
    """The file of LCE's converter."""
    command = [sys.executable, "-m", "tests.tools.lce_tutorial", "-o", str(path), *options]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return path.read_bytes()


def test_binarynet_answers_as_in_lce(tmp_path: Path) -> None:
    source, output = tmp_path / "a.tflite", tmp_path / "a.onnx"
    data = converted(source)
    report = import_tflite(data, output)
    # The first layer's input is floats; the three dense layers, float in the file, are packed.
    assert list(report.float_layers) == ["CONV_2D_0"]
    assert sum(layer.kind == "binary" for layer in report.layers) == report.binary_operators + 3
    assert report.file_bytes < len(data) / 15
    images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)
    found = Session(output).predict_proba(images)
    (expected,) = run_lce(source, images)
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-5)


def test_an_untrained_binarynet_is_imported(tmp_path: Path) -> None:
    """Many of its sums are exactly 0, where LCE's own modes differ."""
    data = converted(tmp_path / "a.tflite", "--untrained")
    report = import_tflite(data, tmp_path / "a.onnx")
    assert list(report.float_layers) == ["CONV_2D_0"]
    assert report.notes[0].startswith("LceQuantize_1 and 7 more: signs of sums of floats")
    assert read(data).output_names
