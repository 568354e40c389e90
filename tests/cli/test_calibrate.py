"""`sbn calibrate`, and what `sbn predict` does with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import Session

from ..calibrate.made import held_out
from ..calibrations import calibrated
from ..command import sbn
from ..small_models import CLASSES, StochasticClassifier, random_images
from .conftest import Trained


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return StochasticClassifier.random(2).write(tmp_path / "noisy.onnx")


@pytest.fixture
def data(tmp_path: Path, noisy: Path) -> str:
    drawn = held_out(noisy, 240)
    path = tmp_path / "drawn.npz"
    # The first ones are for training.
    np.savez(
        path,
        images=drawn.images[:40],
        labels=drawn.labels[:40],
        test_images=drawn.images[40:],
        test_labels=drawn.labels[40:],
        classes=CLASSES,
    )
    return f"npz:{path}"


def test_a_file_is_calibrated(noisy: Path, data: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    outcome = sbn("calibrate", noisy, "--data", data, "-o", copy, "--json")
    assert outcome.status == 0, outcome
    found = outcome.json
    assert found["file"] == str(copy)
    assert found["calibration"] == Session(copy).metadata["calibration"]
    assert found["calibration"]["images"] == 200
    assert Session(noisy).calibration is None
    shown = sbn("calibrate", noisy, "--data", data, "--images", "150")
    assert shown.status == 0, shown
    for line in ("expected calibration error", "networks averaged", "unknown images are told by"):
        assert line in shown.stdout
    assert "calibrating" in shown.stderr
    assert "warning: 150 inputs are few" in shown.stderr
    assert Session(noisy).calibration is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "50"], "has 50 inputs to calibrate on; at least 100 are needed"),
        (["--images", "0"], "'0' must be a whole number of at least 1"),
        (["-o", "none/x.onnx"], "none: no such folder; create it first"),
        (["--data", "faces"], "unknown data set 'faces'"),
        (["--split", "train"], "invalid choice: 'train'"),
    ],
)
def test_unfit_options(noisy: Path, data: str, arguments: list[str], message: str) -> None:
    before = noisy.read_bytes()
    chosen = [] if "--data" in arguments else ["--data", data]
    outcome = sbn("calibrate", noisy, *chosen, *arguments)
    assert message in outcome.refused_after_progress()
    assert noisy.read_bytes() == before


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npy"
    np.save(path, random_images(12))
    return path


def test_sets_on_the_command_line(noisy: Path, images: Path) -> None:
    path = calibrated(noisy)
    answers = sbn("predict", path, images, "--coverage", "0.9", "--json").json
    session = Session(path)
    expected = session.predict_set(session.preprocess(np.load(images)), coverage=0.9)
    for answer, labels, p in zip(answers, expected.labels, expected.probabilities, strict=True):
        names = [entry["class"] for entry in answer["set"]]
        assert sorted(names) == sorted(CLASSES[k] for k in np.flatnonzero(labels))
        assert names[0] == CLASSES[p.argmax()]
    shown = sbn("predict", path, images, "--coverage", "0.9").stdout.splitlines()
    assert "true at 90 %" in shown[0]
    aps = sbn("predict", path, images, "--coverage", "0.9", "--sets", "aps", "--json").json
    assert len(aps) == len(answers)


def test_unknown_images_on_the_command_line(noisy: Path, images: Path) -> None:
    """An image that is unknown has no class, whatever its confidence; both are said."""
    path = calibrated(noisy)
    session = Session(path)
    x = session.preprocess(np.load(images))
    unknown = session.predict(x, reject=0.2) == -1
    sure = session.predict_proba(x).max(axis=1) >= 0.8
    arguments = ("predict", path, images, "--reject-unknown", "0.2")
    answers = sbn(*arguments, "--json").json
    assert [answer["unknown"] for answer in answers] == unknown.tolist()
    for answer in answers:
        expected = None if answer["unknown"] else answer["top"][0]["class"]
        assert answer["class"] == expected
    both = sbn(*arguments, "--min-confidence", "0.8", "--json").json
    for answer, strange, certain in zip(both, unknown, sure, strict=True):
        assert (answer["class"] is None) == (strange or not certain)
    lines = sbn(*arguments, "--min-confidence", "0.8").stdout.splitlines()[1:]
    for line, strange, certain in zip(lines, unknown, sure, strict=True):
        # The name of the file is in the first column.
        assert ("unknown" in line.split()[2:]) == strange
        assert ("rejected" in line.split()[2:]) == (not strange and not certain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--coverage", "0.85"], "the coverage must be one that the file is calibrated for, 0.5"),
        (["--coverage", "90"], "'90' is not a number from 0 to 1"),
        (["--coverage", "0.9", "--until", "0.9"], "--coverage and --until exclude each other"),
        (["--reject-unknown", "0.05", "--until", "0.9"], "--reject-unknown and --until exclude"),
        (["--reject-unknown", "0.3"], "to refuse must be one that the file is calibrated for"),
        (["--sets", "aps"], "--sets needs --coverage"),
        (["--coverage", "0.9", "--sets", "best"], "invalid choice: 'best'"),
    ],
)
def test_unfit_predictions(noisy: Path, images: Path, arguments: list[str], message: str) -> None:
    assert message in sbn("predict", calibrated(noisy), images, *arguments).refused()


@pytest.mark.parametrize("arguments", [["--coverage", "0.9"], ["--reject-unknown", "0.05"]])
def test_files_that_are_not_calibrated(noisy: Path, images: Path, arguments: list[str]) -> None:
    message = sbn("predict", noisy, images, *arguments).refused()
    assert f"calibrate it on held-out data: sbn calibrate {noisy} --data SET" in message


def test_evaluating_a_calibrated_file(noisy: Path, data: str) -> None:
    path = calibrated(noisy)
    found = sbn("evaluate", path, "--data", data, "--json").json
    assert [entry["asked"] for entry in found["calibration"]["sets"]] == [0.5, 0.8, 0.9]
    shown = sbn("evaluate", path, "--data", data)
    assert shown.status == 0, shown
    for text in ("before calibration", "sets with the true class in", "in sets at 90%"):
        assert text in shown.stdout
    assert "calibrated on 500 inputs of made up, test; on other kinds of images" in shown.stdout
    # Shifted images: turned by half a turn, which keeps the small model's range of pixels.
    turned = sbn("evaluate", path, "--data", data, "--shift", "rotate:0.5", "--json").json
    assert turned["data"]["name"] == "npz:drawn.npz, rotate 0.5"
    assert turned["reliability"] != found["reliability"]
    assert "unknown shift 'warp'" in sbn("evaluate", path, "--shift", "warp").refused()


# With training and export


def test_what_was_trained_on_is_refused(trained: Trained) -> None:
    before = trained.model.read_bytes()
    arguments = ("calibrate", trained.model, "--data", "digits", "--split", "validation")
    message = sbn(*arguments).refused_after_progress()
    assert "100% of the checkable inputs of digits were trained on" in message
    assert trained.model.read_bytes() == before


def test_export_calibrates(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "calibrated.onnx"
    arguments = ("export", trained.checkpoint, "-o", path, "--calibrate")
    outcome = sbn(*arguments, "digits", "--json")
    assert outcome.status == 0, outcome
    assert outcome.json["calibration"]["file"] == str(path)
    found = Session(path).calibration
    assert found is not None
    # Training had the validation images.
    assert (found.split, found.images) == ("test", 360)
    assert "warning: 360 inputs are few" in outcome.stderr
    message = sbn(*arguments[:3], tmp_path / "x.tflite", "--calibrate", "digits").refused()
    assert "--calibrate is for ONNX files" in message
    few = tmp_path / "few.npz"
    np.savez(few, images=np.zeros((50, 8, 8), np.uint8), labels=np.arange(50) % 10)
    message = sbn(*arguments, f"npz:{few}").refused_after_progress()
    assert f"{path} is written, but not calibrated: npz:few.npz has" in message
    assert Session(path).calibration is None


@pytest.mark.long
def test_training_calibrates_every_form(tmp_path: Path) -> None:
    command = ("train", "--out", tmp_path, "--epochs", "2", "--calibrate", "--set", "members=2")
    outcome = sbn(*command, "--json")
    assert outcome.status == 0, outcome
    names = ["thresholded", "members", "noise", "both"]
    assert outcome.json["calibrated"] == [str(tmp_path / f"{name}.onnx") for name in names]
    for name, networks in zip(names, (1, 2, 8, 16), strict=True):
        found = Session(tmp_path / f"{name}.onnx").calibration
        assert found is not None
        assert (found.split, found.class_networks) == ("validation", networks)
    # One that was stopped while it calibrated goes on with what is left.
    kept = (tmp_path / "noise.onnx").stat().st_mtime_ns
    (tmp_path / "both.onnx").unlink()
    (tmp_path / "members.onnx").write_bytes(b"cut short")
    resumed = sbn(*command, "--resume", "--json")
    assert resumed.json["calibrated"] == outcome.json["calibrated"]
    assert f"{tmp_path / 'noise.onnx'} is calibrated" in resumed.stderr
    assert (tmp_path / "noise.onnx").stat().st_mtime_ns == kept
    for name in ("members", "both"):
        assert Session(tmp_path / f"{name}.onnx").calibration is not None
    alone = sbn("train", "--out", tmp_path, "--resume")
    assert "are if you give --data and --calibrate as well" in alone.stderr
    twin = sbn(
        *("train", "--out", tmp_path, "--epochs", "1", "--calibrate", "--twin"),
        *("--overwrite", "--json"),
    )
    assert twin.json["calibrated"] == [str(tmp_path / "thresholded.onnx")]
    assert "is calibrated" not in twin.stderr
