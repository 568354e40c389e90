"""Each pass alone: what it changes, and that the graph computes the same."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from sbn_converters.onnx.graph import constant
from sbn_converters.onnx.normalise import normalise
from sbn_converters.onnx.normalise.fold import fold
from sbn_converters.onnx.normalise.rank import lift_rank
from sbn_converters.onnx.normalise.straight_through import drop_straight_through

from .graphs import floats, graph, levels_in, ops, run, signs


def _same(before: list[np.ndarray], after: list[np.ndarray], atol: float = 0.0) -> None:
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("zero = Constant<value_float = 0.0>() y = Add(x, zero) z = Neg(y)", ["Neg"]),
        ("one = Constant<value_float = 1.0>() y = Mul(one, x) z = Neg(y)", ["Neg"]),
        ("one = Constant<value_float = 1.0>() y = Div(x, one) z = Neg(y)", ["Neg"]),
        ("y = Identity(x) z = Neg(y)", ["Neg"]),
        (
            "low = Constant<value_float = 0.0>() high = Constant<value_float = 1.0>()"
            " a = Max(x, low) y = Min(high, a) z = Neg(y)",
            ["Clip", "Neg"],
        ),
        (
            "zero = Constant<value_float = 0.0>() e = Exp(x) y = Mul(e, zero)"
            " n = Neg(x) z = Add(n, y)",
            ["Neg", "Identity"],
        ),
    ],
)
def test_folding_drops_what_changes_nothing(body: str, left: list[str]) -> None:
    model = graph(f"(float[N, 4] x) => (float[N, 4] z) {{ {body} }}")
    x = floats(3, 4)
    before = run(model, {"x": x})
    fold(model)
    assert [op for op in ops(model) if op in left] == [op for op in left if op in ops(model)]
    assert not {"Mul", "Div", "Max", "Min", "Exp"} & set(ops(model))
    _same(before, run(model, {"x": x}))


def test_folding_has_no_limit_of_size() -> None:
    w = floats(40, 40, 3, 3)
    model = graph(
        "(float[N, 40, 5, 5] x) => (float[N, 40, 3, 3] z) { s = Sign(w) z = Conv(x, s) }", w=w
    )
    fold(model)
    assert ops(model) == ["Conv"]


@pytest.mark.parametrize(
    "body",
    [
        "c = Tanh(x) d = Sub(s, c) z = Add(d, c)",
        "c = Tanh(x) d = Sub(s, c) z = Add(c, d)",
        "c = Tanh(x) d = Add(s, c) z = Sub(d, c)",
        "c = Tanh(x) n = Neg(c) d = Add(s, c) z = Add(d, n)",
    ],
)
def test_what_is_added_and_taken_away_goes(body: str) -> None:
    model = graph(f"(float[N, 4] x) => (float[N, 4] y) {{ s = Sign(x) {body} y = Neg(z) }}")
    x = floats(3, 4)
    before = run(model, {"x": x})
    drop_straight_through(model)
    assert ops(model) == ["Sign", "Neg"]
    _same(before, run(model, {"x": x}), atol=1e-6)


def test_other_sums_stay() -> None:
    text = "(float[N, 4] x) => (float[N, 4] y) { a = Tanh(x) b = Sub(x, a) y = Sub(b, a) }"
    model = graph(text)
    assert drop_straight_through(model) == []
    assert ops(model) == ["Tanh", "Sub", "Sub"]


def test_one_axis_becomes_two_through_what_follows() -> None:
    model = graph(
        """(float[N, 3, 20] x) => (float[N, 5] y) {
            a = Conv<kernel_shape = [3], strides = [2], pads = [1, 1], dilations = [1]>(x, w)
            b = Mul(a, m)
            c = MaxPool<kernel_shape = [2], strides = [2]>(b)
            d = Conv<kernel_shape = [3], pads = [0, 2], dilations = [1]>(c, v)
            y = ReduceMax<keepdims = 0>(d, axes)
        }""",
        w=floats(4, 3, 3),
        m=floats(1, 4, 1, seed=2),
        v=floats(5, 4, 3, seed=3),
        axes=np.array([2], np.int64),
    )
    x = floats(2, 3, 20)
    before = run(model, {"x": x})
    lift_rank(model)
    assert [op for op in ops(model) if op in ("Unsqueeze", "Squeeze")] == ["Unsqueeze", "Squeeze"]
    _same(before, run(model, {"x": x}), atol=1e-5)


def test_products_of_sequences_become_products_of_rows() -> None:
    model = graph("(float[N, 6, 8] x) => (float[N, 6, 5] y) { y = MatMul(x, w) }", w=floats(8, 5))
    x = floats(3, 6, 8)
    before = run(model, {"x": x})
    lift_rank(model)
    assert ops(model) == ["Reshape", "MatMul", "Reshape"]
    _same(before, run(model, {"x": x}), atol=1e-5)


def _outcomes(body: str) -> tuple[float, float, float]:
    text = f"(float[N, 4] x) => (float[N, 4] y) {{ zero = Constant<value_float = 0.0>() {body} }}"
    model = graph(text)
    fold(model)
    levels = levels_in(model)
    output = model.graph.outputs[0].producer()
    assert output is not None
    found = levels.found[output.inputs[0]]  # the outputs are Neg of what is asked for
    assert found.argument is model.graph.inputs[0]
    return float(found.below), float(found.zero), float(found.above)


@pytest.mark.parametrize(
    ("body", "outcomes"),
    [
        ("s = Sign(x) y = Neg(s)", (-1, 0, 1)),
        ("b = Less(x, zero) s = Cast<to = 1>(b) y = Neg(s)", (1, 0, 0)),
        ("b = Greater(zero, x) s = Cast<to = 1>(b) y = Neg(s)", (1, 0, 0)),
        ("b = LessOrEqual(x, zero) s = Cast<to = 1>(b) y = Neg(s)", (1, 1, 0)),
        ("b = Equal(x, zero) s = Cast<to = 1>(b) y = Neg(s)", (0, 1, 0)),
        ("t = Tanh(x) s = Sign(t) y = Neg(s)", (-1, 0, 1)),
        ("a = Sign(x) b = Abs(a) s = Sub(a, b) y = Neg(s)", (-2, 0, 0)),
        ("r = Relu(x) s = Sign(r) y = Neg(s)", (0, 0, 1)),
        ("a = Sign(x) e = Equal(a, zero) c = Cast<to = 1>(e) s = Add(a, c) y = Neg(s)", (-1, 1, 1)),
    ],
)
def test_levels_are_known_in_any_spelling(body: str, outcomes: tuple[float, float, float]) -> None:
    assert _outcomes(body) == outcomes


def test_layers_of_scaled_values_become_layers_of_signs() -> None:
    weights = signs(6, 3, 3, 3) * np.linspace(0.5, 2, 6, dtype=np.float32).reshape(6, 1, 1, 1)
    model = graph(
        """(float[N, 3, 5, 5] x) => (float[N, 6, 5, 5] y) {
            zero = Constant<value_float = 0.0>()
            b = Greater(x, zero)
            f = Cast<to = 1>(b)
            c = Constant<value_float = 0.7>()
            a = Mul(f, c)
            y = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(a, w)
        }""",
        w=weights.astype(np.float32),
    )
    x = floats(2, 3, 5, 5)
    before = run(model, {"x": x})
    found = normalise(model)
    assert found.why == {}
    assert found.has_signs
    layers = [node for node in model.graph if node.op_type == "Conv"]
    assert len(layers) == 1
    tensor = ir.convenience.get_const_tensor(layers[0].inputs[1])
    assert tensor is not None
    assert np.isin(tensor.numpy(), (-1, 1)).all()
    _same(before, run(model, {"x": x}), atol=1e-5)


def test_offsets_count_at_borders() -> None:
    # 0.7 * (s + 0.25) is never 0, as the border is: what it adds depends on the place.
    model = graph(
        """(float[N, 2, 4, 6] x) => (float[N, 3, 2, 3] y) {
            zero = Constant<value_float = 0.0>()
            b = Less(x, zero)
            low = Constant<value_float = -0.525>()
            high = Constant<value_float = 0.875>()
            a = Where(b, low, high)
            y = Conv<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(a, w)
        }""",
        w=signs(3, 2, 3, 3),
    )
    x = floats(2, 2, 4, 6)
    before = run(model, {"x": x})
    assert normalise(model).why == {}
    _same(before, run(model, {"x": x}), atol=1e-5)


def test_graphs_without_signs_have_none() -> None:
    model = graph("(float[N, 8] x) => (float[N, 3] y) { y = MatMul(x, w) }", w=floats(8, 3))
    found = normalise(model)
    assert not found.has_signs
    assert not found.candidates


def test_constants_of_the_size_of_images_shrink() -> None:
    shape, steps = "float[N, 4, 3, 3]", "a = Add(x, b) m = Mul(a, c) y = Div(m, d)"
    body = f"({shape} x) => ({shape} y) {{ {steps} }}"
    per_channel = np.broadcast_to(floats(4, 1, 1), (4, 3, 3)).copy()
    per_row = np.broadcast_to(floats(4, 3, 1) + 3, (1, 4, 3, 3)).copy()
    model = graph(body, b=per_channel, c=np.full((3, 3), 2.5, np.float32), d=per_row)
    x = floats(2, 4, 3, 3)
    before = run(model, {"x": x})
    fold(model)
    shapes = [constant(node.inputs[1]).shape for node in model.graph]
    assert shapes == [(4, 1, 1), (1, 1), (1, 4, 3, 1)]
    _same(before, run(model, {"x": x}), atol=0)
