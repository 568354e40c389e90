"""Files of each task in a `Session`, against what their answers mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_runtime import Estimate, InputError, ModelError, Prediction, Session, executor
from sbn_runtime.tasks import NAMES
from sbn_runtime.tasks.labels import sigmoid
from sbn_runtime.uncertainty import softmax

from ..small_models import Classifier, write_pixel_model
from ..task_models import (
    NOISY,
    PIXELS,
    ROWS,
    SAMPLES,
    SEVERAL,
    SUMS,
    answers,
    pixels,
    rows,
    save,
)


def entropy(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.nan_to_num(p * np.log(p))


@pytest.mark.parametrize("members", [1, 3])
def test_multilabel(tmp_path: Path, members: int) -> None:
    session = Session(save(tmp_path / "m.onnx", ROWS, "multilabel", members=members))
    x = rows(20)
    p = np.stack([sigmoid(answers(x, seed)) for seed in range(members)])
    mean = p.mean(axis=0)
    assert session.task == "multilabel"
    np.testing.assert_allclose(session.predict_proba(x), mean, rtol=1e-5)
    labels = session.predict(x)
    assert labels.dtype == bool
    np.testing.assert_array_equal(labels, session.predict_proba(x) >= 0.5)
    assert 0 < labels.mean() < 1
    found = session.predict(x, return_uncertainty=True)
    assert isinstance(found, Prediction)
    whole = entropy(mean) + entropy(1 - mean)
    own = (entropy(p) + entropy(1 - p)).mean(axis=0)
    np.testing.assert_array_equal(found.label, labels)
    np.testing.assert_allclose(found.entropy, whole, atol=1e-6)
    np.testing.assert_allclose(found.mutual_information, whole - own, atol=1e-6)
    np.testing.assert_allclose(found.agreement, ((p >= 0.5) == labels).mean(axis=0))
    np.testing.assert_allclose(found.probability, np.maximum(mean, 1 - mean), rtol=1e-5)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("text", "task"), [(ROWS, "regression"), (SUMS, "regression"), (PIXELS, "image")]
)
def test_numbers(tmp_path: Path, members: int, text: str, task: str) -> None:
    session = Session(save(tmp_path / "m.onnx", text, task, members=members))
    x = pixels() if text is PIXELS else rows()
    each = np.stack([answers(x, seed) for seed in range(members)])
    if text is SUMS:
        each = each.sum(axis=2)
    np.testing.assert_allclose(session.predict(x), each.mean(axis=0), rtol=1e-5, atol=1e-6)
    found = session.predict(x, return_uncertainty=True)
    assert isinstance(found, Estimate)
    np.testing.assert_array_equal(found.mean, session.predict(x))
    np.testing.assert_allclose(found.standard_deviation, each.std(axis=0), rtol=1e-5, atol=1e-6)
    assert "probabilities" not in session.run(x)
    with pytest.raises(ModelError, match=rf"numbers \(task {task}\).*use predict"):
        session.predict_proba(x)


@pytest.mark.parametrize("members", [1, 3])
def test_segmentation(tmp_path: Path, members: int) -> None:
    session = Session(save(tmp_path / "m.onnx", PIXELS, "segmentation", members=members))
    x = pixels()
    each = np.stack([answers(x, seed) for seed in range(members)])
    p = np.moveaxis(softmax(np.moveaxis(each, 2, -1)), -1, 2)
    mean = p.mean(axis=0)
    np.testing.assert_allclose(session.predict_proba(x), mean, rtol=1e-5, atol=1e-7)
    maps = session.predict(x)
    assert maps.dtype == np.int64
    assert maps.shape == (5, 2, 3)
    np.testing.assert_array_equal(maps, session.predict_proba(x).argmax(axis=1))
    found = session.predict(x, return_uncertainty=True)
    assert isinstance(found, Prediction)
    np.testing.assert_allclose(found.entropy, entropy(mean).sum(axis=1), atol=1e-5)
    own = entropy(p).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(found.mutual_information, entropy(mean).sum(axis=1) - own, atol=1e-5)
    np.testing.assert_array_equal(found.agreement, (p.argmax(axis=2) == maps).mean(axis=0))
    np.testing.assert_array_equal(found.probability, session.predict_proba(x).max(axis=1))


def test_without_a_task(tmp_path: Path) -> None:
    session = Session(save(tmp_path / "m.onnx", ROWS, "none"))
    x = rows()
    assert session.task == "none"
    np.testing.assert_array_equal(session.run(x)["y"], answers(x, 0))
    for call in (session.predict, session.predict_proba):
        with pytest.raises(ModelError, match=r"task none.*use run\(\), which gives y"):
            call(x)  # type: ignore[operator]


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("task", ["classification", "multilabel", "regression", "none"])
def test_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int, pieces: bool, task: str
) -> None:
    if pieces:
        monkeypatch.setattr(executor, "_SAMPLES_TOGETHER", 3)
        monkeypatch.setattr(executor, "_CACHE_BYTES", 1000)
    path = save(tmp_path / "m.onnx", NOISY, task, members=members, metadata={"working_set": 500})
    session = Session(path)
    x = rows(6) / 4
    outputs = session.run(x, samples=7, seed=3)
    assert list(outputs) == [node.name for node in session.outputs]
    name = {"none": "member_y", "regression": "member_predictions"}.get(task, "member_logits")
    each = outputs[name]
    assert each.shape == (7 * members, 6, 3)
    assert not np.array_equal(each[0], each[1])
    np.testing.assert_allclose(outputs["member_doubled"], 2 * each)
    np.testing.assert_allclose(outputs["doubled"], 2 * each.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(outputs["plain"], x * np.float32(16384))
    match task:
        case "classification":
            expected = softmax(each).mean(axis=0)
            np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-6)
        case "multilabel":
            expected = sigmoid(each).mean(axis=0)
            np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-6)
        case "regression":
            found = session.predict(x, return_uncertainty=True, samples=7, seed=3)
            assert isinstance(found, Estimate)
            np.testing.assert_allclose(found.mean, each.mean(axis=0), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found.standard_deviation, each.std(axis=0), rtol=1e-5)
        case "none":
            np.testing.assert_allclose(outputs["y"], each.mean(axis=0), rtol=1e-5, atol=1e-6)
    if task != "none":
        assert len(session.run(x)[name]) == SAMPLES * members
    if task != "classification":
        with pytest.raises(ModelError, match=rf"decides between classes, .* is {task}"):
            session.predict_until(x)


def test_stock_onnxruntime_averages_the_same(tmp_path: Path) -> None:
    import onnxruntime

    path = save(tmp_path / "m.onnx", NOISY, "regression", members=2)
    stock = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [node.name for node in stock.get_outputs()]
    x = rows(6) / 4
    found = Session(path).run(x)
    assert list(found) == names
    for name, value in zip(names, stock.run(None, {"input": x}), strict=True):
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    session = Session(save(tmp_path / "m.onnx", SEVERAL, "classification"))
    left, right = rows(5, 1), rows(5, 2)
    outputs = session.run({"right": right, "left": left})
    assert list(outputs) == ["logits", "probabilities", "sums"]
    np.testing.assert_array_equal(outputs["sums"], left + right)
    np.testing.assert_array_equal(outputs["logits"], answers(left + right, 0))
    expected = answers(left + right, 0).argmax(axis=1)
    np.testing.assert_array_equal(session.predict({"left": left, "right": right}), expected)


def test_batches_of_several_inputs_are_computed_in_pieces(tmp_path: Path) -> None:
    metadata = {"working_set": 1 << 19}
    session = Session(
        save(tmp_path / "m.onnx", SEVERAL, "regression", members=2, metadata=metadata)
    )
    sizes = []
    compute = session._executor._compute

    def record(names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        sizes.append({name: len(value) for name, value in feeds.items()})
        return compute(names, feeds)

    session._executor._compute = record  # type: ignore[assignment, method-assign]
    left, right = rows(5, 1), rows(5, 2)
    found = session.run({"left": left, "right": right})
    assert sizes == [{"left": n, "right": n} for n in (2, 2, 1)]
    each = np.stack([answers(left + right, seed) for seed in range(2)])
    np.testing.assert_array_equal(found["member_predictions"], each)
    np.testing.assert_array_equal(found["sums"], left + right)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rows(), r"several inputs; give a dictionary with 'left', 'right'"),
        ({"left": rows()}, r"inputs are 'left', 'right'; given were 'left'"),
        ({}, r"given were none"),
        ({"left": rows(), "wrong": rows()}, r"given were 'left', 'wrong'"),
        ({"left": rows(), "right": rows(4)}, r"same batch size: left 5, right 4"),
        ({"left": rows(), "right": rows().T}, r"input 'right' must have shape \[N, 16\]"),
        ({"left": rows(), "right": rows() * np.nan}, r"input 'right' contains NaN"),
        ({"left": rows(), "right": rows().astype(int)}, r"input 'right' must be float32.*astype"),
        ({"left": rows(), "right": [1]}, r"input 'right' must be a numpy array"),
    ],
)
def test_unfit_inputs(tmp_path: Path, given: Any, message: str) -> None:
    session = Session(save(tmp_path / "m.onnx", SEVERAL, "classification"))
    with pytest.raises(InputError, match=message) as caught:
        session.run(given)
    assert "\n" not in str(caught.value)


def test_files_without_a_task(tmp_path: Path) -> None:
    assert Session(Classifier.random().write(tmp_path / "m.onnx")).task == "classification"
    weights = np.ones((3, 2, 2, 1), np.int8)
    assert Session(write_pixel_model(tmp_path / "p.onnx", weights)).task == "none"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("ranking", "has the task 'ranking', which this version does not support"),
        ("regression", "has the task regression but no output named 'prediction', only logits"),
    ],
)
def test_metadata_that_does_not_fit(tmp_path: Path, said: str, message: str) -> None:
    path = Classifier.random().write(tmp_path / "m.onnx", metadata={"task": said})
    with pytest.raises(ModelError, match=message):
        Session(path)


def test_names() -> None:
    assert NAMES == ("classification", "multilabel", "regression", "segmentation", "image", "none")


def test_sigmoid_of_large_numbers() -> None:
    with np.errstate(all="raise"):
        found = sigmoid(np.float32([-200, -1, 0, 1, 200]))
    np.testing.assert_allclose(found, [np.exp(-200), 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1])
