"""Data sets of a NumPy archive whose inputs are numbers, or whose targets are not classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_deploy import tasks
from sbn_deploy.data.dataset import (
    NAMED,
    Dataset,
    Split,
    numbered,
    of_pixels,
    of_training_part,
    of_whole,
    standardize,
)
from sbn_deploy.reading.text import readable_names
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess, Standardize

Arrays = Mapping[str, NDArray[Any]]


def load(arrays: Arrays, path: Path, name: str, split: Split) -> Dataset:
    """One split of an archive.

    It holds `x`, floats [N, F], [N, C, L] or [N, C, H, W], or `images`, uint8 [N, H, W] or
    [N, H, W, C]; and `y`, from which the task follows (`sbn_deploy.tasks.of_targets`). If it
    has them: `test_x` or `test_images` with `test_y`; `classes`, names of classes or labels;
    `features`, names of the columns of `x` [N, F]; `mean` and `std`, [F] or [C], with which `x`
    is standardised. Without these, each feature or channel has a mean of 0 and a standard
    deviation of 1 over what is not for testing.

    Raises:
        ConfigError: the archive holds something else.
    """
    key = "x" if "x" in arrays else "images"
    whole = _part(arrays, path, name, key, "")
    tested = f"test_{key}" in arrays
    if tested:
        test = _part(arrays, path, name, key, "test_")
        if (test.task, test.images.shape[1:]) != (whole.task, whole.images.shape[1:]):
            raise ConfigError(
                f"{path}: test_{key} is {list(test.images.shape)} with targets for {test.task},"
                f" {key} is {list(whole.images.shape)} with targets for {whole.task}"
            )
    training = whole if tested else of_whole(whole, "train+validation")
    preprocess = _preprocess(arrays, path, training)
    classes = _classes(arrays, path, whole)
    if split == "test":
        chosen = test if tested else of_whole(whole, split)
    else:
        chosen = of_training_part(training, split)
    _check_classes(chosen, classes)
    if not len(chosen):
        raise ConfigError(f"{name} holds no images for {split}; give a data set with more")
    return Dataset(name, chosen.images, chosen.labels, classes, preprocess, whole.task)


def _part(arrays: Arrays, path: Path, name: str, key: str, prefix: str) -> Dataset:
    """Inputs and targets, not yet with names and normalisation."""
    for wanted in (prefix + key, f"{prefix}y"):
        if wanted not in arrays:
            raise ConfigError(f"{path} has no array {wanted!r}; it holds {', '.join(arrays)}")
    x, y = arrays[prefix + key], arrays[f"{prefix}y"]
    if key == "x":
        if x.dtype.kind != "f" or x.ndim not in (2, 3, 4) or not x.size:
            raise ConfigError(
                f"{path}: {prefix}x is {x.dtype} {list(x.shape)}; it must be floats [N, F],"
                " [N, C, L] or [N, C, H, W]; 8-bit images are called images"
            )
        with np.errstate(over="ignore"):  # values beyond float32 become infinite and are refused
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            wrong = int(np.argwhere(~np.isfinite(x))[0][0])
            raise ConfigError(f"{path}: {prefix}x[{wrong}] is not finite; remove it")
        shape: tuple[int, ...] = x.shape
    else:
        if x.dtype != np.uint8 or x.ndim not in (3, 4) or not x.size:
            raise ConfigError(
                f"{path}: {prefix}images is {x.dtype} {list(x.shape)};"
                " it must be uint8 [N, H, W] or [N, H, W, C]"
            )
        x = x[..., np.newaxis] if x.ndim == 3 else x
        shape = (len(x), x.shape[3], x.shape[1], x.shape[2])
    y = as_int64(y, f"{path}: {prefix}y") if y.dtype == np.uint64 else y
    task = tasks.of_targets(y, name)
    targets = tasks.find(task).targets(y, shape, name)
    return Dataset(name, x, targets, (), Standardize(x.shape[1:], (), ()), task)


def _preprocess(arrays: Arrays, path: Path, training: Dataset) -> Preprocess | Standardize:
    x = training.images
    if x.dtype == np.uint8:
        _, height, width, channels = x.shape
        return of_pixels(channels, height, width)
    by_default = standardize(x)
    found = {"mean": np.array(by_default.mean), "std": np.array(by_default.std)}
    for key in found.keys() & arrays.keys():
        given = np.asarray(arrays[key])
        wrong = given.dtype.kind not in "fiu" or given.shape != found[key].shape
        if wrong or not np.isfinite(given).all():
            raise ConfigError(
                f"{path}: {key} is {given.dtype} {list(given.shape)}; it must be finite floats"
                f" [{x.shape[1]}], one for each feature or channel"
            )
        found[key] = given.astype(np.float64)
    if found["std"].min() <= 0:
        raise ConfigError(f"{path}: std must be above 0")
    mean, std = tuple(found["mean"].tolist()), tuple(found["std"].tolist())
    return Standardize(x.shape[1:], mean, std, _features(arrays, path, x.shape[1:]))


def _features(arrays: Arrays, path: Path, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The names in the array `features`, if there are any."""
    if "features" not in arrays:
        return ()
    names = readable_names(np.ravel(arrays["features"]).tolist())
    if len(shape) > 1 or len(set(names)) < len(names) or len(names) != shape[0]:
        raise ConfigError(
            f"{path}: features has {len(names)} names, {len(set(names))} of them different, for"
            f" inputs of {list(shape)}; it must hold a name for each column of x [N, F]"
        )
    return names


def _classes(arrays: Arrays, path: Path, whole: Dataset) -> tuple[str, ...]:
    """Names of the classes or labels: the archive's, else numbers."""
    if whole.task not in NAMED:
        return ()
    by_column = whole.task == "multilabel"
    if "classes" not in arrays:
        return numbered(np.arange(whole.labels.shape[1]) if by_column else whole.labels, whole.name)
    names = class_names(arrays, path)
    if by_column and len(names) != whole.labels.shape[1]:
        raise ConfigError(
            f"{path}: classes has {len(names)} names, but y has {whole.labels.shape[1]} labels"
        )
    return names


def class_names(arrays: Arrays, path: Path) -> tuple[str, ...]:
    """The names in the array `classes`. Raises ConfigError if it is not a list of texts."""
    names = arrays["classes"]
    if names.ndim != 1:
        raise ConfigError(
            f"{path}: classes is {names.dtype} {list(names.shape)}; it must be a list of K"
            " names, one for each class"
        )
    return readable_names(names.tolist())


def as_int64(values: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Integers, unchanged. Raises ConfigError, which calls them `name`, if one is too large."""
    largest = int(values.max(initial=0))
    if largest >= 2**63:
        place = ", ".join(map(str, np.argwhere(values == values.max())[0]))
        raise ConfigError(f"{name}[{place}] is {largest}; classes count from 0")
    return values.astype(np.int64)


def _check_classes(part: Dataset, classes: tuple[str, ...]) -> None:
    if part.task in ("classification", "segmentation") and len(part):
        largest = int(part.labels.max())
        if largest >= len(classes):
            raise ConfigError(
                f"{part.name}: a target is {largest}; with {len(classes)} classes they go from 0"
                f" to {len(classes) - 1}"
            )
