"""Float convolutions and matrix products in 8 bits.

Of a layer y = sum(w x) + b, the inputs become p = round(x / step) + zero, saturated to 0 to 255,
and the weights q = round(w / step_o), from -127 to 127, with a step of its own for each output
channel o. Then y = step step_o (sum(q p) - zero sum(q)) + b, whose sum is a whole number: the
layer is one `PixelConvScale`, and answers the same bits on every CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..ops import BY_NAME, MAX_PIXEL_PRODUCTS
from . import chains
from .batch_norm import factors
from .emit import FLOAT, Emitter
from .graph import Dim, constant, dims, integer, ints, layer_name, sole_consumer, spatial, text
from .layout import CHANNELS_LAST

LAYERS = ("Conv", "Gemm", "MatMul")
LARGEST_INPUT, LARGEST_WEIGHT = 255, 127
UINT8 = ir.DataType.UINT8


@dataclass(frozen=True)
class Range:
    """Numbers that a layer is given, and what 8 bits make of them: those beyond are clipped."""

    low: float
    high: float

    @property
    def step(self) -> np.float32:
        """Between two numbers that 8 bits can tell apart."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        return np.float32(max(high - low, float(np.finfo(np.float32).tiny)) / LARGEST_INPUT)

    @property
    def zero(self) -> int:
        """Which of 0 to 255 stands for 0, exactly: borders are made of it."""
        return int(np.clip(np.round(-min(self.low, 0.0) / self.step), 0, LARGEST_INPUT))


def problem(node: ir.Node) -> str:
    """Why a float layer cannot be computed in 8 bits; empty if it can."""
    weights = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1)
    if node.op_type not in LAYERS:
        return f"8 bits are for convolutions and matrix products, and this is a {node.op_type}"
    if weights is None or bias is None:
        return "8 bits need weights that are constant"
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        return "its weights are not finite"
    if node.op_type == "Conv":
        if weights.ndim != 4:
            return "8 bits are for convolutions of images"
        if integer(node, "group", 1) != 1:
            return "8 bits are for convolutions without groups"
        if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            return "automatic padding; export with explicit pads"
        wrong = BY_NAME["PixelConvScale"].problem(
            {**_window(node), "pad_value": 0}, spatial(node.inputs[0])
        )
        if wrong:
            return f"no operator takes it: {wrong}"
        products = prod(weights.shape[1:])
    else:
        source = node.inputs[0]
        shape = dims(source) if source is not None else []
        if weights.ndim != 2 or not shape or None in shape[1:]:
            return "8 bits need inputs of known shape and a matrix of weights"
        if node.op_type == "Gemm" and not chains.is_plain_gemm(node):
            return "a scaled or transposed matrix product"
        products = weights.shape[1 if integer(node, "transB", 0) else 0]
    if products > MAX_PIXEL_PRODUCTS:
        return f"8 bits are for at most {MAX_PIXEL_PRODUCTS:,} products in a sum"
    return ""


def use_eight_bits(graph: ir.Graph, emit: Emitter, ranges: Mapping[str, Range]) -> None:
    """Rewrites the layers of these names, of which `problem` has nothing to say, in place."""
    for node in list(graph):
        name = layer_name(node)
        if node.op_type not in LAYERS or name not in ranges or problem(node):
            continue
        norm = sole_consumer(node.outputs[0])
        step = factors(norm) if norm is not None and norm.op_type == "BatchNormalization" else None
        end = node if norm is None or step is None else norm
        made = _layer(node, name, ranges[name], step or (np.float64(1), np.float64(0)), emit)
        emit.edit.replace(end.outputs[0], made)
        emit.edit.prune(end)


def _layer(
    node: ir.Node,
    name: str,
    given: Range,
    then: tuple[NDArray[np.float64] | np.float64, NDArray[np.float64] | np.float64],
    emit: Emitter,
) -> ir.Value:
    """The layer, times and plus what a batch-norm makes of it."""
    source, weights = node.inputs[0], constant(node.inputs[1])
    assert source is not None
    assert weights is not None
    image = node.op_type == "Conv"
    x = emit.channels_last(source, node, name) if image else source
    weights = weights.astype(np.float32)
    if not image:
        weights = weights if integer(node, "transB", 0) else weights.T
        weights = weights[:, :, None, None]
    steps, whole = whole_weights(weights)
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1)
    assert bias is not None
    scale = float(given.step) * steps.astype(np.float64)
    of_zero = given.zero * scale * whole.sum((1, 2, 3), np.float64)
    bias = (bias.astype(np.float64).reshape(-1) - of_zero) * then[0] + then[1]
    scale = scale * then[0]
    shape: list[Dim] = list(x.shape or [])
    batch = shape[0]
    step = emit.edit.constant(np.array(given.step), f"{name}.step")
    zero = emit.edit.constant(np.array(given.zero, np.uint8), f"{name}.zero")
    p = emit.edit.node(
        "QuantizeLinear", [x, step, zero], node, f"{name}.quantize", dtype=UINT8, shape=shape
    )
    if not image:
        batch = batch if len(shape) == 2 else None
        p = _reshaped(p, [-1, 1, 1, dims(x)[-1] or 0], [batch, 1, 1, dims(x)[-1]], node, emit)
    window = _window(node) if image else _POINT
    value = emit.edit.sbn(
        "PixelConvScale",
        [
            p,
            emit.edit.constant(
                np.ascontiguousarray(CHANNELS_LAST.array(whole)), f"{name}.weight.int8"
            ),
            emit.edit.constant(scale.astype(np.float32), f"{name}.scale"),
            emit.edit.constant(bias.astype(np.float32), f"{name}.bias"),
        ],
        node,
        name,
        dtype=FLOAT,
        shape=[
            batch,
            *(spatial(node.outputs[0]) if image else (1, 1)),
            len(weights),
        ],
        attributes={**window, "pad_value": given.zero},
    )
    emit.note_eight_bits(value, name, node)
    if image:
        return emit.channels_first(value, node, name)
    size = [*dims(x)[1:-1], len(weights)]
    return _reshaped(value, [-1, *(n or 0 for n in size)], [shape[0], *size], node, emit)


_POINT: dict[str, int | list[int]] = {
    "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]
}  # fmt: skip


def _window(node: ir.Node) -> dict[str, int | list[int]]:
    return {
        "strides": ints(node, "strides", [1, 1]),
        "dilations": ints(node, "dilations", [1, 1]),
        "pads": ints(node, "pads", [0, 0, 0, 0]),
    }


def whole_weights(
    weights: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Steps float32 [O] and whole numbers int8 [O, ...] whose product is near the weights."""
    largest = np.abs(weights.reshape(len(weights), -1)).max(1)
    tiny = np.float32(np.finfo(np.float32).tiny * LARGEST_WEIGHT)
    steps = np.maximum(largest, tiny) / np.float32(LARGEST_WEIGHT)
    rounded = np.round(weights / steps.reshape(-1, *[1] * (weights.ndim - 1)))
    return steps, rounded.astype(np.int8)


def _reshaped(
    value: ir.Value, target: list[int], shape: list[Dim], before: ir.Node, emit: Emitter
) -> ir.Value:
    assert value.dtype is not None
    sizes = emit.edit.constant(np.array(target, np.int64), "shape")
    return emit.edit.node("Reshape", [value, sizes], before, "rows", dtype=value.dtype, shape=shape)
