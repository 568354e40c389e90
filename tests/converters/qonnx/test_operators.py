"""Each operator of QONNX, once it is standard ONNX, against its definition: equal bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError, UnsupportedLayerError

from . import reference
from .models import GENERAL, computed, model, node, translated

Floats = NDArray[np.float32]
seeds = st.integers(0, 2**32 - 1)
modes = st.sampled_from(reference.MODES)


@st.composite
def tensors(draw: st.DrawFn, ranks: tuple[int, ...] = (2, 3, 4)) -> Floats:
    """[N, C, ...]: multiples of an eighth, so that ties, zeros and thresholds are hit."""
    shape = [draw(st.integers(1, 4)) for _ in range(draw(st.sampled_from(ranks)))]
    generator = np.random.default_rng(draw(seeds))
    return (generator.integers(-40, 41, shape) / np.float32(8)).astype(np.float32)


@st.composite
def scales(draw: st.DrawFn, x: Floats) -> Floats:
    """One number, or one for each channel; powers of two and others."""
    generator = np.random.default_rng(draw(seeds))
    shape: tuple[int, ...] = draw(st.sampled_from([(), (1,), (1, x.shape[1], *[1] * (x.ndim - 2))]))
    some = generator.uniform(0.1, 2, shape) if draw(st.booleans()) else np.full(shape, 0.5)
    return some.astype(np.float32)


def applied(op_type: str, x: Floats, inputs: dict[str, Any], **attributes: Any) -> NDArray[Any]:
    """The operator in the middle of a graph, which says no shapes but that of its input."""
    first = node("Add", ["x", "nothing"], "before")
    op = node(op_type, ["before", *inputs], "q", GENERAL, **attributes)
    last = node("Identity", ["q"], "y")
    nodes = [first, op, last]
    return computed(model(nodes, x.shape, {"nothing": 0.0, **inputs}, output_shape=x.shape), x)


@given(st.data())
def test_bipolar_quant(data: st.DataObject) -> None:
    x = data.draw(tensors())
    scale = data.draw(scales(x))
    found = applied("BipolarQuant", x, {"scale": scale})
    np.testing.assert_array_equal(found, reference.bipolar_quant(x, scale))


@given(
    data=st.data(),
    bits=st.integers(1, 8),
    zero_point=st.integers(-3, 3),
    signed=st.booleans(),
    narrow=st.booleans(),
    mode=modes,
)
def test_quant(
    data: st.DataObject, bits: int, zero_point: int, signed: bool, narrow: bool, mode: str
) -> None:
    x = data.draw(tensors())
    scale, zero = data.draw(scales(x)), np.float32(zero_point)
    attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": mode}
    name = data.draw(st.sampled_from(["Quant", "IntQuant"]))
    inputs = {"scale": scale, "zero": np.array(zero), "bits": float(bits)}
    expected = reference.quant(x, scale, zero, bits, signed=signed, narrow=narrow, mode=mode)
    np.testing.assert_array_equal(applied(name, x, inputs, **attributes), expected)


@given(
    data=st.data(),
    steps=st.integers(1, 5),
    shared=st.booleans(),
    out_scale=st.sampled_from([1.0, 2.0, 0.3]),
    out_bias=st.sampled_from([0.0, -1.0, 0.7]),
)
def test_multi_threshold(
    data: st.DataObject, steps: int, shared: bool, out_scale: float, out_bias: float
) -> None:
    x = data.draw(tensors())
    layout, axis = data.draw(
        st.sampled_from(
            {
                2: [("NC", 1), ("", 1)],
                3: [("NCW", 1), ("NWC", 2), ("", 2)],
                4: [("NCHW", 1), ("NHWC", 3), ("", 1)],
            }[x.ndim]
        )
    )
    generator = np.random.default_rng(data.draw(seeds))
    rows = 1 if shared else x.shape[axis]
    thresholds = (generator.integers(-40, 41, (rows, steps)) / 8).astype(np.float32)
    said = {"data_layout": layout} if layout else {}
    found = applied(
        "MultiThreshold",
        x,
        {"thresholds": thresholds},
        out_dtype="BIPOLAR",
        out_scale=out_scale,
        out_bias=out_bias,
        **said,
    )
    expected = reference.multi_threshold(x, thresholds, out_scale, out_bias, axis)
    np.testing.assert_array_equal(found, expected)


@given(st.data(), st.integers(1, 8), st.integers(0, 4), st.integers(-3, 3), modes)
def test_trunc_that_drops_bits(
    data: st.DataObject, to_bits: int, dropped: int, zero_point: int, mode: str
) -> None:
    x = data.draw(tensors())
    scale, zero, bits = data.draw(scales(x)), np.float32(zero_point), to_bits + dropped
    inputs = {"scale": scale, "zero": np.array(zero), "bits": float(bits), "to": float(to_bits)}
    expected = reference.trunc_bits(x, scale, zero, bits, to_bits, mode=mode)
    np.testing.assert_array_equal(applied("Trunc", x, inputs, rounding_mode=mode), expected)


@given(
    data=st.data(),
    to_bits=st.integers(1, 8),
    shift=st.integers(0, 4),
    signed=st.booleans(),
    narrow=st.booleans(),
    mode=modes,
)
def test_trunc_to_another_scale(
    data: st.DataObject, to_bits: int, shift: int, signed: bool, narrow: bool, mode: str
) -> None:
    x = data.draw(tensors())
    scale, zero = data.draw(scales(x)), np.float32(2)
    to_scale = (scale * 2**shift).astype(np.float32)
    inputs = {
        "scale": scale,
        "zero": np.array(zero),
        "bits": 8.0,
        "to_scale": to_scale,
        "to_bits": float(to_bits),
    }
    attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": mode}
    expected = reference.trunc_scale(
        x, scale, zero, to_scale, to_bits, signed=signed, narrow=narrow, mode=mode
    )
    np.testing.assert_array_equal(applied("Trunc", x, inputs, **attributes), expected)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 5), seeds)
def test_xnor_popcount(rows: int, size: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 2, (rows, size)).astype(np.float32)
    b = generator.integers(0, 2, (size, columns)).astype(np.float32)
    nodes = [node("XnorPopcountMatMul", ["x", "w"], "y", GENERAL)]
    found = computed(model(nodes, a.shape, {"w": b}, output_shape=(rows, columns)), a)
    np.testing.assert_array_equal(found, reference.xnor_popcount(a, b))


@pytest.mark.parametrize("domain", ["", "onnx.brevitas", "finn.custom_op.general", GENERAL])
@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20])
def test_every_name_of_the_domain_and_opsets_old_and_new(domain: str, opset: int) -> None:
    x = np.array([[-1.5, -0.0, 0.0, 2]], np.float32)
    nodes = [node("BipolarQuant", ["x", "s"], "y", domain)]
    proto = model(nodes, x.shape, {"s": 0.5}, opset=opset, output_shape=x.shape)
    assert computed(proto, x).tolist() == [[-0.5, 0.5, 0.5, 0.5]]
    assert {n.domain for n in translated(proto).graph} == {""}


def test_a_sign_of_nan_is_positive() -> None:
    x = np.array([[np.nan]], np.float32)
    nodes = [node("BipolarQuant", ["x", "s"], "y", GENERAL)]
    assert computed(model(nodes, (1, 1), {"s": 1.0}, output_shape=(1, 1)), x) == 1


def test_quantised_weights_keep_the_name_of_the_weights() -> None:
    nodes = [
        node("BipolarQuant", ["conv.weight", "s"], "w", GENERAL),
        node("Conv", ["x", "w"], "y"),
    ]
    weights = np.zeros((2, 3, 1, 1), np.float32)
    proto = model(nodes, (1, 3, 4, 4), {"conv.weight": weights, "s": 1.0})
    (conv,) = [n for n in translated(proto).graph if n.op_type == "Conv"]
    assert conv.inputs[1] is not None
    assert conv.inputs[1].name == "conv.weight"


QUANT = {"signed": 1, "narrow": 0}


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "error", "message"),
    [
        ("Quant", ["s", "z", "bits2"], QUANT, UnsupportedLayerError, "its bit width is 2.5"),
        ("Quant", ["s", "z", "x"], QUANT, UnsupportedLayerError, "its input 3 is computed"),
        ("Quant", ["s", "z"], QUANT, ModelError, "it lacks input 3"),
        ("Quant", ["s", "z", "bits"], {"signed": 1}, ModelError, "needs the integer .* narrow"),
        (
            "Quant",
            ["s", "z", "bits"],
            {**QUANT, "rounding_mode": "STOCHASTIC"},
            UnsupportedLayerError,
            "unknown rounding mode 'STOCHASTIC'",
        ),
        ("MultiThreshold", ["x"], {}, UnsupportedLayerError, "its input 1 is computed"),
        ("MultiThreshold", ["s"], {}, ModelError, "thresholds have the shape"),
        ("MultiThreshold", ["t"], {"data_layout": "XY"}, ModelError, "the layout 'XY'"),
        ("MultiThreshold", ["t"], {"out_scale": "2"}, ModelError, "out_scale is not a number"),
        ("MultiThreshold", ["t3"], {}, ModelError, "do not fit together"),
    ],
)
def test_what_cannot_be_translated_is_named(
    op_type: str,
    inputs: list[str],
    attributes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    nodes = [node(op_type, ["x", *inputs], "act", GENERAL, **attributes)]
    constants = {
        "s": 1.0,
        "z": 0.0,
        "bits": 2.0,
        "bits2": 2.5,
        "t": np.zeros((1, 1), np.float32),
        "t3": np.zeros((3, 1), np.float32),
    }
    proto = model(nodes, (1, 2), constants, output_shape=(1, 2))
    with pytest.raises(error, match=message) as raised:
        translated(proto)
    assert len(str(raised.value).splitlines()) == 1
    assert "fit together" in message or str(raised.value).startswith(f"act ({op_type}): ")
