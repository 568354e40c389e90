"""What is computed from levels against several edges of one float, found for any number."""

from __future__ import annotations

import numpy as np
import pytest

from sbn_converters.onnx.normalise.fold import fold

from .graphs import graph, levels_in, run

NUMBERS = np.array([-2, -1.5, -1, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 3], np.float32)
CONSTANTS = (
    "zero = Constant<value_float = 0.0>() one = Constant<value_float = 1.0>()"
    " half = Constant<value_float = 0.5>() low = Constant<value_float = -1.0>()"
)


@pytest.mark.parametrize(
    ("body", "edges"),
    [
        (
            "a = Less(x, low) b = Where(a, low, zero) c = Greater(x, half) s = Where(c, one, b)",
            [-1, 0.5],
        ),
        (
            "a = Abs(x) b = GreaterOrEqual(a, half) c = Sign(x) s = Where(b, c, zero)",
            [-0.5, 0, 0.5],
        ),
        (
            "a = Greater(x, low) b = Less(x, half) c = And(a, b) s = Cast<to = 1>(c)",
            [-1, 0.5],
        ),
        (
            "a = Greater(half, x) b = Cast<to = 1>(a) c = Sign(x) d = Sub(c, b)"
            " e = Less(x, low) s = Where(e, one, d)",
            [-1, 0, 0.5],
        ),
    ],
)
def test_steps_have_the_outcomes_of_the_graph(body: str, edges: list[float]) -> None:
    model = graph(f"(float[11] x) => (float[11] y) {{ {CONSTANTS} {body} y = Neg(s) }}")
    (answers,) = run(model, {"x": NUMBERS})
    fold(model)
    levels = levels_in(model)
    output = model.graph.outputs[0].producer()
    assert output is not None
    steps = levels.steps[output.inputs[0]]
    assert steps.base is model.graph.inputs[0]
    assert [float(edge.at) for edge in steps.edges] == edges
    for number, answer in zip(NUMBERS, answers, strict=True):
        region = 2 * sum(number > edge for edge in edges) + (number in edges)
        assert float(steps.outcomes[region]) == -answer, number


def test_steps_of_two_floats_are_none() -> None:
    text = "a = Greater(x, half) b = Less(z, zero) c = And(a, b) s = Cast<to = 1>(c)"
    model = graph(f"(float[4] x, float[4] z) => (float[4] y) {{ {CONSTANTS} {text} y = Neg(s) }}")
    fold(model)
    levels = levels_in(model)
    assert not levels.steps
