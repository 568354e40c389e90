"""StochasticSign as its definition says it, in numpy."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from sbn_converters.onnx import noise
from sbn_converters.onnx.packing import pack_bits


def random_bits(
    pixels: int, channels: int, seed: int, layer: int, samples: range
) -> NDArray[np.uint16]:
    """The random numbers r of every sample, pixel and channel: [S, pixels, channels]."""
    return np.stack([noise.random_bits(seed, layer, s, pixels, channels) for s in samples])


def limit(x: NDArray[np.int16], table: NDArray[np.int32]) -> NDArray[np.int64]:
    """The sign of x is +1 where r is below this: int64, of the shape of x."""
    k = np.minimum(np.abs(x.astype(np.int64)), 32767)
    i, j = k // 512, k % 512
    start, rise = table.astype(np.int64)
    p = start[i] + rise[i] * j // 512
    return np.where(x < 0, 65535 - p, p)


def stochastic_sign(
    x: NDArray[np.int16],
    table: NDArray[np.int32],
    seed: int,
    first_sample: int,
    samples: int,
    *,
    layer: int,
    fan_out: int,
) -> NDArray[np.uint64]:
    """The packed signs of StochasticSign; see docs/operators.md."""
    pixels, channels = int(np.prod(x.shape[1:-1])), x.shape[-1]
    blocks = 1 if fan_out else samples
    images = x.reshape(blocks, x.shape[0] // blocks, pixels, channels)
    r = random_bits(pixels, channels, seed, layer, range(first_sample, first_sample + samples))
    negative = r[:, None] >= limit(images, table)
    return pack_bits(negative.reshape(-1, *x.shape[1:]))


def normal_table(deviations: float = 4.0) -> NDArray[np.int32]:
    """Start and rise of the normal CDF, which x = 32768 takes at `deviations`: int32 [2, 64]."""
    knots = [0.5 * (1 + erf(deviations * i / 64 / sqrt(2))) for i in range(65)]
    levels = np.minimum(np.round(65536 * np.array(knots)), 65535).astype(np.int64)
    return np.stack([levels[:-1], np.diff(levels)]).astype(np.int32)
