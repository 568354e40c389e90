"""Labelled images with their normalisation, and how a list of them is split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess

Split = Literal["train", "validation", "test", "train+validation"]

VALIDATION_EVERY = 10
TEST_EVERY = 5


@dataclass(frozen=True)
class Dataset:
    """Images uint8 [N, H, W, C] and labels int64 [N], indices into `classes`."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    preprocess: Preprocess

    def __len__(self) -> int:
        return len(self.labels)

    def inputs(self) -> NDArray[np.float32]:
        """Normalised images, float32 [N, C, H, W]."""
        return self.preprocess.apply(self.images)

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """The images and labels at `indices`."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


def eight_bit(
    name: str,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    classes: Sequence[str],
) -> Dataset:
    """A data set of 8-bit images, normalised to x = (2 pixel - 255) / 255 in [-1, 1].

    Args:
        images: uint8 [N, H, W, C].
        labels: [N], each from 0 to len(classes) - 1.

    Raises:
        ConfigError: no images, as many labels as images are missing, or a
            label out of range.
    """
    count, height, width, channels = images.shape
    if count == 0:
        raise ConfigError(f"{name} holds no images; give a data set with some")
    if labels.shape != (count,):
        raise ConfigError(
            f"{name} has {count} images but labels of shape {labels.shape}; "
            "it needs one label for each image"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        wrong = int(np.flatnonzero((labels < 0) | (labels >= len(classes)))[0])
        raise ConfigError(
            f"{name}: image {wrong} has label {labels[wrong]}; with {len(classes)} classes "
            f"labels go from 0 to {len(classes) - 1}"
        )
    half = (0.5,) * channels
    return Dataset(
        name,
        images,
        labels.astype(np.int64),
        tuple(classes),
        Preprocess(channels, height, width, pixel_max=255, mean=half, std=half),
    )


def every(labels: NDArray[np.int64], period: int) -> NDArray[np.bool_]:
    """Marks each `period`-th image of every class, in the order of the images [N]."""
    marked = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        marked[np.flatnonzero(labels == label)[period - 1 :: period]] = True
    return marked


def of_training_part(part: Dataset, split: Split) -> Dataset:
    """Train, validation, or both, from the images that are not for testing.

    Each tenth image of every class is for validation.
    """
    if split == "train+validation":
        return part
    held_out = every(part.labels, VALIDATION_EVERY)
    return part.take(np.flatnonzero(held_out if split == "validation" else ~held_out))


def of_whole(whole: Dataset, split: Split) -> Dataset:
    """Any split of a data set that has no test part of its own.

    Each fifth image of every class is for testing.
    """
    held_out = every(whole.labels, TEST_EVERY)
    if split == "test":
        return whole.take(np.flatnonzero(held_out))
    return of_training_part(whole.take(np.flatnonzero(~held_out)), split)
