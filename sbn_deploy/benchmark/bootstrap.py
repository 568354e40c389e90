"""Prediction intervals for what is measured in rounds of sessions, by bootstrap.

Consecutive calls meet the same state of the machine, and all calls of a session (one start of a
process, with its memory layout) share its luck. Treating thousands of calls as independent gives an
interval that the next run falls outside of. So whole
sessions are resampled, and within each its rounds; a round counts by its median.

The intervals are for the next run: where the figure of another run of the same command, on the
same machine in the same state, falls with a probability of about 95 %. Both runs vary, so it is √2
times as wide as a confidence interval. Few sessions underestimate the spread, which is corrected by
S / (S - 1) and by Student's quantile for S - 1 degrees of freedom, as usual; fewer than FEWEST give
no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
FEWEST = 5
# Numbers sampled at once, to bound memory.
AT_ONCE = 1_000_000
NORMAL = 1.960
# Student's 97.5 % quantile for 1, 2, … degrees of freedom.
STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160),
    *(2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056),
    *(2.052, 2.048, 2.045, 2.042),
)

Sessions = Sequence[Sequence[NDArray[np.float64]]]
"""Times of one engine: session, round, call; all above zero."""


def location(values: Sequence[NDArray[np.float64]]) -> float:
    """The mean over sessions of the median over rounds.

    Args:
        values: for each session, a number for each round, float64 [R].
    """
    return float(np.mean([np.median(session) for session in values]))


def ratio(times: Sessions, reference: Sessions) -> float:
    """How many times as long as `reference` an engine takes that ran in turns with it.

    The geometric mean over sessions of the median over rounds of the ratio within a round.
    """
    return exp(location(_log_ratios(times, reference)))


def ratio_interval(times: Sessions, reference: Sessions) -> tuple[float, float] | None:
    """The prediction interval of `ratio`; None for too few sessions."""
    values = _log_ratios(times, reference)
    return _around(ratio(times, reference), values)


def median_interval(times: Sessions, median: float) -> tuple[float, float] | None:
    """The prediction interval of the `median` of all calls; None for too few sessions."""
    return _around(median, [np.log(_medians(session)) for session in times])


def deviations(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """By how much the `location` of resampled values differs from theirs, [RESAMPLES].

    Sessions are sampled with replacement, and from each its rounds.
    """
    random = np.random.default_rng(0)
    count = len(values)
    chosen = random.integers(count, size=(RESAMPLES, count))
    medians = np.empty((RESAMPLES, count))
    for index, session in enumerate(values):
        mine = chosen == index
        medians[mine] = _resampled_medians(session, int(mine.sum()), random)
    means: NDArray[np.float64] = medians.mean(axis=1)
    return means - location(values)


def _resampled_medians(
    rounds: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.float64]:
    together = max(1, AT_ONCE // len(rounds))
    parts = [
        np.median(random.choice(rounds, (min(together, count - start), len(rounds))), axis=1)
        for start in range(0, count, together)
    ]
    return np.concatenate([np.empty(0), *parts])


def _around(estimate: float, values: Sequence[NDArray[np.float64]]) -> tuple[float, float] | None:
    units = len(values)
    if units < FEWEST:
        return None
    student = STUDENT[units - 2] if units - 2 < len(STUDENT) else NORMAL
    widening = sqrt(2) * sqrt(units / (units - 1)) * student / NORMAL
    # Symmetric: a few sessions do not show on which side the next run will fall.
    half = float(np.quantile(np.abs(deviations(values)), 0.95)) * widening
    return estimate * exp(-half), estimate * exp(half)


def _log_ratios(times: Sessions, reference: Sessions) -> list[NDArray[np.float64]]:
    return [
        np.log(_medians(ours) / _medians(theirs))
        for ours, theirs in zip(times, reference, strict=True)
    ]


def _medians(session: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.array([np.median(calls) for calls in session])
