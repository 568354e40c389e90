"""Packed signs as LCE holds them: int32 words, channel c in word c // 32, bit c % 32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def words32(channels: int) -> int:
    """The number of 32-bit words that hold `channels` bits."""
    return -(-channels // 32)


def pack_bits32(bits: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Packs booleans [..., C] into int32 [..., ceil(C/32)]; unused bits are 0."""
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], words32(channels) * 32), dtype=np.uint8)
    padded[..., :channels] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<i4")


def from_words64(packed: NDArray[np.uint64], channels: int) -> NDArray[np.int32]:
    """Our words [..., ceil(C/64)] as int32 [..., ceil(C/32)]."""
    halves = np.ascontiguousarray(packed, "<u8").view("<i4")
    return np.ascontiguousarray(halves[..., : words32(channels)])


def to_words64(packed: NDArray[np.int32]) -> NDArray[np.uint64]:
    """LCE's words [..., n] as ours of 64 channels, uint64 [..., ceil(n / 2)]."""
    even = np.zeros((*packed.shape[:-1], -(-packed.shape[-1] // 2) * 2), "<i4")
    even[..., : packed.shape[-1]] = packed
    return even.view("<u8").astype(np.uint64, copy=False)
