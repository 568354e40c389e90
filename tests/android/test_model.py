"""The archive's classes answer as Python does, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_runtime import Preprocess, Session
from sbn_runtime.native import isa, native_version
from sbn_runtime.raster import Raster

from ..built import ROOT
from ..calibrations import calibrated
from ..native.library import Model
from ..small_models import CLASSES, StochasticClassifier, random_images, write_pixel_classifier
from ..task_models import SEVERAL, rows, save
from .archive import ask

GOLDEN = sorted((ROOT / "tests/golden").glob("*.onnx"))
Asked = Callable[[Sequence[Sequence[object]]], list[str]]


@pytest.fixture
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return lambda calls: ask(tmp_path_factory, calls)


def written(folder: Path, name: str, x: NDArray[Any]) -> Path:
    path = folder / f"{name}.raw"
    path.write_bytes(x.tobytes())
    return path


def outputs(answer: str, session: Session) -> dict[str, NDArray[Any]]:
    """What `run` said, by name."""
    types = {node.name: node.dtype for node in session.outputs}
    found = dict(part.split("=") for part in answer.split(" "))
    return {name: np.frombuffer(bytes.fromhex(x), types[name]) for name, x in found.items()}


def same(answer: str, session: Session, wanted: dict[str, NDArray[Any]]) -> None:
    found = outputs(answer, session)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].tobytes() == value.tobytes(), name


def example(session: Session, batch: int) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    (node,) = session.inputs
    shape = (batch, *(int(size) for size in node.shape[1:] if size is not None))
    if node.dtype == "uint8":
        most = session.metadata.get("preprocess", {}).get("pixel_max", 255)
        return rng.integers(0, most + 1, shape, np.uint8)
    return rng.standard_normal(shape).astype(node.dtype)


def test_golden_files(asked: Asked, tmp_path: Path) -> None:
    """Every operator, with one thread and three; files are opened and loaded from memory."""
    calls: list[tuple[object, ...]] = [("kernels",)]
    sessions = [Session(path, engine="native", threads=1) for path in GOLDEN]
    for path, session in zip(GOLDEN, sessions, strict=True):
        x = written(tmp_path, path.stem, example(session, 2))
        calls += [("open", path), ("run", x), ("load", path), ("threads", 3), ("run", x)]
    answers = asked(calls)
    assert answers.pop(0) == f"{native_version()} {isa()}"
    for index, (path, session) in enumerate(zip(GOLDEN, sessions, strict=True)):
        (node,) = session.inputs
        wanted = Model(path).run({node.name: example(session, 2)})
        for answer in answers[5 * index + 1 : 5 * index + 5 : 3]:
            same(answer, session, wanted)


def test_noise(asked: Asked, tmp_path: Path) -> None:
    """The file's own seed and number of samples, and others."""
    path = StochasticClassifier.random().write(tmp_path / "m.onnx", samples=6)
    session = Session(path, engine="native", threads=1)
    x = session.preprocess(random_images(3))
    file = written(tmp_path, "x", x)
    answers = asked(
        [("open", path), ("run", file), ("seed", 9), ("run", file), ("samples", 40), ("run", file)]
    )
    for answer, given in zip(
        answers[1::2], ({}, {"seed": 9}, {"seed": 9, "samples": 40}), strict=True
    ):
        same(answer, session, Model(path).run({"input": x, **given}))


def test_several_inputs_and_threads_that_call_at_once(asked: Asked, tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", SEVERAL, "none", metadata={})
    session = Session(path, engine="native", threads=1)
    x = {node.name: rows(3, seed) for seed, node in enumerate(session.inputs)}
    files = [written(tmp_path, name, value) for name, value in x.items()]
    short = written(tmp_path, "short", rows(2, 0))
    answers = asked(
        [
            ("open", path),
            ("ports",),
            ("together", *files),
            ("run", files[0]),
            ("run", *files, files[0]),
            ("run", files[0], short),
        ]
    )
    inputs = "[left FLOAT32 [-1, 16], right FLOAT32 [-1, 16]]"
    assert answers[1] == f"{inputs} [y FLOAT32 [-1, 3], sums FLOAT32 [-1, 16]]"
    same(answers[2], session, session.run(x))
    assert answers[3:] == [
        "SbnException: input right is missing",
        "SbnException: there are only 2 inputs",
        "SbnException: inputs have batches of 3 and 2",
    ]


def test_pictures(asked: Asked, tmp_path: Path) -> None:
    """Of 1 to 4 bytes a pixel, turned and not, become the model's pixels and its input."""
    rng = np.random.default_rng(0)
    calls: list[tuple[object, ...]] = []
    wanted: list[bytes] = []
    for channels in (1, 3):
        half = (0.5,) * channels
        image = Preprocess(channels, 4, 4, 200, half, half, fit="crop")
        model = tmp_path / f"{channels}.onnx"
        write_pixel_classifier(model, channels, preprocess=image.to_json())
        calls.append(("open", model))
        wanted.append(b"")
        for given in (1, 2, 3, 4):
            for orientation in (1, 6):
                rows_, columns = rng.integers(3, 30, 2)
                pixels = rng.integers(0, 256, (rows_, columns, given), np.uint8)
                file = written(tmp_path, f"{len(calls)}", pixels)
                calls.append(("fit", file, columns, rows_, orientation))
                raster = Raster.of_array(pixels)
                fitted = image.fitted(Raster(raster.pixels, raster.mode, orientation=orientation))
                wanted.append(fitted.tobytes())
        calls.append(("normalise", written(tmp_path, f"fitted{channels}", fitted)))
        wanted.append(fitted.tobytes())
    assert [bytes.fromhex(answer) for answer in asked(calls)] == wanted


def test_the_answer_of_a_calibrated_model(asked: Asked, tmp_path: Path) -> None:
    path = calibrated(StochasticClassifier.random().write(tmp_path / "m.onnx"))
    session = Session(path, threads=1)
    images = random_images(1)
    file = written(tmp_path, "x", images)
    answers = asked(
        [
            ("open", path), ("classify", file), ("samples", 9), ("classify", file),
            *(("class", index) for index in range(4)), ("metadata", "sbn"), ("metadata", "none"),
        ]
    )  # fmt: skip
    x = session.preprocess(images)
    for answer, given in ((answers[1], {}), (answers[3], {"samples": 9})):
        found = np.frombuffer(bytes.fromhex(answer), np.float32)
        np.testing.assert_allclose(found, session.predict_proba(x, **given)[0], rtol=1e-6)
    assert answers[4:8] == [*CLASSES, "class 3"]
    assert answers[8].startswith("{")
    assert '"calibration"' in answers[8]
    assert answers[9] == "null"


def test_what_is_wrong_is_said(asked: Asked, tmp_path: Path) -> None:
    model = write_pixel_classifier(tmp_path / "m.onnx")
    damaged = written(tmp_path, "damaged", np.arange(50, dtype=np.uint8))
    short, bright = (
        written(tmp_path, name, np.full(size, 17, np.uint8))
        for name, size in (("short", 15), ("bright", 16))
    )
    calls: list[tuple[object, ...]] = [
        ("open", tmp_path / "größer.onnx"), ("open", damaged), ("load", damaged), ("open", model),
        ("run", short), ("normalise", short), ("classify", bright), ("fit", short, 4, 4, 1),
        ("threads", 300), ("seed", 1), ("samples", 0), ("close",), ("run", bright),
        ("class", 0), ("close",),
    ]  # fmt: skip
    answers = asked(calls)
    assert answers[0] == f"SbnException: {tmp_path / 'größer.onnx'}: No such file or directory"
    assert answers[1].startswith(f"SbnException: {damaged}: the file is damaged")
    assert answers[2].startswith("SbnException: the file is damaged")
    assert answers[3:] == [
        "",
        "SbnException: input input takes 16 bytes for each image, these are 15",
        "SbnException: an image has 16 bytes, these are 15",
        "SbnException: a pixel is 17, and the model's largest 16; rescale the image",
        "SbnException: a picture of 4 x 4 cannot have 15 bytes: a pixel has 1 to 4",
        "SbnException: threads are 300, must lie in [1, 256]",
        "SbnException: the model has no noise, and takes no seed",
        "SbnException: samples must be 1 or more, not 0",
        "",
        "IllegalStateException: the model is closed",
        "IllegalStateException: the model is closed",
        "",
    ]
