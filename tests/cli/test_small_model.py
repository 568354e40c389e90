"""The verbs that a device needs, on a model written without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbn_runtime import Session, available_isas

from ..command import sbn
from ..small_models import CLASSES, SIZE, Classifier, random_images, write_float_model


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npy"
    np.save(path, random_images(3))
    return path


def test_predict_agrees_with_session(model: Path, images: Path) -> None:
    outcome = sbn("predict", model, images, "--top", "2", "--json")
    assert outcome.status == 0
    assert outcome.stderr == ""
    session = Session(model)
    probabilities = session.predict_proba(session.preprocess(np.load(images)))
    assert len(outcome.json) == len(probabilities)
    for index, (prediction, row) in enumerate(zip(outcome.json, probabilities, strict=True)):
        best, second = row.argsort()[::-1][:2]
        assert prediction == {
            "file": str(images),
            "index": index,
            "top": [
                {"class": CLASSES[best], "probability": float(row[best])},
                {"class": CLASSES[second], "probability": float(row[second])},
            ],
        }


def test_predict_table(model: Path, images: Path) -> None:
    lines = sbn("predict", model, images).stdout.splitlines()
    assert lines[0].split() == ["file", "index", "class", "probability", "next"]
    assert len(lines) == 4
    assert all("%" in line for line in lines[1:])


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (SIZE, SIZE, 1), (1, SIZE, SIZE, 1)])
def test_one_image_in_any_rank(model: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "one.npy", random_images(1).reshape(shape))
    np.save(tmp_path / "batch.npy", random_images(1))
    first, second = sbn(
        "predict", model, tmp_path / "one.npy", tmp_path / "batch.npy", "--json"
    ).json
    assert first["top"] == second["top"]


def test_normalised_input(model: Path, images: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", Session(model).preprocess(np.load(images)))
    from_images = sbn("predict", model, images, "--json").json
    from_input = sbn("predict", model, tmp_path / "input.npy", "--json").json
    assert [entry["top"] for entry in from_images] == [entry["top"] for entry in from_input]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_are_fitted_to_the_model(model: Path, tmp_path: Path, suffix: str) -> None:
    # Flat quadrants survive resizing and the change of the pixel range.
    quadrants = np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((16, 16), np.uint8))
    colours = np.repeat(quadrants[:, :, None], 3, axis=2)
    Image.fromarray(colours).save(tmp_path / f"image{suffix}", quality=100)
    small = np.kron(np.array([[0, 16], [16, 0]], np.uint8), np.ones((2, 2), np.uint8))
    np.save(tmp_path / "image.npy", small)
    first, second = sbn(
        "predict", model, tmp_path / f"image{suffix}", tmp_path / "image.npy", "--json"
    ).json
    assert first["top"] == second["top"]


@pytest.mark.parametrize("verb", ["predict", "benchmark"])
def test_verb_loads_what_a_device_has(model: Path, images: Path, verb: str) -> None:
    arguments = {"predict": [str(images)], "benchmark": ["--runs", "1"]}[verb]
    code = (
        "import sys; from sbn_deploy import cli\n"
        f"status = cli.main([{verb!r}, {str(model)!r}, *{arguments}])\n"
        "print(status, *sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    status, *modules = output.splitlines()[-1].split()
    assert status == "0"
    assert not {"torch", "onnx", "sklearn", "PIL", "rich", "matplotlib"} & set(modules)


def test_reader_that_goes_away(model: Path, images: Path) -> None:
    outcome = subprocess.run(
        f"{sys.executable} -m sbn_deploy.cli predict {model} {'  '.join([str(images)] * 500)}"
        " | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(outcome.stdout.splitlines()) == 1
    assert outcome.stderr == ""


@pytest.mark.parametrize("name", available_isas())
def test_benchmark_uses_the_forced_isa(model: Path, name: str) -> None:
    outcome = sbn(
        *("benchmark", model, "--runs", "1", "--max-seconds", "1", "--json"), SBN_ISA=name
    )
    assert outcome.json["machine"]["isa"] == name


def test_doctor() -> None:
    outcome = sbn("doctor", "--json")
    assert outcome.status == 0
    assert outcome.json["ok"] is True
    assert outcome.json["available_isas"] == list(available_isas())
    assert {entry["package"] for entry in outcome.json["optional"]} >= {"torch", "onnx"}
    assert None in outcome.json["bundle_targets"].values()
    assert "models run here" in sbn("doctor").stdout


def test_doctor_reports_a_bad_isa() -> None:
    outcome = sbn("doctor", "--json", SBN_ISA="sse9")
    assert outcome.status == 1
    assert outcome.json["ok"] is False
    assert "'sse9'" in outcome.json["problem"]


@pytest.mark.parametrize("verb", ["predict", "evaluate", "benchmark", "inspect"])
class TestUnfitModels:
    """Every verb that takes a model refuses what is none in the same way."""

    def run(self, verb: str, path: Path, **variables: str) -> str:
        files = [path.parent / "images.npy"] if verb == "predict" else []
        return sbn(verb, path, *files, **variables).refused()

    def test_missing(self, verb: str, tmp_path: Path) -> None:
        assert f"{tmp_path / 'none.onnx'}: No such file" in self.run(verb, tmp_path / "none.onnx")

    def test_truncated(self, verb: str, model: Path) -> None:
        model.write_bytes(model.read_bytes()[:1000])
        assert f"{model}: not an ONNX model, or a truncated one" in self.run(verb, model)

    def test_no_model(self, verb: str, tmp_path: Path) -> None:
        path = tmp_path / "notes.onnx"
        path.write_text("not a model\n")
        assert str(path) in self.run(verb, path)

    def test_without_our_operators(self, verb: str, tmp_path: Path) -> None:
        path = write_float_model(tmp_path / "float.onnx")
        reason = "not a classifier of images" if verb == "evaluate" else "has no sbn operators"
        assert f"{path}: {reason}" in self.run(verb, path)

    def test_unknown_isa(self, verb: str, model: Path) -> None:
        assert "SBN_ISA='sse9': no such kernel set" in self.run(verb, model, SBN_ISA="sse9")

    def test_isa_of_another_architecture(self, verb: str, model: Path) -> None:
        other = "avx2" if "neon" in available_isas() else "neon"
        message = self.run(verb, model, SBN_ISA=other)
        assert f"SBN_ISA='{other}': this CPU cannot run it" in message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 1, SIZE, SIZE)), "input must be float32, this is float64"),
        (np.zeros((2, SIZE, SIZE), np.float32), "input must have shape [N, 1, 4, 4]"),
        (np.full((1, 1, SIZE, SIZE), np.nan, np.float32), "input contains NaN"),
        (np.zeros((0, 1, SIZE, SIZE), np.float32), "input is empty"),
        (np.zeros((2, SIZE, SIZE + 1, 1), np.uint8), "images must have shape [N, 4, 4, 1]"),
        (np.full((1, SIZE, SIZE, 1), 17, np.uint8), "pixel value 17 is above"),
        (np.array([{}], object), "damaged or not a .npy array"),
    ],
)
def test_unfit_arrays(model: Path, tmp_path: Path, array: np.ndarray, message: str) -> None:
    path = tmp_path / "array.npy"
    np.save(path, array, allow_pickle=True)
    line = sbn("predict", model, path).refused()
    assert str(path) in line
    assert message in line


@pytest.mark.parametrize("name", ["none.npy", "none.png"])
def test_missing_image(model: Path, tmp_path: Path, name: str) -> None:
    assert f"{name}: No such file" in sbn("predict", model, tmp_path / name).refused()


def test_folder_in_place_of_images(model: Path, tmp_path: Path) -> None:
    message = sbn("predict", model, tmp_path).refused()
    assert message == f"{tmp_path}: is a folder; name the files in it, as {tmp_path}/*"


@pytest.mark.parametrize("name", ["broken.npy", "broken.png", "broken.jpg"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"\x89PNG\r\n\x1a\n" + bytes(9)])
def test_broken_image(model: Path, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    problem = "is damaged or not a .npy array" if name.endswith(".npy") else "not a readable image"
    message = sbn("predict", model, tmp_path / name).refused()
    assert message.startswith((f"{tmp_path / name}: {problem}", f"{tmp_path / name} {problem}"))


def test_truncated_png(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "cut.png" in sbn("predict", model, path).refused()


def test_model_without_metadata(tmp_path: Path, images: Path) -> None:
    model = Classifier.random().write(tmp_path / "bare.onnx", metadata={})
    assert "does not record how images are normalised" in sbn("predict", model, images).refused()
    message = sbn("benchmark", model, "--compare", "fp32").refused_after_progress()
    assert "metadata lacks 'arch'" in message


def test_data_of_another_size(model: Path) -> None:
    line = sbn("evaluate", model, "--data", "digits").refused()
    assert "digits has images of 8x8 pixels (height x width) in 1 channel, but" in line
    assert f"{model} takes 4x4 pixels (height x width) in 1 channel" in line


def test_unknown_data(model: Path) -> None:
    assert "unknown data set 'letters'" in sbn("evaluate", model, "--data", "letters").refused()
