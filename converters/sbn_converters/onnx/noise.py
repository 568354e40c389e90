"""Noise of stochastic signs as 16-bit integers: tables of distribution functions.

`StochasticSign` reads a symmetric distribution function F from a table. An
argument a becomes the integer code round(a * codes), 2^15 codes covering the
interval [0, range); beyond it the last entry counts. The random numbers are
those that the operator uses, so that they can be reproduced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

SEGMENTS = 64
CODES = 1 << 15
_STEP = CODES // SEGMENTS
# Smallest first, so that a table is no wider than it has to be. Noises of finite
# support end at a knot of one of these.
_RANGES = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 12.0, 16.0)


@dataclass(frozen=True)
class NoiseTable:
    """A distribution function F for non-negative codes, linear between 64 knots.

    Attributes:
        values: int32 [2, 64], start and rise of each segment in 1 / 65536; F
            of code k is (start[k // 512] + rise[k // 512] * (k % 512) // 512) / 65536.
        codes: codes for each unit of the argument.
        cdf: F itself, float64 to float64.
        error: largest |F - table| over all arguments, rounding to codes included.
    """

    values: NDArray[np.int32]
    codes: float
    cdf: Callable[[Float64], Float64]
    error: float

    @classmethod
    def of(cls, cdf: Callable[[Float64], Float64]) -> NoiseTable:
        """The most exact table of a symmetric distribution function; cdf(0) is 1/2."""
        return min((_fit(cdf, width) for width in _RANGES), key=lambda table: table.error)


@dataclass(frozen=True)
class Draw:
    """How a layer draws its signs: x = sign(a - T z), z from the table's noise.

    `scale` is 1 / T.
    """

    table: NoiseTable
    scale: float = 1.0


def _read(values: NDArray[np.int32]) -> NDArray[np.int64]:
    start, rise = values.astype(np.int64)
    code = np.arange(CODES)
    segment, offset = np.divmod(code, _STEP)
    found: NDArray[np.int64] = start[segment] + rise[segment] * offset // _STEP
    return found


def _fit(cdf: Callable[[Float64], Float64], width: float) -> NoiseTable:
    knots = np.linspace(0, width, SEGMENTS + 1)
    exact = cdf(knots)
    # A chord lies below a concave function; knots raised by about half of that
    # halve the largest error. F(0) stays 1/2.
    below = cdf((knots[1:] + knots[:-1]) / 2) - (exact[1:] + exact[:-1]) / 2
    raised = exact.copy()
    raised[1:-1] += (below[1:] + below[:-1]) / 4
    # Beyond the range the table stays where it ends: half way to 1.
    raised[-1] = (exact[-1] + 1) / 2
    heights = np.minimum(np.round(raised * 65536), 65535).astype(np.int64)
    heights = np.maximum.accumulate(np.maximum(heights, CODES))
    values = np.stack([heights[:-1], np.diff(heights)]).astype(np.int32)
    codes = CODES / width
    # Each code stands for the arguments that round to it.
    found = _read(values) / 65536
    arguments = np.arange(CODES) / codes
    half = 0.5 / codes
    error = max(
        np.abs(cdf(np.maximum(arguments - half, 0)) - found).max(),
        np.abs(cdf(arguments[:-1] + half) - found[:-1]).max(),
        1 - found[-1],
    )
    return NoiseTable(values, codes, cdf, float(error))


# Threefry4x32 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011).
_ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
_PARITY = np.uint32(0x1BD11BDA)


def threefry4x32(
    counter: list[NDArray[np.uint32]], key: list[NDArray[np.uint32]], rounds: int
) -> list[NDArray[np.uint32]]:
    """Four random words for each counter; counters and keys broadcast."""
    with np.errstate(over="ignore"):
        keys = [*key, key[0] ^ key[1] ^ key[2] ^ key[3] ^ _PARITY]
        x = [word + k for word, k in zip(counter, keys, strict=False)]
        for turn in range(rounds):
            pairs = ((0, 1), (2, 3)) if turn % 2 == 0 else ((0, 3), (2, 1))
            for (to, by), bits in zip(pairs, _ROTATIONS[turn % 8], strict=True):
                x[to] = x[to] + x[by]
                left, right = np.uint32(bits), np.uint32(32 - bits)
                x[by] = ((x[by] << left) | (x[by] >> right)) ^ x[to]
            if turn % 4 == 3:
                injection = turn // 4 + 1
                x = [word + keys[(injection + i) % 5] for i, word in enumerate(x)]
                x[3] = x[3] + np.uint32(injection)
    return x


def random_bits(
    seed: int, layer: int, sample: int, pixels: int, channels: int
) -> NDArray[np.uint16]:
    """The 16-bit random numbers of `StochasticSign` for one sample, [pixels, channels]."""
    groups, pairs = -(-pixels // 4), -(-channels // 2)
    zero = np.zeros((groups, pairs), np.uint32)
    counter = [
        zero + np.arange(pairs, dtype=np.uint32),
        zero + np.arange(groups, dtype=np.uint32)[:, None],
        zero,
        zero,
    ]
    key = [zero + np.uint32(word) for word in (seed & 0xFFFFFFFF, seed >> 32, layer, sample)]
    words = np.stack(threefry4x32(counter, key, 12), axis=1).reshape(groups * 4, pairs)
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=-1)
    used: NDArray[np.uint32] = halves.reshape(groups * 4, pairs * 2)[:pixels, :channels]
    return used.astype(np.uint16)
