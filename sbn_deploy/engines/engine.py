"""A loaded model in whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sbn_runtime import InputError, TensorInfo

Feed = Mapping[str, NDArray[Any]]
"""Arrays by the names of the inputs."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """What results call it; in records that of `engines.table`."""

    @property
    def threads(self) -> int:
        """That share a call; 0 for one on each core."""

    @property
    def inputs(self) -> Sequence[TensorInfo]:
        """Its inputs; sizes that are not numbers are free, the first of them the batch."""

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        """The outputs for a batch, by name. This is what is timed."""


def example(inputs: Sequence[TensorInfo], batch: int) -> dict[str, NDArray[Any]]:
    """A batch of what a model takes, always the same.

    Floats are uniform from -1 to 1, pixels (uint8) from 0 to 255; other integers, which may be
    indices, are 0.

    Raises InputError when more than the batch size is open, or the model takes another batch.
    """
    random = np.random.default_rng(0)
    feed = {}
    for name, dtype, (first, *rest) in inputs:
        sizes = [size for size in rest if isinstance(size, int)]
        if len(sizes) != len(rest):
            raise InputError(f"the sizes of input {name!r} are not fixed: {[first, *rest]}")
        if isinstance(first, int) and first not in (batch, 0):
            raise InputError(f"input {name!r} takes a batch of {first}, not of {batch}")
        shape = (batch, *sizes)
        if np.issubdtype(dtype, np.floating):
            feed[name] = random.uniform(-1, 1, shape).astype(dtype)
        elif dtype == "uint8":
            feed[name] = random.integers(0, 255, shape, np.uint8, endpoint=True)
        else:
            feed[name] = np.zeros(shape, dtype)
    return feed
