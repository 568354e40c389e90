"""Packing signs into 64-bit words, the layout of every packed tensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def words(channels: int) -> int:
    """The number of 64-bit words that hold `channels` bits."""
    return -(-channels // 64)


def pack_bits(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Packs booleans [..., C] into uint64 [..., ceil(C/64)].

    Channel c goes to word c // 64, bit c % 64; unused bits are 0.
    """
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], words(channels) * 64), dtype=np.uint8)
    padded[..., :channels] = bits
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False)


def pack_signs(values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Packs the signs of floats [..., C]: bit 1 where the value is below 0."""
    return pack_bits(values < 0)


def unpack_signs(packed: NDArray[np.uint64], channels: int) -> NDArray[np.float32]:
    """Unpacks uint64 [..., ceil(C/64)] to floats [..., C] of +1 and -1."""
    raw = np.ascontiguousarray(packed.astype("<u8")).view(np.uint8)
    bits = np.unpackbits(raw, axis=-1, bitorder="little")[..., :channels]
    return (1 - 2 * bits.astype(np.int8)).astype(np.float32)
