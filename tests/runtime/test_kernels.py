"""The native operators, on every kernel set of this machine, bit for bit.

The oracle is a stock onnxruntime, which inlines the operators' function bodies;
tests/converters checks those against their definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_converters import generate, ops
from sbn_converters.onnx.functions import function_protos
from sbn_runtime import available_isas, library_path, native

Array = NDArray[Any]
Attributes = dict[str, Any]

ISAS = available_isas()
SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = st.integers(1, 200)
FULL_RANGE = [-(2**31), 2**31 - 1]
EPILOGUES = ["Threshold", "Scale", "ScaleClamp", "ScalePRelu", "Quantize", "Residual"]


def element_type(tensor: ops.Tensor) -> int:
    """ONNX's number of a tensor's type."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)))


def model(
    name: str,
    inputs: dict[str, Array],
    attributes: Attributes,
    *,
    constants: tuple[str, ...] = (),
    shapes: dict[str, list[int | str | None]] | None = None,
    functions: bool = True,
) -> onnx.ModelProto:
    """A model of one node; the inputs in `constants` become initializers."""
    info = onnx.helper.make_tensor_value_info
    operator = ops.BY_NAME[name]
    node = onnx.helper.make_node(
        name,
        [t.name for t in operator.inputs],
        [t.name for t in operator.outputs],
        name="the_node",
        domain=ops.DOMAIN,
    )
    node.attribute.extend(
        onnx.helper.make_attribute(key, value) for key, value in attributes.items()
    )
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [
            info(t.name, element_type(t), (shapes or {}).get(t.name, [None] * inputs[t.name].ndim))
            for t in operator.inputs
            if t.name not in constants
        ],
        [info(t.name, element_type(t), None) for t in operator.outputs],
        [onnx.numpy_helper.from_array(inputs[key], key) for key in constants],
    )
    return onnx.helper.make_model(
        graph,
        opset_imports=[
            onnx.helper.make_opsetid("", ops.ONNX_OPSET),
            onnx.helper.make_opsetid(ops.DOMAIN, ops.VERSION),
        ],
        functions=list(function_protos().values()) if functions else [],
        ir_version=ops.IR_VERSION,
    )


@contextmanager
def kernel_set(isa: str) -> Iterator[None]:
    """Kernels created inside belong to `isa`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.ISA_VARIABLE, isa)
        native.select_isa()
        yield
    native.select_isa()


def session(
    proto: onnx.ModelProto, isa: str | None, *, threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session with our kernels, or a stock one where `isa` is None."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    serialized = proto.SerializeToString()
    if isa is None:
        return onnxruntime.InferenceSession(serialized, options, ["CPUExecutionProvider"])
    options.register_custom_ops_library(str(library_path()))
    with kernel_set(isa):
        return onnxruntime.InferenceSession(serialized, options, ["CPUExecutionProvider"])


def run_all(proto: onnx.ModelProto, inputs: dict[str, Array], isa: str | None) -> list[Array]:
    """The outputs, with two threads where our kernels run."""
    names = {value.name for value in proto.graph.input}
    feeds = {key: value for key, value in inputs.items() if key in names}
    outputs: list[Array] = session(proto, isa, threads=1 if isa is None else 2).run(None, feeds)
    return outputs


def run(proto: onnx.ModelProto, inputs: dict[str, Array], isa: str | None) -> Array:
    """The first output."""
    return run_all(proto, inputs, isa)[0]


def check(
    name: str, inputs: dict[str, Array], attributes: Attributes, constants: tuple[str, ...] = ()
) -> None:
    """Every kernel set gives exactly what the function body gives."""
    proto = model(name, inputs, attributes, constants=constants)
    wanted = run_all(proto, inputs, None)
    for isa in ISAS:
        for actual, expected in zip(run_all(proto, inputs, isa), wanted, strict=True):
            assert actual.dtype == expected.dtype
            # Zeros are equal whatever their sign, which onnxruntime's Where loses.
            np.testing.assert_array_equal(actual, expected, err_msg=isa)


def words(channels: int) -> int:
    return -(-channels // 64)


def packed(rng: np.random.Generator, *shape: int) -> NDArray[np.uint64]:
    """Random packed signs of the unpacked shape [..., C]; unused bits are 0."""
    *lead, channels = shape
    bits = np.zeros((*lead, words(channels) * 64), np.uint8)
    bits[..., :channels] = rng.integers(0, 2, shape)
    return np.packbits(bits, axis=-1, bitorder="little").view(np.uint64)


def epilogue(
    rng: np.random.Generator, name: str, outputs: int, lead: tuple[int, ...] = ()
) -> dict[str, Array]:
    """The inputs after X and W; scale and bias are such that the function body's double is exact.

    `lead` is the shape of Y without its channels.
    """
    if name.endswith("Threshold"):
        thresholds = rng.integers(-12, 12, outputs)
        thresholds[:2] = rng.choice([-(2**31), 2**31 - 1, 0, 1], 2)[:outputs]
        return {"T": thresholds.astype(np.int32)}
    shapes = {
        tensor.name: (*lead, outputs) if tensor.name == "R" else (outputs,)
        for tensor in ops.BY_NAME[name].inputs[2:]
    }
    values = {
        key: rng.integers(-999, 999, shape).astype(np.float32) / 64 for key, shape in shapes.items()
    }
    if name.endswith("Quantize"):  # some results saturate
        values["scale"] *= rng.choice(np.array([1, 64], np.float32), outputs)
    return values


def dot_attributes(rng: np.random.Generator, name: str) -> Attributes:
    """Where the operator has them: the full range or a part of it, an offset or none."""
    if name.endswith("Threshold"):
        return {}
    some = [int(rng.integers(-9, 2)), int(rng.integers(0, 9))]
    return {
        "dot_range": FULL_RANGE if rng.integers(0, 2) else some,
        "dot_offset": int(rng.integers(-5000, 5000)) if rng.integers(0, 2) else 0,
    }


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


def small_convolution(name: str = "ConvScale") -> tuple[dict[str, Array], Attributes]:
    """A convolution of 70 channels to 33."""
    rng = np.random.default_rng(0)
    inputs: dict[str, Array] = {
        "X": packed(rng, 2, 6, 5, 70),
        "W": packed(rng, 33, 3, 3, 70),
        **epilogue(rng, name, 33, (2, 6, 5)),
    }
    return inputs, {
        "channels": 70,
        "strides": [1, 1],
        "dilations": [1, 1],
        "pads": [1, 1, 1, 1],
        "group": 1,
        "pad_value": 0,
        **({} if name == "ConvThreshold" else {"dot_range": FULL_RANGE, "dot_offset": 0}),
    }


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


def error_of(proto: onnx.ModelProto, inputs: dict[str, Array]) -> str:
    """The message with which loading or running the model fails."""
    with pytest.raises(Exception, match="the_node") as caught:
        run(proto, inputs, ISAS[-1])
    return str(caught.value)


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
        ("dot_range", [0, 2**31], r"'dot_range' is 2147483648, must lie in \[-2147483648, 21"),
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


def test_scratch_that_cannot_be_had() -> None:
    inputs, attributes = small_convolution("ConvThreshold")
    attributes["pads"] = [32768, 32768, 32768, 32768]
    attributes["strides"] = [32768, 32768]
    inputs["X"] = np.zeros((2000, 6, 5, 2), np.uint64)
    message = error_of(model("ConvThreshold", inputs, attributes, functions=False), inputs)
    assert "cannot allocate" in message or "Failed to allocate" in message


def test_generated_files_are_fresh() -> None:
    root = Path(__file__).resolve().parents[2]
    assert generate.stale(root) == [], "run python -m sbn_converters.generate"
