"""What follows an accumulator and can be computed together with it, in floats."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..ops import MAX_PRODUCTS
from .chains import channel_step
from .channelwise import Add, ChannelStep, Clip, Mul, PRelu, affine
from .graph import dims, sole_consumer

INT32 = np.iinfo(np.int32)
# What the operators take.
_MAX_OFFSET = 1 << 25


@dataclass
class Epilogue:
    """The float form of an accumulator and the steps after it.

    The result, which replaces `end`, is computed from the dot product limited
    to `dot_range`: times `scale` plus `bias` (float32 [O] each), then the step
    that `kind` names with its `parameters` (float32 [O] each), or plus
    `shortcut`. Where `dot_offset` is not 0, it is added first, and the product
    is rounded before `bias` is added.
    """

    end: ir.Value
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    dot_range: list[int] = field(default_factory=lambda: [INT32.min, INT32.max])
    dot_offset: int = 0
    kind: str = "Scale"
    parameters: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    shortcut: ir.Value | None = None
    names: list[str] = field(default_factory=list)


def follow(
    start: ir.Value,
    own_bias: NDArray[np.float32] | None,
    channels: int,
    *,
    shortcut: bool = True,
    pixels: bool = False,
) -> Epilogue:
    """The longest run of steps after `start` that one operator computes.

    In this order: a clamp to whole numbers, affine steps (or, step by step, an
    offset of whole numbers, a scale and a bias), and one of clamp,
    PReLU or the addition of a shortcut (not without `shortcut`); of these only
    affine steps and one clamp at their end where `pixels` says so. Only values that nothing else
    reads are passed over.
    """
    value, names = start, []
    dot_range = [INT32.min, INT32.max]
    steps: list[ChannelStep] = []
    if own_bias is not None:
        steps.append(Add(own_bias))
        names.append("bias")
    elif not pixels:
        found = _next_step(value)
        limits = _whole_limits(found[2]) if found else None
        if found and limits:
            dot_range = limits
            value = found[0]
            names.append(found[1])
    stepwise = None if steps or pixels else _offset_scale_bias(value)
    if stepwise is not None:
        value, offset, scale, bias = stepwise
        names += ["scale", "bias"]
        found = _next_step(value)
        result = Epilogue(value, scale, bias, dot_range, offset, names=names)
    else:
        while found := _next_step(value):
            if affine([*steps, found[2]], channels) is None:
                break
            steps.append(found[2])
            names.append(found[1])
            value = found[0]
        composed = affine(steps, channels)
        assert composed is not None
        result = Epilogue(value, *composed, dot_range, names=names)
    node = sole_consumer(value)
    if shortcut and not pixels and node is not None and node.op_type == "Add" and node.domain == "":
        other = _other_operand(node, value)
        if other is not None:
            result.kind, result.shortcut, result.end = "Residual", other, node.outputs[0]
            names.append("add")
            return result
    if found:
        end, name, step = found
        match step:
            case Clip(low, high):
                result.kind, result.parameters = "ScaleClamp", {"low": low, "high": high}
            case PRelu(slope) if not pixels:
                result.kind, result.parameters = "ScalePRelu", {"slope": slope}
            case _:
                return result
        result.end = end
        names.append(name)
    return result


def _next_step(value: ir.Value) -> tuple[ir.Value, str, ChannelStep] | None:
    """The only reader of a value if it is a channel step: its output, name and step."""
    node = sole_consumer(value)
    found = channel_step(node) if node is not None else None
    if node is None or found is None or found[0] is not value:
        return None
    return node.outputs[0], found[1], found[2]


def _offset_scale_bias(
    start: ir.Value,
) -> tuple[ir.Value, int, NDArray[np.float32], NDArray[np.float32]] | None:
    """(x + offset) * scale + bias, the offset one whole number, and what it gives."""
    found = []
    value = start
    for kind in (Add, Mul, Add):
        step = _next_step(value)
        if step is None or not isinstance(step[2], kind):
            return None
        value = step[0]
        found.append(step[2].value)
    offset = float(found[0].flat[0])
    if (found[0] != offset).any() or offset != round(offset) or not 0 < abs(offset) <= _MAX_OFFSET:
        return None
    return value, int(offset), found[1], found[2]


def _whole_limits(step: ChannelStep) -> list[int] | None:
    """A clamp as whole numbers, the same for all channels, or None."""
    if not isinstance(step, Clip):
        return None
    low, high = float(step.low[0]), float(step.high[0])
    if (step.low != low).any() or (step.high != high).any():
        return None
    limits = [max(low, INT32.min), min(high, INT32.max)]
    if any(limit != round(limit) for limit in limits) or limits[0] > limits[1]:
        return None
    if limits[0] > MAX_PRODUCTS or limits[1] < -MAX_PRODUCTS:
        return None  # constant, and beyond what the operators scale exactly
    return [int(limit) for limit in limits]


def _other_operand(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The other summand if it has the same shape and is not the value itself."""
    others = [operand for operand in node.inputs if operand is not value]
    if len(others) != 1 or others[0] is None:
        return None
    same = dims(others[0]) == dims(value) and len(dims(value)) in (2, 4)
    return others[0] if same else None
