"""From a recording to the 8-bit picture of its log-mel spectrum that a network takes.

docs/sound.md defines every step.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import gcd, isfinite
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, ModelError, reason

Audio = NDArray[np.float64]
SUFFIXES = (".wav",)
LONGEST_S = 3600
"""Of one recording."""
LARGEST = 1 << 16
"""Sizes in samples, bands and frames, and rates up to ten times as much."""
QUIETEST = 1e-10
"""Power below it counts as this: -100 dB."""
CHUNK = 4096
"""Frames that are transformed at once."""
LOBES = 16
"""Zero crossings of the resampling filter on each side."""
KAISER = 8.0


@dataclass(frozen=True)
class LogMel:
    """The spectrum of a recording in frames, as levels from 0 to 255.

    Frame k holds the samples from k hop on, `window` of them, weighted by a periodic Hann
    window. Its power spectrum, divided by the sum of the squared weights, is summed in `bands`
    triangles on the mel scale 2595 log10(1 + f / 700); decibels from `quietest` to `loudest`
    become levels 0 to 255.

    Attributes:
        rate: samples per second.
        window, hop: in samples.
        bands: triangles, from `low` to `high` Hz.
        frames: of the picture.
        quietest, loudest: in dB, of samples in [-1, 1].
    """

    rate: int = 8000
    window: int = 256
    hop: int = 128
    bands: int = 32
    low: float = 60.0
    high: float = 3800.0
    frames: int = 64
    quietest: float = -80.0
    loudest: float = -5.0

    @property
    def samples(self) -> int:
        """Of a recording that fills the picture."""
        return (self.frames - 1) * self.hop + self.window

    def picture(self, audio: Audio) -> NDArray[np.uint8]:
        """The levels of a recording, uint8 [bands, frames, 1], the lowest band first.

        A shorter one is followed by silence; of a longer one the frames around its greatest
        power are taken, the first of equals.

        Args:
            audio: float64 [samples] at `rate`, in [-1, 1].
        """
        powers = self.powers(audio)
        count = powers.shape[1]
        if count > self.frames:
            sums = np.concatenate([[0.0], np.cumsum(powers.sum(axis=0))])
            start = int(np.argmax(sums[self.frames :] - sums[: count - self.frames + 1]))
            powers = powers[:, start : start + self.frames]
        levels = np.zeros((self.bands, self.frames, 1), np.uint8)
        levels[:, : powers.shape[1], 0] = self.levels(powers)
        return levels

    def picture_of(self, source: Path | bytes) -> NDArray[np.uint8]:
        """The `picture` of a WAV file. Raises InputError as `read_wav`."""
        return self.picture(read_wav(source, self.rate))

    def powers(self, audio: Audio) -> Audio:
        """Power by band and frame, float64 [bands, frames]: every frame that begins in `audio`.

        The last ones are filled up with silence; there is one at least.
        """
        count = max(1, -(-(len(audio) - self.window) // self.hop) + 1)
        padded = np.zeros((count - 1) * self.hop + self.window)
        padded[: len(audio)] = audio[: len(padded)]
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        found = np.empty((self.bands, count))
        for start in range(0, count, CHUNK):
            spectrum = np.abs(np.fft.rfft(frames[start : start + CHUNK] * self._weights)) ** 2
            found[:, start : start + CHUNK] = self._triangles @ spectrum.T
        found /= (self._weights**2).sum()
        return found

    def levels(self, powers: Audio) -> NDArray[np.uint8]:
        """Levels of powers, any shape."""
        decibels = 10 * np.log10(np.maximum(powers, QUIETEST))
        scaled = (decibels - self.quietest) / (self.loudest - self.quietest) * 255
        levels: NDArray[np.uint8] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        return levels

    @cached_property
    def _weights(self) -> Audio:
        weights: Audio = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        return weights

    @cached_property
    def _triangles(self) -> Audio:
        """[bands, window // 2 + 1]; each is 1 at its peak and 0 at the peaks of its neighbours."""
        low, high = (2595 * np.log10(1 + f / 700) for f in (self.low, self.high))
        peaks = 700 * (10 ** (np.linspace(low, high, self.bands + 2) / 2595) - 1)
        hertz = np.arange(self.window // 2 + 1) * (self.rate / self.window)
        left, middle, right = (peaks[i : i + self.bands, np.newaxis] for i in range(3))
        rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
        triangles: Audio = np.maximum(0, np.minimum(rising, falling))
        return triangles

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Any) -> LogMel:
        """The inverse of `to_json`. Raises ModelError on missing or impossible fields."""
        try:
            if not isinstance(fields, Mapping) or fields.keys() != cls().to_json().keys():
                raise TypeError(fields)
            kinds = {name: type(value) for name, value in cls().to_json().items()}
            given: dict[str, Any] = {
                name: index(fields[name]) if kind is int else float(fields[name])
                for name, kind in kinds.items()
            }
            self = cls(**given)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"description of the sound is damaged: {error!r}") from error
        sizes = (self.window, self.hop, self.bands, self.frames)
        if not (
            all(0 < size <= LARGEST for size in sizes)
            and self.bands * max(self.frames, self.window) <= 1 << 22
            and self.frames * self.hop <= 1 << 22
            and 0 < self.rate <= 10 * LARGEST
            and 0 <= self.low < self.high <= self.rate / 2
            and isfinite(self.quietest)
            and isfinite(self.loudest)
            and self.quietest < self.loudest
            and self.window > 1
        ):
            raise ModelError(f"description of the sound is impossible: {dict(fields)}")
        return self


def read_wav(source: Path | bytes, rate: int) -> Audio:
    """A recording as float64 [samples] in [-1, 1] at `rate`, its channels averaged.

    Raises:
        InputError: not a readable file of whole-number PCM samples, or longer than `LONGEST_S`;
            the file is not named.
    """
    try:
        with wave.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as file:
            have, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            count = file.getnframes()
            if have < 1 or have > 10 * LARGEST:
                raise ValueError(f"it has {have} samples a second")
            if count > LONGEST_S * have:
                raise ValueError(f"it is longer than {LONGEST_S:,} s; cut it")
            data = file.readframes(count)
    except Exception as error:
        raise InputError(
            f"not a readable sound: {reason(error)}; give WAV files with whole-number (PCM) samples"
        ) from error
    data = data[: len(data) // (channels * width) * (channels * width)]
    if not data:
        raise InputError("not a readable sound: it holds no samples")
    return resampled(_numbers(data, width).reshape(-1, channels).mean(axis=1), have, rate)


def as_audio(samples: Any) -> Audio:
    """Samples of one recording [samples]: int16, or floats in [-1, 1].

    Raises InputError for anything else.
    """
    if not isinstance(samples, np.ndarray) or samples.ndim != 1 or not samples.size:
        raise InputError("a recording is a numpy array [samples] with one sample at least")
    if samples.dtype == np.int16:
        return samples / 32768.0
    if samples.dtype.kind != "f":
        raise InputError(f"samples must be int16, or floats in [-1, 1]; these are {samples.dtype}")
    audio = samples.astype(np.float64)
    if not np.isfinite(audio).all() or np.abs(audio).max() > 1:
        raise InputError("samples must be finite, and floats in [-1, 1]; divide int16 by 32768")
    return audio


def resampled(audio: Audio, have: int, want: int) -> Audio:
    """A recording at another rate, by a windowed sinc (Kaiser, 16 lobes) below both limits.

    Args:
        audio: float64 [samples] at `have` samples per second.

    Returns:
        float64 [ceil(samples want / have)] at `want`.
    """
    if have == want:
        return audio
    step = gcd(have, want)
    up, down = want // step, have // step
    # One lobe is so many samples of the recording.
    lobe = max(1.0, down / up)
    reach = int(np.ceil(LOBES * lobe))
    count = -(-len(audio) * up // down)
    padded = np.concatenate([np.zeros(reach), audio, np.zeros(reach + 1)])
    result = np.zeros(count)
    for phase in range(min(up, count)):
        # Outputs of one phase lie alike between the samples of the recording.
        places = np.arange(phase, count, up)
        whole, rest = np.divmod(places * down, up)
        distance = np.arange(-reach, reach + 2) - rest[0] / up
        weights = np.sinc(distance / lobe) / lobe * _kaiser(distance / (LOBES * lobe))
        rows = whole[:, np.newaxis] + np.arange(2 * reach + 2)
        result[phase::up] = padded[np.minimum(rows, len(padded) - 1)] @ weights
    return result


def _kaiser(place: Audio) -> Audio:
    """The window at places from -1 to 1; 0 beyond."""
    inside = np.sqrt(np.maximum(0, 1 - place**2))
    return np.where(np.abs(place) < 1, np.i0(KAISER * inside) / np.i0(KAISER), 0.0)


def _numbers(data: bytes, width: int) -> Audio:
    """PCM samples in [-1, 1)."""
    if width == 1:
        return (np.frombuffer(data, np.uint8) - 128.0) / 128
    if width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        joined = parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24
        return joined / 2.0**31
    if width not in (2, 4):
        raise InputError(f"not a readable sound: its samples have {8 * width} bits")
    return np.frombuffer(data, f"<i{width}") / 2.0 ** (8 * width - 1)
