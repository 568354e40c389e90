"""Constants that hold a number for each channel, channels last."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .graph import constant


def per_channel(value: ir.Value | None, channels: int) -> NDArray[np.float32] | None:
    """float32 [channels] of a constant that is one number, or one for each on the last axis."""
    array = constant(value)
    if array is None or array.dtype != np.float32 or array.ndim > 4:
        return None
    if array.size not in (1, channels) or (array.size > 1 and array.shape[-1] != channels):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,)).astype(np.float32)
