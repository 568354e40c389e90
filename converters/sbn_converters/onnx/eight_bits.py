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
from .emit import Emitter
from .graph import constant, dims, integer, ints, layer_name, sole_consumer, spatial, text
from .layers import PixelLayer

LAYERS = ("Conv", "Gemm", "MatMul")
LARGEST_INPUT, LARGEST_WEIGHT = 255, 127


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
        return f"8 bits are for convolutions and matrix products, but this is a {node.op_type}"
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
    source = node.inputs[0]
    assert source is not None
    steps, whole = whole_weights(_weights(node))
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1)
    assert bias is not None
    scale = float(given.step) * steps.astype(np.float64)
    of_zero = given.zero * scale * whole.sum((1, 2, 3), np.float64)
    bias = (bias.astype(np.float64).reshape(-1) - of_zero) * then[0] + then[1]
    layer = PixelLayer(
        node,
        whole.astype(np.float32),
        {**_window(node), "pad_value": given.zero},
        source=source,
        codes=node.outputs[0].name or "",
    )
    constants: dict[str, NDArray[np.generic]] = {
        "scale": (scale * then[0]).astype(np.float32),
        "bias": bias.astype(np.float32),
    }
    codes = emit.codes(source, float(given.step), given.zero, node, node)
    value = emit.pixels(layer, codes, layer.weights, "Scale", constants, node, [])
    return emit.channels_first(value, node, name) if node.op_type == "Conv" else value


def coded_layer(node: ir.Node) -> PixelLayer | None:
    """A layer that was trained in 8 bits, else None: whole weights, and clip(round(x / step))."""
    weights = constant(node.inputs[1])
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1)
    if weights is None or bias is None or bias.any() or problem(node):
        return None
    weights = _weights(node)
    if np.abs(weights).max() > LARGEST_WEIGHT or (weights != np.round(weights)).any():
        return None
    clip = _made_by(node.inputs[0], "Clip")
    rounding = _made_by(clip.inputs[0], "Round") if clip is not None else None
    division = _made_by(rounding.inputs[0], "Div") if rounding is not None else None
    if clip is None or division is None or len(clip.inputs) != 3:
        return None
    low, high, step = (constant(value) for value in (*clip.inputs[1:], division.inputs[1]))
    if low is None or high is None or step is None or {low.size, high.size, step.size} != {1}:
        return None
    lowest, divisor = float(low.astype(np.float64).item()), float(step.astype(np.float32).item())
    zero = -round(lowest)
    whole = -zero == lowest and 0 <= zero <= LARGEST_INPUT
    if not whole or float(high.astype(np.float64).item()) != LARGEST_INPUT - zero or divisor <= 0:
        return None
    return PixelLayer(
        node,
        weights,
        {**_window(node), "pad_value": zero},
        factor=1,
        offset=zero,
        source=division.inputs[0],
        step=divisor,
        codes=division.outputs[0].name or "",
    )


def _made_by(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None


def _weights(node: ir.Node) -> NDArray[np.float32]:
    """Weights [O, C, kh, kw], of matrix products [O, K, 1, 1]."""
    weights = constant(node.inputs[1])
    assert weights is not None
    if node.op_type == "Conv":
        return weights.astype(np.float32)
    transposed = weights if integer(node, "transB", 0) else weights.T
    return transposed.astype(np.float32)[:, :, None, None]


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
