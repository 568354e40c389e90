"""QONNX's operators in numpy, as its documentation defines them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MODES = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


def bipolar_quant(x: Floats, scale: Floats) -> Floats:
    """+scale where x >= 0, else -scale."""
    return np.where(x >= 0, np.float32(1), np.float32(-1)) * scale


def quant(
    x: Floats,
    scale: Floats,
    zero_point: Floats,
    bits: int,
    *,
    signed: bool,
    narrow: bool,
    mode: str,
) -> Floats:
    """The nearest of the numbers (q - zero_point) scale, q an integer of so many bits."""
    q = x / scale + zero_point
    if signed and bits == 1:
        q = np.where(q >= 0, np.float32(1), np.float32(-1))
    else:
        q = clamped(rounded(q, mode), bits, signed=signed, narrow=narrow)
    return (q - zero_point) * scale


def multi_threshold(
    x: Floats, thresholds: Floats, out_scale: float, out_bias: float, axis: int
) -> Floats:
    """How many thresholds [C or 1, B] of its channel each element reaches, scaled."""
    last = np.moveaxis(x, axis, -1)[..., np.newaxis]
    count = (last >= thresholds).sum(axis=-1).astype(np.float32)
    return np.float32(out_scale) * np.moveaxis(count, -1, axis) + np.float32(out_bias)


def trunc_bits(
    x: Floats, scale: Floats, zero_point: Floats, bits: int, to_bits: int, *, mode: str
) -> Floats:
    """Version 1: the lowest bits - to_bits bits go."""
    q = np.round(x / scale + zero_point) / np.float32(2 ** (bits - to_bits))
    return (rounded(q, mode) - zero_point) * scale


def trunc_scale(
    x: Floats,
    scale: Floats,
    zero_point: Floats,
    to_scale: Floats,
    to_bits: int,
    *,
    signed: bool,
    narrow: bool,
    mode: str,
) -> Floats:
    """Version 2: to a scale that is a power of two larger."""
    divisor = (2 ** np.round(np.log2(to_scale / scale))).astype(np.float32)
    q = np.round(x / scale + zero_point) / divisor
    q = clamped(rounded(q, mode), to_bits, signed=signed, narrow=narrow)
    return (q - zero_point / divisor) * to_scale


def xnor_popcount(a: Floats, b: Floats) -> Floats:
    """How many elements of each row of a equal those of a column of b."""
    return (a[..., :, :, np.newaxis] == b[..., np.newaxis, :, :]).sum(axis=-2).astype(np.float32)


def clamped(q: Floats, bits: int, *, signed: bool, narrow: bool) -> Floats:
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    if narrow:
        low, high = (low + 1, high) if signed else (low, high - 1)
    return np.clip(q, np.float32(low), np.float32(high))


def rounded(q: Floats, mode: str) -> Floats:
    away = np.trunc(q) + np.sign(q) * (q != np.trunc(q))
    half = np.abs(q - np.trunc(q)) == 0.5
    match mode:
        case "CEIL":
            return np.ceil(q)
        case "FLOOR":
            return np.floor(q)
        case "UP":
            return away
        case "DOWN":
            return np.trunc(q)
        case "HALF_UP":
            return np.where(half, away, np.round(q))
        case "HALF_DOWN":
            return np.where(half, np.trunc(q), np.round(q))
    return np.round(q)
