"""Classifying streams: what is skipped, what is kept, what memory it takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sbn_deploy.data import Stream
from sbn_deploy.data.stream import Indices, Pixels, Unreadable
from sbn_deploy.evaluate.classifier import Classifier, load_classifier
from sbn_deploy.evaluate.evaluation import Evaluator, figures
from sbn_deploy.evaluate.partial import Partial
from sbn_deploy.evaluate.scores import score
from sbn_runtime import InputError, ModelError, Preprocess, Session

from ..small_models import (
    CLASSES,
    StochasticClassifier,
    random_images,
    write_float_classifier,
    write_pixel_classifier,
)
from ..small_models import (
    Classifier as SmallModel,
)

HALF = (0.5,)


def stream(images: list[Pixels | Unreadable], labels: list[int], *, pixel_max: int = 16) -> Stream:
    """Encoded images."""

    def read(wanted: Indices) -> Iterator[Pixels | Unreadable]:
        return (images[index] for index in wanted)

    title = "image {}".format
    return Stream("set", np.array(labels), None, pixel_max, None, title, read, str)


def of_array(images: Pixels, labels: np.ndarray) -> Stream:
    return stream(list(images), labels.tolist())


def test_the_scores_are_those_of_the_probabilities(tmp_path: Path) -> None:
    path = SmallModel.random().write(tmp_path / "small.onnx")
    images, labels = random_images(50), np.arange(50) % 3
    data = of_array(images, labels)
    model = load_classifier(path, data)
    assert (model.engine, model.samples, model.seed) == ("sbn", 1, None)
    session = Session(path)
    expected = score(session.predict_proba(session.preprocess(images)), labels)
    for batch in (1, 7, 64):
        said: list[str] = []
        evaluator = Evaluator(model, data, labels, model.classes(), batch=batch)
        assert evaluator.steps == -(-50 // batch)
        outcome = evaluator.run(said.append)
        assert len(said) == evaluator.steps
        assert said[-1].endswith(f"{expected.accuracy:.1%} right")
        found = figures(outcome, data, "spec", CLASSES)
        assert found["scores"] == expected
        assert sum(map(sum, found["confusion"])) == 50
        assert found["data"].skipped == ()
        assert found["coverage"][-1] == 1
        assert found["risk"][-1] == pytest.approx(1 - expected.accuracy)


def test_what_cannot_be_used_is_listed(tmp_path: Path) -> None:
    path = write_pixel_classifier(tmp_path / "colour.onnx", channels=3)
    good = np.random.default_rng(0).integers(0, 17, (4, 4, 3)).astype(np.uint8)
    images: list[Pixels | Unreadable] = [
        good,
        Unreadable("broken"),
        good[:3],
        good[..., 0],  # grey
        good,
        good,
        np.zeros((4, 4, 4), np.uint8),
    ]
    data = stream(images, [0, 0, 0, 1, 3, -1, 0])
    outcome = Evaluator(load_classifier(path, data), data, data.labels, 3, batch=2).run(str)
    assert outcome.answers.label.tolist() == [0, 1]
    assert [vars(one) for one in outcome.skipped] == [
        {"file": "image 1", "reason": "broken"},
        {"file": "image 2", "reason": "has 3x4 pixels (height x width), but the model takes 4x4"},
        {"file": "image 4", "reason": "label 3 is not a class; they range from 0 to 2"},
        {"file": "image 5", "reason": "label -1 is not a class; they range from 0 to 2"},
        {"file": "image 6", "reason": "has 4 channels, but the model takes 3"},
    ]


def test_colours_are_not_for_a_grey_model(tmp_path: Path) -> None:
    path = SmallModel.random().write(tmp_path / "grey.onnx")
    data = stream([np.zeros((4, 4, 3), np.uint8)] * 2, [0, 1])
    model = load_classifier(path, data)
    message = "none of the 2 images of set could be .* the first, image 0: is in colour"
    with pytest.raises(InputError, match=message):
        Evaluator(model, data, data.labels, 3, batch=2).run(str)


def test_pixels_beyond_the_models_range(tmp_path: Path) -> None:
    images = random_images(3)
    images[1, 0, 0] = 17
    data = of_array(images, np.array([0, 1, 2]))
    model = load_classifier(SmallModel.random().write(tmp_path / "small.onnx"), data)
    outcome = Evaluator(model, data, data.labels, 3, batch=2).run(str)
    assert outcome.answers.label.tolist() == [0, 2]
    assert outcome.skipped[0].reason == "has a pixel of 17, but the model's largest is 16"


def test_noise(tmp_path: Path) -> None:
    path = StochasticClassifier.random(2).write(tmp_path / "noisy.onnx")
    images = random_images(9)
    data = of_array(images, np.zeros(9, int))
    session = Session(path)
    for draw, used in (({}, (4, 7)), ({"samples": 6}, (6, 7)), ({"seed": 0}, (4, 0))):
        model = load_classifier(path, data, **draw)  # type: ignore[arg-type]
        assert (model.samples, model.seed) == used
        expected = session.predict_proba(session.preprocess(images), samples=used[0], seed=used[1])
        assert np.array_equal(model.probabilities(images), expected)
    with pytest.raises(InputError, match="samples must be 1 to 65536"):
        load_classifier(path, data, samples=0).classes()


@pytest.mark.parametrize("batch", ["N", "4"])
@pytest.mark.parametrize("size", ["4", "H"])
@pytest.mark.parametrize("outputs", [("logits",), ("probabilities",), ("logits", "probabilities")])
def test_classifiers_from_elsewhere(
    tmp_path: Path, batch: str, size: str, outputs: tuple[str, ...]
) -> None:
    path = tmp_path / "plain.onnx"
    write_float_classifier(path, batch=batch, size=size, outputs=outputs)
    images = random_images(10)
    data = of_array(images, np.zeros(10, int))
    model = load_classifier(path, data)
    assert (model.engine, model.shape, model.classes()) == ("onnxruntime", (4, 4, 1), 3)
    weights = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    logits = (images.reshape(10, -1) / 8 - 1) @ weights
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(images), expected, rtol=1e-4)
    with pytest.raises(InputError, match="samples does not apply"):
        load_classifier(path, data, samples=2)


def test_a_model_that_gives_no_numbers() -> None:
    def classifier(answer: np.ndarray) -> Classifier:
        preprocess = Preprocess(1, 4, 4, 255, HALF, HALF)
        return Classifier(Path("x.onnx"), "sbn", {}, preprocess, None, lambda images: answer)

    with pytest.raises(ModelError, match=r"x\.onnx: gives NaN probabilities"):
        classifier(np.array([[0.5, np.nan]])).classes()
    with pytest.raises(ModelError, match=r"answers 1 images with \[1, 2, 2\] numbers"):
        classifier(np.zeros((1, 2, 2))).classes()


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    count, size = 3000, 64

    def read(wanted: Indices) -> Iterator[Pixels]:
        return (np.full((size, size, 3), index % 256, np.uint8) for index in wanted)

    labels = np.arange(count) % 2
    data = Stream("set", labels, None, 255, (size, size, 3), str, read, str)
    preprocess = Preprocess(3, size, size, 255, HALF * 3, HALF * 3)
    model = Classifier(
        Path("x.onnx"),
        "sbn",
        {},
        preprocess,
        None,
        lambda images: np.tile(np.float32([0.25, 0.75]), (len(images), 1)),
    )
    partial = Partial(tmp_path / "x.part", {})
    tracemalloc.start()
    try:
        outcome = Evaluator(model, data, labels, 2, batch=16, partial=partial).run(str)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    partial.close()
    assert len(outcome.answers) == count
    assert peak < count * size * size * 3 / 10
