"""What TFLite's and LCE's operators compute, said with numpy and torch, image by image.

Independent of the importer: everything lies as in the file, packed signs stay packed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sbn_converters.tflite.model import ABSENT, Model, Operator
from sbn_converters.tflite.schema import Activation, Padding

Array = NDArray[Any]


def unpack(words: Array, channels: int) -> Array:
    """int32 [..., ceil(C/32)] as float32 [..., C] of +1 and -1."""
    raw = np.ascontiguousarray(words).view(np.uint8).reshape(*words.shape[:-1], -1)
    bits = np.unpackbits(raw, axis=-1, bitorder="little")[..., :channels]
    return (1.0 - 2.0 * bits).astype(np.float32)


def pack(negative: Array) -> Array:
    """bool [..., C] as int32 [..., ceil(C/32)]."""
    *outer, channels = negative.shape
    bits = np.zeros((*outer, -(-channels // 32) * 32), np.uint8)
    bits[..., :channels] = negative
    return np.packbits(bits, axis=-1, bitorder="little").view(np.int32)


def run(model: Model, *inputs: Array) -> list[Array]:
    """The outputs of a model for the inputs."""
    values = {i: t.data for i, t in enumerate(model.tensors) if t.data is not None}
    values |= dict(zip(model.inputs, inputs, strict=True))
    for operator in model.operators:
        arguments = [None if i == ABSENT else values[i] for i in operator.inputs]
        tensors = [model.tensors[i] for i in operator.outputs]
        results = _compute(operator, arguments, tensors[0].shape, tensors[0].dtype)
        for index, tensor, result in zip(operator.outputs, tensors, results, strict=True):
            assert result.shape == tensor.shape, (operator.name, result.shape, tensor.shape)
            values[index] = result.astype(tensor.dtype)
    return [values[i] for i in model.outputs]


def _activated(x: Array, number: int) -> Array:
    limits = {
        Activation.RELU: (0, np.inf),
        Activation.RELU_N1_TO_1: (-1, 1),
        Activation.RELU6: (0, 6),
    }
    return x if number == Activation.NONE else np.clip(x, *limits[Activation(number)])


def _border(
    x: Tensor, kernel: Any, strides: Any, dilations: Any, padding: int, fill: float
) -> Tensor:
    """SAME's border around images [N, C, H, W]."""
    if padding == Padding.VALID:
        return x
    sides: list[int] = []
    for size, taps, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
        sides = [total // 2, total - total // 2, *sides]
    return F.pad(x, sides, value=fill)


def _first(x: Array) -> Tensor:
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2).double()


def _last(x: Tensor) -> Array:
    result: Array = x.permute(0, 2, 3, 1).contiguous().numpy()
    return result


def _convolved(x: Array, w: Array, o: dict[str, Any], names: list[str], fill: float = 0) -> Array:
    """x [N, H, W, C] with w [O, kh, kw, C / groups]."""
    strides, dilations = [o[n] for n in names[:2]], [o.get(n, 1) for n in names[2:]]
    images = _border(_first(x), w.shape[1:3], strides, dilations, o["padding"], fill)
    groups = x.shape[-1] // w.shape[-1]
    return _last(F.conv2d(images, _first(w), None, strides, 0, dilations, groups))


def _transposed(x: Array, w: Array, shape: tuple[int, ...], o: dict[str, Any]) -> Array:
    """What adds w [O, kh, kw, C], times each x [N, H, W, C], to the window that x is at."""
    strides, kernel = (o["stride_h"], o["stride_w"]), w.shape[1:3]
    wholes = [(n - 1) * s + k for n, s, k in zip(x.shape[1:3], strides, kernel, strict=True)]
    result = np.zeros((shape[0], *map(max, wholes, shape[1:3]), shape[3]))
    for row, column in np.ndindex(*x.shape[1:3]):
        top, left = row * strides[0], column * strides[1]
        window = np.einsum("nc,ohwc->nhwo", x[:, row, column].astype(np.float64), w)
        result[:, top : top + kernel[0], left : left + kernel[1]] += window
    same = o["padding"] == Padding.SAME
    cut = [max(a - b, 0) // 2 if same else 0 for a, b in zip(wholes, shape[1:3], strict=True)]
    return result[:, cut[0] : cut[0] + shape[1], cut[1] : cut[1] + shape[2]]


def _pooled(x: Array, o: dict[str, Any], names: list[str], kind: str) -> Array:
    kernel, strides = [o[n] for n in names[:2]], [o[n] for n in names[2:]]
    padding = o["padding"]
    if kind == "max":
        images = _border(_first(x), kernel, strides, (1, 1), padding, -np.inf)
        return _last(F.max_pool2d(images, kernel, strides))
    images = _border(_first(x), kernel, strides, (1, 1), padding, 0)
    inside = _border(torch.ones_like(_first(x)), kernel, strides, (1, 1), padding, 0)
    return _last(F.avg_pool2d(images, kernel, strides) / F.avg_pool2d(inside, kernel, strides))


_CONV = ["stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor"]
_BCONV = ["stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor"]
_POOL = ["filter_height", "filter_width", "stride_h", "stride_w"]
_BPOOL = ["filter_height", "filter_width", "stride_height", "stride_width"]
_ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "ABS": np.abs,
    "ADD": np.add,
    "DIV": np.divide,
    "ELU": lambda x: np.where(x < 0, np.expm1(x), x),
    "EXP": np.exp,
    "HARD_SWISH": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "LOG": np.log,
    "LOGISTIC": lambda x: (1 + np.tanh(x / 2)) / 2,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "NEG": np.negative,
    "PRELU": lambda x, slope: np.where(x < 0, x * slope, x),
    "RELU": lambda x: np.maximum(x, 0),
    "RELU6": lambda x: np.clip(x, 0, 6),
    "RELU_N1_TO_1": lambda x: np.clip(x, -1, 1),
    "RSQRT": lambda x: 1 / np.sqrt(x),
    "SQRT": np.sqrt,
    "SUB": np.subtract,
    "TANH": np.tanh,
}


def _binary_convolution(x: Array, w: Array, rest: list[Any], o: dict[str, Any]) -> Array:
    channels = o["channels_in"]
    groups = x.shape[-1] // w.shape[-1]
    one_padded = o["padding"] == Padding.SAME and o["pad_values"] == 1
    signs, weights = unpack(x, channels), unpack(w, channels // groups)
    dot = _convolved(signs, weights, o, _BCONV, 1 if one_padded else 0)
    multiplier, bias, threshold = rest
    if threshold is None:
        return _activated(dot, o["fused_activation_function"]) * multiplier + bias
    products = int(np.prod(weights.shape[1:]))
    return pack((products - dot) / 2 > threshold)


def _compute(
    operator: Operator, a: list[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> list[Array]:
    o: dict[str, Any] = operator.options
    activation = o.get("fused_activation_function", 0)
    match operator.name:
        case "LceQuantize":
            return [pack(a[0] < 0)]
        case "LceDequantize":
            return [unpack(a[0], shape[-1])]
        case "LceBconv2d":
            return [_binary_convolution(a[0], a[1], a[2:], o)]
        case "LceBMaxPool2d":
            signs = unpack(a[0], a[0].shape[-1] * 32)
            return [pack(_pooled(signs, o, _BPOOL, "max") < 0)]
        case "CONV_2D" | "DEPTHWISE_CONV_2D":
            w = a[1] if operator.name == "CONV_2D" else a[1].transpose(3, 1, 2, 0)
            bias = 0 if len(a) < 3 or a[2] is None else a[2]
            return [_activated(_convolved(a[0], w, o, _CONV) + bias, activation)]
        case "TRANSPOSE_CONV":
            bias = 0 if len(a) < 4 or a[3] is None else a[3]
            return [_activated(_transposed(a[2], a[1], shape, o) + bias, activation)]
        case "FULLY_CONNECTED":
            bias = 0 if len(a) < 3 or a[2] is None else a[2]
            rows = a[0].reshape(-1, a[1].shape[1]).astype(np.float64)
            return [_activated(rows @ a[1].T + bias, activation).reshape(shape)]
        case "MAX_POOL_2D" | "AVERAGE_POOL_2D":
            kind = "max" if operator.name == "MAX_POOL_2D" else "mean"
            return [_activated(_pooled(a[0], o, _POOL, kind), activation)]
        case "LEAKY_RELU":
            return [np.where(a[0] < 0, a[0] * o["alpha"], a[0])]
        case "SOFTMAX":
            e = np.exp(o["beta"] * (a[0] - a[0].max(-1, keepdims=True)))
            return [e / e.sum(-1, keepdims=True)]
        case "MEAN" | "SUM":
            axes, keep = tuple(a[1].reshape(-1)), bool(o.get("keep_dims", False))
            reduce = np.mean if operator.name == "MEAN" else np.sum
            return [np.asarray(reduce(a[0].astype(np.float64), axis=axes, keepdims=keep))]
        case "CONCATENATION":
            return [_activated(np.concatenate(a, o["axis"]), activation)]
        case "SPLIT":
            return np.split(a[1], o["num_splits"], int(a[0]))
        case "PACK":
            return [np.stack(a, o.get("axis", 0))]
        case "PAD" | "PADV2":
            fill = a[2].reshape(()) if len(a) > 2 else 0
            return [np.pad(a[0], a[1].tolist(), constant_values=fill)]
        case "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS":
            return [a[0].reshape(shape)]
        case "TRANSPOSE":
            return [a[0].transpose(a[1])]
        case "SLICE":
            ends = [b + n if n >= 0 else None for b, n in zip(a[1], a[2], strict=True)]
            return [a[0][tuple(map(slice, a[1], ends))]]
        case "STRIDED_SLICE":
            return [a[0][_slices(a, o)]]
        case "BITWISE_XOR":
            return [a[0] ^ a[1]]
        case "CAST" | "DEQUANTIZE":
            return [a[0].astype(dtype)]
    return [_activated(_ELEMENTWISE[operator.name](*a), activation)]


def _slices(a: list[Any], o: dict[str, Any]) -> tuple[slice | int, ...]:
    chosen: list[slice | int] = []
    for axis, (begin, end, step) in enumerate(zip(*a[1:], strict=True)):
        bit = 1 << axis
        if o.get("shrink_axis_mask", 0) & bit:
            chosen.append(int(begin))
            continue
        first = None if o.get("begin_mask", 0) & bit else int(begin)
        last = None if o.get("end_mask", 0) & bit else int(end)
        chosen.append(slice(first, last, int(step)))
    return tuple(chosen)
