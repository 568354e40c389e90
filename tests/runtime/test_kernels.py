"""The native operators, on every kernel set of this machine, bit for bit.

The oracle is a stock onnxruntime, which inlines the operators' function bodies;
tests/converters checks those against their definitions.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbn_converters import generate, ops

from .one_node import (
    CHANNELS,
    EPILOGUES,
    FULL_RANGE,
    ISAS,
    SEEDS,
    Array,
    Attributes,
    check,
    dot_attributes,
    epilogue,
    error_of,
    model,
    packed,
    run,
    session,
    small_convolution,
)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict[str, int], Attributes]:
    """Sizes and attributes of a convolution that fits its input."""
    group = draw(st.sampled_from([1, 1, 1, 2, 3, 5]))
    kernel = [draw(st.integers(1, 5)) for _ in range(2)]
    attributes: Attributes = {
        "channels": group * draw(st.integers(1, 200 // group)),
        "strides": [draw(st.integers(1, 2)) for _ in range(2)],
        "dilations": [draw(st.sampled_from([1, 1, 2, 3])) for _ in range(2)],
        "pads": [draw(st.integers(0, 3)) for _ in range(4)],
        "group": group,
        "pad_value": draw(st.integers(-1, 1)),
    }
    pads = attributes["pads"]
    sizes = {
        "outputs": group * draw(st.integers(1, 200 // group)),
        "batch": draw(st.integers(1, 5)),
        "kh": kernel[0],
        "kw": kernel[1],
    }
    for axis, key in enumerate(["height", "width"]):
        reach = attributes["dilations"][axis] * (kernel[axis] - 1) + 1
        least = max(1, reach - pads[axis] - pads[axis + 2])
        sizes[key] = draw(st.integers(least, least + 8))
    return sizes, attributes


def output_size(sizes: dict[str, int], attributes: Attributes) -> tuple[int, int, int]:
    """Batch, height and width of a convolution's output."""
    pads = attributes["pads"]
    reach = [attributes["dilations"][i] * (sizes["kh" if i == 0 else "kw"] - 1) for i in range(2)]
    space = [sizes[key] + pads[i] + pads[i + 2] for i, key in enumerate(["height", "width"])]
    height, width = ((space[i] - reach[i] - 1) // attributes["strides"][i] + 1 for i in range(2))
    return sizes["batch"], height, width


@pytest.mark.parametrize("name", [f"Conv{name}" for name in EPILOGUES])
@given(problem=convolutions(), constant=st.booleans(), seed=SEEDS)
def test_convolution(
    name: str, problem: tuple[dict[str, int], Attributes], constant: bool, seed: int
) -> None:
    sizes, attributes = problem
    rng = np.random.default_rng(seed)
    channels, group, outputs = attributes["channels"], attributes["group"], sizes["outputs"]
    inputs: dict[str, Array] = {
        "X": packed(rng, sizes["batch"], sizes["height"], sizes["width"], channels),
        "W": packed(rng, outputs, sizes["kh"], sizes["kw"], channels // group),
        **epilogue(rng, name, outputs, output_size(sizes, attributes)),
    }
    constants = tuple(key for key in inputs if key not in ("X", "R")) if constant else ()
    check(name, inputs, attributes | dot_attributes(rng, name), constants)


@pytest.mark.parametrize(
    "name",
    ["PixelConvThreshold", "PixelConvScale", "PixelConvScaleClamp", "PixelConvQuantize"],
)
@given(
    problem=convolutions(),
    channels=st.integers(1, 5),
    pad_value=st.integers(0, 255),
    constant=st.booleans(),
    seed=SEEDS,
)
def test_pixel_convolution(
    name: str,
    problem: tuple[dict[str, int], Attributes],
    channels: int,
    pad_value: int,
    constant: bool,
    seed: int,
) -> None:
    sizes, attributes = problem
    rng = np.random.default_rng(seed)
    shape = (sizes["batch"], sizes["height"], sizes["width"], channels)
    weights = (sizes["outputs"], sizes["kh"], sizes["kw"], channels)
    inputs: dict[str, Array] = {
        "X": rng.choice(np.array([0, 1, 100, 254, 255], np.uint8), shape),
        "W": rng.choice(np.array([-128, -127, -5, 0, 1, 126, 127], np.int8), weights),
        **epilogue(rng, name, sizes["outputs"]),
    }
    kept = {key: attributes[key] for key in ("strides", "dilations", "pads")}
    constants = tuple(key for key in inputs if key != "X") if constant else ()
    check(name, inputs, {**kept, "pad_value": pad_value}, constants)


def test_pixel_convolutions_have_few_products() -> None:
    attributes = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "pad_value": 0}
    inputs: dict[str, Array] = {
        "X": np.zeros((1, 1, 1, ops.MAX_PIXEL_PRODUCTS + 1), np.uint8),
        "W": np.zeros((1, 1, 1, ops.MAX_PIXEL_PRODUCTS + 1), np.int8),
        "T": np.zeros(1, np.int32),
    }
    proto = model("PixelConvThreshold", inputs, attributes, functions=False)
    assert f"exceeds {ops.MAX_PIXEL_PRODUCTS}" in error_of(proto, inputs)


@pytest.mark.parametrize("name", [f"Dense{name}" for name in EPILOGUES])
@given(
    rows=st.integers(1, 9),
    channels=st.integers(1, 1025),
    outputs=CHANNELS,
    extra_words=st.integers(0, 1),
    constant=st.booleans(),
    seed=SEEDS,
)
def test_dense(
    name: str,
    rows: int,
    channels: int,
    outputs: int,
    extra_words: int,
    constant: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    unused = ((0, 0), (0, extra_words))
    inputs: dict[str, Array] = {
        "X": np.pad(packed(rng, rows, channels), unused),
        "W": np.pad(packed(rng, outputs, channels), unused),
        **epilogue(rng, name, outputs, (rows,)),
    }
    constants = tuple(key for key in inputs if key not in ("X", "R")) if constant else ()
    check(name, inputs, {"channels": channels, **dot_attributes(rng, name)}, constants)


@given(lead=st.lists(st.integers(1, 4), max_size=3), channels=st.integers(1, 1025), seed=SEEDS)
def test_packing(lead: list[int], channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.choice(
        [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 0.5, -0.5], (*lead, channels)
    )
    x = x.astype(np.float32)
    low, high = (rng.choice([-0.5, 0.0, 0.5, np.inf, -np.inf], channels) for _ in range(2))
    check("Pack", {"X": x}, {})
    check(
        "PackThreshold",
        {"X": x, "low": low.astype(np.float32), "high": high.astype(np.float32)},
        {},
    )
    check("Unpack", {"X": packed(rng, *lead, channels)}, {"channels": channels})


@given(lead=st.lists(st.integers(1, 4), max_size=3), channels=st.integers(1, 300), seed=SEEDS)
def test_quantize(lead: list[int], channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 0.5, -1.5, 2.5, 32766.5, -32768.5, 3e38]
    x = rng.choice(np.array(some, np.float32), (*lead, channels))
    inputs: dict[str, Array] = {
        "X": np.where(rng.integers(0, 2, x.shape), x, rng.normal(scale=99, size=x.shape)),
        "scale": rng.integers(-999, 999, channels) / 64,
        "bias": rng.integers(-999, 999, channels) / 2,
    }
    inputs["scale"][rng.integers(0, channels)] = rng.choice([np.inf, np.nan, 1.0])
    check("Quantize", {key: value.astype(np.float32) for key, value in inputs.items()}, {})


@st.composite
def poolings(draw: st.DrawFn) -> tuple[list[int], Attributes]:
    """Height and width, and attributes that fit them."""
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    pads = [draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)]
    least = [max(1, kernel[i] - pads[i] - pads[i + 2]) for i in range(2)]
    return [draw(st.integers(size, size + 9)) for size in least], {
        "kernel_shape": kernel,
        "strides": [draw(st.integers(1, 3)) for _ in range(2)],
        "pads": pads,
    }


@given(problem=poolings(), channels=st.integers(1, 200), batch=st.integers(1, 5), seed=SEEDS)
def test_max_pool(
    problem: tuple[list[int], Attributes], channels: int, batch: int, seed: int
) -> None:
    size, attributes = problem
    rng = np.random.default_rng(seed)
    inputs: dict[str, Array] = {
        "X": packed(rng, batch, *size, channels),
        "minimum": packed(rng, channels),
    }
    check("MaxPool", inputs, attributes)
    whole = rng.integers(-(2**15), 2**15, (batch, *size, channels)).astype(np.int16)
    extreme = rng.choice(np.array([-32768, 32767], np.int16), whole.shape)
    whole = np.where(rng.integers(0, 4, whole.shape) == 0, extreme, whole)
    check("QuantizedMaxPool", inputs | {"X": whole}, attributes)


@given(
    problem=poolings(),
    channels=st.integers(1, 150),
    batch=st.integers(1, 5),
    relu=st.integers(0, 1),
    seed=SEEDS,
)
def test_float_max_pool(
    problem: tuple[list[int], Attributes], channels: int, batch: int, relu: int, seed: int
) -> None:
    size, attributes = problem
    x = np.random.default_rng(seed).normal(size=(batch, *size, channels)).astype(np.float32)
    check("FloatMaxPool", {"X": x}, {**attributes, "relu": relu})


@given(
    problem=poolings(),
    channels=st.integers(1, 150),
    dilations=st.lists(st.integers(1, 3), min_size=2, max_size=2),
    seed=SEEDS,
)
def test_float_depthwise_conv(
    problem: tuple[list[int], Attributes], channels: int, dilations: list[int], seed: int
) -> None:
    size, attributes = problem
    kernel = attributes.pop("kernel_shape")
    reach = [size[i] + (kernel[i] - 1) * (dilations[i] - 1) for i in range(2)]
    rng = np.random.default_rng(seed)
    # Small integers: exact in every order of summation.
    inputs: dict[str, Array] = {
        name: rng.integers(-99, 99, shape).astype(np.float32)
        for name, shape in {
            "X": (2, *reach, channels),
            "W": (*kernel, channels),
            "B": (channels,),
        }.items()
    }
    check(
        "FloatDepthwiseConv", inputs, {**attributes, "dilations": dilations, "channels": channels}
    )


@pytest.mark.parametrize("isa", ISAS)
@given(seed=SEEDS)
def test_scale_and_bias_round_once(isa: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, channels = 64, 200
    exponents = rng.integers(-149, 120, (2, outputs))
    scale, bias = np.ldexp(rng.normal(size=(2, outputs)), exponents).astype(np.float32)
    near = rng.random(outputs) < 0.5  # where the two terms are of similar size
    bias[near] = (scale * rng.integers(-99, 99, outputs)).astype(np.float32)[near]
    inputs: dict[str, Array] = {
        "X": packed(rng, 3, channels),
        "W": packed(rng, outputs, channels),
        "T": np.zeros(outputs, np.int32),
        "scale": scale,
        "bias": bias,
    }
    proto = model(
        "DenseScale", inputs, {"channels": channels, "dot_range": FULL_RANGE, "dot_offset": 0}
    )
    differ = np.unpackbits((inputs["X"][:, None] ^ inputs["W"][None]).view(np.uint8), axis=-1).sum(
        -1, dtype=np.int64
    )
    dots = channels - 2 * differ
    actual = run(proto, inputs, isa)
    for (row, output), dot in np.ndenumerate(dots):
        exact = int(dot) * Fraction(float(scale[output])) + Fraction(float(bias[output]))
        assert actual[row, output] == nearest_float32(exact), (dot, scale[output], bias[output])


def nearest_float32(exact: Fraction) -> np.float32:
    """`exact` rounded to the nearest float32, ties to even."""
    guess = np.float32(float(exact))
    candidates = [
        guess,
        np.nextafter(guess, np.float32(np.inf)),
        np.nextafter(guess, -np.float32(np.inf)),
    ]
    finite = [value for value in candidates if np.isfinite(value)]
    distance = {value: abs(Fraction(float(value)) - exact) for value in finite}
    best = [value for value in finite if distance[value] == min(distance.values())]
    even = [value for value in best if int(value.view(np.uint32)) % 2 == 0]
    return np.float32((even or best)[0])


@pytest.mark.parametrize("isa", ISAS)
def test_unaligned_tensors(isa: str) -> None:
    inputs, attributes = small_convolution("ConvThreshold")
    proto = model("ConvThreshold", inputs, attributes)
    expected = run(proto, inputs, None)
    shifted: dict[str, Array] = {}
    for key, value in inputs.items():
        memory = np.zeros(value.nbytes + 1, np.uint8)
        shifted[key] = memory[1:].view(value.dtype).reshape(value.shape)
        shifted[key][...] = value
    np.testing.assert_array_equal(run(proto, shifted, isa), expected)


@pytest.mark.parametrize("isa", ISAS)
def test_concurrent_runs_of_one_session(isa: str) -> None:
    inputs, attributes = small_convolution()
    proto = model("ConvScale", inputs, attributes, constants=("W", "scale", "bias"))
    engine = session(proto, isa, threads=2)
    rng = np.random.default_rng(1)
    batches = [packed(rng, n, 9, 8, 70) for n in (1, 2, 3, 4)] * 8
    alone = [engine.run(None, {"X": x})[0] for x in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: engine.run(None, {"X": x})[0], batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shape_inference_keeps_names() -> None:
    inputs, attributes = small_convolution()
    attributes["strides"] = [2, 1]
    shapes: dict[str, list[int | str | None]] = {"X": ["N", 6, "width", 2]}
    proto = model("ConvScale", inputs, attributes, constants=("W",), shapes=shapes)
    batch, height, width, outputs = session(proto, ISAS[-1]).get_outputs()[0].shape
    assert (batch, height, outputs) == ("N", 3, 33)
    assert isinstance(width, str)
    assert width not in {"N", "width"}


def test_empty_batch() -> None:
    inputs, attributes = small_convolution()
    inputs["X"] = inputs["X"][:0]
    assert run(model("ConvScale", inputs, attributes), inputs, ISAS[-1]).shape == (0, 6, 5, 33)


def test_generated_files_are_fresh() -> None:
    root = Path(__file__).resolve().parents[2]
    assert generate.stale(root) == [], "run python -m sbn_converters.generate"
