"""Operators of standard ONNX as operators of TFLite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sbn_runtime.errors import UnsupportedLayerError

from ...onnx.chains import is_plain_gemm, is_plain_pool
from ...onnx.graph import constant, integer, ints, real, text
from .build import FLOAT
from .values import Plain, Values
from .window import Window

# Where the axes of [N, C, H, W] are in [N, H, W, C], and the other way round.
_LAST = (0, 3, 1, 2)
_UNARY = {
    "Abs": "ABS",
    "Elu": "ELU",
    "Exp": "EXP",
    "HardSwish": "HARD_SWISH",
    "Log": "LOG",
    "Neg": "NEG",
    "Relu": "RELU",
    "Sigmoid": "LOGISTIC",
    "Sqrt": "SQRT",
    "Tanh": "TANH",
}
_BINARY = {
    "Add": "ADD",
    "Div": "DIV",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Mul": "MUL",
    "Sub": "SUB",
}

# A float of this size has no digits behind the point: adding it rounds as ONNX does.
_WHOLE = np.array(3 << 22, np.float32)


def translate(values: Values, node: ir.Node, name: str) -> None:
    """Writes one operator.

    Raises UnsupportedLayerError for those without a counterpart.
    """
    handler = _HANDLERS.get(node.op_type)
    held = handler(values, node, name) if handler is not None else None
    if held is None:
        raise UnsupportedLayerError(
            f"{name}: ONNX's {node.op_type} as it is used here has no counterpart in TFLite files"
            " of this version; give an output that ends in .onnx"
        )
    values[node.outputs[0]] = held


def _input(values: Values, node: ir.Node) -> Plain:
    return values.plain(node.inputs[0])


def _like(x: Plain, tensor: int) -> Plain:
    """Another tensor in the place of x, element by element."""
    return Plain(tensor, x.shape, x.first)


# Elementwise


def _identity(values: Values, node: ir.Node, name: str) -> Plain:
    return _input(values, node)


def _unary(values: Values, node: ir.Node, name: str) -> Plain | None:
    x, builder = _input(values, node), values.builder
    if node.op_type == "Elu" and real(node, "alpha", 1.0) != 1.0:
        return None
    return _like(x, builder.add(_UNARY[node.op_type], [x.tensor], builder.shape(x.tensor), name))


def _leaky_relu(values: Values, node: ir.Node, name: str) -> Plain:
    x, builder = _input(values, node), values.builder
    options = {"alpha": real(node, "alpha", 0.01)}
    return _like(
        x, builder.add("LEAKY_RELU", [x.tensor], builder.shape(x.tensor), name, options=options)
    )


def _cast(values: Values, node: ir.Node, name: str) -> Plain | None:
    x, builder = _input(values, node), values.builder
    if integer(node, "to", 0) != ir.DataType.FLOAT:
        return None
    if builder.dtype(x.tensor) == FLOAT:
        return x
    return _like(x, builder.cast(x.tensor, FLOAT, name))


def _clip(values: Values, node: ir.Node, name: str) -> Plain | None:
    x, builder = _input(values, node), values.builder
    bounds = []
    for index, default in ((1, -np.inf), (2, np.inf)):
        operand = node.inputs[index] if len(node.inputs) > index else None
        array = np.array(default) if operand is None else constant(operand)
        if array is None:
            return None
        bounds.append(array.astype(np.float32).reshape(()))
    return _like(x, builder.clamp(x.tensor, bounds[0], bounds[1], name))


def _codes(values: Values, node: ir.Node, name: str) -> Plain | None:
    """Floats as whole numbers from 0 to 255, which stay floats: TFLite's own rounding differs."""
    x, builder = _input(values, node), values.builder
    step, zero = (constant(value) for value in node.inputs[1:])
    if step is None or zero is None or step.size != 1:
        return None
    offset = zero.astype(np.float32).reshape(())

    def applied(op: str, tensor: int, number: NDArray[np.float32], key: str) -> int:
        operand = builder.constant(number, f"{name}.{key}.operand")
        return builder.binary(op, tensor, operand, f"{name}.{key}")

    tensor = applied("DIV", x.tensor, step.astype(np.float32).reshape(()), "steps")
    low, high = (np.asarray(limit - offset, np.float32) for limit in (0, 255))
    tensor = builder.clamp(tensor, low, high, f"{name}.limited")
    tensor = applied("ADD", tensor, _WHOLE, "moved")
    tensor = applied("SUB", tensor, _WHOLE, "rounded")
    return _like(x, applied("ADD", tensor, offset, "codes"))


def _operands(values: Values, node: ir.Node, name: str) -> tuple[list[int], bool]:
    """Tensors that broadcast with one another, and whether images are held channels last."""
    dynamic = [values.plain(value) for value in node.inputs if constant(value) is None]
    first = any(x.first for x in dynamic)
    tensors = []
    for value in node.inputs:
        array = constant(value)
        if array is not None:
            if first:
                full = array.reshape((1,) * (4 - array.ndim) + array.shape)
                array = full.transpose(0, 2, 3, 1)
            tensors.append(values.builder.constant(array, f"{name}.operand"))
        else:
            x = values.plain(value)
            tensors.append(values.channels_last(x, name) if first else values.in_order(x, name))
    return tensors, first


def _binary(values: Values, node: ir.Node, name: str) -> Plain | None:
    if len(node.inputs) != 2:
        return None
    (x, y), first = _operands(values, node, name)
    tensor = values.builder.binary(_BINARY[node.op_type], x, y, name)
    return _shaped(values, tensor, first=first)


def _shaped(values: Values, tensor: int, *, first: bool) -> Plain:
    shape = values.builder.shape(tensor)
    return Plain(tensor, tuple(shape[i] for i in _LAST) if first else shape, first)


def _prelu(values: Values, node: ir.Node, name: str) -> Plain | None:
    builder = values.builder
    (x, slope), first = _operands(values, node, name)
    shape = builder.shape(x)
    sizes = builder.shape(slope)
    # PRELU takes one slope for each element of an image, broadcast, without the batch.
    slope = builder.reshape(slope, sizes[1:], name) if len(sizes) == len(shape) else slope
    return _shaped(values, builder.add("PRELU", [x, slope], shape, name), first=first)


def _batch_norm(values: Values, node: ir.Node, name: str) -> Plain | None:
    x = _input(values, node)
    parameters = [constant(value) for value in node.inputs[1:]]
    if any(array is None for array in parameters) or len(x.shape) not in (2, 4):
        return None
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in parameters)
    scale = gamma / np.sqrt(variance + real(node, "epsilon", 1e-5))
    bias = beta - mean * scale
    image = len(x.shape) == 4
    tensor = values.channels_last(x, name) if image else values.in_order(x, name)
    tensor = values.builder.affine(tensor, scale.astype(np.float32), bias.astype(np.float32), name)
    return _shaped(values, tensor, first=image)


# Layers with weights


def _convolution(values: Values, node: ir.Node, name: str) -> Plain | None:
    weights, bias = constant(node.inputs[1]), _bias(node)
    x = _input(values, node)
    if weights is None or bias is None or weights.ndim != 4:
        return None
    if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    weights, tensor = weights.astype(np.float32), values.channels_last(x, name)
    window = Window(
        weights.shape[2:],
        ints(node, "strides", [1, 1]),
        ints(node, "pads", [0, 0, 0, 0]),
        ints(node, "dilations", [1, 1]),
    )
    group, builder = integer(node, "group", 1), values.builder
    if group == x.shape[1] == len(weights) and group > 1:
        filters = weights[:, 0].transpose(1, 2, 0)
        tensor = builder.depthwise(tensor, filters, bias, window, name)
    else:
        tensor = builder.convolution(tensor, weights.transpose(0, 2, 3, 1), bias, window, name)
    return _shaped(values, tensor, first=True)


def _bias(node: ir.Node) -> NDArray[np.float32] | None:
    """The bias of a layer, zeros if it has none; None if it is computed."""
    weights = constant(node.inputs[1])
    assert weights is not None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = constant(node.inputs[2])
        return None if bias is None else bias.astype(np.float32).reshape(-1)
    transposed = node.op_type == "Conv" or integer(node, "transB", 0)
    return np.zeros(weights.shape[0 if transposed else -1], np.float32)


def _dense(values: Values, node: ir.Node, name: str) -> Plain | None:
    """A matrix product of rows; of the pixels of an image as a convolution."""
    weights = constant(node.inputs[1])
    if weights is None or weights.ndim != 2 or not is_plain_gemm(node):
        return None
    bias = _bias(node)
    if bias is None:
        return None
    if not integer(node, "transB", 0):
        weights = weights.T
    weights = np.ascontiguousarray(weights, np.float32)
    outputs, inputs = weights.shape
    bias = np.broadcast_to(bias, (outputs,))
    x, builder = _input(values, node), values.builder
    x = values.reshaped(x, list(x.shape), name)
    held = builder.shape(x.tensor)
    if len(held) == 4 and held[-1] == inputs and held[1:3] != (1, 1):
        pixel = Window((1, 1), (1, 1))
        tensor = builder.convolution(x.tensor, weights[:, None, None], bias, pixel, name)
    else:
        rows = builder.reshape(x.tensor, (int(np.prod(x.shape)) // inputs, inputs), name)
        operands = [
            rows,
            builder.constant(weights, f"{name}.weight"),
            builder.constant(bias, f"{name}.bias"),
        ]
        options = {"fused_activation_function": 0, "keep_num_dims": False}
        shape = [builder.shape(rows)[0], outputs]
        tensor = builder.add("FULLY_CONNECTED", operands, shape, name, options=options)
    return Plain(tensor, (*x.shape[:-1], outputs))


# Windows and means


def _pad(values: Values, node: ir.Node, name: str) -> Plain | None:
    x = _input(values, node)
    amounts = constant(node.inputs[1])
    optional = [constant(value) for value in node.inputs[2:] if value is not None]
    if amounts is None or any(array is None for array in optional) or len(node.inputs) > 3:
        return None
    if (
        text(node, "mode", "constant") != "constant"
        or len(x.shape) != 4
        or (np.asarray(amounts, np.int64) < 0).any()
    ):
        return None
    fill = float(np.asarray(optional[0]).reshape(())) if optional else 0.0
    if amounts[[0, 1, 4, 5]].any():
        return None
    pads = [int(amounts[i]) for i in (2, 3, 6, 7)]
    tensor = values.channels_last(x, name)
    return _shaped(values, values.builder.pad(tensor, pads, fill or None, name), first=True)


def _pool(values: Values, node: ir.Node, name: str) -> Plain | None:
    x = _input(values, node)
    if len(x.shape) != 4 or not is_plain_pool(node):
        return None
    window = Window(
        ints(node, "kernel_shape", []),
        ints(node, "strides", [1, 1]),
        ints(node, "pads", [0, 0, 0, 0]),
    )
    tensor, builder = values.channels_last(x, name), values.builder
    if node.op_type == "MaxPool":
        return _shaped(values, builder.max_pool(tensor, window, name), first=True)
    if window.is_padded:
        if not integer(node, "count_include_pad", 0):
            return None
        tensor, window = builder.pad(tensor, window.pads, None, name), window.unpadded()
    return _shaped(values, builder.average_pool(tensor, window, name), first=True)


def _mean(values: Values, node: ir.Node, name: str) -> Plain | None:
    x, builder = _input(values, node), values.builder
    axes: list[int] = [2, 3]
    keep = True
    if node.op_type == "ReduceMean":
        array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if array is None:
            return None
        axes = [int(axis) % len(x.shape) for axis in array]
        keep = bool(integer(node, "keepdims", 1))
    first = x.first or node.op_type == "GlobalAveragePool"
    tensor = values.channels_last(x, name) if first else values.in_order(x, name)
    held = sorted(_LAST[axis] for axis in axes) if first else sorted(axes)
    shape = [
        1 if i in held else n for i, n in enumerate(builder.shape(tensor)) if keep or i not in held
    ]
    operands = [tensor, builder.constant(np.array(held, np.int32), f"{name}.axes")]
    tensor = builder.add("MEAN", operands, shape, name, options={"keep_dims": keep})
    if keep:
        return _shaped(values, tensor, first=first)
    if first and len(shape) > 2:
        return None
    return Plain(tensor, tuple(shape))


def _softmax(values: Values, node: ir.Node, name: str) -> Plain | None:
    x, builder = _input(values, node), values.builder
    rank = len(x.shape)
    axis = integer(node, "axis", -1) % rank
    if axis != (1 if x.first else rank - 1):
        return None
    tensor = x.tensor if x.first else values.in_order(x, name)
    options = {"beta": 1.0}
    return _like(x, builder.add("SOFTMAX", [tensor], builder.shape(tensor), name, options=options))


# Shapes


def _reshape(values: Values, node: ir.Node, name: str) -> Plain | None:
    x = _input(values, node)
    if node.op_type == "Flatten":
        if integer(node, "axis", 1) != 1:
            return None
        return values.reshaped(x, [1, -1], name)
    target = constant(node.inputs[1])
    if target is None or (integer(node, "allowzero", 0) and not target.all()):
        return None
    return values.reshaped(x, [int(n) for n in target], name)


def _unsqueeze(values: Values, node: ir.Node, name: str) -> Plain | None:
    x, axes = _input(values, node), constant(node.inputs[1])
    if axes is None:
        return None
    shape, rank = list(x.shape), len(x.shape)
    if node.op_type == "Squeeze":
        gone = {int(axis) % rank for axis in axes}
        shape = [n for i, n in enumerate(shape) if i not in gone]
    else:
        for axis in sorted(int(axis) % (rank + len(axes)) for axis in axes):
            shape.insert(axis, 1)
    return values.reshaped(x, shape, name)


def _transpose(values: Values, node: ir.Node, name: str) -> Plain:
    x = _input(values, node)
    order = ints(node, "perm", list(range(len(x.shape)))[::-1])
    return values.transposed(x, tuple(order), name)


def _concat(values: Values, node: ir.Node, name: str) -> Plain | None:
    tensors, first = _operands(values, node, name)
    rank = len(values.builder.shape(tensors[0]))
    axis = integer(node, "axis", 0) % rank
    held = _LAST[axis] if first else axis
    return _shaped(values, values.builder.concatenate(tensors, held, name), first=first)


def _slice(values: Values, node: ir.Node, name: str) -> Plain | None:
    x, builder = _input(values, node), values.builder
    bounds = [constant(value) for value in node.inputs[1:]]
    if len(bounds) < 3 or any(array is None for array in bounds):
        return None
    starts, ends, axes = (np.asarray(array, np.int64) for array in bounds[:3])
    steps = np.asarray(bounds[3], np.int64) if len(bounds) > 3 else np.ones_like(starts)
    if (steps < 1).any():
        return None
    tensor = x.tensor if x.first else values.in_order(x, name)
    held = builder.shape(tensor)
    ranges = [[0, n, 1] for n in held]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        position = int(axis) % len(held)
        index = _LAST[position] if x.first else position
        begin, stop, _ = slice(int(start), int(end)).indices(held[index])
        ranges[index] = [begin, max(begin, stop), int(step)]
    operands = [
        builder.constant(np.array(part, np.int32), f"{name}.{key}")
        for key, part in zip(("begin", "end", "step"), zip(*ranges, strict=True), strict=True)
    ]
    shape = [len(range(*part)) for part in ranges]
    made = builder.add("STRIDED_SLICE", [tensor, *operands], shape, name)
    return _shaped(values, made, first=x.first)


_HANDLERS: dict[str, Callable[[Values, ir.Node, str], Plain | None]] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _convolution,
    "Dropout": _identity,
    "Flatten": _reshape,
    "Gemm": _dense,
    "GlobalAveragePool": _mean,
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "MatMul": _dense,
    "MaxPool": _pool,
    "PRelu": _prelu,
    "QuantizeLinear": _codes,
    "Pad": _pad,
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Squeeze": _unsqueeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
