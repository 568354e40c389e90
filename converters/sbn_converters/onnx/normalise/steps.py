"""Values that are constant between several edges of one float, as ternary activations are.

`where(x > r, 1, where(x < -r, -1, 0))`, `sign(x) * (x.abs() > r)`: what is computed
elementwise from levels of x against different edges is a step at each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .uniform import uniform_constant

Array = NDArray[Any]

_MOST_EDGES = 4


@dataclass(frozen=True)
class Edge:
    """Where a float `base` is compared: `argument` is base - at, whose sign tells the side.

    argument: None where nobody computes it. sources: as of `Levels`.
    """

    at: Array
    argument: ir.Value | None
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Steps:
    """A value with an outcome below the first edge, at it, up to the next, at that, and so on.

    edges: in rising order. outcomes: two more than twice as many, less one; they broadcast
    to the value.
    """

    base: ir.Value
    edges: tuple[Edge, ...]
    outcomes: tuple[Array, ...]


def steps_of(
    argument: ir.Value, outcomes: tuple[Array, Array, Array], sources: tuple[str, ...]
) -> Steps:
    """The outcomes below, at and above zero of an argument, as steps of what is compared."""
    base, at = _compared(argument)
    rising = (Edge(at, argument, sources),)
    magnitude = base.producer()
    if magnitude is not None and magnitude.op_type == "Abs" and bool((at > 0).all()):
        inner = magnitude.inputs[0]
        assert inner is not None
        edges = (Edge(-at, None, ()), Edge(at, None, ()))
        below, zero, above = outcomes
        return Steps(inner, edges, (above, zero, below, zero, above))
    return Steps(base, rising, outcomes)


def _compared(argument: ir.Value) -> tuple[ir.Value, Array]:
    """x and e for an argument x - e or x + -e; else the argument and 0."""
    node = argument.producer()
    if node is not None and not node.domain and node.op_type in ("Sub", "Add"):
        value, other = node.inputs
        at = uniform_constant(other)
        if value is not None and at is not None and uniform_constant(value) is None:
            return value, at if node.op_type == "Sub" else -at
    return argument, np.zeros((), np.float32)


def computed(
    function: Callable[..., Array],
    operands: Sequence[Steps | Array | None],
    attributes: dict[str, Any],
) -> Steps | None:
    """What a function gives for operands that are steps of one float, or constants."""
    present = [operand for operand in operands if isinstance(operand, Steps)]
    if len({steps.base for steps in present}) != 1:
        return None
    edges = _in_order([edge for steps in present for edge in steps.edges])
    if edges is None or len(edges) > _MOST_EDGES:
        return None
    outcomes = []
    for region in range(2 * len(edges) + 1):
        column = [
            _outcome(operand, edges, region) if isinstance(operand, Steps) else operand
            for operand in operands
        ]
        with np.errstate(all="ignore"):
            outcomes.append(function(*column, **attributes))
    return Steps(present[0].base, tuple(edges), tuple(outcomes))


def _in_order(edges: Sequence[Edge]) -> list[Edge] | None:
    """The edges, each once, in an order that holds in every channel."""
    found: list[Edge] = []
    for edge in sorted(edges, key=lambda edge: float(edge.at.mean())):
        if not found or (edge.at > found[-1].at).all():
            found.append(edge)
        elif np.array_equal(edge.at, found[-1].at):
            known = found[-1]
            argument = known.argument or edge.argument
            sources = tuple(dict.fromkeys([*known.sources, *edge.sources]))
            found[-1] = Edge(edge.at, argument, sources)
        else:
            return None
    return found


def _outcome(steps: Steps, edges: Sequence[Edge], region: int) -> Array:
    """Of steps in a region of more edges: 2 i + 1 is edge i, 2 i what lies before it."""
    at = region // 2
    below = sum(any(np.array_equal(own.at, e.at) for e in edges[:at]) for own in steps.edges)
    on_edge = region % 2 and any(np.array_equal(own.at, edges[at].at) for own in steps.edges)
    return steps.outcomes[2 * below + bool(on_edge)]
