"""Shapes and types of operators' tensors, where they follow from each other.

TFLite's kernels take some of these on trust, and LCE's most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .model import Tensor
from .placed import Placed, described, is_new, quoted
from .schema import Activation, Padding

# Channels in a word of LCE's packed tensors.
_WORD = 32


def check_shapes(op: Placed) -> None:
    """Check what is known of an operator's tensors.

    Raises:
        ModelError: they do not fit together.
    """
    match op.operator.name:
        case "LceQuantize":
            _check_packing(op, op.input(0), op.outputs[0])
        case "LceDequantize":
            _check_packing(op, op.outputs[0], op.input(0))
        case "LceBconv2d":
            _check_binary_convolution(op)
        case "LceBMaxPool2d":
            _check_pooling(op, np.int32)
        case "MAX_POOL_2D" | "AVERAGE_POOL_2D":
            _check_pooling(op, op.input(0).dtype)
        case "CONV_2D":
            _check_convolution(op)
        case "DEPTHWISE_CONV_2D":
            _check_depthwise_convolution(op)
        case "TRANSPOSE_CONV":
            _check_transposed_convolution(op)
        case "FULLY_CONNECTED":
            _check_fully_connected(op)
        case "ADD" | "SUB" | "MUL" | "DIV" | "MAXIMUM" | "MINIMUM" | "PRELU" | "BITWISE_XOR":
            _check_broadcast(op)
        case (
            "ABS"
            | "ELU"
            | "EXP"
            | "HARD_SWISH"
            | "LEAKY_RELU"
            | "LOG"
            | "LOGISTIC"
            | "NEG"
            | "RELU"
            | "RELU6"
            | "RELU_N1_TO_1"
            | "RSQRT"
            | "SOFTMAX"
            | "SQRT"
            | "TANH"
        ):
            op.expect("the output", op.outputs[0], op.input(0).dtype, op.input(0).shape)
        case "CAST" | "DEQUANTIZE" | "QUANTIZE":
            op.expect("the output", op.outputs[0], op.outputs[0].dtype, op.input(0).shape)
        case "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS":
            _check_reshape(op)
        case "CONCATENATION":
            _check_concatenation(op)
        case "SPLIT":
            _check_count(op, "num_splits", "outputs", len(op.outputs))
        case "PACK":
            _check_count(op, "values_count", "inputs", len(op.inputs))


def _check_count(op: Placed, option: str, kind: str, count: int) -> None:
    if op.integer(option) != count:
        op.fail(f"{option} is {op.integer(option)}, and there are {count} {kind}")


def _check_reshape(op: Placed) -> None:
    given, output = op.input(0), op.outputs[0]
    if given.dtype != output.dtype or math.prod(given.shape) != math.prod(output.shape):
        op.fail(f"{described(given)} cannot become {described(output)[:-1]}")
    options = op.operator.options
    if op.operator.name == "RESHAPE" and len(op.inputs) == 1 and not options.get("new_shape"):
        op.fail("the shape is missing: a second input, or the option new_shape")


def _check_concatenation(op: Placed) -> None:
    output = op.outputs[0]
    rank = len(output.shape)
    axis = op.integer("axis")
    axis += rank if axis < 0 else 0
    if not 0 <= axis < rank:
        op.fail(f"axis is {op.integer('axis')}, and {described(output)} has {rank} dimensions")
    total = 0
    for position in range(len(op.inputs)):
        part = op.input(position)
        if len(part.shape) != rank:
            op.fail(f"input {position} {described(part)} has not {rank} dimensions")
        shape = (*output.shape[:axis], part.shape[axis], *output.shape[axis + 1 :])
        op.expect(f"input {position}", part, output.dtype, shape)
        total += part.shape[axis]
    shape = (*output.shape[:axis], total, *output.shape[axis + 1 :])
    op.expect("the output", output, output.dtype, shape)


def _check_broadcast(op: Placed) -> None:
    one, other = op.input(0), op.input(1)
    rank = max(len(one.shape), len(other.shape))
    pairs = zip(
        (1,) * (rank - len(one.shape)) + one.shape,
        (1,) * (rank - len(other.shape)) + other.shape,
        strict=True,
    )
    shape = []
    for a, b in pairs:
        if a != b and 1 not in (a, b):
            op.fail(f"{described(one)} and {described(other)} do not fit together")
        shape.append(b if a == 1 else a)
    op.expect("the second input", other, one.dtype, other.shape)
    op.expect("the output", op.outputs[0], one.dtype, shape)


def _check_fully_connected(op: Placed) -> None:
    given, weights = op.input(0), op.input(1)
    if len(weights.shape) != 2 or 0 in weights.shape or weights.dtype != given.dtype:
        op.fail(f"the weights {described(weights)} have to be {given.dtype}[outputs, inputs]")
    outputs, inputs = weights.shape
    shape: tuple[int, ...]
    if op.operator.options.get("keep_num_dims"):
        if given.shape[-1:] != (inputs,):
            op.fail(f"{described(given)} has to end with {inputs} values")
        shape = (*given.shape[:-1], outputs)
    else:
        rows, rest = divmod(math.prod(given.shape), inputs)
        if rest:
            op.fail(f"{described(given)} cannot be cut into rows of {inputs} values")
        shape = (rows, outputs)
    _check_bias(op, outputs)
    op.expect("the output", op.outputs[0], given.dtype, shape)


def _check_bias(op: Placed, outputs: int, position: int = 2) -> None:
    """A bias [outputs] of the weights' type, if there is one."""
    bias, dtype = op.optional(position), op.input(1).dtype
    if bias is not None and (bias.dtype != dtype or math.prod(bias.shape) != outputs):
        op.fail(f"the bias {described(bias)} has to be {dtype}[{outputs}]")


def _check_convolution(op: Placed) -> None:
    images = op.images(op.input(0).dtype)
    kernel = op.filter("the filter", 1, images.dtype)
    outputs, height, width, channels = kernel.shape
    groups = images.shape[3] // channels
    if images.shape[3] % channels or outputs % groups:
        op.fail(f"the filter {described(kernel)} does not fit {described(images)[:-1]}")
    _check_bias(op, outputs)
    sizes = _window(op, images, (height, width), _dilations(op))
    op.expect("the output", op.outputs[0], images.dtype, (images.shape[0], *sizes, outputs))


def _check_depthwise_convolution(op: Placed) -> None:
    images = op.images(op.input(0).dtype)
    kernel = op.filter("the filter", 1, images.dtype)
    one, height, width, outputs = kernel.shape
    if one != 1 or outputs % images.shape[3]:
        op.fail(f"the filter {described(kernel)} does not fit {described(images)[:-1]}")
    _check_bias(op, outputs)
    sizes = _window(op, images, (height, width), _dilations(op))
    op.expect("the output", op.outputs[0], images.dtype, (images.shape[0], *sizes, outputs))


def _check_transposed_convolution(op: Placed) -> None:
    images = op.filter("the input", 2, op.input(2).dtype)
    kernel = op.filter("the filter", 1, images.dtype)
    outputs, height, width, channels = kernel.shape
    if channels != images.shape[3]:
        op.fail(f"the filter {described(kernel)} does not fit {described(images)[:-1]}")
    _check_bias(op, outputs, 3)
    output = op.outputs[0]
    if len(output.shape) != 4 or 0 in output.shape:
        op.fail(f"the output {described(output)} has to be of four dimensions, none of them 0")
    # It undoes a convolution of its output.
    sizes = _window(op, output, (height, width), (1, 1))
    if [*sizes] != [*images.shape[1:3]]:
        op.fail(f"{described(images)} cannot become {described(output)[:-1]}")
    shape = (images.shape[0], *output.shape[1:3], outputs)
    op.expect("the output", output, images.dtype, shape)


def _check_pooling(op: Placed, dtype: np.dtype[np.generic] | type) -> None:
    images = op.images(dtype)
    sizes = _window(op, images, (op.integer("filter_height"), op.integer("filter_width")), (1, 1))
    shape = (images.shape[0], *sizes, images.shape[3])
    op.expect("the output", op.outputs[0], images.dtype, shape)


def _dilations(op: Placed) -> tuple[int, int]:
    options = {"dilation_h_factor": 1, "dilation_w_factor": 1, **op.operator.options}
    height, width = options["dilation_h_factor"], options["dilation_w_factor"]
    if isinstance(height, tuple) or isinstance(width, tuple):
        op.fail("the dilations have to be numbers")
    return int(height), int(width)


def _window(
    op: Placed, images: Tensor, kernel: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Output height and width of a window that slides over `images` [N, H, W, C]."""
    same = op.operator.options.get("padding", Padding.SAME) == Padding.SAME
    strides = (op.integer("stride_height", "stride_h"), op.integer("stride_width", "stride_w"))
    sizes = []
    for size, taps, dilation, stride in zip(
        images.shape[1:3], kernel, dilations, strides, strict=True
    ):
        reach = (taps - 1) * dilation + 1
        out = -(-size // stride) if same else (size - reach) // stride + 1
        if out < 1:
            op.fail(f"a window of {reach} does not fit in {quoted(images.name)} of {size}")
        sizes.append(out)
    return sizes


def _check_packing(op: Placed, values: Tensor, packed: Tensor) -> None:
    """values [..., C] float32, int8 or bool; packed [..., ceil(C / 32)] int32."""
    if values.dtype not in (np.float32, np.int8, np.bool_) or not values.shape:
        op.fail(f"{described(values)} has to be float32, int8 or bool, and no scalar")
    *outer, channels = values.shape
    op.expect("the packed tensor", packed, np.int32, (*outer, _words(channels)))


def _check_binary_convolution(op: Placed) -> None:
    images = op.images(np.int32)
    kernel = op.filter("the filter", 1, np.int32)
    channels = op.integer("channels_in")
    words = _words(channels)
    if words != images.shape[3]:
        op.fail(
            f"channels_in is {channels}, which is {words} words, "
            f"and {quoted(images.name)} has {images.shape[3]}"
        )
    outputs, height, width, kernel_words = kernel.shape
    groups, rest = divmod(words, kernel_words)
    if rest or (groups > 1 and (channels % (groups * _WORD) or outputs % groups)):
        op.fail(
            f"the filter {described(kernel)} does not fit channels_in {channels}: "
            f"groups need multiples of {_WORD} channels, and as many outputs each"
        )
    _check_spare_bits(op, kernel, channels // groups)
    dilations = (op.integer("dilation_height_factor"), op.integer("dilation_width_factor"))
    sizes = _window(op, images, (height, width), dilations)
    _check_binary_output(op, outputs, (images.shape[0], *sizes))


def _check_binary_output(op: Placed, channels: int, outer: Sequence[int]) -> None:
    """Either floats, of a multiplier and a bias, or bits, of a threshold."""
    multiplier, bias, threshold = op.inputs[2:]
    output = op.outputs[0]
    zeros = op.integer("padding") == Padding.SAME and not op.integer("pad_values")
    if threshold is None and multiplier is not None and bias is not None:
        op.expect("the multiplier", multiplier, np.float32, (channels,))
        op.expect("the bias", bias, np.float32, (channels,))
        op.expect("the output", output, np.float32, (*outer, channels))
        zeros &= op.integer("fused_activation_function") != Activation.NONE
    elif threshold is not None and multiplier is None and bias is None:
        op.expect("the threshold", threshold, np.int32, (channels,))
        op.expect("the output", output, np.int32, (*outer, _words(channels)))
    else:
        op.fail("it needs a multiplier and a bias (inputs 2 and 3), or a threshold (input 4)")
    if zeros:
        op.fail(
            "pad_values is 0: LCE pads with zeros only where the output is float "
            "and there is no activation; pad with ones"
        )
    for position, tensor in enumerate(op.inputs[1:], 1):
        if tensor is not None and tensor.data is None:
            op.fail(f"input {position} {quoted(tensor.name)} has to be a constant")


def _check_spare_bits(op: Placed, kernel: Tensor, channels: int) -> None:
    """Bits of the last word that stand for no channel have to be 0."""
    used = channels % _WORD
    if not used or kernel.data is None or not is_new(kernel.data, used, op.seen):
        return
    last = kernel.data[..., -1].view(np.uint32)
    if (last >> np.uint32(used)).any():
        op.fail(f"the filter {quoted(kernel.name)} sets bits beyond its {channels} channels")


def _words(channels: int) -> int:
    """32-bit words that hold the bits of so many channels."""
    return -(-channels // _WORD)
