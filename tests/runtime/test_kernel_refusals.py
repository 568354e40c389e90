"""What the native operators refuse: the message names the node, and what is wrong."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from sbn_converters import ops

from .one_node import (
    FULL_RANGE,
    Array,
    Attributes,
    error_of,
    model,
    small_convolution,
)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("channels", 0, r"'channels' is 0, must lie in \[1, 1048576\]"),
        ("channels", None, "'channels' is missing"),
        ("channels", "many", "'channels' is missing or no integer"),
        ("strides", [1], "'strides' has 1 integers, needs 2"),
        ("strides", "ab", "'strides' "),
        ("strides", [1, 0], r"'strides' is 0, must lie in \[1, 32768\]"),
        ("dilations", [1 << 40, 1], r"'dilations' is 1099511627776"),
        ("pads", [1, 1, 1, -1], r"'pads' is -1"),
        ("pads", None, "'pads' is missing"),
        ("pad_value", 2, r"'pad_value' is 2, must lie in \[-1, 1\]"),
        ("group", 3, "group must divide"),
        (
            "dot_range",
            [0, 2**31],
            r"'dot_range' is 2147483648, must lie in \[-16777216, 2147483647\]",
        ),
        (
            "dot_range",
            [2**24 + 1, 2**31 - 1],
            r"is 16777217, must lie in \[-2147483648, 16777216\]",
        ),
        ("dot_range", [0], "'dot_range' has 1 integers, needs 2"),
    ],
)
def test_bad_attributes(attribute: str, value: Any, message: str) -> None:
    inputs, attributes = small_convolution()
    attributes[attribute] = value
    attributes = {key: kept for key, kept in attributes.items() if kept is not None}
    proto = model("ConvScale", inputs, attributes, functions=False)
    assert re.search(message, error_of(proto, inputs))


@pytest.mark.parametrize("constants", [(), ("W", "scale", "bias")])
@pytest.mark.parametrize(
    ("tensor", "shape", "message"),
    [
        ("X", (6, 5, 2), r"X has shape \[6, 5, 2\], needs \[N, H, W, ceil\(C/64\)\]"),
        ("X", (2, 6, 5, 3), r"X has shape \[2, 6, 5, 3\].* = \[any, any, any, 2\]"),
        ("X", (2, 1, 0, 2), "does not fit into the padded input; X has shape"),
        ("W", (33, 3, 2), r"W has shape \[33, 3, 2\]"),
        ("W", (33, 3, 3, 1), r"W has shape \[33, 3, 3, 1\]"),
        ("W", (0, 3, 3, 2), "W is empty"),
        ("scale", (32,), r"scale has shape \[32\], needs \[O\] = \[33\]"),
        ("bias", (33, 1), r"bias has shape \[33, 1\], needs \[O\] = \[33\]"),
    ],
)
def test_bad_shapes(
    tensor: str, shape: tuple[int, ...], message: str, constants: tuple[str, ...]
) -> None:
    inputs, attributes = small_convolution()
    inputs[tensor] = np.zeros(shape, inputs[tensor].dtype)
    proto = model("ConvScale", inputs, attributes, constants=constants, functions=False)
    assert re.search(message, error_of(proto, inputs))


@pytest.mark.parametrize(
    ("name", "shapes", "attributes", "message"),
    [
        ("Pack", {"X": ()}, {}, "X is a scalar"),
        ("PackThreshold", {"X": (2, 5), "low": (4,), "high": (5,)}, {}, r"low has shape \[4\]"),
        ("Unpack", {"X": (3, 2)}, {"channels": 129}, r"X has shape \[3, 2\].*= \[any, 3\]"),
        (
            "DenseScale",
            {"X": (1, 3), "W": (4, 2), "scale": (4,), "bias": (4,)},
            {"channels": 100, "dot_range": FULL_RANGE, "dot_offset": 0},
            r"X has shape \[1, 3\]",
        ),
        (
            "DenseScaleClamp",
            {"X": (1, 2), "W": (4, 2), "scale": (4,), "bias": (4,), "low": (4,), "high": (1,)},
            {"channels": 100, "dot_range": FULL_RANGE, "dot_offset": 0},
            r"high has shape \[1\], needs \[O\] = \[4\]",
        ),
        (
            "DenseResidual",
            {"X": (1, 2), "W": (4, 2), "scale": (4,), "bias": (4,), "R": (2, 4)},
            {"channels": 100, "dot_range": FULL_RANGE, "dot_offset": 0},
            r"R has shape \[2, 4\], needs \[N, O\] = \[1, 4\]",
        ),
        (
            "DenseActivate",
            {
                "X": (1, 2),
                "W": (4, 2),
                "scale": (4,),
                "bias": (4,),
                "inner": (6, 4),
                "outer": (5, 4),
                "bounds": (2, 4),
                "R": (1, 4),
            },
            {"channels": 100, "dot_range": FULL_RANGE, "dot_offset": 0},
            r"outer has shape \[5, 4\], needs \[6, O\] = \[6, 4\]",
        ),
        (
            "PixelConvScale",
            {"X": (1, 4, 4, 2), "W": (4, 3, 3, 3), "scale": (4,), "bias": (4,)},
            {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "pad_value": 0},
            r"X has shape \[1, 4, 4, 2\].* = \[any, any, any, 3\]",
        ),
        (
            "DenseThreshold",
            {"X": (1, 2), "W": (4, 2), "T": (4,)},
            {"channels": 129},
            "channels = 129 needs 3 words",
        ),
        (
            "MaxPool",
            {"X": (1, 3, 3, 1), "minimum": (2,)},
            {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 0, 0]},
            r"minimum has shape \[2\]",
        ),
        (
            "MaxPool",
            {"X": (1, 3, 3, 1), "minimum": (1,)},
            {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 2, 0, 0]},
            "pad 2 must be smaller than the kernel's size 2",
        ),
        (
            "MaxPool",
            {"X": (1, 3, 3, 1), "minimum": (1,)},
            {"kernel_shape": [4, 2], "strides": [1, 1], "pads": [0, 0, 0, 0]},
            "does not fit into the input",
        ),
        (
            "FloatMaxPool",
            {"X": (1, 3, 3, 1)},
            {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 2, 0, 0], "relu": 0},
            "pad 2 must be smaller than the kernel's size 2",
        ),
        (
            "FloatMaxPool",
            {"X": (1, 3, 3, 1)},
            {"kernel_shape": [4, 2], "strides": [1, 1], "pads": [0, 0, 0, 0], "relu": 0},
            "does not fit into the input",
        ),
        (
            "FloatDepthwiseConv",
            {"X": (1, 3, 3, 2), "W": (2, 2, 3), "B": (2,)},
            {"channels": 2, "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]},
            r"W has shape \[2, 2, 3\]",
        ),
        (
            "FloatDepthwiseConv",
            {"X": (1, 3, 3, 2), "W": (2, 2, 2), "B": (2,)},
            {"channels": 2, "strides": [1, 1], "dilations": [3, 1], "pads": [0, 0, 0, 0]},
            "does not fit into the input",
        ),
    ],
)
def test_bad_nodes(
    name: str, shapes: dict[str, tuple[int, ...]], attributes: Attributes, message: str
) -> None:
    types = {t.name: t.dtype for t in ops.BY_NAME[name].inputs}
    inputs: dict[str, Array] = {key: np.zeros(shape, types[key]) for key, shape in shapes.items()}
    proto = model(name, inputs, attributes, functions=False)
    assert re.search(message, error_of(proto, inputs))
