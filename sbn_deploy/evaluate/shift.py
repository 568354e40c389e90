"""Shifted versions of a data set, on which a model should be less confident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data import Dataset
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess

Pixels = NDArray[np.float64]


def noise(images: Pixels, strength: float) -> Pixels:
    """Adds normal noise of that standard deviation, always the same."""
    return images + np.random.default_rng(0).normal(0, strength, images.shape)


def blur(images: Pixels, strength: float) -> Pixels:
    """Convolves with a Gaussian whose standard deviation is that share of the width."""

    def kernel(size: int) -> Pixels:
        distances = np.subtract.outer(np.arange(size), np.arange(size))
        weights = np.exp(-(distances**2) / (2 * max(strength * images.shape[2], 1e-3) ** 2))
        normalised: Pixels = weights / weights.sum(axis=1, keepdims=True)
        return normalised

    _, height, width, _ = images.shape
    down, across = kernel(height), kernel(width)
    blurred: Pixels = np.einsum("yi,xj,nijc->nyxc", down, across, images, optimize=True)
    return blurred


def rotate(images: Pixels, strength: float) -> Pixels:
    """Turns by that share of a full turn about the centre, nearest pixel, border repeated."""
    _, height, width, _ = images.shape
    angle = 2 * np.pi * strength
    y, x = np.mgrid[:height, :width].astype(np.float64)
    dy, dx = y - (height - 1) / 2, x - (width - 1) / 2
    source_y = dy * np.cos(angle) - dx * np.sin(angle) + (height - 1) / 2
    source_x = dy * np.sin(angle) + dx * np.cos(angle) + (width - 1) / 2
    row = np.clip(np.rint(source_y), 0, height - 1).astype(np.int64)
    column = np.clip(np.rint(source_x), 0, width - 1).astype(np.int64)
    rotated: Pixels = images[:, row, column]
    return rotated


def contrast(images: Pixels, strength: float) -> Pixels:
    """Takes that share of the contrast away: each image moves to its mean."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    flat: Pixels = mean + (images - mean) * (1 - strength)
    return flat


SHIFTS: dict[str, tuple[Callable[[Pixels, float], Pixels], float]] = {
    "noise": (noise, 0.3),
    "blur": (blur, 0.1),
    "rotate": (rotate, 0.25),
    "contrast": (contrast, 0.7),
}
"""Each shift with its usual strength, as parts of the pixel range, width, turn, contrast."""


def shifted(dataset: Dataset, spec: str) -> Dataset:
    """The data set with one of `SHIFTS` applied: NAME or NAME:STRENGTH, 0 to 1.

    Deterministic. Pixels keep their range and are rounded to whole values.

    Raises:
        ConfigError: unknown shift, or a strength that is not a number from 0 to 1.
    """
    name, _, text = spec.partition(":")
    if name not in SHIFTS:
        raise ConfigError(f"unknown shift {name!r}; choose one of {', '.join(SHIFTS)}")
    apply, strength = SHIFTS[name]
    if text:
        try:
            strength = float(text)
        except ValueError:
            strength = -1.0
        if not 0 <= strength <= 1:
            raise ConfigError(f"strength of shift {spec!r} must be a number from 0 to 1")
    if not isinstance(dataset.preprocess, Preprocess):
        raise ConfigError(
            f"{dataset.name} has no images to shift; give out-of-distribution images with --ood"
        )
    brightest = dataset.preprocess.pixel_max
    pixels = apply(dataset.images / brightest, strength)
    images = np.rint(np.clip(pixels, 0, 1) * brightest).astype(np.uint8)
    return replace(dataset, name=f"{dataset.name}, {name} {strength:g}", images=images)
