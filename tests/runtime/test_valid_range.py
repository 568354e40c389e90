"""Library and function body agree on all that is valid, and what is not is refused at once.

Nodes are drawn from the whole range that the operators' specification gives.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters import ops
from sbn_converters.onnx.functions import function_protos
from sbn_runtime.sampling import MAX_SAMPLES

from .one_node import (
    EPILOGUES,
    ISAS,
    SEEDS,
    Array,
    error_of,
    model,
    run,
    run_all,
    session,
    small_convolution,
)
from .valid_nodes import Node, any_floats, nodes

CONVOLUTIONS = [f"Conv{name}" for name in EPILOGUES]
FAMILIES = {
    "convolutions": CONVOLUTIONS,
    "dense": [f"Dense{name}" for name in EPILOGUES],
    "pixels": [name for name in ops.BY_NAME if name.startswith("PixelConv")],
    "others": [name for name in ops.BY_NAME if not name.startswith(("Conv", "Dense", "Pixel"))],
}


def check(node: Node, constant: bool) -> None:
    """Every kernel set gives the numbers of the function body."""
    constants = tuple(key for key in node.inputs if key not in ("X", "R")) if constant else ()
    if node.name == "StochasticSign":
        constants = ("table",)
    proto = model(node.name, node.inputs, node.attributes, constants=constants)
    wanted = run_all(proto, node.inputs, None)
    for isa in ISAS:
        for actual, expected in zip(run_all(proto, node.inputs, isa), wanted, strict=True):
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected, err_msg=isa)


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data(), constant=st.booleans())
def test_what_is_valid_is_computed_alike(family: str, data: st.DataObject, constant: bool) -> None:
    check(data.draw(nodes(FAMILIES[family])), constant)


# Rounding once


def rounded(exact: Fraction) -> np.float32:
    """A number as the nearest float32, ties to even; the definition."""
    if exact == 0:
        return np.float32(0)
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    step = Fraction(2) ** (max(exponent, -126) - 23)
    size = round(size / step) * step  # half to even
    value = np.inf if size >= 2**128 else float(size)
    return np.float32(value if exact > 0 else -value)


def fused(a: float, scale: float, bias: float) -> np.float32:
    """a * scale + bias, rounded once."""
    numbers = [float(a), float(scale), float(bias)]
    if not np.isfinite(numbers).all():
        with np.errstate(invalid="ignore"):
            return np.float32(np.float64(numbers[0]) * numbers[1] + numbers[2])
    a, scale, bias = numbers
    exact = Fraction(a) * Fraction(scale) + Fraction(bias)
    return rounded(exact) if exact else np.float32(a * scale + bias)


def near_ties(rng: np.random.Generator, count: int) -> tuple[NDArray[np.float32], ...]:
    """a, scale and bias whose sum often lies on the middle of two float32, or next to it."""
    a = rng.integers(-(1 << 24), (1 << 24) + 1, count).astype(np.float32)
    few = rng.integers(0, 2, count) == 0
    a[few] = np.trunc(a[few] / np.float32(1 << 18))
    scale = np.ldexp(rng.integers(1 << 23, 1 << 24, count), rng.integers(-172, 80, count))
    scale = (scale * rng.choice([-1, 1], count)).astype(np.float32)
    tiny = np.ldexp(rng.choice([-1.0, 1.0], count), rng.integers(-149, 20, count))
    product = a.astype(np.float64) * scale
    middle = np.spacing(np.abs(product).astype(np.float32)) / 2
    near = rng.choice([-1, 1], count) * middle - (product - product.astype(np.float32))
    kind = rng.integers(0, 4, count)
    other = np.ldexp(rng.normal(size=count), rng.integers(-149, 127, count))
    with np.errstate(all="ignore"):
        return a, scale, np.choose(kind, [tiny, near, -product, other]).astype(np.float32)


def same_bits(actual: Array, expected: Array) -> None:
    """Equal to the last bit, signs of zeros among them, but for which NaN a NaN is."""
    numbers = ~(np.isnan(actual) & np.isnan(expected))
    np.testing.assert_array_equal(
        actual[numbers].view(np.uint32), expected[numbers].view(np.uint32)
    )


@given(seed=SEEDS)
@example(seed=0)
def test_bodies_round_once(seed: int) -> None:
    """The function against exact rational arithmetic."""
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        parts = [near_ties(rng, 200), tuple(any_floats(rng, (100,)) for _ in range(3))]
    largest = np.float32(2**128 - 2**104)
    ends = np.array([[2**23 - 1, 2**80, largest], [-1, 2**103, largest]], np.float32).T
    columns = [np.concatenate(column) for column in zip(*parts, tuple(ends), strict=True)]
    expected = np.array([fused(*row) for row in zip(*columns, strict=True)], np.float32)
    engine = scale_and_bias()
    same_bits(engine.run(None, dict(zip("Asb", columns, strict=True)))[0], expected)


def scale_and_bias() -> Any:
    """A stock session of the function that scales sums."""
    info = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("ScaleAndBias", list("Asb"), ["Y"], domain=ops.DOMAIN)
    graph = onnx.helper.make_graph(
        [node], "one", [info(key, 1, [None]) for key in "Asb"], [info("Y", 1, [None])]
    )
    imports = {"": ops.ONNX_OPSET, ops.DOMAIN: ops.VERSION}
    return session(
        onnx.helper.make_model(
            graph,
            functions=[function_protos()["ScaleAndBias"]],
            opset_imports=[onnx.helper.make_opsetid(*item) for item in imports.items()],
            ir_version=ops.IR_VERSION,
        ),
        None,
    )


# What is refused


def refused(node: Node, message: str) -> None:
    """The library says what is wrong; without it onnxruntime fails too, and not for memory."""
    for known in (False, True):
        shapes = {key: list(value.shape) for key, value in node.inputs.items()} if known else None
        proto = model(node.name, node.inputs, node.attributes, shapes=shapes)
        before = _largest_size()
        assert re.search(message, error_of(proto, node.inputs)), message
        with pytest.raises(Exception, match="ONNXRuntimeError") as caught:
            run(proto, node.inputs, None)
        assert "allocat" not in str(caught.value)
        assert _largest_size() - before < 64 << 20


def _largest_size() -> int:
    """Bytes of the largest working set of this process up to now."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) << 10


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_attributes_beyond_their_range_are_refused(family: str, data: st.DataObject) -> None:
    names = [name for name in FAMILIES[family] if ops.BY_NAME[name].attributes]
    node = data.draw(nodes(names))
    attribute = data.draw(st.sampled_from(ops.BY_NAME[node.name].attributes))
    index = data.draw(st.integers(0, (attribute.length or 1) - 1))
    low, high = attribute.limits[index]
    far = [value for value in (-(1 << 63), (1 << 63) - 1, 1 << 40) if not low <= value <= high]
    wrong = data.draw(st.sampled_from([low - 1, high + 1, *far]))
    value = node.attributes[attribute.name]
    value = [*value[:index], wrong, *value[index + 1 :]] if attribute.length else wrong
    message = rf"'{attribute.name}' is {wrong}, must lie in \[{low}, {high}\]"
    refused(node.changed(**{attribute.name: value}), message)


WINDOWS = [
    name for name, each in ops.BY_NAME.items() if "pads" in {a.name for a in each.attributes}
]


@given(data=st.data())
def test_padding_beyond_its_limit_is_refused(data: st.DataObject) -> None:
    node = data.draw(nodes(WINDOWS))
    height, width = node.inputs["X"].shape[1:3]
    most = max(ops.MAX_PADDED_PIXELS, ops.MAX_PADDED_RATIO * height * width)
    down = data.draw(st.sampled_from([0, 1, 100, 1 << 15]))
    across = most // (height + down) - width + 1  # the least that is too much
    across = data.draw(st.sampled_from([max(across, 0), 1 << 15]))
    if across > 1 << 15:
        down, across = 1 << 15, 1 << 15
    changes: dict[str, list[int]] = {"pads": [down, across, 0, 0]}
    if "kernel_shape" in node.attributes:
        changes["kernel_shape"] = [min(down + 1, 1 << 15), min(across + 1, 1 << 15)]
        changes["pads"] = [min(down, (1 << 15) - 1), min(across, (1 << 15) - 1), 0, 0]
    assert not ops.padding_fits((height, width), changes["pads"])
    wrong = node.changed(**changes)
    message = r"attribute 'pads' makes .* must lie in \[0, 16384\]"
    refused(wrong, message)
    shapes = {key: list(value.shape) for key, value in node.inputs.items()}
    proto = model(node.name, node.inputs, wrong.attributes, shapes=shapes, functions=False)
    with pytest.raises(Exception, match=message):  # where the size is known, when it is loaded
        session(proto, ISAS[-1])


@given(data=st.data(), constant=st.booleans())
def test_unused_bits_are_refused(data: st.DataObject, constant: bool) -> None:
    node = data.draw(nodes(CONVOLUTIONS).filter(lambda node: node.attributes["channels"] % 64))
    channels, group = node.attributes["channels"], node.attributes["group"]
    key = data.draw(st.sampled_from(["X", "W"] if channels // group % 64 else ["X"]))
    bits = channels if key == "X" else channels // group
    array = node.inputs[key].copy()
    word = array.reshape(-1, array.shape[-1])[data.draw(st.integers(0, array[..., 0].size - 1))]
    word[-1] |= np.uint64(1) << np.uint64(data.draw(st.integers(bits % 64, 63)))
    inputs = node.inputs | {key: array}
    constants = ("W",) if constant else ()
    proto = model(node.name, inputs, node.attributes, constants=constants)
    assert re.search(rf"input {key} .* unused.* \[0, {bits - 1}\]", error_of(proto, inputs))
    with pytest.raises(Exception, match="out of data bounds"):
        run(proto, inputs, None)


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("samples", 0, r"samples is 0, must lie in \[1, 65536\]"),
        ("samples", MAX_SAMPLES + 1, r"samples is 65537, must lie in \[1, 65536\]"),
        ("samples", 1 << 62, r"samples is 4611686018427387904, must"),
        ("seed", -1, r"seed is -1, must lie in \[0, 9223372036854775807\]"),
        ("first_sample", -1, r"first_sample is -1, must lie in \[0, 2147483646\]"),
        ("first_sample", 2**31 - 1, r"first_sample is 2147483647, must"),
        ("first_sample", 2**63 - 1, r"first_sample is 9223372036854775807, must"),
    ],
)
def test_numbers_of_samples_beyond_their_range_are_refused(
    name: str, number: int, message: str
) -> None:
    inputs: dict[str, Array] = {
        "X": np.zeros((1, 2, 70), np.int16),
        "table": np.stack([np.full(64, 40000), np.zeros(64)]).astype(np.int32),
        "seed": np.array(0),
        "first_sample": np.array(0),
        "samples": np.array(2),
    }
    inputs[name] = np.array(number)
    attributes = {"layer": 0, "fan_out": 1}
    proto = model("StochasticSign", inputs, attributes, constants=("table",))
    assert re.search(message, error_of(proto, inputs))
    with pytest.raises(Exception, match="out of data bounds"):
        run(proto, inputs, None)


def test_limits_are_those_of_the_runtime() -> None:
    assert ops.MAX_SAMPLES == MAX_SAMPLES


def test_long_sums_are_refused() -> None:
    inputs, attributes = small_convolution("ConvThreshold")
    outputs, rows, columns = 1, 513, 512
    inputs |= {"W": np.zeros((outputs, rows, columns, 2), np.uint64), "T": np.zeros(1, np.int32)}
    inputs["X"] = np.zeros((1, rows, columns, 2), np.uint64)
    proto = model("ConvThreshold", inputs, attributes, functions=False)
    assert "kernel height * width * channels exceeds 16777216" in error_of(proto, inputs)
