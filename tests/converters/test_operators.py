"""The function bodies against a reference that reads like the definition."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from sbn_converters import ops
from sbn_converters.onnx.functions import function_protos, reachable, register_schemas
from sbn_converters.onnx.graph import Editor
from sbn_converters.onnx.packing import pack_bits, pack_signs, unpack_signs, words

from ..runtime.one_node import element_type
from ..sampled import few

Array = NDArray[Any]


def run_function(
    name: str, inputs: list[Array], **attributes: int | list[int]
) -> list[tuple[str, list[Array]]]:
    """One operator's function body in stock onnxruntime and in onnx's evaluator."""
    operator = ops.BY_NAME[name]
    names = [tensor.name for tensor in operator.inputs]
    node = onnx.helper.make_node(
        name, names, [t.name for t in operator.outputs], domain=ops.DOMAIN, **attributes
    )
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [
            info(t.name, element_type(t), a.shape)
            for t, a in zip(operator.inputs, inputs, strict=True)
        ],
        [info(t.name, element_type(t), [None] * inputs[0].ndim) for t in operator.outputs],
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[
            onnx.helper.make_opsetid("", ops.ONNX_OPSET),
            onnx.helper.make_opsetid(ops.DOMAIN, ops.VERSION),
        ],
        functions=[function_protos()[each] for each in reachable({name})],
        ir_version=ops.IR_VERSION,
    )
    register_schemas()
    onnx.checker.check_model(model)
    feeds = dict(zip(names, inputs, strict=True))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    with np.errstate(all="ignore"):  # infinities and NaN are numbers like others here
        reference = ReferenceEvaluator(model).run(None, feeds)
    return [("onnxruntime", session.run(None, feeds)), ("onnx", reference)]


def check(expected: Array | list[Array], results: list[tuple[str, list[Array]]]) -> None:
    """Every engine gives exactly the expected arrays."""
    wanted = expected if isinstance(expected, list) else [expected]
    for engine, arrays in results:
        for array, one in zip(arrays, wanted, strict=True):
            assert array.dtype == one.dtype, engine
            np.testing.assert_array_equal(array, one, err_msg=engine)


def activated(x: Array, rows: Array) -> Array:
    """An activation, step by step in float32."""
    shift, slope, gain, offset, low, high = rows
    x = x + shift
    x = np.where(x < 0, x * slope, x * gain) + offset
    return np.minimum(np.maximum(x, low), high)


def check_epilogues(
    rng: np.random.Generator,
    kind: str,
    dot: NDArray[np.int32],
    products: list[Array],
    **attributes: int | list[int],
) -> None:
    """All operators of a kind of product, whose dot products [..., O] are given."""
    outputs = dot.shape[-1]
    threshold = rng.integers(-5, 6, outputs).astype(np.int32)
    check(
        pack_bits(dot < threshold),
        run_function(f"{kind}Threshold", [*products, threshold], **attributes),
    )
    scale, bias, low, high, slope = (rng.normal(size=outputs).astype(np.float32) for _ in range(5))
    shortcut = rng.normal(size=dot.shape).astype(np.float32)
    inner, outer = (np.sort(rng.normal(size=(6, outputs)).astype(np.float32), 0) for _ in "io")
    bounds = rng.normal(size=(2, outputs)).astype(np.float32)
    ranges = ([-(2**31), 2**31 - 1], [0, 2**31 - 1], [-3, 2])
    for dot_range, dot_offset in product(ranges, (0, -577)):
        ranged = np.minimum(np.maximum(dot, dot_range[0]), dot_range[1])

        def scaled(
            factor: Array, offset: Array, ranged: Array = ranged, moved: int = dot_offset
        ) -> Array:
            if moved:
                return (ranged + moved).astype(np.float32) * factor + offset
            return (ranged.astype(np.float64) * factor + offset).astype(np.float32)

        v = scaled(scale, bias)
        inputs = [*products, scale, bias]
        options = {**attributes, "dot_range": dot_range, "dot_offset": dot_offset}
        check(v, run_function(f"{kind}Scale", inputs, **options))
        check(
            np.minimum(np.maximum(v, low), high),
            run_function(f"{kind}ScaleClamp", [*inputs, low, high], **options),
        )
        check(
            np.where(v < 0, v * slope, v),
            run_function(f"{kind}ScalePRelu", [*inputs, slope], **options),
        )
        # Some ties, and some results that saturate.
        factor, offset = np.round(scale * 2000), np.round(bias * 9) + np.float32(0.5)
        whole = scaled(factor, offset)
        check(
            round_to_int16(whole),
            run_function(f"{kind}Quantize", [*products, factor, offset], **options),
        )
        check(
            [v + shortcut, pack_bits(v + shortcut < 0)],
            run_function(f"{kind}Residual", [*inputs, shortcut], **options),
        )
        y = activated(activated(v, inner) + shortcut, outer)
        check(
            [y, pack_bits((y < bounds[0]) | (y > bounds[1]))],
            run_function(f"{kind}Activate", [*inputs, inner, outer, bounds, shortcut], **options),
        )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"relu": None}, ValueError, "attribute relu is missing"),
        ({"channels": 3}, ValueError, "attribute channels is unknown"),
        ({"relu": 2}, ValueError, r"attribute relu is 2, not in \[0, 1\]"),
        ({"pads": [0, 0, 0, -1]}, ValueError, r"attribute pads is .* not in \[0, 32768\]"),
        ({"relu": [1]}, TypeError, r"attribute relu is \[1\], not an integer"),
        ({"relu": True}, TypeError, "attribute relu is True, not an integer"),
        ({"strides": 2}, TypeError, "attribute strides is 2, not a list of 2 integers"),
        ({"strides": [2, 2, 2]}, TypeError, r"strides is .*, not a list of 2 integers"),
        ({"strides": [2, 2.0]}, TypeError, r"strides is .*, not a list of 2 integers"),
    ],
)
def test_attributes_are_checked_when_a_node_is_written(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    """A mistake of an emitter shows there, not in the file of a user."""
    right = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 0, 0], "relu": 1}
    x = ir.Value(name="x", shape=ir.Shape([1, 4, 4, 2]), type=ir.TensorType(ir.DataType.FLOAT))
    last = ir.Node("", "Identity", [x])
    edit = Editor(ir.Graph([x], last.outputs, nodes=[last]))

    def write(attributes: dict[str, Any]) -> ir.Value:
        return edit.sbn(
            "FloatMaxPool", [x], last, "pool", shape=[1, 2, 2, 2], attributes=attributes
        )

    assert write(right).producer() is not None
    changed = {name: value for name, value in {**right, **change}.items() if value is not None}
    with pytest.raises(error, match=rf"^sbn\.FloatMaxPool: .*{message}"):
        write(changed)


def round_to_int16(v: NDArray[np.float32]) -> NDArray[np.int16]:
    """To the nearest integer, ties to even, saturated; NaN gives 32767."""
    return np.round(np.clip(np.where(np.isnan(v), 32767, v), -32768, 32767)).astype(np.int16)


def signs(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Uniform +1 and -1."""
    return (rng.integers(0, 2, shape) * 2 - 1).astype(np.float32)


def dot_convolution(
    x: Array,
    w: Array,
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    group: int,
    border: int,
) -> Array:
    """The definition: x [N, H, W, C], w [O, kh, kw, C / group] -> int32 [N, OH, OW, O]."""
    top, left, bottom, right = pads
    n = x.shape[0]
    o, kh, kw, cg = w.shape
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=border)
    height = (padded.shape[1] - dilations[0] * (kh - 1) - 1) // strides[0] + 1
    width = (padded.shape[2] - dilations[1] * (kw - 1) - 1) // strides[1] + 1
    y = np.zeros((n, height, width, o), np.int32)
    for i in range(height):
        for j in range(width):
            rows = i * strides[0] + dilations[0] * np.arange(kh)
            columns = j * strides[1] + dilations[1] * np.arange(kw)
            window = padded[:, rows][:, :, columns]
            for g in range(group):
                part = window[..., g * cg : (g + 1) * cg]
                outputs = slice(g * o // group, (g + 1) * o // group)
                y[:, i, j, outputs] = np.einsum("nabc,oabc->no", part, w[outputs]).astype(np.int32)
    return y


@given(st.integers(0, 2**31), st.integers(1, 200))
def test_packing_round_trips(seed: int, channels: int) -> None:
    x = signs(np.random.default_rng(seed), 2, 3, channels)
    packed = pack_signs(x)
    assert packed.shape == (2, 3, words(channels))
    np.testing.assert_array_equal(unpack_signs(packed, channels), x)
    used = int(packed[..., -1].max()).bit_length()
    assert used <= (channels - 1) % 64 + 1


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 130])
def test_pack_and_unpack(channels: int) -> None:
    rng = np.random.default_rng(channels)
    x = rng.normal(size=(2, 3, channels)).astype(np.float32)
    x[0, 0, 0], x[0, 1, 0], x[0, 2, 0] = 0.0, -0.0, np.nan
    check(pack_bits(x < 0), run_function("Pack", [x]))
    check(
        np.where(x < 0, -1, 1).astype(np.float32),
        run_function("Unpack", [pack_signs(x)], channels=channels),
    )
    low, high = (rng.normal(size=channels).astype(np.float32) for _ in range(2))
    check(pack_bits((x < low) | (x > high)), run_function("PackThreshold", [x, low, high]))


CONVOLUTIONS = [
    (1, 1, (1, 1), [1, 1], [1, 1], [0, 0, 0, 0], 1),
    (65, 66, (3, 2), [2, 1], [1, 2], [1, 0, 2, 1], 1),
    (6, 9, (2, 3), [1, 1], [1, 1], [1, 1, 1, 1], 3),
]


@pytest.mark.parametrize(
    ("border", "channels", "outputs", "kernel", "strides", "dilations", "pads", "group"),
    few(
        (
            ((index + shift) % 3 - 1, *case)
            for index, case in enumerate(CONVOLUTIONS)
            for shift in range(3)
        ),
        3,
    ),
)
def test_convolution(
    border: int,
    channels: int,
    outputs: int,
    kernel: tuple[int, int],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
    group: int,
) -> None:
    rng = np.random.default_rng(outputs)
    x = signs(rng, 2, 5, 6, channels)
    w = signs(rng, outputs, *kernel, channels // group)
    dot = dot_convolution(x, w, strides, dilations, pads, group, border)
    attributes: dict[str, Any] = {
        "channels": channels,
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "group": group,
        "pad_value": border,
    }
    check_epilogues(rng, "Conv", dot, [pack_signs(x), pack_signs(w)], **attributes)


@pytest.mark.parametrize("channels", [1, 64, 100])
def test_dense(channels: int) -> None:
    rng = np.random.default_rng(channels)
    x, w = signs(rng, 3, channels), signs(rng, 70, channels)
    dot = (x @ w.T).astype(np.int32)
    check_epilogues(rng, "Dense", dot, [pack_signs(x), pack_signs(w)], channels=channels)


@pytest.mark.parametrize("pad_value", [0, 7, 255])
@pytest.mark.parametrize(
    ("channels", "kernel", "strides", "dilations", "pads"),
    [
        (1, (1, 1), [1, 1], [1, 1], [0, 0, 0, 0]),
        (3, (3, 2), [2, 1], [1, 2], [1, 0, 2, 1]),
        (ops.MAX_PIXEL_PRODUCTS, (1, 1), [1, 1], [1, 1], [0, 0, 0, 1]),
    ],
)
def test_pixel_convolution(
    pad_value: int,
    channels: int,
    kernel: tuple[int, int],
    strides: list[int],
    dilations: list[int],
    pads: list[int],
) -> None:
    rng = np.random.default_rng(channels)
    outputs = 70
    x = rng.choice(np.array([0, 1, 254, 255], np.uint8), (2, 5, 6, channels))
    w = rng.choice(np.array([-128, -1, 0, 127], np.int8), (outputs, *kernel, channels))
    x[0, 0, 0], w[0] = 255, -128  # the largest sum
    total = dot_convolution(
        x.astype(np.int64), w.astype(np.int64), strides, dilations, pads, 1, pad_value
    )
    attributes: dict[str, Any] = {
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "pad_value": pad_value,
    }
    threshold = rng.integers(-9999, 9999, outputs).astype(np.int32)
    check(
        pack_bits(total < threshold),
        run_function("PixelConvThreshold", [x, w, threshold], **attributes),
    )
    scale, bias, low, high = (rng.normal(size=outputs).astype(np.float32) for _ in range(4))
    v = (total.astype(np.float64) * scale + bias).astype(np.float32)
    check(v, run_function("PixelConvScale", [x, w, scale, bias], **attributes))
    low, high = 999 * low, 9999 * high
    check(
        np.minimum(np.maximum(v, low), high),
        run_function("PixelConvScaleClamp", [x, w, scale, bias, low, high], **attributes),
    )
    check(
        round_to_int16(v),
        run_function("PixelConvQuantize", [x, w, scale, bias], **attributes),
    )


@pytest.mark.parametrize("channels", [1, 70])
def test_quantize(channels: int) -> None:
    rng = np.random.default_rng(channels)
    some = [-np.inf, np.inf, np.nan, 0.5, 1.5, -0.5, -1.5, 32766.5, 32767.5, -32768.5, -32767.5]
    x = rng.choice(np.array(some, np.float32), (2, 5, channels))
    x[1] = rng.normal(scale=20000, size=(5, channels))
    for scale, bias in (
        (np.ones(channels, np.float32), np.zeros(channels, np.float32)),
        (
            rng.normal(size=channels).astype(np.float32),
            rng.normal(size=channels).astype(np.float32),
        ),
    ):
        expected = (x.astype(np.float64) * scale + bias).astype(np.float32)
        check(round_to_int16(expected), run_function("Quantize", [x, scale, bias]))


def max_pool(x: Array, minimum: Array, pads: list[int]) -> Array:
    """Windows of 2 x 3 with strides 2 x 1; channels in `minimum` [C] take the minimum."""
    turned = np.where(minimum, -x, x)
    top, left, bottom, right = pads
    padded = np.pad(turned, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 3), (1, 2))[:, ::2, ::1]
    pooled: Array = windows.max(axis=(-1, -2))
    return np.where(minimum, -pooled, pooled)


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
def test_max_pool_takes_the_minimum_where_told(pads: list[int]) -> None:
    rng = np.random.default_rng(0)
    channels = 70
    attributes: dict[str, Any] = {"kernel_shape": [2, 3], "strides": [2, 1], "pads": pads}
    minimum = rng.integers(0, 2, channels).astype(np.bool_)
    x = signs(rng, 2, 5, 6, channels)
    inputs = [pack_signs(x), pack_bits(minimum)]
    check(pack_bits(max_pool(x, minimum, pads) < 0), run_function("MaxPool", inputs, **attributes))

    whole = rng.integers(-(2**15), 2**15, (2, 5, 6, channels)).astype(np.int16)
    whole[0, 0] = rng.choice(np.array([-32768, 32767], np.int16), (6, channels))
    expected = max_pool(whole.astype(np.float32), minimum, pads).astype(np.int16)
    inputs = [whole, pack_bits(minimum)]
    check(expected, run_function("QuantizedMaxPool", inputs, **attributes))


@pytest.mark.parametrize("relu", [0, 1])
def test_float_max_pool(relu: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 3), (1, 2))[:, ::2, ::1]
    pooled = windows.max(axis=(-1, -2))
    check(
        np.maximum(pooled, 0) if relu else pooled,
        run_function(
            "FloatMaxPool", [x], kernel_shape=[2, 3], strides=[2, 1], pads=[1, 0, 0, 1], relu=relu
        ),
    )


def test_float_depthwise_convolution() -> None:
    rng = np.random.default_rng(0)
    channels, strides, dilations, pads = 7, [2, 1], [1, 2], [1, 0, 2, 1]
    x = rng.integers(-9, 9, (2, 5, 6, channels))
    w = rng.integers(-9, 9, (3, 2, channels))
    bias = rng.integers(-9, 9, channels)
    filters = w.transpose(2, 0, 1)[..., None]
    sums = dot_convolution(x, filters, strides, dilations, pads, channels, 0) + bias
    check(
        sums.astype(np.float32),
        run_function(
            "FloatDepthwiseConv",
            [x.astype(np.float32), w.astype(np.float32), bias.astype(np.float32)],
            channels=channels,
            strides=strides,
            dilations=dilations,
            pads=pads,
        ),
    )
