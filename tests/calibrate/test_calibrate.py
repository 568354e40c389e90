"""Calibrating files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from sbn_deploy.calibrate import calibrate, measure
from sbn_deploy.calibrate.rewrite import read_metadata, with_metadata
from sbn_deploy.data import Dataset
from sbn_deploy.data.digests import TRAINING_IMAGES, Sketch, digests
from sbn_deploy.evaluate import tasks
from sbn_deploy.evaluate.calibration import expected_calibration_error, reliability
from sbn_runtime import InputError, Interval, ModelError, PredictionSet, Session
from sbn_runtime.preprocess import Standardize

from .. import task_models
from ..calibrations import calibrated
from ..small_models import CLASSES, Classifier, StochasticClassifier, random_images
from .made import held_out


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    return StochasticClassifier.random(2).write(tmp_path / "noisy.onnx")


def say_trained_on(path: Path, images: np.ndarray) -> Path:
    content = path.read_bytes()
    metadata = read_metadata(content, path)
    metadata[TRAINING_IMAGES] = Sketch.of(digests(images), "train+validation").to_json()
    path.write_bytes(with_metadata(content, metadata, path))
    return path


def ece(session: Session, data: Dataset) -> float:
    p = session.predict_proba(session.preprocess(data.images))
    return expected_calibration_error(reliability(p.max(axis=1), p.argmax(axis=1) == data.labels))


def test_a_file_that_is_too_sure_of_itself(noisy: Path, tmp_path: Path) -> None:
    data, others = held_out(noisy, 1000), held_out(noisy, 3000, seed=6)
    before = noisy.read_bytes()
    copy = tmp_path / "calibrated.onnx"
    made = calibrate(noisy, data, "test", output=copy)
    assert (made.path, noisy.read_bytes()) == (copy, before)
    found = made.calibration
    assert found.networks == (2, 4, 8, 16, 32)
    assert found.class_networks == 8
    assert found.temperatures[2] == pytest.approx(2, rel=0.15)
    raw, own = Session(noisy), Session(copy)
    assert ece(own, others) < 0.03 < ece(raw, others)
    x = own.preprocess(others.images)
    for method in ("lac", "aps", "raps", "class-conditional"):
        sets = own.predict_set(x, coverage=0.9, method=method)
        assert isinstance(sets, PredictionSet)
        inside = sets.labels[np.arange(3000), others.labels]
        # Each class by itself, or all together.
        groups = [others.labels == k for k in range(3)] if method[0] == "c" else [inside >= 0]
        for k, here in enumerate(groups):
            n = (data.labels == k).sum() if len(groups) > 1 else 1000
            # Of the calibration, and of these images.
            limit = 4 * np.sqrt(0.09 * (1 / n + 1 / here.sum()))
            most_probable = sets.probabilities[here].argmax(axis=1) == others.labels[here]
            expected = max(0.9, most_probable.mean())
            assert inside[here].mean() == pytest.approx(expected, abs=limit)
    refused = own.predict(x, reject=0.1) == -1
    assert refused.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 * (1 / 1000 + 1 / 3000)))
    assert found.unknown is not None
    assert len(found.unknown.auroc) == 4


def test_again_in_place_and_after_a_change(noisy: Path) -> None:
    """A calibration of other weights is no reason not to calibrate again."""
    data = held_out(noisy, 200)
    first = calibrate(noisy, data, "test").calibration
    content = noisy.read_bytes()
    assert calibrate(noisy, data, "test").calibration.to_json() == first.to_json()
    assert noisy.read_bytes() == content
    calibrated(noisy)
    metadata = read_metadata(content, noisy)
    metadata["calibration"]["weights_sha256"] = "0" * 64
    noisy.write_bytes(with_metadata(content, metadata, noisy))
    with pytest.raises(ModelError, match="weights were changed"):
        Session(noisy)
    calibrate(noisy, data, "test")
    assert noisy.read_bytes() == content


def test_constants_beside_the_model(noisy: Path, tmp_path: Path) -> None:
    data = held_out(noisy, 200)
    (tmp_path / "parts").mkdir()
    model = tmp_path / "parts" / "m.onnx"
    onnx.save_model(
        onnx.load(noisy), model, save_as_external_data=True, location="m.data", size_threshold=0
    )
    with pytest.raises(InputError, match=r"has constants in m\.data, which a copy in .* would la"):
        calibrate(model, data, "test", output=tmp_path / "copy.onnx")
    found = calibrate(model, data, "test").calibration
    kept = Session(model).calibration
    assert kept is not None
    assert kept.to_json() == found.to_json()
    wanted = calibrate(noisy, data, "test").calibration
    np.testing.assert_array_equal(found.temperatures, wanted.temperatures)


def test_how_many_networks_are_measured(tmp_path: Path) -> None:
    single = Session(Classifier.random().write(tmp_path / "single.onnx"))
    assert measure.counts(single).networks == (1,)
    for members, samples, networks in (
        (1, 8, (1, 2, 4, 8, 16, 32)),
        (1, 48, (1, 2, 4, 8, 16, 32, 48)),
        (3, 5, (3, 6, 12, 15, 24, 30)),
        (40, 1, (40,)),
    ):
        path = StochasticClassifier.random(members).write(tmp_path / "n.onnx", samples=samples)
        found = measure.counts(Session(path))
        assert found.networks == networks
        assert found.default == members * samples


def test_members_are_measured_a_few_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.onnx"
    metadata = {"classes": CLASSES}
    task_models.save(path, task_models.ROWS, "classification", members=6, metadata=metadata)
    x = task_models.rows(200)
    labels = Session(path).predict(x)
    labels[::4] = (labels[::4] + 1) % 3
    standardize = Standardize((16,), (0.0,) * 16, (1.0,) * 16)
    data = Dataset("rows", x, labels, CLASSES, standardize)
    found = calibrate(path, data, "test").calibration
    assert found.networks == (1, 2, 4, 6)
    assert found.unknown is not None
    # There are no images to shift.
    assert (found.unknown.score, found.unknown.auroc) == ("energy", {})
    settled = Session(path).predict_until(x, group=1)
    assert settled.samples_used.max() == 6


def test_regression(tmp_path: Path) -> None:
    path = task_models.save(tmp_path / "n.onnx", task_models.ROWS, "regression", members=2)
    x = task_models.rows(4000)
    noise = np.random.default_rng(0).normal(0, [1, 2, 4], (4000, 3))
    targets = (Session(path).predict(x) + noise).astype(np.float32)
    standardize = Standardize((16,), (0.0,) * 16, (1.0,) * 16)
    data = Dataset("numbers", x, targets, (), standardize, "regression")
    calibrate(path, data.take(np.arange(1000)), "test")
    found = Session(path).predict_set(x[1000:], coverage=0.9)
    assert isinstance(found, Interval)
    inside = (found.low <= targets[1000:]) & (targets[1000:] <= found.high)
    limit = 4 * np.sqrt(0.09 * (1 / 1000 + 1 / 3000))
    np.testing.assert_allclose(inside.mean(axis=0), 0.9, atol=limit)
    rest = data.take(np.arange(1000, 4000))
    measured = tasks.measure(Session(path), rest, batch=500)
    scores = tasks.scored(Session(path), rest, measured, "numbers", 2)["intervals"]
    (at_90,) = [entry for entry in scores if entry.asked == 0.9]
    assert at_90.coverage == inside.mean()
    assert at_90.confidence_low < at_90.coverage < at_90.confidence_high
    assert at_90.width == pytest.approx((found.high - found.low).mean())
    with pytest.raises(InputError, match="targets of 2 numbers, but the model answers 3"):
        calibrate(path, replace(data, labels=targets[:, :2]), "test")


# What is refused, and what is warned of


def test_training_images_are_refused(noisy: Path) -> None:
    data = held_out(noisy, 200)
    say_trained_on(noisy, data.images)
    content = noisy.read_bytes()
    with pytest.raises(InputError, match=r"100% of the checkable inputs of drawn were trained on"):
        calibrate(noisy, data, "test")
    other = held_out(noisy, 200, seed=6)
    mixed = replace(other, images=np.concatenate([data.images[:50], other.images[50:]]))
    with pytest.raises(InputError, match="25% of the checkable inputs"):
        calibrate(noisy, mixed, "test")
    assert noisy.read_bytes() == content
    one = replace(other, images=np.concatenate([data.images[:1], other.images[1:]]))
    assert any("1 of the 200 inputs" in note for note in calibrate(noisy, one, "test").notes)
    assert not any("trained on" in note for note in calibrate(noisy, other, "test").notes)


def test_data_that_is_not_enough(noisy: Path) -> None:
    with pytest.raises(InputError, match="has 99 inputs to calibrate on; at least 100 are needed"):
        calibrate(noisy, held_out(noisy, 99), "test")
    data = held_out(noisy, 200)
    notes = calibrate(noisy, data, "test").notes
    assert any(
        "200 inputs are few: sets at a coverage of 90 % will really cover 90 % ± 4" in n
        for n in notes
    )
    assert any("does not record its training images" in note for note in notes)
    lacking = data.take(np.flatnonzero(data.labels != 1)[:100])
    assert any(
        "has no image of cross: there is no guarantee" in n
        for n in calibrate(noisy, lacking, "test").notes
    )
    assert Session(noisy).calibration.by_class is None  # type: ignore[union-attr]


def test_other_files_are_refused(tmp_path: Path, noisy: Path) -> None:
    data = held_out(noisy, 200)
    labels = task_models.save(tmp_path / "l.onnx", task_models.ROWS, "multilabel")
    with pytest.raises(ModelError, match="its task is multilabel; calibration is for classificat"):
        calibrate(labels, data, "test")
    text = tmp_path / "text.onnx"
    text.write_text("text")
    for path in (text, tmp_path / "none.onnx"):
        with pytest.raises(ModelError, match=r"not an ONNX model|No such file"):
            calibrate(path, data, "test")
    with pytest.raises(InputError, match="classes"):
        calibrate(noisy, replace(data, classes=("a", "b")), "test")
    with pytest.raises(InputError):
        calibrate(noisy, replace(data, images=random_images(200)[:, :2]), "test")
