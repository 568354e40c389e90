"""LCE's operators with random weights, appended to a model."""

from __future__ import annotations

import numpy as np
from hypothesis import reject
from numpy.typing import NDArray

from sbn_converters.tflite.model import ABSENT

from .imported import window_size
from .reference import pack
from .tflite_models import BCONV, Builder

RANDOM = np.random.default_rng(1)


def images(*shape: int) -> list[NDArray[np.float32]]:
    """Two random ones, zeros of both signs among their numbers."""
    return [RANDOM.choice(np.array([-1.5, -0.0, 0.0, 2.5], np.float32), shape) for _ in range(2)]


def quantized(b: Builder, x: int) -> int:
    """The packed signs of floats."""
    shape = b.model.tensors[x].shape
    return b.operator("LceQuantize", [x], (*shape[:-1], -(-shape[-1] // 32)), np.int32)


def unpacked(b: Builder, x: int, channels: int) -> int:
    """Packed signs as floats."""
    return b.operator("LceDequantize", [x], (*b.model.tensors[x].shape[:-1], channels))


def convolution(
    b: Builder,
    x: int,
    channels: int,
    outputs: int,
    kernel: tuple[int, int] = (3, 3),
    *,
    packed: bool = True,
    group: int = 1,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    **options: int,
) -> int:
    """A binary convolution of random weights. Raises hypothesis's Unsatisfied if none fits."""
    options = (
        BCONV
        | options
        | {  # type: ignore[assignment]
            "channels_in": channels,
            "stride_height": strides[0],
            "stride_width": strides[1],
            "dilation_height_factor": dilations[0],
            "dilation_width_factor": dilations[1],
        }
    )
    batch, *size = b.model.tensors[x].shape[:3]
    found = [
        window_size(*numbers, options["padding"])
        for numbers in zip(size, kernel, strides, dilations, strict=True)
    ]
    if min(found) < 1:
        reject()
    weights = pack(RANDOM.random((outputs, *kernel, channels // group)) < 0.5)
    products = kernel[0] * kernel[1] * channels // group
    operands = [x, b.constant(weights)]
    if packed:
        middle = RANDOM.integers(0, products + 1, outputs)
        extremes = RANDOM.choice([-(2**31), 2**31 - 1], outputs)
        threshold = np.where(RANDOM.random(outputs) < 0.2, extremes, middle).astype(np.int32)
        operands += [ABSENT, ABSENT, b.constant(threshold)]
        shape: tuple[int, ...] = (batch, *found, -(-outputs // 32))
        return b.operator("LceBconv2d", operands, shape, np.int32, **options)
    # Powers of two times whole numbers, so that all ways to compute agree.
    scales = 2.0 ** RANDOM.integers(-3, 3, outputs) * RANDOM.choice([-1, 1], outputs)
    biases = RANDOM.integers(-9, 9, outputs) / 8
    operands += [b.constant(part.astype(np.float32)) for part in (scales, biases)] + [ABSENT]
    return b.operator("LceBconv2d", operands, (batch, *found, outputs), **options)
