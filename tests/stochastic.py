"""StochasticSign as its definition says it, in numpy."""

from __future__ import annotations

from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbn_converters.onnx.packing import pack_bits

Array = NDArray[Any]
Words = NDArray[np.uint32]

ROUNDS = 12
_PARITY = 0x1BD11BDA
_ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))


def _rotated(x: Words, count: int) -> Words:
    return (x << np.uint32(count)) | (x >> np.uint32(32 - count))


def threefry4x32(key: list[Array], counter: list[Array], rounds: int) -> list[Words]:
    """Threefry4x32 (Salmon et al., SC 2011): four words of the four-word counter.

    Arrays broadcast; every element lies in [0, 2^32).
    """
    k = [np.asarray(word).astype(np.uint32) for word in key]
    k.append(k[0] ^ k[1] ^ k[2] ^ k[3] ^ np.uint32(_PARITY))
    x0, x1, x2, x3 = np.broadcast_arrays(
        *(np.asarray(word).astype(np.uint32) + k[i] for i, word in enumerate(counter))
    )
    for turn in range(rounds):
        first, second = _ROTATIONS[turn % 8]
        if turn % 2 == 0:
            x0, x2 = x0 + x1, x2 + x3
            x1, x3 = _rotated(x1, first) ^ x0, _rotated(x3, second) ^ x2
        else:
            x0, x2 = x0 + x3, x2 + x1
            x3, x1 = _rotated(x3, first) ^ x0, _rotated(x1, second) ^ x2
        if turn % 4 == 3:
            injection = turn // 4 + 1
            x0, x1, x2, x3 = (x + k[(injection + i) % 5] for i, x in enumerate([x0, x1, x2, x3]))
            x3 = x3 + np.uint32(injection)
    return [x0, x1, x2, x3]


def random_bits(
    pixels: int, channels: int, seed: int, layer: int, samples: range
) -> NDArray[np.uint16]:
    """The random numbers r of every sample, pixel and channel: [S, pixels, channels]."""
    sample = np.arange(samples.start, samples.stop, dtype=np.int64)[:, None, None]
    pixel = np.arange(pixels)[:, None]
    channel = np.arange(channels)
    zero = np.zeros(1, np.int64)
    words = threefry4x32(
        [np.int64(seed % 2**32) + zero, np.int64(seed // 2**32) + zero, layer + zero, sample],
        [channel // 2, pixel // 4, zero, zero],
        ROUNDS,
    )
    word = np.choose(pixel % 4, words)
    return np.where(channel % 2 == 0, word & np.uint32(0xFFFF), word >> np.uint32(16)).astype(
        np.uint16
    )


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
