"""The operators of Larq Compute Engine, as the ONNX nodes that the lowering packs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .float_ops import window_pads
from .onnx_graph import Op, first_shape, shape_of

_ONE_PADDING = 1


def unpacked(words: NDArray[np.generic], channels: int) -> NDArray[np.float32]:
    """int32 [..., ceil(C/32)] as floats [..., C]: -1 where the bit is set, else +1."""
    raw = np.ascontiguousarray(words.astype("<i4")).view(np.uint8)
    bits = np.unpackbits(raw, axis=-1, bitorder="little")[..., :channels]
    return (1 - 2 * bits.astype(np.int8)).astype(np.float32)


def _quantize(op: Op) -> None:
    op.put_signs(op.signs_of(op.x()), op.tensor(0).shape[-1])


def _dequantize(op: Op) -> None:
    op.put(op.signs(0, op.result().shape[-1]))


def _max_pool(op: Op) -> None:
    channels = op.channels(0)
    if channels is None:
        raise op.refuse("its input is not packed")
    kernel = op.integer("filter_height"), op.integer("filter_width")
    strides = _strides(op)
    pads = window_pads(op, kernel, strides, [1, 1])
    shape = op.onnx.free([*op.result().shape[:3], channels])
    value = op.add(
        "MaxPool",
        [op.x()],
        first_shape(shape),
        kernel_shape=list(kernel),
        strides=strides,
        pads=pads,
    )
    op.put_signs(value, channels)


def _convolution(op: Op) -> None:
    x = op.signs(0, op.integer("channels_in"))
    weights, group = _weights(op)
    outputs, _, height, width = weights.shape
    strides = _strides(op)
    dilations = [op.integer("dilation_height_factor"), op.integer("dilation_width_factor")]
    pads = window_pads(op, (height, width), strides, dilations)
    if any(pads) and op.integer("pad_values") == _ONE_PADDING:
        x, pads = padded(op, x, pads, 1), [0, 0, 0, 0]
    shape = first_shape(op.onnx.free([*op.result().shape[:3], outputs]))
    dot = op.add(
        "Conv",
        [x, op.constant(weights, "weight")],
        shape,
        kernel_shape=[height, width],
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=group,
    )
    if op.has(4):
        products = int(np.prod(weights.shape[1:]))
        threshold = _per_channel(op, _smallest_positive(op, products))
        op.put_signs(op.signs_of(op.add("Sub", [dot, threshold], shape)), outputs)
        return
    # As LCE rounds: it scales the count of products that are -1, (dot - products) / -2.
    products = int(np.prod(weights.shape[1:]))
    multiplier = op.array(2, "multiplier").astype(np.float64)
    bias = op.array(3, "bias").astype(np.float64) + products * multiplier
    offset = op.constant(np.array(-products, np.float32), "offset")
    moved = op.add("Add", [op.activation(dot), offset], shape)
    scaled = op.add("Mul", [moved, _per_channel(op, multiplier)], shape)
    op.put(op.add("Add", [scaled, _per_channel(op, bias)], shape))


def _weights(op: Op) -> tuple[NDArray[np.float32], int]:
    """Weights of +1 and -1, [O, C / group, kh, kw], and the number of groups."""
    channels, words = op.integer("channels_in"), op.array(1, "filter")
    group = 1
    if words.shape[-1] != -(-channels // 32):
        group = channels // (32 * words.shape[-1])
        if group * 32 * words.shape[-1] != channels:
            raise op.refuse(f"{channels} channels do not divide into groups of whole words")
    return unpacked(words, channels // group).transpose(0, 3, 1, 2), group


def _smallest_positive(op: Op, products: int) -> NDArray[np.float32]:
    """The smallest dot product whose sign is +1, for each output channel.

    LCE's thresholds are on the count of products that are -1, beyond which the sign is -1.
    """
    counts = op.array(4, "threshold").astype(np.int64).clip(-1, products)
    return (products - 2 * counts).astype(np.float32)


def _per_channel(op: Op, array: NDArray[np.generic]) -> ir.Value:
    return op.constant(array.astype(np.float32).reshape(1, -1, 1, 1), "channel")


def _strides(op: Op) -> list[int]:
    return [op.integer("stride_height"), op.integer("stride_width")]


def padded(op: Op, value: ir.Value, pads: list[int], fill: float) -> ir.Value:
    """An image with a border of one number; pads [top, left, bottom, right]."""
    batch, channels, height, width = shape_of(value)
    assert isinstance(height, int)
    assert isinstance(width, int)
    top, left, bottom, right = pads
    shape = [batch, channels, height + top + bottom, width + left + right]
    amounts = op.integers([0, 0, top, left, 0, 0, bottom, right], "pads")
    number = op.constant(np.array(fill, np.float32), "border")
    return op.add("Pad", [value, amounts, number], shape, mode="constant")


OPERATORS: dict[str, Callable[[Op], None]] = {
    "LceQuantize": _quantize,
    "LceDequantize": _dequantize,
    "LceBMaxPool2d": _max_pool,
    "LceBconv2d": _convolution,
}
