"""Runs as many networks as fit into a time, by their time on this device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

# Part of the time that is planned with: a group may take longer than the last one did.
_PLANNED = 0.9
Draw = Callable[[int, int], NDArray[Any]]
"""(first, count) -> logits [M, count, N, K] of samples first, first + 1, …"""


class Pace:
    """How long a sample took on this device, by the number of images of a call."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def draw(
        self,
        draw: Draw,
        images: int,
        *,
        seconds: float,
        most: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> NDArray[Any]:
        """Draws samples while the next ones should be done in time, 1 to `most` of them.

        Where the pace is not known, the first group has one sample, whose time tells how many
        fit into what is left; then it is known, and all that fit are drawn at once.

        Returns:
            logits [M, n, N, K].
        """
        begin = clock()
        pace = self._seconds.get(images)
        parts: list[NDArray[Any]] = []
        used = 0
        while used < most:
            left = _PLANNED * seconds - (clock() - begin)
            fitting = 1 if pace is None else int(min(max(left / pace, 0), most))
            if used and fitting < 1:
                break
            count = min(max(fitting, 1), most - used)
            start = clock()
            parts.append(draw(used, count))
            pace = max((clock() - start) / count, 1e-9)
            used += count
        if pace is not None:
            self._seconds[images] = pace
        return np.concatenate(parts, axis=1)


def check_milliseconds(ms: Any) -> float:
    """Seconds. Raises InputError unless `ms` is a finite number above 0."""
    try:
        value = float(ms)
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"ms must be a finite number of milliseconds above 0, not {ms!r}")
    return value / 1000
