"""Checks of users' input against what a model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Feeds = Mapping[str, NDArray[Any]]
"""Arrays by the names of a model's inputs."""
Given = NDArray[Any] | Feeds
"""An array, or arrays by the names of a model's inputs."""


class TensorInfo(NamedTuple):
    """One input or output: a dimension is a size, a name, or None when unknown."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


def as_feeds(given: Given, inputs: Sequence[TensorInfo]) -> dict[str, NDArray[Any]]:
    """The arrays by the names of the inputs.

    Raises InputError for a missing or unknown input, another dtype or shape, NaN or infinity, an
    empty batch, and batches of different sizes.
    """
    if isinstance(given, np.ndarray) or not isinstance(given, Mapping):
        if len(inputs) > 1:
            listed = _listed([node.name for node in inputs])
            raise InputError(f"the model has several inputs; give a dictionary with {listed}")
        _check(given, inputs[0], "input")
        return {inputs[0].name: given}
    names = [node.name for node in inputs]
    if given.keys() != set(names):
        raise InputError(
            f"the model's inputs are {_listed(names)}; given were {_listed(given) or 'none'}"
        )
    feeds = {name: given[name] for name in names}
    for node in inputs:
        _check(feeds[node.name], node, f"input {node.name!r}")
    batch = inputs[0].shape[:1]
    if batch and isinstance(batch[0], str):
        sizes = {n.name: len(feeds[n.name]) for n in inputs if n.shape[:1] == batch}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise InputError(f"the inputs must have the same batch size: {counts}")
    return feeds


def _check(x: Any, expected: TensorInfo, what: str) -> None:
    if not isinstance(x, np.ndarray):
        raise InputError(f"{what} must be a numpy array, this is {type(x).__name__}")
    if x.dtype != expected.dtype:
        raise InputError(
            f"{what} must be {expected.dtype}, this is {x.dtype}; {_remedy(x, expected)}"
        )
    if not _fits(x.shape, expected.shape):
        wanted = ", ".join("?" if size is None else str(size) for size in expected.shape)
        raise InputError(f"{what} must have shape [{wanted}], this has {list(x.shape)}")
    if not x.size:
        raise InputError(f"{what} is empty: shape {list(x.shape)}")
    if x.dtype.kind == "f":
        # Both are NaN if any number is.
        least, largest = np.minimum.reduce(x, axis=None), np.maximum.reduce(x, axis=None)
        if not (isfinite(least) and isfinite(largest)):
            raise InputError(f"{what} contains {'NaN' if isnan(least) else 'infinity'}")


def _fits(shape: tuple[int, ...], expected: tuple[int | str | None, ...]) -> bool:
    if len(shape) != len(expected):
        return False
    # Each comparison is a good part of a small layer, hence no generator.
    for size, want in zip(shape, expected, strict=True):
        if size != want and isinstance(want, int):
            return False
    return True


def _remedy(x: NDArray[Any], expected: TensorInfo) -> str:
    if x.dtype == np.uint8:
        return "turn images into input with session.preprocess(images)"
    if expected.dtype == "uint8":
        return (
            "the model takes the pixels of images as they are, uint8 [N, H, W, C], not normalised"
            " numbers"
        )
    return f"convert it with x.astype(numpy.{expected.dtype})"


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names))
