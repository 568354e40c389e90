"""`sbn bundle` met with the wrong things, and of calibrated models."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import onnx
import pytest

from sbn_deploy.bundle import TARGETS, android, bundle_model, web
from sbn_deploy.bundle.facts import Facts
from sbn_deploy.bundle.readme import programs, readme
from sbn_runtime import ModelError, Preprocess, Session
from sbn_runtime.modelfile import external_files
from sbn_runtime.raster import Raster

from ..calibrations import calibrated
from ..command import sbn
from ..packaging.native import compiled_as_described, run
from ..small_models import (
    CLASSES,
    PREPROCESS,
    SIZE,
    Classifier,
    StochasticClassifier,
    random_images,
    write_float_model,
    write_pixel_classifier,
)

TARGET = "linux-x86_64"


def refused(model: Path, output: Path) -> str:
    """What `sbn bundle` says; it must leave no file behind."""
    before = set(output.parent.iterdir()) if output.parent.is_dir() else set()
    message = sbn("bundle", model, "--target", TARGET, "-o", output).refused()
    after = set(output.parent.iterdir()) if output.parent.is_dir() else set()
    assert after == before
    return message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "arguments are required: MODEL, --target, -o"),
        (["m.onnx", "-o", "f.zip"], "arguments are required: --target"),
        (["m.onnx", "--target", TARGET], "arguments are required: -o"),
        (["m.onnx", "--target", "tvos", "-o", "f.zip"], "invalid choice: 'tvos' (choose from"),
    ],
)
def test_bad_usage(arguments: list[str], message: str) -> None:
    assert message in sbn("bundle", *arguments).refused()


def test_unknown_target_is_told_the_known_ones() -> None:
    message = sbn("bundle", "m.onnx", "--target", "arm", "-o", "f.zip").refused()
    assert all(name in message for name in TARGETS)


def test_bundles_have_the_same_bytes_from_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_pixel_classifier(tmp_path / "m.onnx")
    bundle_model(model, [TARGETS[TARGET]], tmp_path / "here.zip")
    monkeypatch.setattr(sys, "platform", "win32")
    bundle_model(model, [TARGETS[TARGET]], tmp_path / "there.zip")
    monkeypatch.undo()
    assert (tmp_path / "here.zip").read_bytes() == (tmp_path / "there.zip").read_bytes()


def test_missing_model(tmp_path: Path) -> None:
    message = refused(tmp_path / "none.onnx", tmp_path / "f.zip")
    assert "none.onnx: No such file" in message


def test_foreign_model(tmp_path: Path) -> None:
    model = write_float_model(tmp_path / "plain.onnx")
    message = refused(model, tmp_path / "f.zip")
    assert message == f"{model}: has no sbn operators; write the file with `sbn export`"


def test_tflite_file(tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    message = refused(model, tmp_path / "f.zip")
    assert "is a TFLite file" in message
    assert "bundle the ONNX file" in message


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(1000)])
def test_damaged_model(data: bytes, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(data)
    assert "model.onnx: " in refused(model, tmp_path / "f.zip")


@pytest.mark.parametrize(
    "metadata", [{}, {"classes": ["a", "b", "c"]}, {"classes": ["a", "b", "c"], "preprocess": 5}]
)
def test_model_that_does_not_describe_its_images(
    metadata: dict[str, object], tmp_path: Path
) -> None:
    model = Classifier.random().write(tmp_path / "model.onnx", metadata=metadata)
    assert "does not say what its images and classes are" in refused(model, tmp_path / "f.zip")


def test_model_that_describes_other_images(tmp_path: Path) -> None:
    metadata = {"classes": CLASSES, "preprocess": PREPROCESS | {"height": 5}}
    model = Classifier.random().write(tmp_path / "model.onnx", metadata=metadata)
    message = refused(model, tmp_path / "f.zip")
    assert "does not run on the images it describes: input must have shape" in message


def test_model_that_names_other_classes(tmp_path: Path) -> None:
    metadata = {"classes": CLASSES[:2], "preprocess": PREPROCESS}
    model = Classifier.random().write(tmp_path / "model.onnx", metadata=metadata)
    assert "names 2 classes but has 3" in refused(model, tmp_path / "f.zip")


@pytest.mark.parametrize(
    "name",
    ["my model.onnx", 'a".onnx', "$(id).onnx", "...onnx", ".onnx", "-o.onnx", "model", "README.md"],
)
def test_name_that_programs_would_stumble_over(name: str, tmp_path: Path) -> None:
    model = Classifier.random().write(tmp_path / name)
    assert "rename it" in refused(model, tmp_path / "f.zip")


def test_output_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    assert "no such folder; create it first" in refused(model, tmp_path / "none" / "f.zip")
    assert "is a folder; name a file in it" in refused(model, tmp_path)


def test_constants_beside_the_model_are_packed(tmp_path: Path) -> None:
    """What is unpacked runs; without the second file it did not."""
    (tmp_path / "from").mkdir()
    whole = Classifier.random().write(tmp_path / "whole.onnx")
    model = tmp_path / "from" / "model.onnx"
    onnx.save_model(
        onnx.load(whole), model, save_as_external_data=True, location="model.data",
        size_threshold=0,
    )  # fmt: skip
    assert external_files(model) == [PurePosixPath("model.data")]
    assert external_files(whole) == []
    report = bundle_model(model, [TARGETS[TARGET]], tmp_path / "f.zip")
    assert f"model/{TARGET}/model.data" in report.files
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        archive.extractall(tmp_path)
    x = Session(whole).preprocess(random_images(3))
    found = Session(tmp_path / "model" / TARGET / "model.onnx").predict_proba(x)
    assert np.array_equal(found, Session(whole).predict_proba(x))
    (tmp_path / "from" / "model.data").unlink()
    assert "m" in refused(model, tmp_path / "g.zip")


def test_constants_elsewhere_are_not_packed(tmp_path: Path) -> None:
    proto = onnx.load(Classifier.random().write(tmp_path / "whole.onnx"))
    tensor = proto.graph.initializer[0]
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    onnx.save(proto, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=r"has constants in .*passwd, which is not"):
        external_files(tmp_path / "odd.onnx")


CAMERA = """
import numpy as np
class Picamera2:
    def create_video_configuration(self, main): return main
    def configure(self, main): self.size = main["size"]
    def start(self): self.left = 2
    def capture_array(self):
        if not self.left: raise SystemExit
        self.left -= 1
        width, height = self.size
        return np.random.default_rng(self.left).integers(0, 256, (height, width, 3), np.uint8)
"""


def test_the_program_for_a_camera(tmp_path: Path) -> None:
    """With a stand-in for the camera, which shows two pictures."""
    preprocess = Preprocess(3, 4, 4, 255, (0.5,) * 3, (0.5,) * 3, fit="crop")
    model = write_pixel_classifier(tmp_path / "m.onnx", 3, preprocess=preprocess.to_json())
    session = Session(model)
    found = programs(Facts.read(model, session), TARGETS["linux-arm64"])
    (tmp_path / "picamera2.py").write_text(CAMERA)
    (tmp_path / "camera.py").write_text(found["camera.py"].replace("time.sleep(", "float("))
    command = [sys.executable, "-W", "error", "camera.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    pictures = [np.random.default_rng(n).integers(0, 256, (480, 640, 3), np.uint8) for n in (1, 0)]
    images = np.stack([preprocess.fitted(Raster.of_array(picture)) for picture in pictures])
    wanted = session.predict_proba(images)
    assert done.stdout.splitlines() == [
        f"{session.metadata['classes'][row.argmax()]} {row.max():.1%}" for row in wanted
    ]
    assert "ExecStart=" in found["camera.service"]
    assert "WorkingDirectory=/home/pi/m/linux-arm64\n" in found["camera.service"]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_programs_feed_channels_in_the_order_of_the_network(order: Literal["rgb", "bgr"]) -> None:
    image = Preprocess(3, 4, 4, 255, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0), order)
    text = readme(Facts("m.onnx", "input", False, image, ("a", "b"), 0), TARGETS[TARGET], "", "")
    for part in ("images[..., ::-1]", "channels first (blue, green, red) and normalised"):
        assert (part in text) == (order == "bgr")


@pytest.mark.parametrize("noise", [False, True])
def test_a_calibrated_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    noise: bool,
) -> None:
    """The program in the README answers as `Session` does, and the set it speaks of is its set."""
    kind = StochasticClassifier if noise else Classifier
    model = calibrated(kind.random().write(tmp_path / "model.onnx"))
    sbn("bundle", model, "--target", TARGET, "-o", tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "model" / TARGET
    session = Session(model)
    said = json.loads((folder / "calibration.json").read_text())
    assert said == session.metadata["calibration"]
    text = (folder / "README.md").read_text()
    monkeypatch.chdir(folder)
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    capsys.readouterr()
    Path("image.raw").write_bytes(bytes(SIZE * SIZE))
    monkeypatch.setattr(sys, "argv", ["classify.py", "image.raw"])
    exec(compile(program, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split()
    x = session.preprocess(np.zeros((1, SIZE, SIZE, 1), np.uint8))
    (expected,) = session.predict_proba(x)
    assert printed[0] == CLASSES[expected.argmax()]
    assert float(printed[1]) == pytest.approx(expected.max(), abs=1e-6)
    if shutil.which("cc") is not None:
        compiled_as_described(folder)
        said = run("./classify", "image.raw", "model.onnx", cwd=folder)
        name, _, probability = said.rpartition(", probability ")
        assert name == CLASSES[expected.argmax()]
        assert float(probability) == pytest.approx(expected.max(), abs=2e-6)
    coverage, least = re.findall(
        r"probability of ([\d.]+): .* probability is at least ([\d.]+)\.", text
    )[0]
    many = session.preprocess(random_images(50))
    sets = session.predict_set(many, coverage=float(coverage))
    p = session.predict_proba(many).astype(float)
    inside = p >= float(least)
    inside[np.arange(50), p.argmax(axis=1)] = True
    np.testing.assert_array_equal(sets.labels, inside)


@pytest.mark.parametrize("target", ["linux-arm64", "linux-x86_64"])
@pytest.mark.parametrize("fit", ["", "pad"])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("lacks", ["", "node n (Op): is not supported"])
def test_programs_bring_images_to_the_size_of_the_network(
    target: str, fit: Literal["", "pad"], channels: int, lacks: str
) -> None:
    half = (0.5,) * channels
    image = Preprocess(channels, 4, 6, 255, half, half, fit=fit)
    facts = Facts("m.onnx", "input", True, image, ("a", "b"), 0)
    text = readme(facts, TARGETS[target], "libsbn_native.so.1", lacks)
    files = programs(facts, TARGETS[target])
    assert not any("{{" in part or "\n\n\n" in part for part in (text, *files.values()))
    fits = bool(fit) and channels != 2
    assert ("binary PPM" in text) == (fits and not lacks)
    assert ("There is no program in C" in text) == bool(lacks)
    assert ("camera.py" in files) == (fits and target == "linux-arm64")


def test_a_model_that_the_native_runtime_cannot_run(tmp_path: Path) -> None:
    """Its bundle for Linux has no program in C and says why; apps and pages are refused."""
    proto = onnx.load(Classifier.random().write(tmp_path / "plain.onnx"))
    softmax = proto.graph.node[-1]
    softmax.op_type, softmax.name = "Hardmax", "end"
    model = tmp_path / "model.onnx"
    onnx.save(proto, model)
    bundle_model(model, [TARGETS[TARGET]], tmp_path / "f.zip")
    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "model" / TARGET
    names = {path.name for path in folder.iterdir()}
    assert {"classify.py", "libsbn.so"} < names
    assert not {"classify.c", "sbn.h", "libsbn_native.so.1"} & names
    text = (folder / "README.md").read_text()
    assert "the runtime for C cannot run this model: " in text
    assert "Hardmax" in text
    for read in (android.project, web.page):
        with pytest.raises(
            ModelError, match=r"model\.onnx: the .* cannot run it: .*Hardmax node 'end'"
        ):
            read(model, Session(model), tmp_path / "none")
