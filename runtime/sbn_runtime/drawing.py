"""The networks of a classifier one after another: noise samples, members, or a single one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import sampling
from .calibrated import network_rows
from .calibration import SMALLEST
from .executor import Executor
from .feeds import Feeds
from .sampling import Draw
from .tasks import CLASSIFICATION, TASKS

DrawLogits = Callable[[Feeds, int, int], NDArray[Any]]
"""(feeds, first, count) -> logits [M, count, N, K] of samples first, first + 1, …"""


def networks(executor: Executor, noise: Draw | None) -> tuple[DrawLogits, int]:
    """What computes some of a classifier's networks, and how many there are.

    Args:
        noise: the seed to draw with; None for a file without noise.

    Returns:
        Of a file with noise, samples of all members; of an ensemble without, its members as
        samples of one; else the only network.

    Raises:
        InputError: an ensemble does not keep its members apart.
        ModelError: the file cannot be read.
    """
    rows = TASKS[CLASSIFICATION].rows

    def sample(feeds: Feeds, first: int, count: int) -> NDArray[Any]:
        assert noise is not None
        return executor.sample(feeds, Draw(noise.seed, count, first), [rows], [])[rows]

    def members(feeds: Feeds, first: int, count: int) -> NDArray[Any]:
        return executor.sample_members(feeds, first, count, rows)

    def single(feeds: Feeds, _: int, __: int) -> NDArray[Any]:
        probabilities, logits = network_rows(executor.run(feeds))
        # Logarithms of probabilities are logits too.
        found = np.log(np.maximum(probabilities, SMALLEST)) if logits is None else logits
        return found[np.newaxis]

    if noise is not None:
        return sample, sampling.MAX_SAMPLES
    if rows in executor.output_names:
        return members, executor.members(rows).count
    return single, 1
