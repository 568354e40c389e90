"""Samples noise, or members, only until more would not change the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .uncertainty import Prediction, averaged

GROUP = 4
# Images whose rows are in memory at once.
_IMAGES = 256
# Fewer degrees of freedom have heavier tails: a bound that costs no more for many samples.
_FREEDOM = 256

DrawRows = Callable[[NDArray[Any], int, int], NDArray[np.float64]]
"""(x [N, ...], first, count) -> probabilities [M, count, N, K] of samples first, first + 1, …"""
Summarize = Callable[[NDArray[np.float64]], Prediction]
"""Probabilities [R, N, K] of all networks drawn -> the answers."""


@dataclass(frozen=True)
class Anytime(Prediction):
    """Answers for which only as many samples were drawn as they needed.

    Attributes:
        samples_used: int64 [N], noise samples of each image, or members of a file without
            noise; the other fields are of these alone.
    """

    samples_used: NDArray[np.int64]


def check_confidence(confidence: float) -> float:
    """Raises InputError unless 0.5 <= confidence < 1."""
    try:
        value = float(confidence)
    except (TypeError, ValueError):
        value = 0.0
    if not 0.5 <= value < 1:
        raise InputError(f"confidence must be at least 0.5 and below 1, not {confidence!r}")
    return value


def predict_until(
    draw: DrawRows,
    x: NDArray[Any],
    *,
    summarize: Summarize = averaged,
    weights: NDArray[np.float64] | float = 1.0,
    confidence: float,
    max_samples: int,
    group: int,
) -> Anytime:
    """Draws samples in groups until each image is decided. See `Session.predict_until`.

    Args:
        summarize: makes the answer of all rows of an image.
        weights: [K], above 0 and at most 1: the label is the class with the largest mean
            probability times its weight.
    """
    level = 1 - confidence
    blocks = [
        _block(draw, x[start : start + _IMAGES], summarize, weights, level, max_samples, group)
        for start in range(0, len(x), _IMAGES)
    ]
    return Anytime(*(np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(Anytime)))


def _block(
    draw: DrawRows,
    x: NDArray[Any],
    summarize: Summarize,
    weights: NDArray[np.float64] | float,
    level: float,
    max_samples: int,
    group: int,
) -> Anytime:
    undecided = np.arange(len(x))
    rows = None  # [M, n, undecided, K]
    used = 0
    found: list[tuple[NDArray[np.int64], Anytime]] = []
    while len(undecided):
        count = min(group, max_samples - used)
        drawn = draw(x[undecided], used, count)
        rows = drawn if rows is None else np.concatenate([rows, drawn], axis=1)
        used += count
        if used == max_samples:
            done = np.ones(len(undecided), bool)
        else:
            done = flip_probability(weights * rows.mean(axis=0), max_samples) <= level
        if not done.any():
            continue
        decided = np.ascontiguousarray(rows[:, :, done]).reshape(-1, int(done.sum()), rows.shape[3])
        answer = summarize(decided)
        count_of = np.full(len(answer.label), used)
        found.append((undecided[done], Anytime(**vars(answer), samples_used=count_of)))
        rows, undecided = rows[:, :, ~done], undecided[~done]
    order = np.argsort(np.concatenate([images for images, _ in found]))
    return Anytime(
        *(np.concatenate([getattr(a, f.name) for _, a in found])[order] for f in fields(Anytime))
    )


def flip_probability(samples: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """How probable it is that the most probable class of `total` samples will be another.

    Let d be the differences, sample by sample, between the probabilities of the leading
    class and of another class; `overturn_probability` is the probability that their final
    mean is negative. The label changes only if that happens for some other class, so the sum
    over the other classes bounds its probability. It also changes only if the final mean of
    the margins, lead minus the best of the others in each sample, is negative: a second
    bound. The smaller one is returned.

    Args:
        samples: probabilities float64 [n, N, K], n at least 1, or those times weights of at
            most 1.
        total: number of samples in the end, above n.

    Returns:
        float64 [N], 0 to 1.
    """
    images = np.arange(samples.shape[1])
    lead = samples.mean(axis=0).argmax(axis=1)
    of_lead = samples[:, images, lead]
    overturned = overturn_probability(of_lead[:, :, np.newaxis] - samples, total)
    overturned[images, lead] = 0
    others = samples.copy()
    others[:, images, lead] = 0
    margin = overturn_probability(of_lead - others.max(axis=2), total)
    bound: NDArray[np.float64] = np.minimum(overturned.sum(axis=1), margin)
    return bound


def overturn_probability(d: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """Probability that the mean of `total` differences is negative, n of which are known.

    The model: differences are independent and normal with unknown mean and variance σ²;
    the mean is normal around 0 with variance σ², a prior that is worth one observation
    of a tie, and all scales are equally probable beforehand. Then, with d̄ the mean of
    those known and m = total - n to come, the mean of those to come is
    u + s √(1/m + 1/(n + 1)) t, where

        u = n d̄ / (n + 1),   s² = (Σ(d - d̄)² + n d̄² / (n + 1)) / n,

    and t follows Student's t with n degrees of freedom. It would have to be below
    -n d̄ / m. As the prior tie counts, n samples that happen to agree do not make s zero:
    after four equal differences of 32, 0.6 % are left. Where n d̄ > m the probability is
    0, since no difference is below -1.

    Args:
        d: float64 [n, ...], -1 to 1, n at least 1.
        total: above n.

    Returns:
        float64 [...], 0 to 1.
    """
    n = len(d)
    rest = total - n
    mean = np.asarray(d.mean(axis=0))
    centre = mean * n / (n + 1)
    variance = (((d - mean) ** 2).sum(axis=0) + centre * mean) / n
    scale = np.sqrt(variance * (1 / rest + 1 / (n + 1)))
    distance = centre + mean * n / rest
    t = np.divide(distance, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.where(n * mean > rest, 0.0, student_t_tail(t, min(n, _FREEDOM)))


def student_t_tail(t: NDArray[np.float64], freedom: int) -> NDArray[np.float64]:
    """P(T > t) for Student's t with a whole number of degrees of freedom.

    The finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4. Its absolute
    error is that of float64, about 1e-15 times `freedom`.
    """
    angle = np.arctan(t / np.sqrt(freedom))
    square = np.cos(angle) ** 2
    odd = freedom % 2
    term = np.cos(angle) if odd else np.ones_like(angle)
    total = np.zeros_like(angle)
    for k in range(freedom // 2):
        if k:
            term = term * square * ((2 * k) / (2 * k + 1) if odd else (2 * k - 1) / (2 * k))
        total = total + term
    inside = np.sin(angle) * total
    if odd:
        inside = (angle + inside) * 2 / np.pi
    tail: NDArray[np.float64] = np.clip((1 - inside) / 2, 0.0, 1.0)
    return tail
