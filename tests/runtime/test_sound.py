"""Recordings: read, resampled, turned into pictures, listened to."""

from __future__ import annotations

import contextlib
import io
import math
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_runtime.errors import InputError, ModelError
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.sound import QUIETEST, LogMel, as_audio, read_wav, resampled

SMALL = LogMel(window=64, hop=24, bands=6, frames=9)


def wav(
    samples: NDArray[np.int64], *, rate: int = 8000, width: int = 2, channels: int = 1
) -> bytes:
    """Whole numbers of `width` bytes as a file; of one byte they are unsigned."""
    data = samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width]
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(np.ascontiguousarray(data).tobytes())
    return file.getvalue()


def decibels_by_definition(audio: NDArray[np.float64], sound: LogMel, frame: int) -> list[float]:
    """Each step as it is written down, in plain Python."""
    size = sound.window
    weights = [0.5 - 0.5 * math.cos(2 * math.pi * n / size) for n in range(size)]
    begin = frame * sound.hop
    cut = [audio[begin + n] if begin + n < len(audio) else 0.0 for n in range(size)]
    powers = []
    for k in range(size // 2 + 1):
        angle = 2 * math.pi * k / size
        real = sum(cut[n] * weights[n] * math.cos(angle * n) for n in range(size))
        imaginary = sum(cut[n] * weights[n] * math.sin(angle * n) for n in range(size))
        powers.append((real**2 + imaginary**2) / sum(w**2 for w in weights))
    low, high = (2595 * math.log10(1 + f / 700) for f in (sound.low, sound.high))
    peaks = [
        700 * (10 ** ((low + (high - low) * i / (sound.bands + 1)) / 2595) - 1)
        for i in range(sound.bands + 2)
    ]
    found = []
    for left, middle, right in zip(peaks[:-2], peaks[1:-1], peaks[2:], strict=True):
        total = 0.0
        for k, power in enumerate(powers):
            f = k * sound.rate / size
            share = min((f - left) / (middle - left), (right - f) / (right - middle))
            total += max(0.0, share) * power
        found.append(10 * math.log10(max(total, QUIETEST)))
    return found


def test_powers_are_those_of_the_definition() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 301)
    powers = SMALL.powers(audio)
    assert powers.shape == (6, 11)
    for frame in range(powers.shape[1]):
        found = 10 * np.log10(np.maximum(powers[:, frame], QUIETEST))
        np.testing.assert_allclose(found, decibels_by_definition(audio, SMALL, frame), atol=1e-9)


def test_levels_are_decibels() -> None:
    decibels = np.array([-200.0, SMALL.quietest, -42.5, SMALL.loudest, 3.0])
    assert SMALL.levels(10 ** (decibels / 10)).tolist() == [0, 0, 128, 255, 255]


def test_a_short_recording_is_followed_by_silence() -> None:
    picture = SMALL.picture(np.full(70, 0.5))
    assert picture.shape == (6, 9, 1)
    assert picture[:, :2].any()
    assert not picture[:, 2:].any()


def test_the_loudest_part_of_a_long_one_is_taken() -> None:
    rng = np.random.default_rng(1)
    audio = rng.normal(0, 0.001, 4000)
    audio[2400:2600] += rng.normal(0, 0.3, 200)
    picture = SMALL.picture(audio)
    starts = range(0, 4000 - SMALL.samples, SMALL.hop)
    powers = SMALL.powers(audio)
    best = max(range(len(starts)), key=lambda k: powers[:, k : k + 9].sum())
    np.testing.assert_array_equal(picture[..., 0], SMALL.levels(powers[:, best : best + 9]))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 700),
    st.sampled_from([LogMel(), SMALL, LogMel(window=50, hop=70, bands=3, frames=4)]),
)
def test_any_length_makes_a_picture(length: int, sound: LogMel) -> None:
    audio = np.random.default_rng(length).uniform(-1, 1, length)
    assert sound.picture(audio).shape == (sound.bands, sound.frames, 1)
    assert LogMel.from_json(sound.to_json()) == sound


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_every_size(width: int, channels: int) -> None:
    half = 2 ** (8 * width - 1)
    values = np.array([0, half // 2, -half // 2, half - 1, -half, 1])
    stored = values + half if width == 1 else values
    audio = read_wav(wav(stored, width=width, channels=channels), 8000)
    expected = (values / half).reshape(-1, channels).mean(axis=1)
    np.testing.assert_array_equal(audio, expected)


@pytest.mark.parametrize(
    ("have", "want"), [(16000, 8000), (44100, 8000), (48000, 16000), (8000, 11025), (8000, 8000)]
)
def test_tones_keep_their_pitch(have: int, want: int) -> None:
    time = np.arange(have // 4) / have
    found = resampled(np.sin(2 * np.pi * 440 * time), have, want)
    assert len(found) == -(-len(time) * want // have)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(found)) / want)
    middle = slice(200, -200)
    np.testing.assert_allclose(found[middle], expected[middle], atol=1e-4)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    time = np.arange(4000) / 16000
    found = resampled(np.sin(2 * np.pi * 6000 * time), 16000, 8000)
    assert np.abs(found[100:-100]).max() < 1e-3


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"RIFF\x10\0\0\0WAVEfmt ", wav(np.array([], np.int64)), b"\x89PNG" * 20],
)
def test_no_sound(data: bytes) -> None:
    with pytest.raises(InputError, match="not a readable sound"):
        read_wav(data, 8000)


def test_a_file_that_claims_hours() -> None:
    data = bytearray(wav(np.zeros(10, np.int64), rate=1))
    data[40:44] = (2 * 10**6).to_bytes(4, "little")
    with pytest.raises(InputError, match="longer than 3,600 s"):
        read_wav(bytes(data), 8000)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=80), st.integers(0, 60))
def test_damaged_files_are_refused_or_read(noise: bytes, place: int) -> None:
    data = bytearray(wav(np.arange(200)))
    data[place : place + len(noise)] = noise
    with contextlib.suppress(InputError):
        assert np.isfinite(read_wav(bytes(data), 8000)).all()


@pytest.mark.parametrize(
    "samples",
    [
        [0.5],
        np.zeros(0),
        np.zeros((2, 3)),
        np.array([2.0]),
        np.array([np.nan]),
        np.array([1, 2], np.int32),
        np.array(["a"]),
    ],
)
def test_samples_that_are_refused(samples: object) -> None:
    with pytest.raises(InputError):
        as_audio(samples)


@pytest.mark.parametrize(
    "changes",
    [
        {"window": 0},
        {"hop": 1 << 20},
        {"bands": 1 << 16, "window": 1 << 16},
        {"low": 5000.0},
        {"high": float("inf")},
        {"loudest": -80.0},
        {"rate": "fast"},
        {"frames": 2.5},
        {"more": 1},
    ],
)
def test_impossible_descriptions(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="description of the sound is"):
        LogMel.from_json(LogMel().to_json() | changes)


def test_preprocessing_of_sounds_is_kept() -> None:
    sound = LogMel()
    preprocess = Preprocess(1, 32, 64, 255, (0.5,), (0.5,), sound=sound)
    assert Preprocess.from_json(preprocess.to_json()) == preprocess
    assert "sound" not in Preprocess(1, 32, 64, 255, (0.5,), (0.5,)).to_json()
    with pytest.raises(ModelError, match="impossible"):
        Preprocess.from_json(preprocess.to_json() | {"height": 16})


def test_files_are_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(np.arange(100)))
    np.testing.assert_array_equal(read_wav(path, 8000), np.arange(100) / 32768)
