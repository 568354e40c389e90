"""Float operators of TFLite in ONNX, against their definition and LCE's interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sbn_converters.tflite.model import Model, Operator
from sbn_converters.tflite.schema import Activation, Padding
from sbn_converters.tflite.to_onnx import to_onnx

from .binary_parts import quantized, unpacked
from .imported import check, window_size
from .tflite_models import Builder

RANDOM = np.random.default_rng(0)
IMAGE = (1, 4, 6, 8)
ACTIVATIONS = st.sampled_from(
    [Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6]
)


def floats(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Normal random numbers."""
    return RANDOM.normal(size=shape).astype(np.float32)


def images(*shape: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Two of them."""
    return [floats(*shape), floats(*shape)]


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from(Padding),
    ACTIVATIONS,
    st.booleans(),
)
def test_convolutions(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    inputs: int,
    outputs: int,
    padding: Padding,
    activation: Activation,
    depthwise: bool,
) -> None:
    found = [
        window_size(*numbers, padding)
        for numbers in zip(size, kernel, strides, dilations, strict=True)
    ]
    assume(min(found) > 0)
    b = Builder()
    x = b.input((1, *size, inputs))
    options = {
        "padding": padding,
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h_factor": dilations[0],
        "dilation_w_factor": dilations[1],
        "fused_activation_function": activation,
    }
    if depthwise:
        name, outputs = "DEPTHWISE_CONV_2D", outputs * inputs
        weights, options["depth_multiplier"] = floats(1, *kernel, outputs), outputs // inputs
    else:
        name, weights = "CONV_2D", floats(outputs, *kernel, inputs)
    parts = [x, b.constant(weights), b.constant(floats(outputs))]
    y = b.operator(name, parts, (1, *found, outputs), **options)
    check(b.finish(y), *images(1, *size, inputs))


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from(Padding),
    ACTIVATIONS,
    st.booleans(),
)
def test_transposed_convolutions(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    activation: Activation,
    bias: bool,
) -> None:
    """Of each size of an output whose convolution gives the input."""
    given_size = [
        window_size(*numbers, 1, padding) for numbers in zip(size, kernel, strides, strict=True)
    ]
    assume(min(given_size) > 0)
    b = Builder()
    x = b.input((1, *given_size, 3))
    parts = [b.integers(1, *size, 5), b.constant(floats(5, *kernel, 3)), x]
    parts += [b.constant(floats(5))] * bias
    options = {"padding": padding, "stride_h": strides[0], "stride_w": strides[1]}
    y = b.operator(
        "TRANSPOSE_CONV",
        parts,
        (1, *size, 5),
        **options,
        fused_activation_function=activation,
    )
    check(b.finish(y), *images(1, *given_size, 3))


def test_a_transposed_convolution_says_why_it_stays_float() -> None:
    b = Builder()
    x = unpacked(b, quantized(b, b.input((1, 3, 3, 40))), 40)
    weights = b.constant(RANDOM.choice(np.array([-1, 1], np.float32), (4, 2, 2, 40)))
    options = {"padding": Padding.VALID, "stride_h": 2, "stride_w": 2}
    parts = [b.integers(1, 6, 6, 4), weights, x]
    y = b.operator("TRANSPOSE_CONV", parts, (1, 6, 6, 4), **options)
    layers = check(b.finish(y), *images(1, 3, 3, 40), exact=True)
    assert [layer.why for layer in layers if layer.kind == "float"] == [
        "a transposed convolution, which has no packed form"
    ]


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from(Padding),
    ACTIVATIONS,
    st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]),
)
def test_pools(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    activation: Activation,
    name: str,
) -> None:
    found = [
        window_size(*numbers, 1, padding) for numbers in zip(size, kernel, strides, strict=True)
    ]
    assume(min(found) > 0)
    b = Builder()
    y = b.operator(
        name,
        [b.input((1, *size, 3))],
        (1, *found, 3),
        padding=padding,
        stride_h=strides[0],
        stride_w=strides[1],
        filter_height=kernel[0],
        filter_width=kernel[1],
        fused_activation_function=activation,
    )
    check(b.finish(y), *images(1, *size, 3))


@pytest.mark.parametrize(
    "name",
    ["ABS", "ELU", "EXP", "HARD_SWISH", "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_N1_TO_1", "TANH"],
)
def test_functions_of_one_number(name: str) -> None:
    b = Builder()
    model = b.finish(b.operator(name, [b.input(IMAGE)], IMAGE))
    check(model, *[3 * x for x in images(*IMAGE)], lce=name != "ELU")


@pytest.mark.parametrize("name", ["LOG", "SQRT", "RSQRT"])
def test_functions_of_positive_numbers(name: str) -> None:
    b = Builder()
    model = b.finish(b.operator(name, [b.input(IMAGE)], IMAGE))
    check(model, *[np.abs(x) + 0.1 for x in images(*IMAGE)])


@pytest.mark.parametrize("shape", [(8,), (1, 8), (1, 1, 8), (4, 1, 1), IMAGE, ()])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"])
def test_constants_broadcast(name: str, shape: tuple[int, ...]) -> None:
    for swapped in (False, True):
        b = Builder()
        operands = [
            b.input(IMAGE),
            b.constant(np.asarray(np.abs(floats(*shape)) + 0.5, np.float32)),
        ]
        y = b.operator(name, operands[::-1] if swapped else operands, IMAGE)
        check(b.finish(y), *[np.abs(x) + 0.1 for x in images(*IMAGE)])


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
@given(activation=ACTIVATIONS)
def test_vectors_of_an_image_broadcast(name: str, activation: Activation) -> None:
    """As in squeeze-and-excitation: a factor for each channel, computed from the image."""
    b = Builder()
    x = b.input(IMAGE)
    mean = b.operator("MEAN", [x, b.integers(1, 2)], (1, 8), keep_dims=False)
    y = b.operator(name, [x, mean], IMAGE, fused_activation_function=activation)
    check(b.finish(y), *images(*IMAGE))


@pytest.mark.parametrize("slopes", [floats(1, 1, 8) * 0.3, floats(1, 1, 8) * 3, floats(4, 6, 8)])
def test_prelu(slopes: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    b = Builder()
    y = b.operator("PRELU", [b.input(IMAGE), b.constant(slopes)], IMAGE)
    check(b.finish(y), *images(*IMAGE))


def test_leaky_relu() -> None:
    b = Builder()
    check(b.finish(b.operator("LEAKY_RELU", [b.input(IMAGE)], IMAGE, alpha=0.25)), *images(*IMAGE))


@pytest.mark.parametrize("shape", [(1, 8), IMAGE])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_softmax_runs_over_channels(shape: tuple[int, ...], beta: float) -> None:
    b = Builder()
    soft = b.operator("SOFTMAX", [b.input(shape)], shape, beta=beta)
    check(b.finish(b.operator("NEG", [soft], shape)), *images(*shape))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(1, 2), (3,), (1,), (2,), (-1, 1), (1, 2, 3)])
@pytest.mark.parametrize("name", ["MEAN", "SUM"])
def test_reductions(name: str, axes: tuple[int, ...], keep: bool) -> None:
    gone = [axis % 4 for axis in axes]
    shape = [1 if i in gone else n for i, n in enumerate(IMAGE) if keep or i not in gone]
    b = Builder()
    y = b.operator(name, [b.input(IMAGE), b.integers(*axes)], shape, keep_dims=keep)
    check(b.finish(y), *images(*IMAGE))


@pytest.mark.parametrize(
    ("shape", "result", "keep"),
    [
        ((1, 1, 1, 8), (1, 3), False),
        ((1, 8), (1, 3), False),
        ((1, 2, 3, 4), (1, 3), False),
        (IMAGE, (1, 4, 6, 3), True),
        ((1, 5, 8), (5, 3), False),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_fully_connected(
    shape: tuple[int, ...], result: tuple[int, ...], keep: bool, bias: bool
) -> None:
    b = Builder()
    inputs = 24 if shape == (1, 2, 3, 4) else 8
    parts = [b.input(shape), b.constant(floats(3, inputs))]
    parts.append(b.constant(floats(3)) if bias else -1)
    y = b.operator(
        "FULLY_CONNECTED", parts, result, keep_num_dims=keep, fused_activation_function=1
    )
    model = b.finish(y)
    check(model, *images(*shape))
    batch = to_onnx(model).graph.inputs[0].shape
    assert batch is not None
    # Rows that are no images cannot be told from images.
    assert isinstance(batch[0], int) == (result[0] != 1)


def split(b: Builder, x: int) -> list[int]:
    """Three parts of eight, and the others."""
    outputs = [b.value((1, 4, 2, 8)) for _ in range(3)]
    operands = [b.constant(np.array(2, np.int32)), x]
    b.model.operators.append(Operator("SPLIT", operands, outputs, {"num_splits": 3}))
    return outputs


def sliced(b: Builder, x: int, begin: tuple[int, ...], size: tuple[int, ...]) -> list[int]:
    """A part of an image."""
    shape = [n if n >= 0 else IMAGE[i] - begin[i] for i, n in enumerate(size)]
    return [b.operator("SLICE", [x, b.integers(*begin), b.integers(*size)], shape)]


def strided(
    b: Builder,
    x: int,
    bounds: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    shape: tuple[int, ...],
    **masks: int,
) -> list[int]:
    """A part of an image with steps."""
    return [b.operator("STRIDED_SLICE", [x, *(b.integers(*n) for n in bounds)], shape, **masks)]


def padded(b: Builder, x: int, *fill: float) -> list[int]:
    """A border on all sides but the batch."""
    amounts = np.array([[0, 0], [1, 2], [0, 1], [3, 0]], np.int32)
    number = [b.constant(np.array(value, np.float32)) for value in fill]
    name = "PADV2" if fill else "PAD"
    return [b.operator(name, [x, b.constant(amounts), *number], (1, 7, 7, 11))]


MOVEMENTS: dict[str, Callable[[Builder, int], list[int]]] = {
    "reshape to rows": lambda b, x: [b.operator("RESHAPE", [x, b.integers(1, 192)], (1, 192))],
    "reshape to an image": lambda b, x: [
        b.operator("RESHAPE", [x, b.integers(1, 8, 2, 12)], (1, 8, 2, 12))
    ],
    "expand": lambda b, x: [b.operator("EXPAND_DIMS", [x, b.integers(2)], (1, 4, 1, 6, 8))],
    "squeeze": lambda b, x: [
        b.operator(
            "SQUEEZE", sliced(b, x, (0, 1, 0, 0), (1, 1, 6, 8)), (1, 6, 8), squeeze_dims=(1,)
        )
    ],
    "transpose": lambda b, x: [b.operator("TRANSPOSE", [x, b.integers(0, 3, 1, 2)], (1, 8, 4, 6))],
    "transpose of three": lambda b, x: [
        b.operator(
            "TRANSPOSE",
            [b.operator("RESHAPE", [x, b.integers(1, 24, 8)], (1, 24, 8)), b.integers(0, 2, 1)],
            (1, 8, 24),
        )
    ],
    "pad": padded,
    "pad with a number": lambda b, x: padded(b, x, -2.5),
    "split": split,
    "slice": lambda b, x: sliced(b, x, (0, 1, 2, 3), (1, 2, -1, 4)),
    "strided slice": lambda b, x: strided(
        b, x, ((0, -1, 0, 1), (1, -5, 6, 8), (1, -2, 3, 2)), (1, 2, 2, 4), begin_mask=1, end_mask=1
    ),
    "strided slice that drops": lambda b, x: strided(
        b, x, ((0, 2, 0, 0), (1, 3, 6, 8), (1, 1, 1, 1)), (1, 6, 8), shrink_axis_mask=2
    ),
    "concatenation": lambda b, x: [b.operator("CONCATENATION", [x, x], (1, 4, 6, 16), axis=-1)],
    "concatenation of rows": lambda b, x: [
        b.operator("CONCATENATION", [x, x, x], (1, 12, 6, 8), axis=1)
    ],
    "concatenation with a constant": lambda b, x: [
        b.operator("CONCATENATION", [b.constant(floats(1, 4, 1, 8)), x], (1, 4, 7, 8), axis=2)
    ],
    "pack": lambda b, x: [b.operator("PACK", [x, x], (1, 4, 2, 6, 8), axis=2, values_count=2)],
}


@pytest.mark.parametrize("name", MOVEMENTS)
def test_movements(name: str) -> None:
    b = Builder()
    check(b.finish(*MOVEMENTS[name](b, b.input(IMAGE))), *images(*IMAGE), exact=True)


def test_pixels_are_cast() -> None:
    b = Builder()
    y = b.operator("CAST", [b.input(IMAGE, np.uint8)], IMAGE, in_data_type=3, out_data_type=0)
    pixels = [RANDOM.integers(0, 256, IMAGE).astype(np.uint8) for _ in range(2)]
    check(b.finish(b.operator("NEG", [y], IMAGE)), *pixels, exact=True)


def test_constants_are_computed_once() -> None:
    """Weights may be a function of constants, as XNOR-Net's are, or be kept as float16."""
    b = Builder()
    half = b.constant(floats(5, 3, 3, 8).astype(np.float16))
    weights = b.operator("DEQUANTIZE", [half], (5, 3, 3, 8))
    turned = b.operator("NEG", [weights], (5, 3, 3, 8))
    options = {"padding": Padding.SAME, "stride_w": 1, "stride_h": 1}
    model = b.finish(b.operator("CONV_2D", [b.input(IMAGE), turned], (1, 4, 6, 5), **options))
    check(model, *images(*IMAGE), lce=False)
    assert [node.op_type for node in to_onnx(model).graph] == ["Transpose", "Conv", "Transpose"]


def batch_of(model: Model) -> int | str:
    """The first dimension of the input."""
    shape = to_onnx(model).graph.inputs[0].shape
    assert shape is not None
    return shape[0] if isinstance(shape[0], int) else str(shape[0].value)


def test_a_file_that_mixes_images_keeps_its_batch() -> None:
    b = Builder()
    x = b.input((2, 3, 4))
    y = b.operator("TRANSPOSE", [x, b.integers(1, 0, 2)], (3, 2, 4))
    model = b.finish(b.operator("CONCATENATION", [y, y], (6, 2, 4), axis=0))
    check(model, floats(2, 3, 4))
    assert batch_of(model) == 2
