"""How floats of an imported network lie between binary layers, and which operators compute them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters.onnx import lower
from sbn_converters.tflite.model import Model
from sbn_converters.tflite.schema import Padding
from sbn_converters.tflite.to_onnx import to_onnx

from .binary_parts import convolution, quantized
from .imported import check, window_size
from .tflite_models import POOL, Builder

RANDOM = np.random.default_rng(2)
IMAGE = (1, 6, 5, 32)


def floats(*shape: int) -> NDArray[np.float32]:
    """Normal random numbers."""
    return RANDOM.normal(size=shape).astype(np.float32)


def operators(model: Model) -> list[str]:
    """The operators of the lowered graph, after it has been compared with the definition."""
    shape = model.tensors[model.inputs[0]].shape
    check(model, floats(*shape), floats(*shape))
    converted = to_onnx(model)
    lower.lower(converted)
    return [node.op_type for node in converted.graph]


def squeezed(b: Builder, x: int) -> int:
    """A factor for each channel, computed from the image, as in Real-to-Binary networks."""
    shape = b.model.tensors[x].shape
    mean = b.operator("MEAN", [x, b.integers(1, 2)], (1, 32), keep_dims=False)
    factor = b.operator("LOGISTIC", [mean], (1, 32))
    return b.operator("MUL", [x, factor], shape)


REGIONS: dict[str, Callable[[Builder, int], int]] = {
    "concatenation": lambda b, x: b.operator("CONCATENATION", [x, x], (1, 6, 5, 64), axis=3),
    "padded channels": lambda b, x: b.operator(
        "PAD",
        [x, b.constant(np.array([[0, 0], [0, 0], [0, 0], [0, 9]], np.int32))],
        (1, 6, 5, 41),
    ),
    "some channels": lambda b, x: b.operator(
        "SLICE", [x, b.integers(0, 1, 0, 5), b.integers(1, 3, 5, 20)], (1, 3, 5, 20)
    ),
    "factors from the image": squeezed,
    "slopes": lambda b, x: b.operator("PRELU", [x, b.constant(floats(1, 1, 32) / 9)], IMAGE),
    "batch norm": lambda b, x: b.operator(
        "ADD",
        [b.operator("MUL", [x, b.constant(floats(32))], IMAGE), b.constant(floats(32))],
        IMAGE,
    ),
    "pool": lambda b, x: b.operator("AVERAGE_POOL_2D", [x], (1, 5, 4, 32), **POOL),
    "pool with a border": lambda b, x: b.operator(
        "AVERAGE_POOL_2D", [x], IMAGE, **{**POOL, "padding": Padding.SAME}
    ),
}


@pytest.mark.parametrize("name", REGIONS)
def test_no_transposition_is_left(name: str) -> None:
    b = Builder()
    x = convolution(b, quantized(b, b.input(IMAGE)), 32, 32, packed=False)
    x = b.operator("ADD", [x, b.constant(floats(1))], IMAGE)
    y = b.operator("TANH", [x], IMAGE)
    z = REGIONS[name](b, y)
    found = operators(b.finish(z))
    assert "Transpose" not in found
    assert not {*found} & {"ReduceMean", "PRelu", "AveragePool", "GlobalAveragePool"}
    assert ("FloatDepthwiseConv" in found) == (name not in [*list(REGIONS)[:3], "slopes"])


def test_a_branch_that_was_not_channels_last_is_turned_once() -> None:
    """The float stem of a residual network is, but what follows it stays channels last."""
    b = Builder()
    options = {"padding": Padding.SAME, "stride_w": 1, "stride_h": 1}
    x = b.input((1, 6, 5, 8))
    x = b.operator(
        "CONV_2D", [x, b.constant(floats(32, 3, 3, 8)), b.constant(floats(32))], IMAGE, **options
    )
    for _ in range(3):
        y = convolution(b, quantized(b, x), 32, 32, packed=False)
        y = b.operator("MUL", [y, b.operator("LOGISTIC", [y], IMAGE)], IMAGE)
        x = b.operator("ADD", [x, y], IMAGE)
    # The image to [N, C, H, W], and the stem's result back.
    assert operators(b.finish(x)).count("Transpose") == 2


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 5),
    st.sampled_from(Padding),
)
def test_images_of_few_channels_are_not_transposed(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    channels: int,
    padding: Padding,
) -> None:
    found = [
        window_size(*numbers, 1, padding) for numbers in zip(size, kernel, strides, strict=True)
    ]
    # One pixel is a matrix product.
    assume(min(found) > 0 and kernel != (1, 1))
    b = Builder()
    options = {"padding": padding, "stride_h": strides[0], "stride_w": strides[1]}
    kernels = b.constant(floats(6, *kernel, channels))
    x = b.input((1, *size, channels))
    y = b.operator("CONV_2D", [x, kernels, b.constant(floats(6))], (1, *found, 6), **options)
    names = operators(
        b.finish(b.operator("RESHAPE", [y, b.integers(1, -1)], (1, 6 * found[0] * found[1])))
    )
    assert "Conv" in names
    few = channels <= 4
    # The result is turned too, unless it is one pixel.
    assert names.count("Transpose") == (not few) + (found != [1, 1])


def test_slopes_above_one_stay() -> None:
    b = Builder()
    slopes = b.constant(floats(1, 1, 8) + 3)
    assert "PRelu" in operators(
        b.finish(b.operator("PRELU", [b.input((1, 2, 3, 8)), slopes], (1, 2, 3, 8)))
    )
