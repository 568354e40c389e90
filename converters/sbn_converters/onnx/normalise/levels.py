"""Values that depend on one float only through its sign, however it is written.

`x >= 0`, `torch.sign(x)`, `where(x < 0, ...)`, `(x > 0).float() * 2 - 1`,
`sign(sign(x) + 0.1)`, `round(clamp(x, 0, 1))`: each is a constant where x is below
zero, at zero and above it. These three outcomes are all there is to know, what a
spelling answers at zero included; whatever is computed elementwise from them is
found by computing it three times.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..chains import channel_step
from ..graph import Editor, constant, dims, inherit, layer_name
from .steps import Edge, Steps, computed, steps_of
from .uniform import uniform_constant

Array = NDArray[Any]


@dataclass(frozen=True)
class Levels:
    """A value with one outcome where `argument` is below zero, at zero and above it.

    The outcomes broadcast to the value. `sources` names the traced values in which a
    float became discrete; after "@", for one that is rounded, the number halfway.
    """

    argument: ir.Value
    below: Array
    zero: Array
    above: Array
    sources: tuple[str, ...]

    @property
    def outcomes(self) -> tuple[Array, Array, Array]:
        """The outcomes in order."""
        return self.below, self.zero, self.above


_FLIPPED = {
    "Less": "Greater",
    "Greater": "Less",
    "LessOrEqual": "GreaterOrEqual",
    "GreaterOrEqual": "LessOrEqual",
}
_OUTCOMES = {
    "Equal": (False, True, False),
    "Less": (True, False, False),
    "LessOrEqual": (True, True, False),
    "Greater": (False, False, True),
    "GreaterOrEqual": (False, True, True),
}
# Odd, increasing functions: the sign of the result is that of the argument.
_KEEP_SIGN = ("Tanh", "Erf", "Softsign", "Asinh", "Atan", "Sinh")


def _cast(x: Array, to: int) -> Array:
    return x.astype(ir.DataType(to).numpy())


def _clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


_ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Cast": _cast,
    "CastLike": lambda x, like: x.astype(like.dtype),
    "Ceil": np.ceil,
    "Clip": _clip,
    "Div": np.divide,
    "Equal": np.equal,
    "Exp": np.exp,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, x * np.float32(alpha), x),
    "Max": lambda *x: _reduce(np.maximum, x),
    "Min": lambda *x: _reduce(np.minimum, x),
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "PRelu": lambda x, slope: np.where(x < 0, x * slope, x),
    "Pow": np.power,
    "Relu": lambda x: np.maximum(x, 0),
    "Round": np.round,
    "Sign": np.sign,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "Where": np.where,
    "Xor": np.logical_xor,
}


def _reduce(function: Callable[..., Array], arrays: tuple[Array, ...]) -> Array:
    result = arrays[0]
    for array in arrays[1:]:
        result = function(result, array)
    return result


class LevelFinder:
    """Finds the levels of a graph's values; nodes come in the order of the graph.

    drawn: modules whose signs are drawn: there the argument counts, not only its sign.
    """

    def __init__(self, edit: Editor, drawn: Collection[str] = ()) -> None:
        self.edit = edit
        self.drawn = drawn
        self.found: dict[ir.Value, Levels] = {}
        self.steps: dict[ir.Value, Steps] = {}

    def visit(self, node: ir.Node) -> bool:
        """Looks at one node; whether its output has levels."""
        if node.domain or len(node.outputs) != 1 or not node.inputs or node.inputs[0] is None:
            return False
        known = [self.found.get(value) if value is not None else None for value in node.inputs]
        levels = self._computed(node, known) if any(known) else self._begun(node)
        if levels is None:
            steps = self._stepped(node)
            if steps is not None:
                self.steps[node.outputs[0]] = steps
            return steps is not None
        self.found[node.outputs[0]] = levels
        return True

    def _computed(self, node: ir.Node, known: list[Levels | None]) -> Levels | None:
        """What is computed elementwise from levels of one argument and constants."""
        function = _ELEMENTWISE.get(node.op_type)
        if any(value in self.steps for value in node.inputs):
            return None
        present = [levels for levels in known if levels is not None]
        if function is None or len({levels.argument for levels in present}) != 1:
            return self._compared(node) if len(present) < len(node.inputs) else None
        operands: list[tuple[Array | None, ...]] = []
        for value, levels in zip(node.inputs, known, strict=True):
            if levels is not None:
                operands.append(levels.outcomes)
            elif value is None:
                operands.append((None, None, None))
            else:
                array = uniform_constant(value)
                if array is None:
                    return None
                operands.append((array, array, array))
        attributes = _attributes(node)
        with np.errstate(all="ignore"):
            below, zero, above = (
                function(*column, **attributes) for column in zip(*operands, strict=True)
            )
        if any(not _fits(outcome, node.outputs[0]) for outcome in (below, zero, above)):
            return None
        sources = tuple(dict.fromkeys(name for levels in present for name in levels.sources))
        return Levels(present[0].argument, below, zero, above, sources)

    def _stepped(self, node: ir.Node) -> Steps | None:
        """What is computed elementwise from levels against several edges of one float."""
        function = _ELEMENTWISE.get(node.op_type)
        operands: list[Steps | Array | None] = []
        for value in node.inputs:
            if value in self.steps:
                operands.append(self.steps[value])
            elif value in self.found:
                levels = self.found[value]
                operands.append(steps_of(levels.argument, levels.outcomes, levels.sources))
            else:
                array = uniform_constant(value)
                if array is None and value is not None:
                    return None
                operands.append(array)
        count = sum(isinstance(operand, Steps) for operand in operands)
        if function is None or not count or (count == 1 and not self.steps.keys() & {*node.inputs}):
            return None
        if node.op_type == "Mul" and all(
            value in self.found and (self.found[value].below == -self.found[value].above).all()
            for value in node.inputs
        ):
            return None  # a product of signs is one sign
        steps = computed(function, operands, _attributes(node))
        if steps is None or any(not _fits(x, node.outputs[0]) for x in steps.outcomes):
            return None
        return steps

    def _begun(self, node: ir.Node) -> Levels | None:
        """Where a float becomes discrete."""
        match node.op_type:
            case "Sign":
                if node.inputs[0] is not None and _is_float(node.inputs[0]):
                    return self._of(node, self._stripped(node.inputs[0], node), (-1.0, 0.0, 1.0))
            case "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual":
                return self._compared(node)
            case "Round":
                return self._rounded(node, node.inputs[0])
            case "Clip":
                return self._clipped(node)
        return None

    def _compared(self, node: ir.Node) -> Levels | None:
        kind = node.op_type
        if kind not in _OUTCOMES or any(
            value is None or not _is_float(value) for value in node.inputs
        ):
            return None
        a, b = node.inputs
        assert a is not None
        assert b is not None
        if uniform_constant(a) is not None:
            a, b, kind = b, a, _FLIPPED.get(kind, kind)
        if uniform_constant(a) is not None:
            return None
        array = uniform_constant(b)
        if array is not None and not array.any():
            argument = self._stripped(a, node)
        else:
            argument = self._minus(a, b, node)
        return self._of(node, argument, _OUTCOMES[kind])

    def _rounded(self, node: ir.Node, value: ir.Value | None) -> Levels | None:
        """Round(Clip(x, low, high)) where only two whole numbers are left."""
        clip = value.producer() if value is not None else None
        if clip is None or clip.op_type not in ("Clip", "Relu"):
            return None
        low, high = _limits(clip)
        first, last = np.round(low), np.round(high)
        if clip.inputs[0] is None or last - first != 1:
            return None
        return self._switch(node, clip.inputs[0], float(first))

    def _clipped(self, node: ir.Node) -> Levels | None:
        """Clip(Round(x), k, k + 1)."""
        rounding = node.inputs[0].producer() if node.inputs[0] is not None else None
        if rounding is None or rounding.op_type != "Round" or rounding.inputs[0] is None:
            return None
        low, high = _limits(node)
        if high - low != 1 or low != np.round(low):
            return None
        return self._switch(node, rounding.inputs[0], float(low), rounding)

    def _switch(
        self, node: ir.Node, value: ir.Value, first: float, source: ir.Node | None = None
    ) -> Levels | None:
        """From `first` to the next whole number halfway; halves go to the even number."""
        edge = self.edit.constant(np.array(first + 0.5, np.float32), "half")
        at = first if first % 2 == 0 else first + 1
        argument = self._minus(value, edge, node)
        return self._of(source or node, argument, (first, at, first + 1), f"@{first + 0.5}")

    def _of(
        self,
        node: ir.Node,
        argument: ir.Value,
        outcomes: tuple[Any, Any, Any],
        edge: str = "",
    ) -> Levels:
        dtype = np.bool_ if isinstance(outcomes[0], bool) else np.float32
        below, zero, above = (np.array(outcome, dtype) for outcome in outcomes)
        if layer_name(node) in self.drawn:
            return Levels(argument, below, zero, above, (str(node.outputs[0].name),))
        if never_negative(argument):
            below = zero
        source = f"{node.outputs[0].name}{edge}"
        return Levels(_unlimited(argument), below, zero, above, (source,))

    def argument(self, steps: Steps, edge: Edge, before: ir.Node) -> ir.Value:
        """The float whose sign tells on which side of an edge a value is."""
        if edge.argument is not None:
            return edge.argument
        return self._minus(steps.base, self.edit.constant(edge.at, "edge"), before)

    def _minus(self, a: ir.Value, b: ir.Value, before: ir.Node) -> ir.Value:
        """a - b, which is below, at or above zero as a is below, at or above b."""
        array = uniform_constant(b)
        operand = b
        if array is not None and constant(b) is None:
            operand = self.edit.constant(array, "edge")
        shape = list(a.shape or []) if len(dims(a)) >= len(dims(operand)) else list(b.shape or [])
        made = self.edit.node(
            "Sub", [a, operand], before, "minus", dtype=ir.DataType.FLOAT, shape=shape
        )
        inherit(made, before)
        return made

    def _stripped(self, value: ir.Value, sign: ir.Node) -> ir.Value:
        """The value without functions before it that keep its sign."""
        if layer_name(sign) in self.drawn:
            return value
        node = value.producer()
        while node is not None and node.domain == "" and node.inputs and node.inputs[0] is not None:
            if node.op_type == "Clip":
                low, high = _limits(node)
                if not low < 0 < high:
                    break
            elif node.op_type not in _KEEP_SIGN:
                break
            value = node.inputs[0]
            node = value.producer()
        return value


def _attributes(node: ir.Node) -> dict[str, Any]:
    """Those that the functions of `_ELEMENTWISE` take."""
    others = ("saturate", "round_mode")  # of casts to other types
    return {name: a.value for name, a in node.attributes.items() if name not in others}


def _fits(outcome: Array, value: ir.Value) -> bool:
    """Whether the outcome broadcasts to the value without making it larger."""
    shape = dims(value)
    if outcome.ndim > len(shape):
        return not shape and outcome.size == 1
    own = shape[len(shape) - outcome.ndim :]
    return all(size == 1 or size == whole for size, whole in zip(outcome.shape, own, strict=True))


def _limits(node: ir.Node) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, np.inf
    limits = [-np.inf, np.inf]
    for index in (1, 2):
        if len(node.inputs) > index and node.inputs[index] is not None:
            limit = uniform_constant(node.inputs[index])
            if limit is None or limit.size != 1:
                return np.inf, -np.inf
            limits[index - 1] = float(limit.reshape(()))
    return limits[0], limits[1]


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


_STAY_POSITIVE = ("MaxPool", "AveragePool", "Reshape", "Transpose", "Slice", "Flatten", "Concat")


def never_negative(value: ir.Value) -> bool:
    """Whether a float is certainly 0 or above, as behind a rectifier."""
    node = value.producer()
    if node is None or node.domain:
        return False
    if node.op_type in ("Relu", "Sigmoid", "Abs", "Sqrt", "Exp", "HardSigmoid", "Softplus"):
        return True
    if node.op_type == "Clip":
        return _limits(node)[0] >= 0
    inputs = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return node.op_type in _STAY_POSITIVE and all(
        v is not None and never_negative(v) for v in inputs
    )


def _unlimited(value: ir.Value) -> ir.Value:
    """What a rectifier had; whether that is above zero is the same."""
    node = value.producer()
    while node is not None and not node.domain and node.inputs and node.inputs[0] is not None:
        low, high = _limits(node) if node.op_type in ("Relu", "Clip") else (1.0, 1.0)
        if low != 0 or not high > 0:
            break
        value = node.inputs[0]
        node = value.producer()
    return value


def zeros_are_common(value: ir.Value, seen: int = 0) -> bool:
    """Whether a float is exactly 0 not by chance but, say, because of a rectifier before it."""
    node = value.producer()
    if node is None or node.domain or seen > 50:
        return False
    operands = [operand for operand in node.inputs if operand is not None]
    match node.op_type:
        case "Relu" | "HardSwish":
            return True
        case "Clip":
            return 0.0 in _limits(node)
        case "Pad" | "ScatterND" | "ScatterElements":
            return True
        case "Add" | "Sub" | "BatchNormalization":
            arrays = [constant(operand) for operand in operands]
            step = channel_step(node)
            if step is not None:
                kept = step[2].apply(np.zeros((1, dims(node.outputs[0])[1] or 1), np.float32))
                return bool((kept == 0).any()) and zeros_are_common(step[0], seen + 1)
            if any(array is not None for array in arrays):
                shift = next(array for array in arrays if array is not None)
                rest = [o for o, array in zip(operands, arrays, strict=True) if array is None]
                return bool((shift == 0).any()) and all(zeros_are_common(o, seen + 1) for o in rest)
            return all(zeros_are_common(operand, seen + 1) for operand in operands)
        case "Concat" | "Mul" | "Max" | "Min":
            return any(
                zeros_are_common(operand, seen + 1)
                for operand in operands
                if constant(operand) is None
            )
        case (
            "MaxPool" | "AveragePool" | "Reshape" | "Transpose" | "Slice" | "Flatten" | "Squeeze"
            | "Unsqueeze" | "Identity" | "Div" | "PRelu" | "LeakyRelu" | "Neg" | "Abs" | "Gather"
            | "Dropout" | "Expand" | "Elu"
        ):  # fmt: skip
            return zeros_are_common(operands[0], seen + 1)
    return False
