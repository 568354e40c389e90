"""Operators of the `sbn` domain as operators of LCE and of TFLite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sbn_runtime.errors import UnsupportedLayerError

from ...onnx.graph import constant, integer, ints, sole_consumer
from ...onnx.packing import unpack_signs
from ..schema import Activation
from ..words32 import from_words64, pack_bits32
from .binary_layers import BinaryLayer
from .build import FLOAT, Builder, activation_of
from .values import Packed, Plain, Values
from .window import Window

_INT32 = np.iinfo(np.int32)
# float32 counts exactly up to here.
_EXACT = 1 << 24


def translate(values: Values, node: ir.Node, name: str) -> None:
    """Writes one operator.

    Raises UnsupportedLayerError for those that draw noise, which LCE cannot.
    """
    handler = _HANDLERS.get(node.op_type)
    if handler is None:
        raise UnsupportedLayerError(
            f"{name}: LCE has no operator for sbn.{node.op_type}; noise is for ONNX files:"
            " give an output that ends in .onnx"
        )
    handler(values, node, name)


def _array(node: ir.Node, index: int) -> NDArray[Any]:
    array = constant(node.inputs[index])
    assert array is not None, (node.op_type, index)
    return array


def _floats(node: ir.Node, first: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two constants in a row."""
    return _array(node, first).astype(np.float32), _array(node, first + 1).astype(np.float32)


def _window(node: ir.Node, kernel: tuple[int, ...]) -> Window:
    return Window(
        kernel,
        ints(node, "strides", [1, 1]),
        ints(node, "pads", [0, 0, 0, 0]),
        ints(node, "dilations", [1, 1]),
    )


# Binary layers


def _layer(values: Values, node: ir.Node, name: str) -> BinaryLayer:
    """The layer without what follows it."""
    x, weights = values.packed(node.inputs[0]), _array(node, 1)
    builder, channels = values.builder, x.channels
    if node.op_type.startswith("Conv"):
        group = integer(node, "group", 1)
        held = from_words64(weights, channels // group)
        window = _window(node, held.shape[1:3])
        pad_value = integer(node, "pad_value", 0)
    else:
        _, height, width, _ = builder.shape(x.tensor)
        group, pad_value = 1, 1
        images = weights.reshape(len(weights), height, width, -1)
        held = from_words64(images, channels)
        window = Window((height, width), (1, 1))
    tensor = x.tensor
    if x.turned is not None:
        if window.is_padded or group > 1:
            tensor = builder.turn(tensor, x.turned, name)
        else:
            held = held ^ pack_bits32(x.turned)
    return BinaryLayer(builder, name, tensor, held, channels, window, pad_value, group)


def _plain(layer: BinaryLayer, node: ir.Node, tensor: int) -> Plain:
    """The layer's floats as images or rows."""
    shape = layer.builder.shape(tensor)
    return Plain(tensor, shape if node.op_type.startswith("Conv") else (1, shape[-1]))


def _threshold(values: Values, node: ir.Node, name: str) -> None:
    layer = _layer(values, node, name)
    smallest = _array(node, 2).astype(np.int64)
    turned = _min_pooled(node)
    if turned is not None:
        # A dot product below T is one whose opposite is not below 1 - T.
        ones = pack_bits32(np.ones(layer.channels // layer.group, np.bool_))
        weights = np.where(turned[:, None, None, None], layer.weights ^ ones, layer.weights)
        layer = replace(layer, weights=weights)
        smallest = np.where(turned, 1 - smallest, smallest)
    values[node.outputs[0]] = Packed(layer.threshold(smallest), len(smallest), turned)


def _min_pooled(node: ir.Node) -> NDArray[np.bool_] | None:
    """The channels that the only reader of a layer's signs min-pools, if it does.

    LCE has max-pools only; such channels are held the other way round.
    """
    pool = sole_consumer(node.outputs[0])
    if pool is None or pool.op_type != "MaxPool":
        return None
    mask = unpack_signs(_array(pool, 1), _array(node, 2).size) < 0
    return mask if mask.any() else None


def _dot_scale(values: Values, node: ir.Node, name: str) -> tuple[BinaryLayer, int]:
    layer = _layer(values, node, name)
    low, high = ints(node, "dot_range", [])
    scale, bias = _floats(node, 2)
    # LCE's own rounding, whatever the ONNX file's.
    offset = integer(node, "dot_offset", 0)
    bias = (bias + offset * scale.astype(np.float64)).astype(np.float32)
    limits = (-np.inf if low == _INT32.min else low, np.inf if high == _INT32.max else high)
    return layer, layer.scale(scale, bias, *limits)


def _scale(values: Values, node: ir.Node, name: str) -> None:
    layer, tensor = _dot_scale(values, node, name)
    values[node.outputs[0]] = _plain(layer, node, tensor)


def _scale_clamp(values: Values, node: ir.Node, name: str) -> None:
    layer, tensor = _dot_scale(values, node, name)
    low, high = _floats(node, 4)
    tensor = values.builder.clamp(tensor, low, high, f"{name}.clamped")
    values[node.outputs[0]] = _plain(layer, node, tensor)


def _scale_prelu(values: Values, node: ir.Node, name: str) -> None:
    layer, tensor = _dot_scale(values, node, name)
    builder = values.builder
    slope = builder.constant(_array(node, 4).astype(np.float32).reshape(1, 1, -1), f"{name}.slope")
    tensor = builder.add("PRELU", [tensor, slope], builder.shape(tensor), f"{name}.prelu")
    values[node.outputs[0]] = _plain(layer, node, tensor)


def _residual(values: Values, node: ir.Node, name: str) -> None:
    layer, tensor = _dot_scale(values, node, name)
    builder = values.builder
    shortcut = values.image(values.plain(node.inputs[4]), name)
    tensor = builder.binary("ADD", tensor, shortcut, f"{name}.sum")
    values[node.outputs[0]] = _plain(layer, node, tensor)
    if node.outputs[1].uses():
        packed = builder.quantize(tensor, f"{name}.signs")
        values[node.outputs[1]] = Packed(packed, builder.shape(tensor)[-1])


def _activation(builder: Builder, tensor: int, rows: NDArray[np.float32], name: str) -> int:
    """An activation; what of it changes nothing is left out."""
    shift, slope, gain, offset, low, high = rows
    ones = np.ones_like(gain)
    if shift.any():
        tensor = builder.affine(tensor, ones, shift, f"{name}.shifted")
    if (slope != gain).any():
        # PRELU leaves what is not negative as it is.
        assert (gain == 1).all()
        constant = builder.constant(slope.reshape(1, 1, -1), f"{name}.slope")
        tensor = builder.add("PRELU", [tensor, constant], builder.shape(tensor), f"{name}.prelu")
    elif (gain != 1).any():
        tensor = builder.affine(tensor, gain, np.zeros_like(gain), f"{name}.scaled")
    if offset.any():
        tensor = builder.affine(tensor, ones, offset, f"{name}.moved")
    if np.isfinite(low).any() or np.isfinite(high).any():
        tensor = builder.clamp(tensor, low, high, f"{name}.clamped")
    return tensor


def _activate(values: Values, node: ir.Node, name: str) -> None:
    layer, tensor = _dot_scale(values, node, name)
    builder = values.builder
    inner, outer = _floats(node, 4)
    bounds = _array(node, 6).astype(np.float32)
    shortcut = values.image(values.plain(node.inputs[7]), name)
    tensor = _activation(builder, tensor, inner, f"{name}.inner")
    tensor = builder.binary("ADD", tensor, shortcut, f"{name}.sum")
    tensor = _activation(builder, tensor, outer, f"{name}.outer")
    values[node.outputs[0]] = _plain(layer, node, tensor)
    if node.outputs[1].uses():
        values[node.outputs[1]] = _packed(builder, tensor, bounds[0], bounds[1], f"{name}.signs")


# Signs


def _packed(
    builder: Builder, tensor: int, low: NDArray[np.float32], high: NDArray[np.float32], name: str
) -> Packed:
    """The signs of floats by an interval for each channel, one of whose ends is infinite."""
    if low.any() or not np.isposinf(high).all():
        above, below = np.isfinite(low), np.isfinite(high)
        assert not (above & below).any()
        # x < low as x - low < 0, x > high as -x + high < 0; else +1 or -1 whatever x is.
        scale = np.where(above, 1, np.where(below, -1, 0)).astype(np.float32)
        never = np.where(low <= high, np.float32(1), np.float32(-1))
        bias = np.where(above, -low, np.where(below, high, never))
        tensor = builder.affine(tensor, scale, bias, f"{name}.difference")
    return Packed(builder.quantize(tensor, name), builder.shape(tensor)[-1])


def _pack(values: Values, node: ir.Node, name: str) -> None:
    builder = values.builder
    tensor = values.image(values.plain(node.inputs[0]), name)
    if node.op_type == "PackThreshold":
        low, high = _floats(node, 1)
    else:
        low, high = np.zeros(1, np.float32), np.full(1, np.inf, np.float32)
    values[node.outputs[0]] = _packed(builder, tensor, low, high, name)


def _unpack(values: Values, node: ir.Node, name: str) -> None:
    builder, x = values.builder, _upright(values, node.inputs[0], name)
    tensor = builder.dequantize(x.tensor, x.channels, name)
    rows = len(node.outputs[0].shape or ()) == 2
    shape = builder.shape(tensor)
    values[node.outputs[0]] = Plain(tensor, (1, shape[-1]) if rows else shape)


def _upright(values: Values, value: ir.Value | None, name: str) -> Packed:
    """Packed signs of which none is held the other way round."""
    x = values.packed(value)
    if x.turned is None:
        return x
    return Packed(values.builder.turn(x.tensor, x.turned, name), x.channels)


def _max_pool(values: Values, node: ir.Node, name: str) -> None:
    builder, x = values.builder, values.packed(node.inputs[0])
    wanted = unpack_signs(_array(node, 1), x.channels) < 0
    held = np.zeros(x.channels, np.bool_) if x.turned is None else x.turned
    tensor = builder.turn(x.tensor, wanted ^ held, f"{name}.input")
    window = _window(node, tuple(ints(node, "kernel_shape", [])))
    tensor = builder.binary_max_pool(tensor, window, name)
    values[node.outputs[0]] = Packed(tensor, x.channels, wanted if wanted.any() else None)


# First layers on pixels


def _pixel_sum(
    values: Values,
    node: ir.Node,
    name: str,
    turned: NDArray[np.bool_] | None,
    bias: NDArray[np.int64],
) -> int:
    """sum(pixel * weight) + bias as floats, exact whole numbers.

    The weights of the channels in `turned` are negated.
    """
    builder = values.builder
    weights = _array(node, 1).astype(np.float32)
    if turned is not None:
        weights = np.where(turned[:, None, None, None], -weights, weights)
    window = _window(node, weights.shape[1:3])
    x = values.image(values.plain(node.inputs[0]), name)
    border = integer(node, "pad_value", 0)
    _, height, width, _ = builder.shape(x)
    if window.is_padded and (border or not window.is_same(height, width)):
        x = builder.pad(x, window.pads, border or None, name)
        window = window.unpadded()
    if builder.dtype(x) != FLOAT:
        x = builder.cast(x, FLOAT, f"{name}.pixels")
    largest = 255 * np.abs(weights).sum(axis=(1, 2, 3)) + np.abs(bias)
    zeros = np.zeros(len(weights), np.float32)
    if (largest < _EXACT).all():
        return builder.convolution(x, weights, bias.astype(np.float32), window, f"{name}.sums")
    tensor = builder.convolution(x, weights, zeros, window, f"{name}.sums")
    return builder.affine(tensor, zeros + 1, bias.astype(np.float32), f"{name}.differences")


def _pixel_threshold(values: Values, node: ir.Node, name: str) -> None:
    smallest, turned = _array(node, 2).astype(np.int64), _min_pooled(node)
    if turned is not None:
        smallest = np.where(turned, 1 - smallest, smallest)
    sums = _pixel_sum(values, node, name, turned, -smallest)
    values[node.outputs[0]] = Packed(values.builder.quantize(sums, name), len(smallest), turned)


def _pixel_scale(values: Values, node: ir.Node, name: str) -> None:
    builder = values.builder
    scale, bias = _floats(node, 2)
    sums = _pixel_sum(values, node, name, None, np.zeros(len(scale), np.int64))
    if node.op_type == "PixelConvScaleClamp":
        low, high = _floats(node, 4)
        activation = activation_of(low, high)
        tensor = builder.affine(sums, scale, bias, name, activation or Activation.NONE)
        if activation is None:
            tensor = builder.clamp(tensor, low, high, f"{name}.clamped")
    else:
        tensor = builder.affine(sums, scale, bias, name)
    values[node.outputs[0]] = Plain(tensor, builder.shape(tensor))


# Floats, channels last


def _float_max_pool(values: Values, node: ir.Node, name: str) -> None:
    builder = values.builder
    x = values.image(values.plain(node.inputs[0]), name)
    window = _window(node, tuple(ints(node, "kernel_shape", [])))
    tensor = builder.max_pool(x, window, name, relu=bool(integer(node, "relu", 0)))
    values[node.outputs[0]] = Plain(tensor, builder.shape(tensor))


def _float_depthwise(values: Values, node: ir.Node, name: str) -> None:
    builder = values.builder
    x = values.image(values.plain(node.inputs[0]), name)
    filters, bias = _floats(node, 1)
    window = _window(node, filters.shape[:2])
    mean = np.float32(1 / (filters.shape[0] * filters.shape[1]))
    if (filters == mean).all() and not bias.any() and not window.is_padded:
        tensor = builder.average_pool(x, window, name)
    else:
        tensor = builder.depthwise(x, filters, bias, window, name)
    values[node.outputs[0]] = Plain(tensor, builder.shape(tensor))


_HANDLERS: dict[str, Callable[[Values, ir.Node, str], None]] = {
    "Pack": _pack,
    "PackThreshold": _pack,
    "Unpack": _unpack,
    "MaxPool": _max_pool,
    **{
        f"{kind}{epilogue}": handler
        for kind in ("Conv", "Dense")
        for epilogue, handler in (
            ("Threshold", _threshold),
            ("Scale", _scale),
            ("ScaleClamp", _scale_clamp),
            ("ScalePRelu", _scale_prelu),
            ("Residual", _residual),
            ("Activate", _activate),
        )
    },
    "PixelConvThreshold": _pixel_threshold,
    "PixelConvScale": _pixel_scale,
    "PixelConvScaleClamp": _pixel_scale,
    "FloatMaxPool": _float_max_pool,
    "FloatDepthwiseConv": _float_depthwise,
}
