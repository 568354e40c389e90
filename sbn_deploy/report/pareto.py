"""Which points are worth choosing: the Pareto front, and the answer it gives."""

from __future__ import annotations

from collections.abc import Sequence

WITHIN = 0.01


def front(latency: Sequence[float], accuracy: Sequence[float]) -> list[bool]:
    """Whether each point is on the Pareto front.

    A point is, unless another one is both as fast and as accurate, and better in one of the two.

    Args:
        latency, accuracy: of each point; less latency and more accuracy is better.
    """
    order = sorted(range(len(latency)), key=lambda i: (latency[i], -accuracy[i]))
    chosen = [False] * len(latency)
    best: tuple[float, float] | None = None  # accuracy and latency of the last point chosen
    for i in order:
        if best is None or accuracy[i] > best[0] or (accuracy[i], latency[i]) == best:
            chosen[i] = True
            best = (accuracy[i], latency[i])
    return chosen


def fastest_within(
    latency: Sequence[float], accuracy: Sequence[float], within: float = WITHIN
) -> int:
    """Index of the fastest point whose accuracy is at most `within` below the best one."""
    floor = max(accuracy) - within
    # 0.97 is not below 0.98 - 0.01, whatever binary fractions make of it.
    good = [i for i, value in enumerate(accuracy) if value >= floor - 1e-9]
    return min(good, key=lambda i: (latency[i], -accuracy[i]))
