"""Recordings become a network's input, and answers, in JavaScript as in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbn_runtime import Listener, Session
from sbn_runtime.sound import LogMel, read_wav, resampled

from ..once import once
from ..runtime.test_sound import wav
from ..sounds import RATE, network, recording
from ..sounds import tone as tone_of
from .node import Job, WebError, call, needs_node, needs_wasm

pytestmark = [needs_node]
SMALL = LogMel(window=64, hop=24, bands=6, frames=9)
ODD = LogMel(rate=11_025, window=51, hop=70, bands=3, low=0, high=5512.5, frames=4)


def answers(name: str, calls: list[tuple[Any, ...]]) -> list[Any]:
    (found,) = call(Job(module="sound.js", calls=[(name, given) for given in calls]))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "web-sounds", lambda f: network(f / "model.onnx")) / "model.onnx"


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_files_are_read_as_in_python(width: int, channels: int) -> None:
    half = 2 ** (8 * width - 1)
    rng = np.random.default_rng(width)
    values = rng.integers(-half, half, 7 * channels)
    file = wav(values + half * (width == 1), rate=RATE, width=width, channels=channels)
    (found,) = answers("readWav", [(file,)])
    assert found["rate"] == RATE
    np.testing.assert_array_equal(found["samples"], read_wav(file, RATE))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"", "it is no WAV file"),
        (b"RIFF0000WAVE", "it holds no samples"),
        (wav(np.arange(4))[:44], "it holds no samples"),
        (wav(np.arange(4))[:30], "it is cut off"),
        (wav(np.arange(4)).replace(b"fmt \x10\0\0\0\1", b"fmt \x10\0\0\0\3"), "the format 3"),
        (wav(np.arange(4)).replace(b"\x10\0data", b"\x28\0data"), "40 bits"),
        (wav(np.arange(4)).replace(b"fmt ", b"none"), "samples come before"),
    ],
)
def test_files_that_cannot_be_read(file: bytes, message: str) -> None:
    (error,) = answers("readWav", [(file,)])
    assert isinstance(error, WebError)
    assert str(error).startswith("SbnError: not a readable sound: ")
    assert message in str(error)


@pytest.mark.parametrize("have", [8000, 16_000, 48_000, 44_100, 11_025, 6000])
def test_rates(have: int) -> None:
    rng = np.random.default_rng(have)
    for size in (1, 10, 777):
        audio = rng.uniform(-1, 1, size)
        (found,) = answers("resampled", [(audio, have, 8000)])
        wanted = resampled(audio, have, 8000)
        assert len(found) == len(wanted)
        np.testing.assert_allclose(found, wanted, 0, 1e-13)


@needs_wasm
def test_levels_are_pythons(model: Path) -> None:
    """Short, long, and at other rates: level by level."""
    rng = np.random.default_rng(0)
    session = Session(model, threads=1)
    sizes = [
        (8000, 1),
        (8000, 300),
        (8000, 5000),
        (8000, 30_000),
        (16_000, 12_345),
        (44_100, 30_000),
    ]
    cases = [(rng.normal(0, 0.1, size).clip(-1, 1), rate) for rate, size in sizes]
    cases += [(tone_of(500, 2.0, 48_000, seed), 48_000) for seed in range(3)]
    calls = [("pixels", [{"samples": audio, "rate": rate}]) for audio, rate in cases]
    (found,) = call(Job(model.as_uri(), calls=calls))
    sound = Listener(session).sound
    for (audio, rate), levels in zip(cases, found, strict=True):
        wanted = sound.picture(resampled(audio, rate, sound.rate))
        np.testing.assert_array_equal(levels, wanted.ravel())


@pytest.mark.parametrize("sound", [SMALL, ODD])
def test_any_spectrum(sound: LogMel) -> None:
    audio = np.random.default_rng(1).normal(0, 0.1, 3000)
    (found,) = answers("pictureOf", [(audio, sound.to_json())])
    np.testing.assert_array_equal(found, sound.picture(audio).ravel())


def heard(found: list[Any], wanted: list[Any]) -> None:
    assert [one["seconds"] for one in found] == [one.seconds for one in wanted]
    for one, python in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one["probabilities"], python.probabilities, 0, 1e-6)


@needs_wasm
def test_predictions(model: Path) -> None:
    session = Session(model, threads=1)
    cases = [recording(label, seconds=seconds) for label in (1, 2, 3) for seconds in (0.3, 2.0)]
    calls = [("predict", [{"samples": samples, "rate": RATE}]) for samples in cases]
    (found,) = call(Job(model.as_uri(), calls=calls))
    for samples, answer in zip(cases, found, strict=True):
        probabilities = session.predict_proba(session.preprocess(samples))[0]
        np.testing.assert_allclose(answer["probabilities"], probabilities, 0, 1e-6)
        assert answer["className"] == session.metadata["classes"][probabilities.argmax()]


@needs_wasm
@pytest.mark.parametrize("pieces", [1, 7, 40])
def test_listening(model: Path, pieces: int) -> None:
    """The same answers however the sound is cut, at the model's rate and at a microphone's."""
    samples = np.concatenate([recording(label, seconds=0.8) for label in (1, 3)])
    wanted = Listener(Session(model, threads=1), every=0.2).push(samples)
    parts = [part.astype(np.int16) for part in np.array_split(samples, pieces)]
    (found,) = call(Job(model.as_uri(), calls=[("listen", [{"every": 0.2}, parts])]))
    heard(found[0], wanted)
    high = tone_of(700, 1.5, 48_000, 5)
    wanted = Listener(Session(model, threads=1)).push(resampled(high, 48_000, RATE).clip(-1, 1))
    parts = list(np.array_split(high, pieces))
    (found,) = call(Job(model.as_uri(), calls=[("listen", [{"rate": 48_000}, parts])]))
    assert len(found[0]) in (len(wanted), len(wanted) - 1)  # the filter waits for what follows
    heard(found[0], wanted[: len(found[0])])


def refused(found: Any, message: str) -> None:
    assert isinstance(found, WebError), found
    assert str(found).startswith("SbnError: ")
    assert message in str(found)


@needs_wasm
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the model takes recordings"),
        ({"samples": np.zeros(3, np.int16), "rate": 0}, "the model takes recordings"),
        ({"samples": np.zeros(0, np.int16), "rate": RATE}, "has no samples"),
        ({"samples": np.zeros(3, np.uint8), "rate": RATE}, "samples are an Int16Array"),
        ({"samples": np.full(3, np.nan), "rate": RATE}, "samples must be finite"),
        ({"samples": np.full(3, 1.5, np.float32), "rate": RATE}, "samples must be finite"),
    ],
)
def test_recordings_that_are_none(given: dict[str, Any], message: str, model: Path) -> None:
    ((found,),) = call(Job(model.as_uri(), calls=[("predict", [given])]))
    refused(found, message)


@needs_wasm
@pytest.mark.parametrize(
    ("options", "message"),
    [({"every": 0}, "every must be"), ({"rate": -1}, "rate must be"), ({"samples": 2}, "noise")],
)
def test_listeners_that_are_none(options: dict[str, Any], message: str, model: Path) -> None:
    parts = [np.zeros(8000, np.int16)]
    ((found,),) = call(Job(model.as_uri(), calls=[("listen", [options, parts])]))
    refused(found, message)


def test_a_model_of_pictures_does_not_listen() -> None:
    (found,) = answers("soundOf", [({"height": 8},)])
    refused(found, "the model takes no sounds")
    (found,) = answers("soundOf", [({"sound": LogMel().to_json() | {"hop": 0}},)])
    refused(found, "impossible")
