"""First layers that compute on 8-bit pixels in exact integers.

Images reach a network as x = (2 p - 255) / 255 for pixels p. A first layer
that takes round(255 x) = 2 p - 255 and has whole-number weights sums whole
numbers: sum(w (2 p - 255)) = 2 sum(w p) - 255 sum(w). It becomes a convolution
on the pixels themselves, and the graph's input becomes uint8 [N, H, W, C].
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..ops import MAX_EXACT_PIXEL_PRODUCTS
from .channelwise import ChannelStep, apply_all, direction_of
from .graph import Editor, constant, dims, ints, text
from .layers import PixelLayer
from .layout import CHANNELS_FIRST
from .thresholds import NotAThreshold

PIXEL_MAX = 255


def pixel_layer(node: ir.Node, image: ir.Value) -> PixelLayer | None:
    """The convolution as a pixel layer if its input is round(255 * image), else None."""
    weights = constant(node.inputs[1])
    if weights is None or weights.ndim != 4 or (len(node.inputs) > 2 and _has_bias(node)):
        return None
    weights = weights.astype(np.float32)
    if np.abs(weights).max() > 127 or (weights != np.round(weights)).any():
        return None
    if np.prod(weights.shape[1:]) > MAX_EXACT_PIXEL_PRODUCTS or dims(image)[1] != weights.shape[1]:
        return None
    source = node.inputs[0]
    pads, border = ints(node, "pads", [0, 0, 0, 0]), 0.0
    producer = source.producer() if source is not None else None
    if producer is not None and producer.op_type == "Pad":
        amounts, fill = constant(producer.inputs[1]), constant(producer.inputs[2])
        if any(pads) or amounts is None or fill is None or amounts.size != 8:
            return None
        if amounts[[0, 1, 4, 5]].any() or text(producer, "mode", "constant") != "constant":
            return None
        pads, border = [int(amounts[i]) for i in (2, 3, 6, 7)], float(fill.reshape(()))
        source = producer.inputs[0]
    if any(pads) and border not in (-PIXEL_MAX, PIXEL_MAX):
        return None
    if source is None or not _is_whole(source, image):
        return None
    if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    return PixelLayer(
        node,
        weights,
        {
            "strides": ints(node, "strides", [1, 1]),
            "dilations": ints(node, "dilations", [1, 1]),
            "pads": pads,
            "pad_value": PIXEL_MAX if border > 0 else 0,
        },
    )


def _has_bias(node: ir.Node) -> bool:
    bias = constant(node.inputs[2])
    return bias is None or bool(bias.any())


def _is_whole(value: ir.Value, image: ir.Value) -> bool:
    """Whether the value is round(255 * image)."""
    rounding = value.producer()
    if rounding is None or rounding.op_type != "Round" or rounding.inputs[0] is None:
        return False
    scaling = rounding.inputs[0].producer()
    if scaling is None or scaling.op_type != "Mul" or image not in scaling.inputs:
        return False
    factors = [constant(operand) for operand in scaling.inputs if operand is not image]
    return len(factors) == 1 and factors[0] is not None and bool((factors[0] == PIXEL_MAX).all())


def pixel_thresholds(
    steps: list[ChannelStep], layer: PixelLayer
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Thresholds int32 [O] on sum(w p), and which channels' weights to negate, bool [O].

    Found by bisection over the sums that bytes from 0 to 255 can give.

    Raises NotAThreshold if a step is not monotone.
    """
    weights, channels = layer.weights, layer.outputs
    direction = direction_of(steps, channels)
    if direction is None:
        raise NotAThreshold("a step between the sum and the sign is not monotone")
    flat = weights.reshape(channels, -1).astype(np.int64)
    total = flat.sum(axis=1)
    negate = direction < 0
    sign = np.where(negate, -1, 1)

    def positive(sums: NDArray[np.int64]) -> NDArray[np.bool_]:
        whole = (layer.factor * sums * sign - layer.offset * total).astype(np.float32)
        negative: NDArray[np.bool_] = apply_all(steps, whole[None])[0] < 0
        return ~negative

    negated = flat * sign[:, None]
    low = PIXEL_MAX * np.minimum(negated, 0).sum(axis=1)
    high = PIXEL_MAX * np.maximum(negated, 0).sum(axis=1) + 1
    # Invariant: every sum below `low` is negative, every sum from `high` on is not.
    while (low < high).any():
        middle = (low + high) // 2
        up = positive(middle)
        active = low < high
        high = np.where(active & up, middle, high)
        low = np.where(active & ~up, middle + 1, low)
    return low.astype(np.int32), negate


def pixel_scale(
    layer: PixelLayer, scale: NDArray[np.float32], bias: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """scale and bias float32 [O] for sum(w p), from those for the layer's own sums."""
    total = layer.weights.reshape(layer.outputs, -1).astype(np.float64).sum(axis=1)
    shifted = bias - layer.offset * total * scale.astype(np.float64)
    return layer.factor * scale, shifted.astype(np.float32)


def pixels_like(image: ir.Value) -> ir.Value:
    """An input of pixels, uint8 [N, H, W, C], in place of float32 [N, C, H, W]."""
    batch, channels, height, width = image.shape or (None, None, None, None)
    return ir.Value(
        name=image.name,
        shape=ir.Shape([batch, height, width, channels]),
        type=ir.TensorType(ir.DataType.UINT8),
    )


def floats_from(pixels: ir.Value, graph: ir.Graph, edit: Editor) -> None:
    """Makes pixels the graph's input; what still reads the old one gets it computed."""
    old = graph.inputs[0]
    old.name = edit.unique(f"{old.name}.floats")
    graph.inputs[0] = pixels
    if old.uses():
        old.replace_all_uses_with(_normalised(pixels, next(iter(graph)), edit))


def _normalised(pixels: ir.Value, before: ir.Node, edit: Editor) -> ir.Value:
    """(p / 255 - 0.5) / 0.5 as float32 [N, C, H, W], step by step as images are normalised."""
    shape = list(pixels.shape or [])
    value = edit.node(
        "Cast",
        [pixels],
        before,
        "input.cast",
        dtype=ir.DataType.FLOAT,
        shape=shape,
        attributes={"to": int(ir.DataType.FLOAT)},
    )
    for op_type, number in (("Div", PIXEL_MAX), ("Sub", 0.5), ("Div", 0.5)):
        operand = edit.constant(np.array(number, np.float32), "input.constant")
        value = edit.node(
            op_type,
            [value, operand],
            before,
            f"input.{op_type.lower()}",
            dtype=ir.DataType.FLOAT,
            shape=shape,
        )
    return edit.node(
        "Transpose",
        [value],
        before,
        "input.channels_first",
        dtype=ir.DataType.FLOAT,
        shape=CHANNELS_FIRST.of(list(shape)) if shape else [],
        attributes={"perm": CHANNELS_FIRST.perm},
    )
