"""Labelled images with their normalisation, split into train, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sbn_runtime.errors import ConfigError, MissingDependencyError
from sbn_runtime.preprocess import Preprocess

__all__ = ["Dataset", "Preprocess", "Split", "load", "names"]

Split = Literal["train", "validation", "test", "train+validation"]


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


def names() -> tuple[str, ...]:
    """What `load` accepts."""
    return ("digits",)


def load(spec: str, split: Split) -> Dataset:
    """One split of a data set.

    `digits`: the 1797 8x8 images bundled with scikit-learn, 80 % train and 20 %
    test, stratified and always the same; validation is a fifth of train.
    "train" is what is left of it; "train+validation" is all of it.

    Raises:
        ConfigError: unknown data set or split.
        MissingDependencyError: a package that the data set needs is missing.
    """
    if split not in get_args(Split):
        raise ConfigError(f"unknown split {split!r}; choose one of {', '.join(get_args(Split))}")
    if spec != "digits":
        raise ConfigError(f"unknown data set {spec!r}; choose one of {', '.join(names())}")
    return _digits(split)


def _digits(split: Split) -> Dataset:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingDependencyError(
            "the digits come with scikit-learn; install it with `pip install sbn-deploy[train]`"
        ) from error

    digits = load_digits()
    labels = digits.target.astype(np.int64)

    def divide(indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        parts: list[NDArray[np.int64]] = train_test_split(
            indices, test_size=0.2, random_state=0, stratify=labels[indices]
        )
        return parts

    both, test = divide(np.arange(len(labels)))
    train, validation = divide(both)
    chosen = {"train": train, "validation": validation, "test": test, "train+validation": both}
    indices = chosen[split]
    return Dataset(
        name="digits",
        images=digits.images[indices].astype(np.uint8)[..., np.newaxis],
        labels=labels[indices],
        classes=tuple(str(name) for name in digits.target_names),
        # x / 8 - 1: multiples of 1/8 in [-1, 1], exact in float32.
        preprocess=Preprocess(1, 8, 8, pixel_max=16, mean=(0.5,), std=(0.5,)),
    )
