"""Constant weights of a layer as scaled signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rounding in what computed the weights, such as a straight-through term, moves magnitudes so far.
_SAME_MAGNITUDE = 4e-6


@dataclass(frozen=True)
class ScaledSigns:
    """w = scale * sum of `signs` + offset, for each filter.

    signs: one array of +1 and -1 in the shape of w, or two where filters have zeros
        (half of their sum is 0 there, and `scale` has that half in it).
    scale, offset: float64 [O].
    zeros: how many weights are exactly 0 between others that are not.
    """

    signs: tuple[NDArray[np.float32], ...]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    zeros: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the weights are +1 and -1 themselves."""
        return len(self.signs) == 1 and bool((self.scale == 1).all()) and not self.offset.any()


def scaled_signs(weights: NDArray[Any]) -> ScaledSigns | str:
    """Weights [O, ...] taken apart, or the reason why they cannot be."""
    w = weights.astype(np.float64)
    if not w.size:
        return "it has no weights"
    if not np.isfinite(w).all():
        return "its weights are not all finite"
    flat = w.reshape(len(w), -1)
    magnitude = np.abs(flat)
    largest = magnitude.max(axis=1, initial=0)
    close = magnitude >= largest[:, None] * (1 - _SAME_MAGNITUDE)
    zero = flat == 0
    if (close | zero).all():
        return _symmetric(w, largest, zero)
    low, high = flat.min(axis=1), flat.max(axis=1)
    middle = (low + high) / 2
    upper = flat > middle[:, None]
    nearest = np.where(upper, high[:, None], low[:, None])
    if (np.abs(flat - nearest) > _SAME_MAGNITUDE * largest[:, None]).any():
        return _reason(w)
    signs = np.where(upper, 1.0, -1.0).astype(np.float32).reshape(w.shape)
    return ScaledSigns((signs,), (high - low) / 2, middle)


def _symmetric(
    w: NDArray[np.float64], largest: NDArray[np.float64], zero: NDArray[np.bool_]
) -> ScaledSigns:
    """Weights of one magnitude for each filter, with or without zeros."""
    mean = np.abs(w.reshape(len(w), -1)).sum(axis=1) / np.maximum((~zero).sum(axis=1), 1)
    # One magnitude is that magnitude; magnitudes that differ by rounding are averaged.
    exact = np.abs(w.reshape(len(w), -1)).min(axis=1, initial=np.inf, where=~zero) == largest
    scale = np.where(exact, largest, mean)
    offset = np.zeros(len(w))
    up = np.where(w < 0, -1.0, 1.0).astype(np.float32)
    dead = largest == 0
    zeros = int(zero[~dead].sum())
    if not zeros:
        return ScaledSigns((up,), scale, offset)
    down = np.where(w <= 0, -1.0, 1.0).astype(np.float32)
    down[dead] = up[dead]
    return ScaledSigns((up, down), scale / 2, offset, zeros)


def _reason(w: NDArray[np.float64]) -> str:
    """Why the weights are not binary, as precisely as can be told."""
    magnitude = np.abs(w)
    if w.ndim > 1 and w.shape[1] > 1:
        inputs = magnitude.reshape(w.shape[0], w.shape[1], -1)
        spread = inputs.max(axis=2) - inputs.min(axis=2)
        if (spread <= _SAME_MAGNITUDE * inputs.max(axis=2)).all() and inputs.shape[2] > 1:
            return (
                "its weights are signs scaled for each input channel, not for each filter alone;"
                " scale the filter, or the input before its sign"
            )
    return (
        "its weights take more than two values in a filter; binarise them in forward,"
        " as in torch.where(w < 0, -1.0, 1.0)"
    )
