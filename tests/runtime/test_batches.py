"""Batches of pictures in and answers out, as data engines call it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_runtime import BatchClassifier, InputError, ModelError, Session
from sbn_runtime.batches import MOST

from ..many.pictures import BROKEN, classifier, encoded
from ..small_models import CLASSES, Classifier, StochasticClassifier, random_images
from ..task_models import FEATURES, ROWS, rows, save


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return classifier(tmp_path / "model.onnx")


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype == object:
            assert found[name].tolist() == values.tolist(), name
        else:
            np.testing.assert_array_equal(found[name], values, name)


def test_answers_are_those_of_a_session(model: Path) -> None:
    images = random_images(MOST + 9)
    found = BatchClassifier(model, coverage=0.9, reject=0.2)({"image": images})
    session = Session(model, threads=1)
    x = session.preprocess(images)
    answer = session.predict(x, return_uncertainty=True, reject=0.2)
    sets = session.predict_set(x, coverage=0.9)
    np.testing.assert_array_equal(found["label"], answer.label)
    np.testing.assert_array_equal(found["confidence"], answer.probability)
    for name in ("entropy", "mutual_information", "agreement"):
        np.testing.assert_array_equal(found[name], getattr(answer, name).astype(np.float32))
    unknown = answer.label == -1
    assert 0 < unknown.sum() < len(images)
    np.testing.assert_array_equal(found["unknown"], unknown)
    names = [None if label < 0 else CLASSES[label] for label in answer.label]
    assert found["class"].tolist() == names
    for names, labels, p in zip(found["set"], sets.labels, sets.probabilities, strict=True):
        assert set(names) == {CLASSES[k] for k in np.flatnonzero(labels)}
        assert [*names] == sorted(names, key=lambda name: -p[CLASSES.index(name)])
    assert found["error"].tolist() == [None] * len(images)


def test_every_form_of_a_picture_and_none_at_all(model: Path, tmp_path: Path) -> None:
    content = encoded(1)[0]
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    array = random_images(1)[0]
    forms: list[Any] = [
        *(content, bytearray(content), str(path), path),
        *({"bytes": content, "path": None}, {"bytes": None, "path": str(path)}),
        *(array, array[..., 0]),
    ]
    bad: list[Any] = [
        *(None, BROKEN, b"", "nowhere.png", 3.5, {"bytes": None}),
        *(np.zeros((5, 4, 1), np.uint8), np.full((4, 4, 1), 17, np.uint8), np.zeros((4, 4))),
    ]
    classify = BatchClassifier(model)
    found = classify({"image": forms + bad, "other": range(len(forms + bad))})
    alone = [classify({"image": [one]}) for one in (content, array)]
    for index in range(len(forms)):
        expected = alone[index >= 6]
        for name, values in found.items():
            assert values[index] == expected[name][0], (name, index)
    for index in range(len(forms), len(forms + bad)):
        assert found["error"][index]
        assert found["label"][index] == -1
        assert found["class"][index] is None
        assert np.isnan(found["confidence"][index])
    assert "empty or of an unknown format" in found["error"][len(forms) + 1]
    assert "No such file" in found["error"][len(forms) + 3]


@pytest.mark.parametrize("count", [0, 1])
def test_small_batches(model: Path, count: int) -> None:
    found = BatchClassifier(model, keep=["id"])({"image": [BROKEN] * count, "id": [7] * count})
    assert next(iter(found)) == "id"
    assert all(len(column) == count for column in found.values())


def test_it_is_pickled_and_opened_once_in_a_process(model: Path) -> None:
    classify = BatchClassifier(model, keep=["id"], coverage=0.8, reject="unknown")
    again = pickle.loads(pickle.dumps(classify))
    assert again._session is classify._session
    batch = {"image": encoded(20), "id": np.arange(20)}
    same(again(batch), classify(batch))
    Classifier.random(9).write(model, metadata=classify._session.metadata | {"calibration": None})
    with pytest.raises(ModelError, match="not calibrated"):
        pickle.loads(pickle.dumps(classify))


def test_frames(model: Path) -> None:
    pd = pytest.importorskip("pandas", reason="needs pandas, as Spark does")
    classify = BatchClassifier(model, column="content", keep=["path"], coverage=0.9)
    pictures = encoded(10)
    frame = pd.DataFrame({"content": pictures, "path": [f"{i}.png" for i in range(10)]})
    (found,) = classify.frames([frame])
    assert [*found] == ["path", *classify.columns]
    assert [part.split()[0] for part in classify.schema.split(", ")] == [*classify.columns]
    expected = classify({name: frame[name].to_numpy() for name in frame})
    assert found["class"].tolist() == expected["class"].tolist()
    assert found["path"].tolist() == frame["path"].tolist()


def test_numbers(tmp_path: Path) -> None:
    fields = {"shape": [FEATURES], "mean": [0.5] * FEATURES, "std": [2.0] * FEATURES}
    path = save(tmp_path / "rows.onnx", ROWS, "classification", metadata={"preprocess": fields})
    numbers = rows(4)
    numbers[2, 1] = np.nan
    found = BatchClassifier(path)({"image": [*numbers, encoded(1)[0]]})
    good = [0, 1, 3]
    session = Session(path, threads=1)
    expected = session.predict(session.preprocess(numbers[good]))
    np.testing.assert_array_equal(found["label"][good], expected)
    assert "NaN" in found["error"][2]
    assert "takes arrays of shape" in found["error"][4]


def test_noise(tmp_path: Path) -> None:
    noisy = StochasticClassifier.random(2).write(tmp_path / "noisy.onnx")
    images = random_images(5)
    found = BatchClassifier(noisy, samples=3, seed=4)({"image": images})
    session = Session(noisy, threads=1)
    x = session.preprocess(images)
    answer = session.predict(x, return_uncertainty=True, samples=3, seed=4)
    for name in ("mutual_information", "agreement"):
        np.testing.assert_array_equal(found[name], getattr(answer, name).astype(np.float32))
    with pytest.raises(InputError, match="samples"):
        BatchClassifier(noisy, samples=0)


def test_what_does_not_apply_is_refused_at_once(model: Path, tmp_path: Path) -> None:
    plain = Classifier.random().write(tmp_path / "plain.onnx")
    for arguments in ({"coverage": 0.9}, {"reject": 0.2}):
        with pytest.raises(ModelError, match="not calibrated"):
            BatchClassifier(plain, **arguments)
    with pytest.raises(InputError, match="coverage"):
        BatchClassifier(model, coverage=0.123)
    with pytest.raises(InputError, match="share"):
        BatchClassifier(model, reject=0.123)
    with pytest.raises(InputError, match="noise"):
        BatchClassifier(model, seed=1)
    with pytest.raises(InputError, match="twice"):
        BatchClassifier(model, keep=["label"])
    with pytest.raises(InputError, match="no column 'image'; it has picture"):
        BatchClassifier(model)({"picture": []})
    with pytest.raises(ModelError, match="regression"):
        BatchClassifier(save(tmp_path / "r.onnx", ROWS, "regression"))
    unnormalised = Classifier.random().write(tmp_path / "bare.onnx", metadata={"members": 1})
    with pytest.raises(ModelError, match="--preprocess"):
        BatchClassifier(unnormalised)
    with pytest.raises(ModelError, match=r"nowhere\.onnx"):
        BatchClassifier(tmp_path / "nowhere.onnx")
