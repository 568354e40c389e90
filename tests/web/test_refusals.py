"""What the runtime for browsers refuses, with one line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..built import ROOT
from ..native.test_answers import GOLDEN
from ..small_models import PREPROCESS, SIZE, Classifier, write_float_model
from .node import Job, WebError, call, needs_node, needs_wasm, picture

pytestmark = [needs_wasm, needs_node]
X = np.zeros((1, 1, SIZE, SIZE), np.float32)
NOISE = ROOT / "tests/golden/noise.onnx"
GREY = picture(np.zeros((5, 5), np.uint8))


def error_of(job: Job) -> str:
    ((found,),) = call(job)
    assert isinstance(found, WebError), found
    kind, _, message = str(found).partition(": ")
    assert kind == "SbnError"
    assert "\n" not in message
    return message


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(1000)])
def test_damaged_files(data: bytes) -> None:
    assert error_of(Job(data))


def test_cut_files_are_refused_or_run_but_never_trap() -> None:
    content = max(GOLDEN, key=lambda path: path.stat().st_size).read_bytes()
    rng = np.random.default_rng(0)
    jobs = []
    for _ in range(60):
        damaged = bytearray(content[: int(rng.integers(1, len(content)))])
        damaged[int(rng.integers(len(damaged)))] ^= int(rng.integers(1, 256))
        jobs.append(Job(bytes(damaged)))
    for results in call(*jobs):
        assert all(str(error).startswith("SbnError: ") for error in results)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in error_of(Job((tmp_path / "none.onnx").as_uri()))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("run", [np.zeros(16, np.uint8)], "input input must be a Float32Array of [N, 1, 4, 4]"),
        (
            "run",
            [np.zeros(15, np.float32)],
            "must have the shape [N, 1, 4, 4], this has 15 numbers",
        ),
        ("run", [np.zeros(0, np.float32)], "this has 0 numbers"),
        ("run", [np.full(16, np.nan, np.float32)], "input input has NaN or infinity"),
        ("run", [{"other": X}], "there is no input other; inputs are input"),
        ("run", [{}], "input input must be a Float32Array"),
        ("run", [X, {"samples": 2}], "samples does not apply: the model has no noise"),
        ("run", [X, {"seed": 2}], "seed does not apply"),
        ("predict", [{"data": np.zeros(7, np.uint8), "width": 2, "height": 2}], "1 to 4 bytes"),
        ("predict", [{}], "a picture has data, width and height"),
    ],
)
def test_inputs(name: str, given: list[Any], message: str, tmp_path: Path) -> None:
    model = Classifier.random().write(tmp_path / "model.onnx")
    assert message in error_of(Job(model.as_uri(), calls=[(name, given)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be a whole number from 1 to 65536, not 0"),
        ({"samples": 65537}, "not 65537"),
        ({"samples": 1.5}, "not 1.5"),
        ({"samples": "2"}, "not 2"),
        ({"seed": -1}, "seed must be a whole number from 0 to 2^63 - 1, not -1"),
        ({"seed": 1 << 63}, "not 9223372036854775808"),
        ({"seed": 0.5}, "not 0.5"),
    ],
)
def test_noise(options: dict[str, Any], message: str) -> None:
    """A call that failed leaves the model as it was."""
    x = dict(np.load(NOISE.with_suffix(".npz")))["input"]
    job = Job(NOISE.as_uri(), calls=[("run", [x, options]), ("run", [x, {"samples": 2}])])
    ((refused, fine),) = call(job)
    assert message in str(refused)
    assert fine["member_logits"]["shape"][0] % 2 == 0


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "does not record how pictures become its input"),
        ({"preprocess": {"shape": [4], "mean": [], "std": []}}, "takes numbers, not pictures"),
        ({"preprocess": PREPROCESS | {"sound": {}}}, "says that its sounds are impossible: {}"),
        ({"preprocess": PREPROCESS | {"interpolation": "cubic"}}, "resized by cubic"),
        ({"preprocess": PREPROCESS | {"channels": 2}}, "takes 2 channels"),
        ({"task": "regression"}, "predict() is for classification, the task of this model is"),
        ("{", "the metadata of the model is damaged"),
    ],
)
def test_models(metadata: Any, message: str, tmp_path: Path) -> None:
    model = Classifier.random().write(tmp_path / "model.onnx", metadata=metadata)
    assert message in error_of(Job(model.as_uri(), calls=[("predict", [GREY])]))


def test_kernels_that_there_are_not(tmp_path: Path) -> None:
    model = Classifier.random().write(tmp_path / "model.onnx")
    assert 'there are no kernels "avx2"' in error_of(Job(model.as_uri(), "avx2"))


def test_float_models_run(tmp_path: Path) -> None:
    model = write_float_model(tmp_path / "plain.onnx")
    ((found, task),) = call(Job(model.as_uri(), calls=[("run", [X - 1]), ("task", [])]))
    assert not np.any(found["logits"]["data"])
    assert task == "none"
