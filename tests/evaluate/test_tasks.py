"""`sbn evaluate` of each task, against the metrics of what the file means."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_deploy import cli, tasks
from sbn_deploy.records.files import load
from sbn_runtime.preprocess import Standardize

from ..small_models import Classifier
from ..task_models import NOISY, PIXELS, ROWS, SEVERAL, SUMS, answers, pixels, rows, save

CLASSES = ["sky", "sea", "sand"]
COUNT = 40


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert cli.main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main(["evaluate", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def archive(folder: Path, x: NDArray[Any], y: NDArray[Any], **more: Any) -> str:
    """Everything is for testing."""
    np.savez(folder / "data.npz", x=x, y=y, test_x=x, test_y=y, **more)
    return f"npz:{folder / 'data.npz'}"


def targets(task: str, x: NDArray[np.float32]) -> NDArray[Any]:
    """What a model should have answered: the truth of member 0, with some mistakes."""
    random = np.random.default_rng(3)
    z = answers(x, 0) + random.normal(size=answers(x, 0).shape)
    return {
        "classification": lambda: z.argmax(axis=1),
        "multilabel": lambda: (z > 0).astype(np.uint8),
        "regression": lambda: z,
        "segmentation": lambda: z.argmax(axis=1),
        "image": lambda: z,
    }[task]()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("task", tasks.OBJECTIVES)
def test_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, members: int
) -> None:
    text = PIXELS if task in ("segmentation", "image") else ROWS
    x = pixels(COUNT) if text is PIXELS else rows(COUNT)
    y = targets(task, x)
    named = {"classes": CLASSES} if task not in ("regression", "image") else {}
    path = save(tmp_path / "m.onnx", text, task, members=members, metadata=named)
    spec = archive(tmp_path, x, y, **{key: np.array(value) for key, value in named.items()})
    output = tmp_path / "evaluation.json"
    found = evaluate(capsys, path, "--data", spec, "-o", output, "--batch", 7)
    assert json.loads(json.dumps(asdict(load(output)))) == found
    objective = tasks.find(task)
    each = np.stack([answers(x, seed) for seed in range(members)])
    expected = objective.scores(
        objective.task.average(each)[objective.task.answer], objective.targets(y, x.shape, "")
    )
    if task == "classification":
        assert found["scores"]["accuracy"] == expected["accuracy"]
        assert found["scores"]["nll"] == pytest.approx(expected["nll"], rel=1e-4)
        assert "task" not in found
    else:
        assert found["task"] == task
        values = {metric["key"]: metric["value"] for metric in found["metrics"]}
        assert values == pytest.approx(expected, rel=1e-4)
        assert found["metrics"][0]["key"] == objective.main.key
        assert (found["standard_deviation"] is not None) == (objective.task.spread and members > 1)
        assert [score["name"] for score in found["per_class"]] == named.get("classes", [])
    assert found["data"]["images"] == COUNT
    assert cli.main(["evaluate", str(path), "--data", spec]) == 0
    printed = capsys.readouterr().out
    assert objective.main.title.split(" (")[0] in printed


def test_labels_and_classes_are_matched_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = [2, 0, 1]
    named = {"classes": CLASSES}
    for text, task, x in (
        (ROWS, "multilabel", rows(COUNT)),
        (PIXELS, "segmentation", pixels(COUNT)),
    ):
        path = save(tmp_path / f"{task}.onnx", text, task, metadata=named)
        y = targets(task, x)
        straight = archive(tmp_path, x, y, classes=np.array(CLASSES))
        expected = evaluate(capsys, path, "--data", straight)
        other = y[:, turned] if task == "multilabel" else np.argsort(turned)[y]
        spec = archive(tmp_path, x, other, classes=np.array(CLASSES)[turned])
        found = evaluate(capsys, path, "--data", spec)
        assert found["metrics"] == expected["metrics"]
        assert found["per_class"] == expected["per_class"]
        strange = archive(tmp_path, x, y, classes=np.array(["sky", "sea", "wood"]))
        assert "only one of them has" in refused(capsys, path, "--data", strange)


def test_noise_and_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "m.onnx", NOISY, "regression")
    spec = archive(tmp_path, rows(COUNT) / 4, targets("regression", rows(COUNT)))
    found = evaluate(capsys, path, "--data", spec, "--samples", 3, "--seed", 5, "--images", 11)
    assert (found["samples"], found["seed"], found["data"]["images"]) == (3, 5, 11)
    assert found["standard_deviation"] > 0
    again = evaluate(capsys, path, "--data", spec, "--samples", 3, "--seed", 5, "--images", 11)
    assert again["metrics"] == found["metrics"]
    default = evaluate(capsys, path, "--data", spec)
    assert (default["samples"], default["seed"]) == (4, 7)


def test_input_is_normalised_as_the_model_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = rows(COUNT)
    standard = Standardize((16,), (100.0,) * 16, (4.0,) * 16)
    path = save(
        tmp_path / "m.onnx", ROWS, "regression", metadata={"preprocess": standard.to_json()}
    )
    spec = archive(tmp_path, x * 4 + 100, answers(x, 0))
    (rmse, *_) = evaluate(capsys, path, "--data", spec)["metrics"]
    assert rmse["value"] == pytest.approx(0, abs=1e-6)


def test_what_is_not_defined_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "m.onnx", SUMS, "regression")
    spec = archive(tmp_path, rows(COUNT), np.ones(COUNT))
    values = {m["key"]: m["value"] for m in evaluate(capsys, path, "--data", spec)["metrics"]}
    assert values["r2"] is None
    assert cli.main(["evaluate", str(path), "--data", spec]) == 0


def test_data_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = rows(COUNT), targets("regression", rows(COUNT))
    numbers = archive(tmp_path, x, y)
    path = save(tmp_path / "r.onnx", ROWS, "regression")
    assert "the task segmentation needs" in refused(
        capsys, save(tmp_path / "s.onnx", PIXELS, "segmentation"), "--data", numbers
    )
    assert "nothing to measure; export it with --task" in refused(
        capsys, save(tmp_path / "n.onnx", ROWS, "none"), "--data", numbers
    )
    assert "several inputs" in refused(
        capsys, save(tmp_path / "t.onnx", SEVERAL, "regression"), "--data", numbers
    )
    assert "does not record how images are normalised" in refused(capsys, path, "--data", "digits")
    narrow = archive(tmp_path, x, y[:, :2])
    assert "targets for answers [40, 2], but the model answers [40, 3]" in refused(
        capsys, path, "--data", narrow
    )
    short = archive(tmp_path, x[:, :5], y)
    assert "input must have shape [N, 16], this has [40, 5]" in refused(
        capsys, path, "--data", short
    )
    classes = archive(tmp_path, x, np.arange(COUNT) % 7)
    assert "but the model has 3 classes" in refused(
        capsys,
        save(tmp_path / "c.onnx", ROWS, "classification", metadata={"classes": CLASSES}),
        "--data",
        classes,
    )
    images = Classifier.random().write(tmp_path / "images.onnx")
    assert "images must be uint8" in refused(
        capsys, images, "--data", archive(tmp_path, x, x[:, :3].argmax(1))
    )
