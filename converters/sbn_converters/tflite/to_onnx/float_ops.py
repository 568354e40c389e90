"""TFLite's operators that compute on floats, as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx_ir as ir

from .onnx_graph import Array, BatchIsMixed, Op, first_axis, rank, same_padding, shape_of

_SAME, _VALID = 0, 1


def window_pads(
    op: Op, kernel: tuple[int, int], strides: list[int], dilations: list[int]
) -> list[int]:
    """ONNX's pads [top, left, bottom, right] for an operator's option `padding`."""
    padding = op.integer("padding")
    if padding == _VALID:
        return [0, 0, 0, 0]
    if padding != _SAME:
        raise op.refuse(f"padding {padding} is neither SAME (0) nor VALID (1)")
    size = op.tensor(0).shape[1:3]
    (top, bottom), (left, right) = map(same_padding, size, kernel, strides, dilations)
    return [top, left, bottom, right]


def _strides(op: Op) -> list[int]:
    return [op.integer("stride_h"), op.integer("stride_w")]


def _dilations(op: Op) -> list[int]:
    return [op.integer("dilation_h_factor", 1), op.integer("dilation_w_factor", 1)]


# Products


def _convolution(op: Op) -> None:
    weights = op.array(1, "filter").transpose(0, 3, 1, 2)
    inputs = op.tensor(0).shape[-1]
    if inputs % weights.shape[1]:
        raise op.refuse(f"{inputs} channels do not divide into groups of {weights.shape[1]}")
    _convolve(op, weights, inputs // weights.shape[1])


def _depthwise(op: Op) -> None:
    # Filter [1, kh, kw, I * multiplier]: the outputs of one input lie side by side.
    _convolve(op, op.array(1, "filter").transpose(3, 0, 1, 2), op.tensor(0).shape[-1])


def _convolve(op: Op, weights: Array, group: int) -> None:
    strides, dilations = _strides(op), _dilations(op)
    height, width = weights.shape[2:]
    pads = window_pads(op, (height, width), strides, dilations)
    scale = _scale_of_signs(op, weights)
    inputs = [op.x(), op.constant(weights if scale is None else _signs(weights), "weight")]
    if op.has(2) and scale is None:
        inputs.append(op.x(2))
    value = op.add(
        "Conv",
        inputs,
        op.shape(),
        kernel_shape=[height, width],
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=group,
    )
    op.put(op.activation(value if scale is None else _scaled(op, value, scale)))


def _transposed_convolution(op: Op) -> None:
    weights = op.array(1, "filter").transpose(3, 0, 1, 2)
    strides = _strides(op)
    sizes = op.tensor(2).shape[1:3], op.result().shape[1:3]
    same = op.integer("padding") == _SAME
    sides = []
    for given, wanted, kernel, stride in zip(*sizes, weights.shape[2:], strides, strict=True):
        # All that the kernel reaches, of which TFLite leaves out what SAME would add.
        whole = (given - 1) * stride + kernel
        before = max(whole - wanted, 0) // 2 if same else 0
        after = whole - wanted - before
        sides.append((before, max(after, 0), max(-after, 0)))
    inputs = [op.x(2), op.constant(weights, "weight")]
    if op.has(3):
        inputs.append(op.x(3))
    value = op.add(
        "ConvTranspose",
        inputs,
        op.shape(),
        kernel_shape=list(weights.shape[2:]),
        strides=strides,
        pads=[side[i] for i in (0, 1) for side in sides],
        output_padding=[side[2] for side in sides],
    )
    op.put(op.activation(value))


def _scale_of_signs(op: Op, weights: Array) -> Array | None:
    """The size of each output's weights, float32 [O], if a layer of signs is binary.

    Taken out of the sum it leaves whole numbers, which every order of adding gives alike.
    """
    size = np.abs(weights.reshape(len(weights), -1))
    scale: Array = size[:, 0]
    binary = op.x() in op.onnx.sign_values and (size == size[:, :1]).all()
    return scale if binary else None


def _signs(weights: Array) -> Array:
    """+1 and -1, of weights that are 0 too: those have a scale of 0."""
    return np.where(np.signbit(weights.astype(np.float32)), np.float32(-1), np.float32(1))


def _scaled(op: Op, dot: ir.Value, scale: Array) -> ir.Value:
    """A binary layer's dot products times its scale, plus its bias if it has one."""
    shape = shape_of(dot)
    broadcast = (1, -1, 1, 1) if len(shape) == 4 else (1, -1)
    value = op.add("Mul", [dot, op.constant(scale.reshape(broadcast), "scale")], shape)
    if not op.has(2):
        return value
    bias = op.constant(op.array(2, "bias").reshape(broadcast), "bias")
    return op.add("Add", [value, bias], shape)


def _fully_connected(op: Op) -> None:
    weights = op.array(1, "weights")
    if op.integer("weights_format", 0):
        raise op.refuse("shuffled weights are not supported; convert with default weights")
    outputs, inputs = weights.shape
    shape = op.shape_last()
    rows = shape[0] if len(shape) == 2 else "rows"
    x = _joined(op)
    scale = _scale_of_signs(op, weights)
    # A free batch is written -1, and so are rows.
    flat = op.add("Reshape", [x, op.integers([-1, inputs], "shape")], [rows, inputs])
    operands = [flat, op.constant(weights if scale is None else _signs(weights), "weight")]
    if op.has(2) and scale is None:
        operands.append(op.x(2))
    value = op.add("Gemm", operands, [rows, outputs], transB=1)
    value = op.activation(value if scale is None else _scaled(op, value, scale))
    op.put_last(value if len(shape) == 2 else op.reshaped(value, shape))


def _joined(op: Op) -> ir.Value:
    """The input so that its elements follow each other as in the file."""
    value = op.x()
    return value if shape_of(value)[2:] == [1, 1] else op.to_last(value)


# Windows


def _max_pool(op: Op) -> None:
    kernel, strides = (op.integer("filter_height"), op.integer("filter_width")), _strides(op)
    pads = window_pads(op, kernel, strides, [1, 1])
    # The activations never fall, so they give the same before the pool, where ours computes them.
    x = op.activation(op.x())
    op.put(
        op.add("MaxPool", [x], op.shape(), kernel_shape=list(kernel), strides=strides, pads=pads)
    )


def _average_pool(op: Op) -> None:
    kernel, strides = (op.integer("filter_height"), op.integer("filter_width")), _strides(op)
    pads = window_pads(op, kernel, strides, [1, 1])
    if kernel == op.tensor(0).shape[1:3] and not any(pads):
        value = op.add("GlobalAveragePool", [op.x()], op.shape())
    else:
        value = op.add(
            "AveragePool",
            [op.x()],
            op.shape(),
            kernel_shape=list(kernel),
            strides=strides,
            pads=pads,
            count_include_pad=0,
        )
    op.put(op.activation(value))


# Elementwise


def _broadcast(onnx_type: str, op: Op) -> None:
    dimensions = len(op.result().shape)
    operands = [_operand(op, position, dimensions) for position in (0, 1)]
    op.put(op.activation(op.add(onnx_type, operands, op.shape())))


def _operand(op: Op, position: int, dimensions: int) -> ir.Value:
    """An input with ones in front of its dimensions, as broadcasting puts them."""
    tensor = op.tensor(position)
    missing = dimensions - len(tensor.shape)
    free = op.onnx.batch is not None
    if tensor.data is not None:
        if free and missing == 0 and dimensions and tensor.shape[0] != 1:
            raise BatchIsMixed
        if tensor.data.size == 1:
            return op.constant(tensor.data.reshape(()), "operand")
        full = tensor.data.reshape((1,) * missing + tensor.shape)
        return op.constant(full.transpose(0, 3, 1, 2) if full.ndim == 4 else full, "operand")
    if missing == 0:
        return op.x(position)
    # Of one image; for several it is its first dimension that counts them.
    if free and op.onnx.size != (1,):
        raise BatchIsMixed
    rest = [1] * missing + list(tensor.shape[1:])
    full_shape = (
        [*op.onnx.free(tensor.shape[:1]), *rest] if free else [1] * missing + list(tensor.shape)
    )
    value = op.reshaped(op.x_last(position), full_shape)
    return op.onnx.transposed(value, (0, 3, 1, 2), op.name) if dimensions == 4 else value


def _unary(onnx_type: str, op: Op) -> None:
    op.put(op.add(onnx_type, [op.x()], op.shape()))


def _limited(low: float, high: float | None, op: Op) -> None:
    op.put(op.clip(op.x(), low, high))


def _inverse_root(op: Op) -> None:
    root = op.add("Sqrt", [op.x()], op.shape())
    op.put(op.add("Reciprocal", [root], op.shape()))


def _prelu(op: Op) -> None:
    op.put(op.add("PRelu", [op.x(), _operand(op, 1, rank(op.x()))], op.shape()))


def _leaky_relu(op: Op) -> None:
    slope = op.option("alpha")
    assert not isinstance(slope, tuple)
    op.put(op.add("LeakyRelu", [op.x()], op.shape(), alpha=float(slope)))


def _softmax(op: Op) -> None:
    beta = op.option("beta")
    value = op.x()
    if beta != 1.0:
        factor = op.constant(np.array(beta, np.float32), "beta")
        value = op.add("Mul", [value, factor], op.shape())
    dimensions = len(op.result().shape)
    op.put(op.add("Softmax", [value], op.shape(), axis=first_axis(-1, dimensions)))


def _reduce(onnx_type: str, op: Op) -> None:
    dimensions = len(op.tensor(0).shape)
    axes = sorted({int(axis) % dimensions for axis in op.array(1, "axes").reshape(-1)})
    if op.onnx.batch is not None and 0 in axes:
        raise BatchIsMixed
    keep = op.integer("keep_dims", 0)
    # Channels come to lie in the same place in both layouts if all else goes.
    if keep or dimensions != 4 or axes == [1, 2]:
        value, where = op.x(), sorted(first_axis(axis, dimensions) for axis in axes)
        shape = op.shape()
        op.put(op.add(onnx_type, [value, op.integers(where, "axes")], shape, keepdims=keep))
        return
    axes_last = op.integers(axes, "axes")
    op.put(op.add(onnx_type, [op.x_last(), axes_last], op.shape_last(), keepdims=keep))


def _cast(op: Op) -> None:
    if op.channels(0) is not None:
        raise op.refuse("packed signs cannot be cast; unpack them with LceDequantize")
    dtype = ir.DataType.from_numpy(op.result().dtype)
    op.put(op.add("Cast", [op.x()], op.shape(), dtype, to=int(dtype)))


OPERATORS: dict[str, Callable[[Op], None]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed_convolution,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _max_pool,
    "AVERAGE_POOL_2D": _average_pool,
    "ADD": partial(_broadcast, "Add"),
    "SUB": partial(_broadcast, "Sub"),
    "MUL": partial(_broadcast, "Mul"),
    "DIV": partial(_broadcast, "Div"),
    "MAXIMUM": partial(_broadcast, "Max"),
    "MINIMUM": partial(_broadcast, "Min"),
    "ABS": partial(_unary, "Abs"),
    "ELU": partial(_unary, "Elu"),
    "EXP": partial(_unary, "Exp"),
    "HARD_SWISH": partial(_unary, "HardSwish"),
    "LOG": partial(_unary, "Log"),
    "LOGISTIC": partial(_unary, "Sigmoid"),
    "NEG": partial(_unary, "Neg"),
    "SQRT": partial(_unary, "Sqrt"),
    "TANH": partial(_unary, "Tanh"),
    "RSQRT": _inverse_root,
    "RELU": partial(_limited, 0, None),
    "RELU6": partial(_limited, 0, 6),
    "RELU_N1_TO_1": partial(_limited, -1, 1),
    "PRELU": _prelu,
    "LEAKY_RELU": _leaky_relu,
    "SOFTMAX": _softmax,
    "MEAN": partial(_reduce, "ReduceMean"),
    "SUM": partial(_reduce, "ReduceSum"),
    "CAST": _cast,
    # Of float16, see `to_onnx`.
    "DEQUANTIZE": _cast,
}
