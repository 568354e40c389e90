"""`digits`: the 8x8 images bundled with scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import Dataset, Split
from sbn_runtime.errors import MissingDependencyError
from sbn_runtime.preprocess import Preprocess


def load(split: Split) -> Dataset:
    """80 % train and 20 % test, stratified and reproducible; validation is a fifth of train.

    Raises:
        MissingDependencyError: scikit-learn is missing.
    """
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
    whole = Dataset(
        name="digits",
        images=digits.images.astype(np.uint8)[..., np.newaxis],
        labels=labels,
        classes=tuple(str(name) for name in digits.target_names),
        # x / 8 - 1: multiples of 1/8 in [-1, 1], exact in float32.
        preprocess=Preprocess(1, 8, 8, pixel_max=16, mean=(0.5,), std=(0.5,)),
    )
    return replace(
        whole.take(chosen[split]),
        divided="20 % for testing, at random and of each class; 20 % of the rest for validation",
    )
