"""`sbn evaluate` on data sets of every kind, broken ones too, and interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sbn_deploy.data import load
from sbn_deploy.nn import models
from sbn_deploy.records import files

from ..command import sbn
from ..sampled import few
from ..small_models import (
    CLASSES,
    PREPROCESS,
    SIZE,
    Classifier,
    StochasticClassifier,
    random_images,
    write_float_classifier,
)
from .conftest import Trained

# Runs `sbn` with a log of the first two pixels of every image classified, and may end itself.
DRIVER = """
import os, signal, sys, time
from sbn_deploy.cli import main
from sbn_runtime import Session

log, last, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
classify, calls = Session.predict_proba, 0

def logged(self, x, **draw):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    if calls > 1:  # the first one is no image of the data
        with open(log, "a") as file:
            for row in x:
                file.write(" ".join(str(round((value + 1) * 8)) for value in row.flat[:2]) + "\\n")
        time.sleep(pause)
    return classify(self, x, **draw)

Session.predict_proba = logged
sys.exit(main(sys.argv[4:]))
"""
COUNT = 200


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Images whose first two pixels are their number, to the base of 17."""
    images = random_images(COUNT)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(COUNT), 17)
    path = tmp_path / "numbered.npz"
    labels = np.arange(COUNT) % 3
    labels[[3, 77]] = 9
    np.savez(path, images=images[:0], labels=labels[:0], test_images=images, test_labels=labels)
    return path


def driven(log: Path, *arguments: str | Path, last: int = 0, pause: float = 0) -> list[str]:
    command = [sys.executable, "-c", DRIVER, log, last, pause, *arguments]
    return [str(part) for part in command]


def lasting(path: Path) -> dict[str, Any]:
    """What two runs agree on."""
    found = json.loads(json.dumps(asdict(files.load(path))))
    for name in ("created", "command", "machine", "seconds", "images_per_s"):
        del found[name]
    return found


def write_images(folder: Path, count: int = 30) -> None:
    """Files of 4×4 grey images of the small models' classes; pixels are 0 to 16."""
    images = random_images(count)
    for index, image in enumerate(images):
        for part in ("train", "test"):
            path = folder / part / CLASSES[index % 3] / f"{index:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)


# What is measured


def test_a_measurement(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    outcome = sbn("evaluate", trained.model, "-o", path, "--json")
    assert outcome.status == 0, outcome
    found = json.loads(json.dumps(asdict(files.load(path))))
    assert found == outcome.json
    assert (found["kind"], found["engine"]) == ("evaluation", "sbn")
    assert (found["samples"], found["seed"]) == (1, None)
    assert found["model"]["name"] == "digits"
    digits = load("digits", "test")
    data = {"name": "digits", "spec": "digits", "images": 360, "skipped": []}
    assert found["data"] == {**data, "classes": list(digits.classes)}
    confusion = np.array(found["confusion"])
    assert np.array_equal(confusion.sum(axis=1), np.bincount(digits.labels))
    assert np.trace(confusion) == found["scores"]["correct"]
    assert [score["correct"] for score in found["per_class"]] == np.diag(confusion).tolist()
    assert sum(entry["count"] for entry in found["reliability"]) == 360
    assert len(found["coverage"]) == len(found["risk"]) <= 200
    assert os.listdir(tmp_path) == ["evaluation.json"]

    shown = sbn("evaluate", trained.model)
    lines = shown.stdout.splitlines()
    # The answer first, then the classes, then what was mistaken for what.
    assert lines[1].startswith(f"accuracy, {found['scores']['correct']} of 360 images")
    assert (
        f"{found['scores']['confidence_low']:.2%} to {found['scores']['confidence_high']:.2%}"
        in lines[1]
    )
    places = [shown.stdout.index(word) for word in ("precision", "predicted", " classified as ")]
    assert places == sorted(places)
    wrong = confusion - np.diag(np.diag(confusion))
    true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
    assert f"\n{true} classified as {predicted}: {wrong.max()} (" in shown.stdout


def test_many_classes(tmp_path: Path) -> None:
    classes = 25
    shape = Classifier(
        np.random.default_rng(0).choice(np.float32([-1, 1]), (classes, SIZE * SIZE)),
        np.full(classes, 0.25, np.float32),
        np.zeros(classes, np.float32),
    )
    names = [f"kind {index}" for index in range(classes)]
    model = shape.write(
        tmp_path / "many.onnx", metadata={"classes": names, "preprocess": PREPROCESS}
    )
    data = tmp_path / "set.npz"
    np.savez(data, images=random_images(500), labels=np.arange(500) % classes, classes=names)
    outcome = sbn("evaluate", model, "--data", f"npz:{data}", "--json")
    scores = outcome.json["scores"]
    assert scores["top5_confidence_low"] < scores["top5"] < scores["top5_confidence_high"]
    assert scores["top5"] > scores["accuracy"]
    shown = sbn("evaluate", model, "--data", f"npz:{data}").stdout
    assert "among the top 5" in shown
    assert "worst classes" in shown
    # Neither all classes nor a matrix that no terminal has room for.
    assert len(shown.splitlines()) < 35


@pytest.mark.parametrize("outputs", [("logits",), ("probabilities",)])
def test_a_plain_classifier(tmp_path: Path, outputs: tuple[str, ...]) -> None:
    model = write_float_classifier(tmp_path / "plain.onnx", outputs=outputs)
    write_images(tmp_path / "images")
    spec = f"folder:{tmp_path / 'images'}"
    found = sbn("evaluate", model, "--data", spec, "--threads", "1", "--batch", "7", "--json").json
    assert found["engine"] == "onnxruntime"
    assert found["data"]["classes"] == list(CLASSES)
    dataset = load(spec, "test")
    weights = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    predicted = (dataset.inputs().reshape(len(dataset), -1) @ weights).argmax(axis=1)
    assert found["scores"]["correct"] == (predicted == dataset.labels).sum()
    message = sbn("evaluate", model, "--data", spec, "--seed", "1").refused()
    assert f"seed does not apply: {model} has no noise" in message


@pytest.mark.long
def test_the_fp32_twin(tmp_path: Path) -> None:
    from sbn_deploy.benchmark.float_baselines import export_fp32

    torch.manual_seed(0)
    twin = models.create_twin("digits-cnn", width=8).eval()
    export_fp32(twin, (1, 8, 8), tmp_path / "fp32.onnx")
    found = sbn("evaluate", tmp_path / "fp32.onnx", "--json").json
    digits = load("digits", "test")
    with torch.inference_mode():
        predicted = twin(torch.from_numpy(digits.inputs())).argmax(dim=1).numpy()
    assert abs(found["scores"]["correct"] - (predicted == digits.labels).sum()) <= 1
    assert found["model"]["arch"] is None


def test_needs_the_base_install_only(model: Path, numbered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    folder.mkdir()
    names = "matplotlib onnx pandas PIL pyarrow pydantic rich safetensors scipy sklearn torch"
    for name in names.split():
        (folder / f"{name}.py").write_text(
            f'raise ModuleNotFoundError("No module named {name}", name="{name}")\n'
        )
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    output = tmp_path / "evaluation.json"
    outcome = sbn("evaluate", model, "--data", f"npz:{numbered}", "-o", output, PYTHONPATH=paths)
    assert outcome.status == 0, outcome
    assert output.is_file()


# Data that is not as it should be


def test_images_that_cannot_be_used(model: Path, tmp_path: Path) -> None:
    write_images(tmp_path)
    folder = tmp_path / "test" / CLASSES[0]
    whole = (folder / "00.png").read_bytes()
    for index in range(10):
        (folder / f"a{index}.png").write_bytes(whole[: 5 * index])
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(folder / "b-wide.png")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "c-colour.png")
    (folder / "d-notes.txt").write_text("not looked at")
    arguments = ("evaluate", model, "--data", f"folder:{tmp_path}")
    found = sbn(*arguments, "--json").json
    assert (found["data"]["images"], found["scores"]["samples"]) == (42, 30)
    skipped = {Path(one["file"]).name: one["reason"] for one in found["data"]["skipped"]}
    assert list(skipped) == [
        *(f"a{index}.png" for index in range(10)),
        "b-wide.png",
        "c-colour.png",
    ]
    assert skipped["b-wide.png"] == "has 4x5 pixels (height x width), but the model takes 4x4"
    assert skipped["c-colour.png"] == "is in colour, but the model takes grey images"
    outcome = sbn(*arguments)
    assert outcome.status == 0, outcome
    lines = outcome.stderr.splitlines()
    at = lines.index("warning: 12 of 42 images were skipped")
    assert lines[at + 1].startswith(f"  {folder / 'a0.png'}: not a readable image: ")
    assert lines[at + 11 :] == ["  and 2 more"]
    # What is trained on must be whole.
    for part in ("train", "test"):
        (tmp_path / part / CLASSES[0] / "z.png").write_bytes(b"")
    message = sbn("train", "--data", f"folder:{tmp_path}", "--out", tmp_path / "run")
    assert "is not a readable image" in message.refused_after_progress()


def test_labels_out_of_range(model: Path, numbered: Path) -> None:
    outcome = sbn("evaluate", model, "--data", f"npz:{numbered}")
    assert outcome.status == 0, outcome
    assert "warning: 2 of 200 images were skipped" in outcome.stderr
    assert "  image 77: label 9 is not a class; they range from 0 to 2" in outcome.stderr
    assert "of 198 images" in outcome.stdout


def spoilt(change: Callable[[Path], None]) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        write_images(folder)
        change(folder)
        return f"folder:{folder}"

    return write


def archive(**arrays: Any) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        np.savez(folder / "set.npz", **arrays)
        return f"npz:{folder / 'set.npz'}"

    return write


def rename_class(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / CLASSES[0]).rename(folder / part / "disc")


def empty_files(folder: Path) -> None:
    for path in (folder / "test").rglob("*.png"):
        path.write_bytes(b"")


def no_files(folder: Path) -> None:
    for path in (folder / "test").rglob("*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (spoilt(no_files), "contains no images to test on"),
        (spoilt(empty_files), "none of the 30 images of"),
        (spoilt(lambda folder: (folder / "train" / "extra").mkdir()), "has 4 classes (circle, c"),
        (spoilt(rename_class), "only one of them has disc, circle"),
        (
            archive(images=random_images(0), labels=np.zeros(0, int)),
            "contains no images to test on",
        ),
        (archive(images=random_images(30), labels=np.full(30, 3)), "none of the 6 images"),
        (archive(images=random_images(30), labels=np.zeros(29, int)), "one label for each image"),
        (
            archive(images=random_images(30), labels=np.zeros(30, int), classes=["a", "b"]),
            "has 2 classes (a, b), but the model has 3 classes (circle, cross, line)",
        ),
        (
            archive(images=random_images(30)[:, :3], labels=np.zeros(30, int)),
            "has images of 3x4 pixels (height x width) in 1 channel, but",
        ),
        (
            archive(images=np.full((30, 4, 4), 17, np.uint8), labels=np.zeros(30, int)),
            "pixel of 17",
        ),
    ],
)
def test_data_that_cannot_be_evaluated(
    model: Path, tmp_path: Path, write: Callable[[Path], str], message: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    outcome = sbn("evaluate", model, "--data", write(folder))
    assert message in outcome.refused_after_progress()


def test_classes_in_another_order(model: Path, tmp_path: Path) -> None:
    images, labels = random_images(30), np.arange(30) % 3
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        path = tmp_path / "set.npz"
        classes = [CLASSES[index] for index in order]
        np.savez(path, images=images, labels=np.argsort(order)[labels], classes=classes)
        found.append(sbn("evaluate", model, "--data", f"npz:{path}", "--json"))
    assert "matched by name" not in found[0].stderr
    assert "matched by name" in found[1].stderr
    for key in ("scores", "confusion", "per_class"):
        assert found[0].json[key] == found[1].json[key]


# Interrupted


@pytest.mark.parametrize("noise", few([True, False], 1))
def test_a_killed_run_goes_on(numbered: Path, tmp_path: Path, noise: bool) -> None:
    path = tmp_path / "model.onnx"
    (StochasticClassifier.random(2) if noise else Classifier.random()).write(path)
    arguments = ("evaluate", path, "--data", f"npz:{numbered}", "--batch", "16")
    whole, killed = tmp_path / "whole.json", tmp_path / "killed.json"
    assert sbn(*arguments, "-o", whole).status == 0

    log = tmp_path / "log"
    ends = (1 + 4, 1 + 1, 1 + 6)  # classifies 3, 0 and 5 batches
    for last in ends:
        done = subprocess.run(
            driven(log, *arguments, "-o", killed, last=last), capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert not killed.exists()
    last_run = subprocess.run(
        driven(log, *arguments, "-o", killed), capture_output=True, text=True, check=False
    )
    assert last_run.returncode == 0, last_run
    assert "classifying 200 images of npz:numbered.npz, resuming after 128 of them" in (
        last_run.stderr
    )
    # Each image with a label of the model was classified, and once only.
    numbers = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    assert sorted(17 * high + low for high, low in numbers) == [
        index for index in range(COUNT) if index not in (3, 77)
    ]
    assert lasting(killed) == lasting(whole)
    assert json.dumps(lasting(killed)) == json.dumps(lasting(whole))
    assert not list(tmp_path.glob("*.part"))


def test_an_interrupted_run_says_how_to_go_on(model: Path, numbered: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.json"
    arguments = ("evaluate", model, "--data", f"npz:{numbered}", "--batch", "1", "-o", output)
    process = subprocess.Popen(
        driven(tmp_path / "log", *arguments, pause=0.05),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "batches" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.splitlines()[-2:] == [
        f"run the same command to resume; answers so far: {output}.part",
        "sbn: error: interrupted",
    ]
    assert not output.exists()
    assert "resuming after" in sbn(*arguments).stderr


def test_answers_of_another_run_are_not_taken(numbered: Path, tmp_path: Path) -> None:
    path = StochasticClassifier.random(2).write(tmp_path / "model.onnx")
    output = tmp_path / "x.json"
    arguments = ("evaluate", path, "--data", f"npz:{numbered}", "-o", output)
    stop = driven(tmp_path / "log", *arguments, "--batch", "16", last=5)
    for other in (["--seed", "1"], ["--samples", "2"], ["--images", "150"], []):
        subprocess.run(stop, capture_output=True, check=False)
        outcome = sbn(*arguments, *other)
        assert ("starting over" in outcome.stderr) == bool(other)
        assert ("resuming after" in outcome.stderr) == (not other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "none/x.json"], "none: no such folder"),
        (["--batch", "0"], "'0' must be a whole number of at least 1"),
        (["--threads", "0"], "'0' must be a whole number of at least 1"),
        (["--batch", "2", "--sweep-samples", "2"], "--batch and --sweep-samples exclude"),
    ],
)
def test_unfit_options(model: Path, arguments: list[str], message: str) -> None:
    assert message in sbn("evaluate", model, *arguments).refused()
