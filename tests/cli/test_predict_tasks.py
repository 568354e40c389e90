"""`sbn predict` with models that answer something else than one class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbn_runtime import Session
from sbn_runtime.preprocess import Standardize

from ..command import sbn
from ..task_models import PIXELS, ROWS, SEVERAL, answers, pixels, rows, save

CLASSES = {"classes": ["sky", "sea", "sand"]}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    np.save(tmp_path / "rows.npy", rows(4))
    np.save(tmp_path / "pixels.npy", pixels(4))
    return tmp_path / "rows.npy", tmp_path / "pixels.npy"


def test_labels(tmp_path: Path, files: tuple[Path, Path]) -> None:
    model = save(tmp_path / "m.onnx", ROWS, "multilabel", members=2, metadata=CLASSES)
    found = sbn("predict", model, files[0], "--uncertainty", "--top", "1", "--json").json
    expected = Session(model).predict_proba(rows(4))
    for record, probabilities in zip(found, expected, strict=True):
        names = {CLASSES["classes"][i] for i in np.flatnonzero(probabilities >= 0.5)}
        assert set(record["labels"]) == names
        assert record["top"] == [
            {
                "label": CLASSES["classes"][probabilities.argmax()],
                "probability": float(probabilities.max()),
            }
        ]
        assert 0 <= record["mutual_information"] <= record["entropy"] <= np.log(2)
    assert "labels" in sbn("predict", model, files[0]).stdout


def test_numbers(tmp_path: Path, files: tuple[Path, Path]) -> None:
    model = save(tmp_path / "m.onnx", ROWS, "regression", members=2)
    found = sbn("predict", model, files[0], "--uncertainty", "--json").json
    outputs = Session(model).run(rows(4))
    assert [record["prediction"] for record in found] == outputs["prediction"].tolist()
    spread = [record["standard_deviation"] for record in found]
    assert spread == outputs["standard_deviation"].tolist()
    assert "±" in sbn("predict", model, files[0], "--uncertainty").stdout
    assert "±" not in sbn("predict", model, files[0]).stdout


def test_maps_and_images(tmp_path: Path, files: tuple[Path, Path]) -> None:
    model = save(tmp_path / "m.onnx", PIXELS, "segmentation", metadata=CLASSES)
    found = sbn("predict", model, files[1], "--json").json
    maps = Session(model).predict(pixels(4))
    for record, labels in zip(found, maps, strict=True):
        shares = {CLASSES["classes"][i]: (labels == i).mean() for i in np.unique(labels)}
        assert {area["class"]: area["share"] for area in record["areas"]} == pytest.approx(shares)
    assert "%" in sbn("predict", model, files[1]).stdout
    model = save(tmp_path / "i.onnx", PIXELS, "image")
    found = sbn("predict", model, files[1], "--json").json
    assert found[0]["shape"] == [3, 2, 3]
    assert found[0]["mean"] == pytest.approx(float(Session(model).predict(pixels(4))[0].mean()))
    assert "3x2x3" in sbn("predict", model, files[1]).stdout


@pytest.mark.parametrize("option", [("--min-confidence", "0.9"), ("--until", "0.9")])
def test_options_of_classes(
    tmp_path: Path, files: tuple[Path, Path], option: tuple[str, str]
) -> None:
    model = save(tmp_path / "m.onnx", ROWS, "regression")
    outcome = sbn("predict", model, files[0], *option)
    assert outcome.status == 2
    assert f"{option[0]} is for classes; the task here is regression" in outcome.stderr


def test_models_that_cannot_be_asked(tmp_path: Path, files: tuple[Path, Path]) -> None:
    outcome = sbn("predict", save(tmp_path / "m.onnx", ROWS, "none"), files[0])
    assert outcome.status == 2
    assert "use run()" in outcome.stderr
    outcome = sbn("predict", save(tmp_path / "s.onnx", SEVERAL, "regression"), files[0])
    assert outcome.status == 2
    assert "several inputs" in outcome.stderr


def test_numbers_are_normalised_as_the_model_says(tmp_path: Path) -> None:
    fields = Standardize((16,), (100.0,) * 16, (4.0,) * 16).to_json()
    model = save(tmp_path / "m.onnx", ROWS, "regression", metadata={"preprocess": fields})
    x = rows(3)
    np.save(tmp_path / "three.npy", x * 4 + 100)
    np.save(tmp_path / "one.npy", x[0].astype(np.float64) * 4 + 100)
    three = sbn("predict", model, tmp_path / "three.npy", "--json").json
    (one,) = sbn("predict", model, tmp_path / "one.npy", "--json").json
    found = [record["prediction"] for record in three]
    np.testing.assert_allclose(found, answers(x, 0), rtol=1e-5, atol=1e-5)
    assert one["prediction"] == found[0]


def test_rows_of_a_csv_file(tmp_path: Path) -> None:
    names = tuple(f"f{index}" for index in range(16))
    fields = Standardize((16,), (1.0,) * 16, (2.0,) * 16, names).to_json()
    model = save(tmp_path / "m.onnx", ROWS, "regression", metadata={"preprocess": fields})
    np.save(tmp_path / "rows.npy", rows(3))
    file, text = tmp_path / "rows.CSV", [",".join(names)]
    text += [",".join(f"{number:.9g}" for number in row) for row in rows(3)]
    file.write_text("\n".join(text))
    found = sbn("predict", model, file, "--json").json
    expected = sbn("predict", model, tmp_path / "rows.npy", "--json").json
    assert [row["prediction"] for row in found] == [row["prediction"] for row in expected]
    outcome = sbn("predict", model, tmp_path / "rows.png")
    assert (
        "rows.png: the model takes numbers of [16]; give it a .csv or .npy file" in outcome.stderr
    )
    file.write_text("\n".join([text[0].replace("f7", "f8"), *text[1:]]))
    outcome = sbn("predict", model, file)
    assert outcome.status == 2
    assert "rows.CSV: has no columns named 'f7' in its header" in outcome.stderr
