"""Recognising what stands between an accumulator and a sign in an ONNX graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..ops import BY_NAME
from .channelwise import Add, BatchNorm, ChannelStep, Clip, Div, Mul, PRelu
from .graph import constant, dims, integer, ints, real, sole_consumer, spatial, text


@dataclass
class Pool:
    """A max-pool inside a chain; `position` counts the steps before it."""

    node: ir.Node
    position: int


@dataclass
class Chain:
    """Steps from `start` to the sign, in the order in which they are computed."""

    start: ir.Value
    steps: list[ChannelStep] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def sign_input(node: ir.Node) -> ir.Value | None:
    """The `a` of `Where(a < 0, -1, +1)` or `Where(a >= 0, +1, -1)`, else None."""
    condition, chosen, other = node.inputs
    test = condition.producer() if condition is not None else None
    if test is None or len(test.inputs) != 2 or not _is_scalar(test.inputs[1], 0.0):
        return None
    negative = test.op_type == "Less" and _is_scalar(chosen, -1.0) and _is_scalar(other, 1.0)
    positive = (
        test.op_type == "GreaterOrEqual" and _is_scalar(chosen, 1.0) and _is_scalar(other, -1.0)
    )
    return test.inputs[0] if negative or positive else None


def _is_scalar(value: ir.Value | None, number: float) -> bool:
    array = constant(value)
    return array is not None and array.size == 1 and float(array.reshape(())) == number


def is_plain_pool(node: ir.Node) -> bool:
    """Whether a MaxPool is two-dimensional, undilated, with explicit pads that operators take."""
    return (
        len(ints(node, "kernel_shape", [])) == 2
        and ints(node, "dilations", [1, 1]) == [1, 1]
        and integer(node, "ceil_mode", 0) == 0
        and text(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and len(node.outputs) == 1
        and not BY_NAME["MaxPool"].problem(pool_attributes(node), spatial(node.inputs[0]))
    )


def pool_attributes(node: ir.Node) -> dict[str, list[int]]:
    """The attributes of a two-dimensional pool, which may leave some out."""
    return {
        "kernel_shape": ints(node, "kernel_shape", []),
        "strides": ints(node, "strides", [1, 1]),
        "pads": ints(node, "pads", [0, 0, 0, 0]),
    }


def is_plain_gemm(node: ir.Node) -> bool:
    """Whether a Gemm or MatMul is x W (+ bias) without scaling."""
    return (
        integer(node, "transA", 0) == 0
        and real(node, "alpha", 1.0) == 1.0
        and real(node, "beta", 1.0) == 1.0
    )


def bias_step(bias: NDArray[np.float32]) -> ChannelStep:
    """A layer's own bias as a step."""
    return Add(bias)


def walk(end: ir.Value, accumulators: Collection[ir.Value]) -> Chain:
    """Walks from a sign's input up through steps and max-pools to their start.

    Stops at an accumulator, at a value that something else reads too, or
    where a node is not a channel step.
    """
    return _collect(end, accumulators, pools=True)


def without_pools(end: ir.Value, accumulators: Collection[ir.Value] = ()) -> Chain:
    """Like `walk`, but stops at a max-pool too."""
    return _collect(end, accumulators, pools=False)


def _collect(end: ir.Value, accumulators: Collection[ir.Value], *, pools: bool) -> Chain:
    reversed_steps: list[tuple[str, ChannelStep | ir.Node]] = []
    value = end
    while value not in accumulators and sole_consumer(value) is not None:
        node = value.producer()
        if node is None or not node.inputs or node.inputs[0] is None:
            break
        if pools and node.op_type == "MaxPool" and is_plain_pool(node):
            reversed_steps.append(("max pool", node))
            value = node.inputs[0]
            continue
        found = channel_step(node)
        if found is None:
            break
        source, name, step = found
        reversed_steps.append((name, step))
        value = source
    chain = Chain(value)
    for name, item in reversed(reversed_steps):
        chain.names.append(name)
        if isinstance(item, ir.Node):
            chain.pools.append(Pool(item, len(chain.steps)))
        else:
            chain.steps.append(item)
    return chain


def channel_step(node: ir.Node) -> tuple[ir.Value, str, ChannelStep] | None:
    """The node as a step on channels: its input, a readable name, the step."""
    if node.domain or not node.inputs or node.inputs[0] is None:
        return None
    first = node.inputs[0]
    shape = dims(node.outputs[0])
    if len(shape) not in (2, 4) or not isinstance(shape[1], int):
        return None
    channels = shape[1]

    def parameter(index: int) -> NDArray[np.float32] | None:
        return _per_channel(constant(node.inputs[index]), channels, len(shape))

    match node.op_type:
        case "BatchNormalization":
            arrays = [constant(value) for value in node.inputs[1:5]]
            if any(array is None for array in arrays):
                return None
            weight, bias, mean, variance = (np.asarray(a, dtype=np.float32) for a in arrays)
            epsilon = real(node, "epsilon", 1e-5)
            step = BatchNorm.from_statistics(weight, bias, mean, variance, epsilon)
            return first, "batch norm", step
        case "Add" | "Mul":
            make = Add if node.op_type == "Add" else Mul
            for index in (1, 0):
                array, other = parameter(index), node.inputs[1 - index]
                if array is not None and other is not None and dims(other)[1:] == shape[1:]:
                    return other, node.op_type.lower(), make(array)
            return None
        case "Sub":
            array = parameter(1)
            if array is None or dims(first)[1:] != shape[1:]:
                return None
            return first, "sub", Add(-array)
        case "Div":
            array = parameter(1)
            if array is None or not array.all() or dims(first)[1:] != shape[1:]:
                return None
            return first, "div", Div(array)
        case "Neg":
            return first, "neg", Mul(np.full(channels, -1, np.float32))
        case "PRelu":
            array = parameter(1)
            return None if array is None else (first, "prelu", PRelu(array))
        case "LeakyRelu":
            slope = np.full(channels, real(node, "alpha", 0.01), np.float32)
            return first, "leaky relu", PRelu(slope)
        case "Relu":
            return first, "relu", _clip(0.0, np.inf, channels)
        case "Clip":
            bounds = [-np.inf, np.inf]
            for index in (1, 2):
                if len(node.inputs) > index and node.inputs[index] is not None:
                    limit = constant(node.inputs[index])
                    if limit is None:
                        return None
                    bounds[index - 1] = float(limit.reshape(()))
            return first, "clamp", _clip(bounds[0], bounds[1], channels)
    return None


def _clip(low: float, high: float, channels: int) -> Clip:
    return Clip(np.full(channels, low, np.float32), np.full(channels, high, np.float32))


def _per_channel(
    array: NDArray[np.generic] | None, channels: int, rank: int
) -> NDArray[np.float32] | None:
    """A constant as float32 [C] if it varies along channels only, else None."""
    if array is None or not np.issubdtype(array.dtype, np.floating):
        return None
    if array.size == 1:
        return np.full(channels, array.reshape(()), np.float32)
    shape = (1,) * (rank - array.ndim) + array.shape
    expected = (1, channels) + (1,) * (rank - 2)
    if array.ndim > rank or shape != expected:
        return None
    return array.reshape(-1).astype(np.float32)
