"""LCE's operators in ONNX, against their definition and LCE's interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters.onnx import lower, write
from sbn_converters.tflite.model import Model, Operator
from sbn_converters.tflite.schema import Activation, Padding
from sbn_converters.tflite.to_onnx import to_onnx
from sbn_runtime.engines.onnxruntime import session_options

from .binary_parts import convolution, images, quantized, unpacked
from .imported import check, fill_in, lce_outputs, refusal, window_size
from .lce import needs_lce
from .tflite_models import BPOOL, Builder, words

RANDOM = np.random.default_rng(0)
IMAGE = (1, 4, 6, 64)


def binary_layers(model: Model, *x: NDArray[Any], **options: Any) -> int:
    """Checks the model to the last bit; the number of binary layers that it became."""
    return sum(layer.kind == "binary" for layer in check(model, *x, exact=True, **options))


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.one_of(st.integers(1, 140), st.sampled_from([32, 64, 96, 128])),
    st.integers(1, 70),
    st.sampled_from(Padding),
    st.booleans(),
)
def test_convolutions_to_bits(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    channels: int,
    outputs: int,
    padding: Padding,
    floats_follow: bool,
) -> None:
    b = Builder()
    x = quantized(b, b.input((1, *size, channels)))
    options = {"strides": strides, "dilations": dilations, "padding": padding}
    y = convolution(b, x, channels, outputs, kernel, **options)  # type: ignore[arg-type]
    if not floats_follow:
        # The bits are read by a layer of the same kind.
        y = convolution(b, y, outputs, 5, (1, 1), packed=False)
        model = b.finish(y)
        assert binary_layers(model, *images(1, *size, channels)) == 2
        return
    model = b.finish(unpacked(b, y, outputs))
    assert binary_layers(model, *images(1, *size, channels)) == 1


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 140),
    st.integers(1, 70),
    st.sampled_from(Padding),
    st.integers(0, 1),
    st.sampled_from([Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6]),
)
def test_convolutions_to_floats(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    channels: int,
    outputs: int,
    padding: Padding,
    pad_values: int,
    activation: Activation,
) -> None:
    b = Builder()
    x = quantized(b, b.input((1, *size, channels)))
    y = convolution(
        b,
        x,
        channels,
        outputs,
        kernel,
        packed=False,
        strides=strides,
        padding=padding,
        pad_values=pad_values,
        fused_activation_function=activation,
    )
    # LCE corrects for zeros after the activation, so it refuses to have both; and it
    # does so wrongly where the image is smaller than the kernel.
    fits = all(n >= k for n, k in zip(size, kernel, strict=True))
    right = activation == Activation.NONE and fits
    lce = pad_values == 1 or padding == Padding.VALID or right
    assert binary_layers(b.finish(y), *images(1, *size, channels), lce=lce) == 1


@needs_lce
@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 200),
    st.integers(1, 40),
    st.sampled_from([Activation.NONE, Activation.RELU]),
    st.booleans(),
)
def test_floats_are_rounded_as_lce_rounds_them(
    size: int, kernel: int, channels: int, outputs: int, activation: Activation, shortcut: bool
) -> None:
    """Any multipliers and biases, with a shortcut around the layer or not."""
    b = Builder()
    image = b.input((1, size, size, channels))
    if shortcut:
        outputs = channels
    y = convolution(
        b,
        quantized(b, image),
        channels,
        outputs,
        (kernel, kernel),
        packed=False,
        padding=Padding.SAME,
        pad_values=1,
        fused_activation_function=activation,
    )
    for index in b.model.operators[-1].inputs[2:4]:
        b.model.tensors[index].data = RANDOM.normal(size=outputs).astype(np.float32)
    if shortcut:
        y = b.operator("ADD", [y, image], (1, size, size, channels))
    model = b.finish(y)
    fill_in(model)
    x = RANDOM.normal(size=(1, size, size, channels)).astype(np.float32)
    (expected,) = lce_outputs(model, x)
    packed = to_onnx(model)
    lower.lower(packed)
    session = onnxruntime.InferenceSession(
        write.finish(packed, {}).SerializeToString(),
        session_options(1),
        providers=["CPUExecutionProvider"],
    )
    np.testing.assert_array_equal(session.run(None, {"input": x})[0], expected)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("channels", "group"), [(64, 2), (128, 2), (192, 2), (128, 4), (192, 3)])
def test_groups(channels: int, group: int, packed: bool) -> None:
    b = Builder()
    x = quantized(b, b.input((1, 4, 6, channels)))
    y = convolution(b, x, channels, 12 * group, packed=packed, group=group)
    if packed:
        y = unpacked(b, y, 12 * group)
    assert binary_layers(b.finish(y), *images(1, 4, 6, channels)) == 1


@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 140),
    st.sampled_from(Padding),
)
def test_pools(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    channels: int,
    padding: Padding,
) -> None:
    found = [
        window_size(*numbers, 1, padding) for numbers in zip(size, kernel, strides, strict=True)
    ]
    assume(min(found) > 0)
    b = Builder()
    x = quantized(b, b.input((1, *size, channels)))
    options = {
        "padding": padding,
        "filter_height": kernel[0],
        "filter_width": kernel[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
    }
    y = b.operator("LceBMaxPool2d", [x], (1, *found, -(-channels // 32)), np.int32, **options)
    check(b.finish(unpacked(b, y, channels)), *images(1, *size, channels), exact=True)


def constant(b: Builder, *shape: int) -> int:
    """Random packed signs."""
    return b.constant(words(RANDOM, *shape))


def split(b: Builder, x: int) -> int:
    """The second of two halves."""
    halves = [b.value((1, 4, 6, 1), np.int32) for _ in range(2)]
    operands = [b.constant(np.array(3, np.int32)), x]
    b.model.operators.append(Operator("SPLIT", operands, halves, {"num_splits": 2}))
    return halves[1]


MOVEMENTS: dict[str, tuple[Callable[[Builder, int], int], int]] = {
    "pad": (
        lambda b, x: b.operator(
            "PAD",
            [x, b.constant(np.array([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32))],
            (1, 5, 9, 2),
            np.int32,
        ),
        64,
    ),
    "pad with -1": (
        lambda b, x: b.operator(
            "PADV2",
            [
                x,
                b.constant(np.array([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32)),
                b.constant(np.array(-1, np.int32)),
            ],
            (1, 5, 9, 2),
            np.int32,
        ),
        64,
    ),
    "concatenate channels": (
        lambda b, x: b.operator("CONCATENATION", [x, x], (1, 4, 6, 4), np.int32, axis=3),
        128,
    ),
    "concatenate a constant": (
        lambda b, x: b.operator(
            "CONCATENATION", [constant(b, 1, 1, 6, 2), x], (1, 5, 6, 2), np.int32, axis=1
        ),
        64,
    ),
    "concatenate constant channels": (
        lambda b, x: b.operator(
            "CONCATENATION", [x, constant(b, 1, 4, 6, 1)], (1, 4, 6, 3), np.int32, axis=3
        ),
        96,
    ),
    "split": (split, 32),
    "slice": (
        lambda b, x: b.operator(
            "SLICE", [x, b.integers(0, 1, 0, 1), b.integers(1, 2, 6, 1)], (1, 2, 6, 1), np.int32
        ),
        32,
    ),
    "strided slice": (
        lambda b, x: b.operator(
            "STRIDED_SLICE",
            [x, b.integers(0, 0, 5, 0), b.integers(1, 4, 0, 1), b.integers(1, 2, -2, 1)],
            (1, 2, 3, 1),
            np.int32,
        ),
        32,
    ),
    "flatten": (
        lambda b, x: b.operator("RESHAPE", [x, b.integers(1, 1, 1, 48)], (1, 1, 1, 48), np.int32),
        48 * 32,
    ),
    "reshape": (
        lambda b, x: b.operator("RESHAPE", [x, b.integers(1, 2, 12, 2)], (1, 2, 12, 2), np.int32),
        64,
    ),
    "flip channels": (
        lambda b, x: b.operator("BITWISE_XOR", [x, constant(b, 2)], (1, 4, 6, 2), np.int32),
        64,
    ),
    "flip elements": (
        lambda b, x: b.operator(
            "BITWISE_XOR", [constant(b, 1, 4, 6, 2), x], (1, 4, 6, 2), np.int32
        ),
        64,
    ),
    "flip all": (
        lambda b, x: b.operator(
            "BITWISE_XOR", [x, b.constant(np.array(-1, np.int32))], (1, 4, 6, 2), np.int32
        ),
        64,
    ),
}


@pytest.mark.parametrize("name", MOVEMENTS)
def test_packed_signs_move(name: str) -> None:
    """What is moved is read by a binary layer, which stays one, and as floats."""
    move, channels = MOVEMENTS[name]
    b = Builder()
    x = move(b, quantized(b, b.input(IMAGE)))
    y = convolution(b, x, channels, 40, (1, 1))
    model = b.finish(unpacked(b, y, 40), unpacked(b, x, channels))
    layers = check(model, *images(*IMAGE), exact=True)
    assert sum(layer.kind == "binary" for layer in layers) == 1
    # Ours are words of 64 channels: half of one is unpacked to be moved, as are constants.
    half = channels % 64 or "constant" in name
    assert sum(layer.kind == "pack" for layer in layers) == (2 if half else 1)


@pytest.mark.parametrize("dense", [False, True])
def test_float_layers_on_signs_with_weights_of_one_size_are_binary(dense: bool) -> None:
    """LCE's converter leaves them float where its kernels do not apply, as in XNOR-Net."""
    b = Builder()
    x = unpacked(b, quantized(b, b.input((1, 3, 3, 40))), 40)
    scale = 2.0 ** RANDOM.integers(-3, 3, 7)
    weights = RANDOM.choice([-1.0, 1.0], (7, 3, 3, 40)) * scale[:, None, None, None]
    bias = b.constant(RANDOM.integers(-5, 5, 7).astype(np.float32))
    constant = weights.astype(np.float32)
    if dense:
        y = b.operator("FULLY_CONNECTED", [x, b.constant(constant.reshape(7, -1)), bias], (1, 7))
    else:
        options = {"padding": Padding.VALID, "stride_w": 1, "stride_h": 1}
        y = b.operator("CONV_2D", [x, b.constant(constant), bias], (1, 1, 1, 7), **options)
    assert binary_layers(b.finish(y), *images(1, 3, 3, 40)) == 1


def test_a_residual_network_keeps_its_signs_packed() -> None:
    b = Builder()
    x = b.input((1, 6, 6, 64))
    for _ in range(3):
        y = convolution(
            b, quantized(b, x), 64, 64, packed=False, fused_activation_function=Activation.RELU
        )
        x = b.operator("ADD", [x, y], (1, 6, 6, 64))
    layers = check(b.finish(x), *images(1, 6, 6, 64), exact=True)
    assert [layer.op for layer in layers] == ["Pack", *["ConvResidual"] * 3]


def test_a_dense_network_has_no_transposition() -> None:
    """Floats that are concatenated lie as binary layers give them."""
    b = Builder()
    x = b.input((1, 6, 6, 32))
    for _ in range(3):
        channels = b.model.tensors[x].shape[-1]
        y = convolution(b, quantized(b, x), channels, 32, packed=False)
        x = b.operator("CONCATENATION", [x, y], (1, 6, 6, channels + 32), axis=3)
    model = b.finish(x)
    check(model, *images(1, 6, 6, 32), exact=True)
    converted = to_onnx(model)
    lower.lower(converted)
    assert "Transpose" not in [node.op_type for node in converted.graph]


def test_quantised_models_are_refused() -> None:
    b = Builder()
    x = b.operator("QUANTIZE", [b.input((1, 4))], (1, 4), np.int8)
    message = refusal(b.finish(b.operator("DEQUANTIZE", [x], (1, 4))))
    assert message.startswith("operator 0 (QUANTIZE): the model is quantised to 8 or 16 bits")
    assert "inference_input_type" in message


def test_an_operator_without_counterpart_is_named() -> None:
    b = Builder()
    x = b.input((1, 3, 4))
    message = refusal(b.finish(b.operator("BATCH_MATMUL", [x, x], (1, 3, 3), adj_y=True)))
    assert message.startswith("operator 0 (BATCH_MATMUL) is not supported; replace")


def test_packed_outputs_are_refused() -> None:
    b = Builder()
    assert "LceDequantize" in refusal(b.finish(quantized(b, b.input(IMAGE))))


def test_a_classifier_gives_what_its_softmax_is_taken_of() -> None:
    b = Builder()
    x = quantized(b, b.input(IMAGE))
    x = b.operator("LceBMaxPool2d", [x], (1, 2, 3, 2), np.int32, **BPOOL)
    y = convolution(b, x, 64, 10, (2, 3), packed=False, padding=Padding.VALID, pad_values=0)
    logits = b.operator("RESHAPE", [y, b.integers(1, 10)], (1, 10))
    model = b.finish(b.operator("SOFTMAX", [logits], (1, 10), beta=1.0))
    fill_in(model)
    assert [value.name for value in to_onnx(model).graph.outputs] == ["logits"]
