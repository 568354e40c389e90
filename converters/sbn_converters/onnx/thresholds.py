"""Turns a chain of channel steps and a sign into thresholds.

The chain is evaluated, not inverted: the switch point is where the network's
own arithmetic changes sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .channelwise import ChannelStep, Float32, apply_all, direction_of

# Evaluated at once: 64 channels of 2^17 accumulator values are 32 MiB of floats.
_CHANNEL_BLOCK = 64


class NotAThreshold(Exception):
    """The sign of the chain changes more than once; the message says where."""


@dataclass(frozen=True)
class IntegerThresholds:
    """+1 where `dot >= threshold`, for dot of weights negated where `negate`.

    threshold int32 [C] in [-K, K + 1]; negate bool [C].
    """

    threshold: NDArray[np.int32]
    negate: NDArray[np.bool_]


def integer_thresholds(steps: list[ChannelStep], products: int, channels: int) -> IntegerThresholds:
    """Thresholds on accumulators of `products` terms, each +1 or -1 (or 0 at a border).

    Evaluates the chain at every integer in [-products, products].

    Raises NotAThreshold if a channel's sign changes more than once.
    """
    dots = np.arange(-products, products + 1, dtype=np.float32)[:, None]
    threshold = np.empty(channels, np.int32)
    negate = np.zeros(channels, np.bool_)
    for start in range(0, channels, _CHANNEL_BLOCK):
        block = slice(start, min(start + _CHANNEL_BLOCK, channels))
        chosen = [step.select(block) for step in steps]
        width = block.stop - block.start
        values = apply_all(chosen, np.broadcast_to(dots, (dots.shape[0], width)))
        positive = ~(values < 0)
        switches = (positive[1:] != positive[:-1]).sum(axis=0)
        if (switches > 1).any():
            channel = start + int(np.argmax(switches > 1))
            raise NotAThreshold(f"the sign of channel {channel} changes more than once")
        falling = positive[0] & ~positive[-1]
        # Where the sign falls, the count of +1 positions is that of dot <= t,
        # hence of -dot >= -t: the same as for a rising sign of negated weights.
        count = positive.sum(axis=0)
        threshold[block] = products + 1 - count
        negate[block] = falling
    return IntegerThresholds(threshold, negate)


def float_intervals(steps: list[ChannelStep], channels: int) -> tuple[Float32, Float32]:
    """For each channel the interval [low, high] of floats whose sign is +1.

    Found by bisection over the ordered float32 numbers, 32 steps.

    Raises NotAThreshold if a step is not monotone.
    """
    direction = direction_of(steps, channels)
    if direction is None:
        raise NotAThreshold("a step between the values and the sign is not monotone")
    largest = np.finfo(np.float32).max
    ends = np.stack([np.full(channels, -largest), np.full(channels, largest)]).astype(np.float32)
    at_low, at_high = ~(apply_all(steps, ends) < 0)
    below = _order(ends[0])
    above = _order(ends[1])
    # Invariant where the sign switches: sign at `below` is that of the lower end.
    for _ in range(33):
        middle = below + (above - below) // 2
        positive = ~(apply_all(steps, _from_order(middle)[None])[0] < 0)
        same = positive == at_low
        below = np.where(same, middle, below)
        above = np.where(same, above, middle)
    low = np.full(channels, -np.inf, np.float32)
    high = np.full(channels, np.inf, np.float32)
    rising = ~at_low & at_high
    falling = at_low & ~at_high
    never = ~at_low & ~at_high
    low[rising] = _from_order(above)[rising]
    high[falling] = _from_order(below)[falling]
    low[never], high[never] = np.inf, -np.inf
    return low, high


def _order(x: Float32) -> NDArray[np.int64]:
    """Maps float32 to integers of the same order; -0.0 directly below 0.0."""
    bits = x.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)


def _from_order(order: NDArray[np.int64]) -> Float32:
    bits = np.where(order < 0, (-(order + 1)) | 0x80000000, order)
    return bits.astype(np.uint32).view(np.float32)
