"""Cheaper forms of the float operators that are left in a lowered graph.

Each computes what the operator computed: the same numbers, or sums of the same
terms in another order.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .emit import FLOAT, Emitter
from .graph import Dim, constant, dims, integer, ints, layer_name, sole_consumer, text
from .layout import CHANNELS_FIRST, CHANNELS_LAST

# Images of more channels are better off transposed.
_FEW_CHANNELS = 4


def use_cheap_forms(graph: ir.Graph, emit: Emitter) -> None:
    """Rewrites the graph in place."""
    for node in list(graph):
        if node.domain != "" or node.graph is None:
            continue
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            continue
        match node.op_type:
            case "Conv":
                _first_convolution(node, emit)
            case "PRelu":
                _prelu(node, emit)
            case "Add":
                _scale_and_bias(node, emit)
            case "ReduceMean":
                _mean(node, emit)


def _first_convolution(node: ir.Node, emit: Emitter) -> None:
    """A convolution of an image [N, H, W, C] of few channels, without transposing it.

    With rows of W * C numbers as one channel, a filter is C times as wide and
    moves C times as far.
    """
    source = node.inputs[0]
    turning = source.producer() if source is not None else None
    weights = constant(node.inputs[1])
    if turning is None or turning.op_type != "Transpose" or weights is None or weights.ndim != 4:
        return
    image = turning.inputs[0]
    if image is None or not CHANNELS_FIRST.is_perm(ints(turning, "perm", [])):
        return
    batch, height, width, channels = image.shape or [None] * 4
    if not (isinstance(height, int) and isinstance(width, int) and isinstance(channels, int)):
        return
    if channels > _FEW_CHANNELS or integer(node, "group", 1) != 1:
        return
    dilations = ints(node, "dilations", [1, 1])
    if dilations[1] != 1 or text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return
    outputs, _, kernel_height, kernel_width = weights.shape
    strides, pads = ints(node, "strides", [1, 1]), ints(node, "pads", [0, 0, 0, 0])
    name = layer_name(node)
    target = emit.edit.constant(np.array([-1, 1, height, width * channels], np.int64), "shape")
    shape: list[Dim] = [batch, 1, height, width * channels]
    rows = emit.edit.node("Reshape", [image, target], node, "rows", dtype=FLOAT, shape=shape)
    wide = CHANNELS_LAST.array(weights).reshape(outputs, 1, kernel_height, -1)
    node.replace_input_with(0, rows)
    node.replace_input_with(1, emit.edit.constant(wide.copy(), f"{name}.weight_rows"))
    lists = {
        "kernel_shape": [kernel_height, kernel_width * channels],
        "strides": [strides[0], strides[1] * channels],
        "pads": [size * (channels if i % 2 else 1) for i, size in enumerate(pads)],
    }
    for key, numbers in lists.items():
        node.attributes[key] = ir.AttrInt64s(key, numbers)
    emit.edit.prune(turning)


def _prelu(node: ir.Node, emit: Emitter) -> None:
    """max(x, slope x) where no slope is above 1: onnxruntime is slow in slopes for each channel."""
    x, slope = node.inputs[0], constant(node.inputs[1])
    if x is None or slope is None or slope.astype(np.float32).max() > 1:
        return
    result = node.outputs[0]
    shape = list(result.shape or [])
    name = layer_name(node)
    scaled = emit.edit.node("Mul", [x, node.inputs[1]], node, name, dtype=FLOAT, shape=shape)
    larger = emit.edit.node("Max", [x, scaled], node, name, dtype=FLOAT, shape=shape)
    emit.edit.replace(result, larger)
    emit.edit.prune(node)


def _scale_and_bias(node: ir.Node, emit: Emitter) -> None:
    """x * scale + bias along the last axis of an image in one pass instead of two."""
    result = node.outputs[0]
    shape: list[Dim] = list(result.shape or [])
    channels = dims(result)[-1] if len(shape) == 4 else None
    added = _along_last(node, channels)
    if added is None or channels is None:
        return
    product, bias = added
    multiply = product.producer()
    if multiply is None or multiply.op_type != "Mul" or sole_consumer(product) is not node:
        return
    multiplied = _along_last(multiply, channels)
    if multiplied is None or list(multiplied[0].shape or []) != shape:
        return
    x, scale = multiplied
    name = layer_name(node)
    w = emit.edit.constant(scale.reshape(1, 1, -1), f"{name}.scale")
    b = emit.edit.constant(bias, f"{name}.bias")
    value = _depthwise(emit, [x, w, b], node, channels, shape)
    emit.note(value, name, "scale", ["mul", "add"])
    emit.edit.replace(result, value)
    emit.edit.prune(node)


def _along_last(node: ir.Node, channels: int | None) -> tuple[ir.Value, NDArray[np.float32]] | None:
    """The variable operand and the constant one if that is float32 [C] along the last axis."""
    for index in (1, 0):
        array, other = constant(node.inputs[index]), node.inputs[1 - index]
        if array is None or other is None or array.size != channels:
            continue
        if array.shape[-1:] == (channels,) and constant(other) is None:
            return other, array.astype(np.float32).reshape(-1)
    return None


def _mean(node: ir.Node, emit: Emitter) -> None:
    """The mean over an image, column by column and then row by row, for all channels at once."""
    x, axes = node.inputs[0], constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if x is None or axes is None or sorted(int(axis) % 4 for axis in axes) != [1, 2]:
        return
    shape = list(x.shape or [])
    if len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
        return
    _, height, width, channels = dims(x)
    assert height is not None
    assert width is not None
    assert channels is not None
    value, result, name = x, node.outputs[0], layer_name(node)
    zeros = emit.edit.constant(np.zeros(channels, np.float32), f"{name}.zero")
    for window, size in (((height, 1), [1, width]), ((1, width), [1, 1])):
        share = np.full((*window, channels), 1 / max(window), np.float32)
        w = emit.edit.constant(share, f"{name}.share")
        value = _depthwise(emit, [value, w, zeros], node, channels, [shape[0], *size, channels])
    emit.note(value, name, "pool", [])
    if len(dims(result)) == 2:
        target = emit.edit.constant(np.array([-1, channels], np.int64), "shape")
        value = emit.edit.node(
            "Reshape", [value, target], node, name, dtype=FLOAT, shape=[shape[0], channels]
        )
    emit.edit.replace(result, value)
    emit.edit.prune(node)


def _depthwise(
    emit: Emitter, inputs: list[ir.Value], node: ir.Node, channels: int, shape: list[Dim]
) -> ir.Value:
    name = layer_name(node)
    return emit.edit.sbn(
        "FloatDepthwiseConv",
        inputs,
        node,
        name,
        dtype=FLOAT,
        shape=shape,
        attributes={
            "channels": channels,
            "strides": [1, 1],
            "dilations": [1, 1],
            "pads": [0, 0, 0, 0],
        },
    )
