"""What scikit-learn brings along: 8x8 images of digits, and tables of numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sbn_deploy.data.dataset import Dataset, Split, standardize
from sbn_runtime.errors import MissingDependencyError
from sbn_runtime.preprocess import Preprocess
from sbn_runtime.tasks import CLASSIFICATION

TABLES = ("diabetes", "breast-cancer", "wine")
NAMES = ("digits", *TABLES)


def load(name: str, split: Split) -> Dataset:
    """80 % train and 20 % test, at random from a fixed seed; validation is a fifth of train.

    Classes have the same shares in all parts. Features of tables are standardised by what is not
    for testing.

    Raises:
        MissingDependencyError: scikit-learn is missing.
    """
    try:
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} comes with scikit-learn; install it with `pip install sbn-deploy[train]`"
        ) from error
    whole = _table(name) if name in TABLES else _digits()
    by_class = whole.task == CLASSIFICATION

    def divide(indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        strata = whole.labels[indices] if by_class else None
        parts: list[NDArray[np.int64]] = train_test_split(
            indices, test_size=0.2, random_state=0, stratify=strata
        )
        return parts

    both, test = divide(np.arange(len(whole)))
    train, validation = divide(both)
    chosen = {"train": train, "validation": validation, "test": test, "train+validation": both}
    if name in TABLES:
        features = whole.preprocess.features  # type: ignore[union-attr]
        whole = replace(whole, preprocess=standardize(whole.images[both], features))
    how = "at random and of each class" if by_class else "at random"
    return replace(
        whole.take(chosen[split]),
        divided=f"20 % for testing, {how}; 20 % of the rest for validation",
    )


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    found = load_digits()
    return Dataset(
        name="digits",
        images=found.images.astype(np.uint8)[..., np.newaxis],
        labels=found.target.astype(np.int64),
        classes=tuple(str(name) for name in found.target_names),
        # x / 8 - 1: multiples of 1/8 in [-1, 1], exact in float32.
        preprocess=Preprocess(1, 8, 8, pixel_max=16, mean=(0.5,), std=(0.5,)),
    )


def _table(name: str) -> Dataset:
    """All rows in the units of their source, with the names of columns and classes."""
    from sklearn import datasets

    numeric = name == "diabetes"
    found = {
        "diabetes": lambda: datasets.load_diabetes(scaled=False),
        "breast-cancer": datasets.load_breast_cancer,
        "wine": datasets.load_wine,
    }[name]()
    rows = found.data.astype(np.float32)
    return Dataset(
        name=name,
        images=rows,
        labels=found.target.astype(np.float32 if numeric else np.int64),
        classes=() if numeric else tuple(map(str, found.target_names)),
        preprocess=standardize(rows, tuple(map(str, found.feature_names))),
        task="regression" if numeric else CLASSIFICATION,
    )
