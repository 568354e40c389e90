"""What sbn.h has for classifiers of pictures gives Python's bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbn_runtime import Preprocess, Session
from sbn_runtime.raster import Raster

from ..calibrations import calibrated, calibration
from ..nasty import NASTY
from ..small_models import Classifier, StochasticClassifier, random_images
from .library import Model, NativeError

FLOATS = """<ir_version: 9, opset_import: ["": 20]>
    m (float[N, {c}, {h}, {w}] input) => (float[N, K] probabilities) {{
        probabilities = Flatten (input)
    }}"""
BYTES = """<ir_version: 9, opset_import: ["": 20]>
    m (uint8[N, {h}, {w}, {c}] input) => (float[N, K] probabilities) {{
        numbers = Cast <to = 1> (input)
        probabilities = Flatten (numbers)
    }}"""


def described(
    preprocess: dict[str, Any] | None, graph: str = FLOATS, shape: tuple[int, ...] = (3, 4, 6),
    **metadata: Any,
) -> Model:  # fmt: skip
    """A model that takes [channels, height, width] and says this of it."""
    text = graph.format(**dict(zip("chw", shape, strict=True)))
    proto = onnx.parser.parse_model(text)
    said = metadata if preprocess is None else metadata | {"preprocess": preprocess}
    onnx.helper.set_model_props(proto, {"sbn": json.dumps(said)})
    return Model(proto.SerializeToString())


def of(preprocess: Preprocess, graph: str = FLOATS) -> Model:
    shape = (preprocess.channels, preprocess.height, preprocess.width)
    return described(preprocess.to_json(), graph, shape)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Preprocess, np.ndarray, int]:
    """What a model takes, a picture of 1 to 4 bytes a pixel, and an orientation."""
    channels = draw(st.sampled_from([1, 3]))
    wanted = [draw(st.integers(1, 12)) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    preprocess = Preprocess(
        channels,
        *wanted,
        pixel_max=draw(st.sampled_from([255, 16, 1, 200])),
        mean=tuple(map(float, rng.random(channels))),
        std=tuple(map(float, 0.1 + rng.random(channels))),
        order=draw(st.sampled_from(["rgb", "bgr"])) if channels == 3 else "rgb",
        fit=draw(st.sampled_from(["crop", "pad", "stretch"])),
    )
    shape = [draw(st.integers(1, 30)) for _ in range(2)] + [draw(st.integers(1, 4))]
    return preprocess, rng.integers(0, 256, shape, np.uint8), draw(st.integers(-1, 9))


@given(pictures())
@settings(max_examples=150)
def test_pictures_become_the_input(case: tuple[Preprocess, np.ndarray, int]) -> None:
    preprocess, picture, orientation = case
    image = Raster.of_array(picture)
    wanted = preprocess.fitted(Raster(image.pixels, image.mode, orientation=orientation))
    for graph in (FLOATS, BYTES):
        model = of(preprocess, graph)
        pixels = model.fit(picture, orientation, wanted.size)
        assert np.array_equal(pixels, wanted.ravel())
        found = model.normalise(pixels)
        images = wanted[np.newaxis]
        expected = preprocess.apply(images) if graph == FLOATS else preprocess.ordered(images)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_photos(fit: Literal["crop", "pad", "stretch"]) -> None:
    """As large and as narrow as pictures come."""
    preprocess = Preprocess(3, 64, 96, 255, (0.5,) * 3, (0.5,) * 3, fit=fit)
    model = of(preprocess)
    rng = np.random.default_rng(0)
    for shape in ((600, 800), (2, 20000), (20000, 2), (64, 96), (1, 1)):
        picture = rng.integers(0, 256, (*shape, 3), np.uint8)
        wanted = preprocess.fitted(Raster.of_array(picture))
        assert np.array_equal(model.fit(picture, 1, wanted.size), wanted.ravel())


def test_files_that_do_not_say_how_pictures_fit() -> None:
    """They are stretched, as on pages for browsers."""
    preprocess = Preprocess(3, 4, 6, 255, (0.5,) * 3, (0.5,) * 3)
    picture = np.random.default_rng(0).integers(0, 256, (9, 5, 3), np.uint8)
    found = of(preprocess).fit(picture, 1, 4 * 6 * 3)
    assert np.array_equal(found, preprocess.fitted(Raster.of_array(picture)).ravel())


SAID = Preprocess(3, 4, 6, 200, (0.5,) * 3, (0.5,) * 3, fit="crop").to_json()


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [
        (None, "does not say how pictures become its input"),
        ({"shape": [3, 4, 6], "mean": [0], "std": [1]}, "takes numbers, not pictures"),
        (SAID | {"sound": {}}, "takes recordings, not pictures"),
        (SAID | {"height": 5}, "does not fit its input"),
        (SAID | {"channels": 1}, "does not fit its input"),
        (SAID | {"width": "6"}, "is damaged, or of a newer version"),
        (SAID | {"width": 6.5}, "is damaged, or of a newer version"),
        (SAID | {"fit": "zoom"}, "is damaged, or of a newer version"),
        (SAID | {"order": "gbr"}, "is damaged, or of a newer version"),
        (SAID | {"interpolation": "cubic"}, "is damaged, or of a newer version"),
        (SAID | {"pixel_max": 256}, "is damaged, or of a newer version"),
    ],
)
def test_what_the_metadata_cannot_say(preprocess: dict[str, Any] | None, message: str) -> None:
    model = described(preprocess)
    with pytest.raises(NativeError, match=message):
        model.fit(np.zeros((2, 2, 3), np.uint8), 1, 72)
    with pytest.raises(NativeError, match=message):
        model.normalise(np.zeros(72, np.uint8))


def test_what_callers_cannot_give() -> None:
    model = described(SAID)
    with pytest.raises(NativeError, match="an image of pixels takes 72 bytes, not 71"):
        model.fit(np.zeros((2, 2, 3), np.uint8), 1, 71)
    for shape in ((2, 0, 3), (2, 2, 5), (2, 65537, 1)):
        with pytest.raises(NativeError, match="sides of 1 to 65536, and 1 to 4 bytes"):
            model.fit(np.zeros(shape, np.uint8), 1, 72)
    with pytest.raises(NativeError, match="an input takes 288 bytes, not 284"):
        model.normalise(np.zeros(71, np.uint8))
    with pytest.raises(NativeError, match="a pixel is 201, and the model's largest 200"):
        model.normalise(np.full(72, 201, np.uint8))
    for key in ("mean", "std"):
        damaged = described(SAID | {key: [0.5, 0.5]})
        with pytest.raises(NativeError, match="mean or std cannot be read"):
            damaged.normalise(np.zeros(72, np.uint8))
    two = described(SAID | {"channels": 2, "mean": [0] * 2, "std": [1] * 2}, shape=(2, 4, 6))
    with pytest.raises(NativeError, match="neither grey nor colour"):
        two.fit(np.zeros((2, 2, 3), np.uint8), 1, 48)
    assert two.normalise(np.full(48, 200, np.uint8)).tolist() == [1] * 48


@pytest.mark.parametrize("plain", [True, False], ids=["utf-8", "escaped"])
def test_names_of_classes(plain: bool) -> None:
    """Behind keys and texts that only look like them; whatever JSON they are written as."""
    names = [*(name for name in NASTY if "\0" not in name and name.isprintable()), "😀", 'a\n"\\']
    said = {"config": {"classes": ["no"]}, "note": '"classes": ["no"]', "classes": names}
    proto = onnx.parser.parse_model(FLOATS.format(c=3, h=4, w=6))
    onnx.helper.set_model_props(proto, {"sbn": json.dumps(said, ensure_ascii=not plain, indent=1)})
    model = Model(proto.SerializeToString())
    assert [model.class_name(i, 5000) for i in range(len(names))] == names
    for index in (len(names), 2**63):
        with pytest.raises(NativeError, match="no name of such a class"):
            model.class_name(index)
    with pytest.raises(NativeError, match="no name of such a class"):
        described(None).class_name(0)


def test_names_end_at_a_whole_letter() -> None:
    model = described(None, classes=["aéé"])
    assert [model.class_name(0, size) for size in range(1, 7)] == ["", "a", "a", "aé", "aé", "aéé"]


@pytest.mark.parametrize("noise", [False, True])
def test_calibrated_probabilities(noise: bool, tmp_path: Path) -> None:
    """Of one network, and of counts below, between and above those that were measured."""
    kind = StochasticClassifier if noise else Classifier
    path = calibrated(kind.random().write(tmp_path / "model.onnx"))
    session, model = Session(path, threads=1), Model(path)
    images = session.preprocess(random_images(20))
    assert session.calibration is not None
    for samples in (0, 1, 2, 3, 7, 40) if noise else (0,):
        own = {"samples": samples} if samples else {}
        raw = session.run(images, **own)["probabilities"]
        networks = (samples or session.metadata["samples"]) if noise else 1
        networks *= session.metadata.get("members", 1)
        wanted = session.calibration.probabilities(raw.astype(np.float64), networks)
        for row, expected in zip(raw, wanted, strict=True):
            np.testing.assert_allclose(model.calibrate(row, samples), expected, rtol=2e-7)


def test_probabilities_of_zero_and_one() -> None:
    said = json.loads(json.dumps(calibration().__dict__, default=_plain))
    said["temperatures"] = [0.001, 1, 1]
    model = described(None, calibration=said)
    found = model.calibrate(np.array([0, 1, 0], np.float32), 1)
    assert found.tolist() == [0, 1, 0]


def test_without_a_calibration_nothing_changes() -> None:
    given = np.array([0.2, 0.8], np.float32)
    assert np.array_equal(described(None).calibrate(given, 0), given)


@pytest.mark.parametrize(
    "damage",
    [
        {"task": "regression"}, {"offsets": [0, 0]}, {"networks": []}, {"networks": [0, 2, 8]},
        {"temperatures": [0, 1, 1]}, {"temperatures": ["a", 1, 1]}, {"temperatures": []},
    ],
)  # fmt: skip
def test_a_damaged_calibration(damage: dict[str, Any]) -> None:
    said = json.loads(json.dumps(calibration().__dict__, default=_plain)) | damage
    with pytest.raises(NativeError, match="calibration is damaged"):
        described(None, calibration=said).calibrate(np.full(3, 0.3, np.float32), 1)


@pytest.mark.parametrize("samples", [-1, 65537])
def test_counts_of_samples_that_cannot_be(samples: int) -> None:
    said = json.loads(json.dumps(calibration().__dict__, default=_plain))
    with pytest.raises(NativeError, match="samples must be 1 to 65536"):
        described(None, calibration=said).calibrate(np.full(3, 0.3, np.float32), samples)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value.__dict__


@pytest.mark.parametrize("text", ["", "{", "[1", '{"preprocess": {'])
def test_metadata_that_are_no_json(text: str) -> None:
    proto = onnx.parser.parse_model(FLOATS.format(c=3, h=4, w=6))
    onnx.helper.set_model_props(proto, {"sbn": text})
    model = Model(proto.SerializeToString())
    with pytest.raises(NativeError):
        model.fit(np.zeros((2, 2, 3), np.uint8), 1, 72)
    with pytest.raises(NativeError):
        model.class_name(0)
    assert model.calibrate(np.ones(1, np.float32), 0).tolist() == [1]
