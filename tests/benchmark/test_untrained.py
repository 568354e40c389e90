"""Exports of architectures with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_deploy.cli import main
from sbn_deploy.materialize import Form
from sbn_deploy.untrained import export_untrained
from sbn_runtime import Session
from sbn_runtime.errors import ConfigError

from ..sampled import few

SMALL: dict[str, dict[str, object]] = {
    "birealnet18": {"size": 32, "width": 8, "classes": 5},
    "cifar-vgg": {"size": 8, "width": 8},
    "digits-cnn": {"width": 8},
    "quicknet": {"size": 32, "widths": (16, 32), "blocks": (2, 1), "classes": 5},
}


@pytest.mark.parametrize("arch", few(reversed(SMALL), 1))
def test_small_exports_run(arch: str, tmp_path: Path) -> None:
    """The export itself compares the file with torch."""
    path = tmp_path / "model.onnx"
    report = export_untrained(arch, path, **SMALL[arch])
    assert any(layer.kind == "binary" for layer in report.layers)
    session = Session(path, threads=1)
    metadata = session.metadata
    assert metadata["untrained"] is True
    assert (metadata["arch"], metadata["test_accuracy"]) == (arch, None)
    size, channels = metadata["config"]["size"], metadata["config"]["channels"]
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, channels), np.uint8)
    probabilities = session.predict_proba(session.preprocess(pixels))
    assert probabilities.shape == (3, len(metadata["classes"]))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_sounds_stay_packed_and_rows_are_numbers(tmp_path: Path) -> None:
    report = export_untrained("sounds-cnn", tmp_path / "a.onnx", size=[8, 32], width=8)
    assert {"Pack", "Unpack"}.isdisjoint(layer.op for layer in report.layers)
    assert sum(layer.kind == "binary" for layer in report.layers) == 5
    unit = {"target_mean": [1e6], "target_std": [1.0]}
    export_untrained("mlp", tmp_path / "b.onnx", features=3, width=8, **unit)
    session = Session(tmp_path / "b.onnx")
    answer = session.predict(session.preprocess(np.ones((2, 3), np.float32)))
    assert answer.shape == (2, 1)
    np.testing.assert_allclose(answer, 1e6, rtol=1e-4)


@pytest.mark.long
def test_the_seed_decides(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx")]
    for path, seed in zip(files, (0, 0, 1), strict=True):
        export_untrained("digits-cnn", path, Form(seed=seed), width=8)
    first, again, other = (path.read_bytes() for path in files)
    assert first == again != other


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    assert main(["export", "digits-cnn", "--untrained", "-o", str(path)]) == 0
    assert path.is_file()
    assert main(["export", "no-such", "--untrained", "-o", str(path)]) == 2
    assert "unknown architecture 'no-such'" in capsys.readouterr().err


def test_unknown_settings_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no setting depth"):
        export_untrained("birealnet18", tmp_path / "model.onnx", depth=3)
    assert not list(tmp_path.iterdir())
