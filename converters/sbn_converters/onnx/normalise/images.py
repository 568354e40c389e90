"""Values that are sums of scaled signs: sum of scale * factor * s, plus offset.

{0, 1} is ½ s + ½, `alpha * sign(x)` a scale, a ternary sign the mean of two signs.
What moves or scales such values moves or scales their signs, which is all that a
binary layer needs to know of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .. import chains
from ..graph import Editor, dims, inherit, integer, ints, layer_name, text
from ..layout import CHANNELS_LAST
from .accumulators import Accumulators
from .levels import LevelFinder, Levels, zeros_are_common
from .steps import Steps
from .uniform import uniform_constant

Float64 = NDArray[np.float64]
_MOST_TERMS = 4
_MOVES = (
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Gather", "Split",
    "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "GatherND",
)  # fmt: skip
_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


@dataclass(frozen=True)
class Term:
    """scale * factor * sign.

    sign: a value of +1 and -1. scale: broadcasts to it. factor: one float for each
    image, [N, 1, ...], or None.
    """

    sign: ir.Value
    scale: Float64
    factor: ir.Value | None = None


@dataclass(frozen=True)
class Image:
    """A value that is the sum of its terms and an offset, which broadcasts to it."""

    terms: tuple[Term, ...]
    offset: Float64

    @property
    def is_uniform(self) -> bool:
        """Whether no scale or offset varies within an image."""
        return self.offset.size == 1 and all(term.scale.size == 1 for term in self.terms)

    @property
    def is_sign(self) -> bool:
        """Whether the value is one sign as it is."""
        (term, *rest) = self.terms
        plain = term.factor is None and bool((term.scale == 1).all())
        return not rest and plain and not self.offset.any()


class ImageFinder:
    """Follows images through a graph; nodes come in the order of the graph.

    sources: by sign, the traced value that it is the sign of, with "-" before it
        where the sign is +1 for arguments up to zero.
    drawn: modules whose signs are drawn, which stay where they are.
    zeros: traced signs whose floats are known to be exactly 0 often.
    ties: nodes of signs that are 0 at 0, taken as +1 there. doubled: those that keep
        their 0, as the mean of two signs.
    """

    def __init__(
        self,
        edit: Editor,
        levels: LevelFinder,
        accumulators: Accumulators,
        drawn: Collection[str],
        zeros: Collection[str],
    ) -> None:
        self.edit = edit
        self.levels = levels
        self.accumulators = accumulators
        self.drawn = drawn
        self.zeros = zeros
        self.found: dict[ir.Value, Image] = {}
        self.signs: dict[tuple[ir.Value, bool], ir.Value] = {}
        # Signs of flattened values, made by flattening signs.
        self.pulled: dict[tuple[ir.Value, bool], ir.Value] = {}
        self.sources: dict[ir.Value, str] = {}
        self.ties: list[ir.Node] = []
        self.doubled: list[ir.Node] = []

    def of(self, value: ir.Value | None, before: ir.Node) -> Image | None:
        """The value as an image; signs that it needs are made in front of `before`."""
        if value is None:
            return None
        known = self.found.get(value)
        if known is None and value.dtype in _FLOATS:
            if value in self.levels.found:
                known = self._from_levels(value, self.levels.found[value], before)
            elif value in self.levels.steps:
                known = self._from_steps(value, self.levels.steps[value], before)
            if known is not None:
                self.found[value] = known
        return known

    def knows(self, value: ir.Value | None) -> bool:
        """Whether the value is an image, or may be made one."""
        return value is not None and any(
            value in found for found in (self.found, self.levels.found, self.levels.steps)
        )

    def visit(self, node: ir.Node) -> None:
        """Looks at one node whose output has no levels of its own."""
        if node.domain or not node.inputs or not any(self.knows(v) for v in node.inputs):
            return
        result = node.outputs[0]
        image: Image | None = None
        match node.op_type:
            case "Mul" | "Div":
                image = self._scaled(node)
            case "Add" | "Sub":
                image = self._summed(node)
            case "Neg":
                known = self.of(node.inputs[0], node)
                image = _times(known, np.float64(-1)) if known is not None else None
            case "Concat":
                image = self._concatenated(node)
            case "Pad":
                image = self._padded(node)
            case "MaxPool":
                image = self._pooled(node)
            case "Identity" | "Dropout":
                image = self.of(node.inputs[0], node)
            case "Cast":
                image = self.of(node.inputs[0], node) if result.dtype in _FLOATS else None
            case op if op in _MOVES:
                self._moved(node)
        if image is not None:
            self.found[result] = image

    # From levels to signs

    def _from_levels(self, value: ir.Value, levels: Levels, before: ir.Node) -> Image | None:
        below, zero, above = (outcome.astype(np.float64) for outcome in levels.outcomes)
        node = value.producer() or before
        if not np.array_equal(zero, above) and not np.array_equal(zero, below):
            if not self._reaches_zero(levels):
                self.ties.append(node)
                zero = above
            else:
                self.doubled.append(node)
                upper = self._sign(levels, False, node, before)
                lower = self._sign(levels, True, node, before)
                terms = Term(upper, (zero - below) / 2), Term(lower, (zero - above) / 2)
                return Image(terms, np.asarray((below + above) / 2))
        half, middle = np.asarray((above - below) / 2), np.asarray((above + below) / 2)
        if np.array_equal(zero, above):
            return Image((Term(self._sign(levels, False, node, before), half),), middle)
        return Image((Term(self._sign(levels, True, node, before), -half),), middle)

    def _from_steps(self, value: ir.Value, steps: Steps, before: ir.Node) -> Image | None:
        """A sign for each side of each edge on which the value changes."""
        node = value.producer() or before
        outcomes = [outcome.astype(np.float64) for outcome in steps.outcomes]
        offset, terms = outcomes[0], []
        for index, edge in enumerate(steps.edges):
            below, at, above = outcomes[2 * index : 2 * index + 3]
            levels = Levels(
                self.levels.argument(steps, edge, before), below, at, above, edge.sources
            )
            if (at != below).any() and (above != at).any() and not self._reaches_zero(levels):
                self.ties.append(node)
                at = above
            if (at != below).any():
                terms.append(Term(self._sign(levels, False, node, before), (at - below) / 2))
            if (above != at).any():
                terms.append(Term(self._sign(levels, True, node, before), (at - above) / 2))
            offset = offset + (above - below) / 2
        return Image(tuple(terms), np.asarray(offset)) if terms else None

    def _reaches_zero(self, levels: Levels) -> bool:
        """Whether the argument is exactly 0 for whole numbers that a layer gives, or often."""
        known = self.accumulators.reaches_zero(levels.argument)
        if known is not None:
            return known
        seen = any(source in self.zeros for source in levels.sources)
        return seen or zeros_are_common(levels.argument)

    def _sign(self, levels: Levels, negated: bool, node: ir.Node, before: ir.Node) -> ir.Value:
        """+1 where the argument is at least zero, or, negated, at most zero; else -1."""
        source = ",".join(levels.sources)
        return self._made(
            levels.argument, negated, f"-{source}" if negated else source, node, before
        )

    def enter(self, node: ir.Node) -> None:
        """Enters a sign that is written as the lowering knows it."""
        levels = self.levels.found.get(node.outputs[0])
        if levels is None:
            return
        if node.op_type == "Where" and chains.sign_input(node) is levels.argument:
            sign = node.outputs[0]
            known = self.signs.setdefault((levels.argument, False), sign)
            self._also(known, ",".join(levels.sources))

    def _also(self, sign: ir.Value, source: str) -> None:
        """Enters more traced values whose sign it is."""
        known = self.sources.get(sign, "")
        names = [*known.removeprefix("-").split(","), *source.removeprefix("-").split(",")]
        negated = "-" if known.startswith("-") else ""
        self.sources[sign] = negated + ",".join(dict.fromkeys(name for name in names if name))

    def _made(
        self, argument: ir.Value, negated: bool, source: str, node: ir.Node, before: ir.Node
    ) -> ir.Value:
        still = self._before_moving(argument)
        if still is not None and not self._is_drawn(node):
            # Moving signs moves bits; moving floats would keep their layer from packing.
            inner = self._made(still, negated, source, node, before)
            if (argument, negated) not in self.pulled:
                mover = argument.producer()
                assert mover is not None
                moved = self._again(mover, [inner, *mover.inputs[1:]], argument, before)
                self.pulled[argument, negated] = moved
            return self.pulled[argument, negated]
        known = self.signs.get((argument, negated))
        if known is None:
            known = self._canonical(argument, negated, node, before)
            self.signs[argument, negated] = known
            self.sources[known] = "-" if negated else ""
        self._also(known, source)
        return known

    def _is_drawn(self, node: ir.Node) -> bool:
        return layer_name(node) in self.drawn

    def _canonical(
        self, argument: ir.Value, negated: bool, node: ir.Node, before: ir.Node
    ) -> ir.Value:
        """Where(a < 0, -1, +1)."""
        shape = list(argument.shape or [])

        def add(op: str, inputs: list[ir.Value], dtype: ir.DataType) -> ir.Value:
            made = self.edit.node(op, inputs, before, "sign", dtype=dtype, shape=shape)
            inherit(made, node)
            return made

        zero, one, minus = (
            self.edit.constant(np.array(number, np.float32), name)
            for number, name in ((0, "zero"), (1, "one"), (-1, "minus_one"))
        )
        if negated:
            argument = add("Neg", [argument], ir.DataType.FLOAT)
        negative = add("Less", [argument, zero], ir.DataType.BOOL)
        return add("Where", [negative, minus, one], ir.DataType.FLOAT)

    def _before_moving(self, argument: ir.Value) -> ir.Value | None:
        """What the argument was as [N, C, H, W], if it is that flattened or channels last."""
        node = argument.producer()
        source = node.inputs[0] if node is not None and node.inputs else None
        if node is None or source is None:
            return None
        shape = dims(source)
        if len(shape) != 4 or None in shape[1:]:
            return None
        if node.op_type == "Transpose":
            return source if CHANNELS_LAST.is_perm(ints(node, "perm", [])) else None
        if node.op_type not in ("Reshape", "Flatten"):
            return None
        elements = int(np.prod([size or 0 for size in shape[1:]]))
        return source if dims(argument)[1:] == [elements] else None

    # Arithmetic

    def _scaled(self, node: ir.Node) -> Image | None:
        for index in (0, 1):
            if node.op_type == "Div" and index == 1:
                return None
            image = self.of(node.inputs[index], node)
            other = node.inputs[1 - index]
            if image is None or other is None or not _same_shape(node, index):
                continue
            array = uniform_constant(other)
            if array is not None:
                number = array.astype(np.float64)
                if node.op_type == "Div":
                    if not number.all():
                        return None
                    number = 1 / number
                return _times(image, number)
            second = self.of(other, node)
            if second is not None:
                return self._product(node, image, second) if node.op_type == "Mul" else None
            return self._with_factor(node, image, other)
        return None

    def _with_factor(self, node: ir.Node, image: Image, factor: ir.Value) -> Image | None:
        """Times a float that is the same within an image."""
        shape = dims(factor)
        whole = dims(node.outputs[0])
        same = len(shape) == len(whole) and all(size == 1 for size in shape[1:])
        if not same or image.offset.any() or factor.dtype not in _FLOATS:
            return None
        if node.op_type == "Div":
            factor = self._floats("Reciprocal", [factor], node)
        terms = []
        for term in image.terms:
            own = factor
            if term.factor is not None:
                own = self._floats("Mul", [term.factor, factor], node)
            terms.append(replace(term, factor=own))
        return Image(tuple(terms), image.offset)

    def _floats(self, op: str, inputs: list[ir.Value], node: ir.Node) -> ir.Value:
        shape = list(inputs[0].shape or [])
        made = self.edit.node(op, inputs, node, "factor", dtype=ir.DataType.FLOAT, shape=shape)
        inherit(made, node)
        return made

    def _product(self, node: ir.Node, first: Image, second: Image) -> Image | None:
        """The product of two signs, which is a sign."""
        parts = first, second
        if any(len(part.terms) != 1 or part.offset.any() for part in parts):
            return None
        (a,), (b,) = first.terms, second.terms
        if a.factor is not None or b.factor is not None or dims(a.sign) != dims(b.sign):
            return None
        value = self._again(node, [a.sign, b.sign], node.outputs[0], node)
        return Image((Term(self._signs_again(value, node), a.scale * b.scale),), np.zeros(()))

    def _summed(self, node: ir.Node) -> Image | None:
        sign = 1.0 if node.op_type == "Add" else -1.0
        first, second = (self.of(value, node) for value in node.inputs)
        whole = dims(node.outputs[0])
        if first is not None and second is not None:
            if dims(node.inputs[0]) != whole or dims(node.inputs[1]) != whole:  # type: ignore[arg-type]
                return None
            second = _times(second, np.float64(sign))
            terms = first.terms + second.terms
            if len(terms) > _MOST_TERMS:
                return None
            return Image(terms, np.asarray(first.offset + second.offset))
        image, other = (first, node.inputs[1]) if first is not None else (second, node.inputs[0])
        array = uniform_constant(other)
        if image is None or array is None or not _same_shape(node, int(first is None)):
            return None
        number = array.astype(np.float64)
        if first is not None:
            return Image(image.terms, np.asarray(image.offset + sign * number))
        negated = _times(image, np.float64(sign))
        return Image(negated.terms, np.asarray(negated.offset + number))

    # Moving elements

    def _moved(self, node: ir.Node) -> None:
        """Any other arrangement of the elements."""
        if self.levels.found.get(node.inputs[0]) is not None and len(dims(node.inputs[0])) < 2:  # type: ignore[arg-type]
            return
        image = self.of(node.inputs[0], node)
        if image is None or not image.is_uniform:
            return
        for index, result in enumerate(node.outputs):
            terms = tuple(
                replace(term, sign=self._moved_sign(term.sign, node, index)) for term in image.terms
            )
            if any(term.factor is not None for term in terms) and not _keeps_images(node):
                return
            self.found[result] = Image(terms, image.offset)

    def _moved_sign(self, sign: ir.Value, node: ir.Node, index: int) -> ir.Value:
        source, result = node.inputs[0], node.outputs[index]
        flattens = len(dims(sign)) == 4 and len(dims(result)) == 2
        argument = self._argument(sign)
        reshapes = node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten") and not flattens
        if reshapes and argument is not None and len(dims(sign)) not in (2, 4):
            # The sign of the rearranged float: what made it keeps its shape until then.
            moved = self._again(node, [argument, *node.inputs[1:]], result, node)
            return self._made(moved, False, self.sources.get(sign, ""), node, node)
        value = result
        if sign is not source:
            value = self._again(node, [sign, *node.inputs[1:]], result, node, index)
        if (flattens and _is_flattening(node)) or _is_flattened(result, node):
            return value
        return self._signs_again(value, node)

    def _argument(self, sign: ir.Value) -> ir.Value | None:
        node = sign.producer()
        return chains.sign_input(node) if node is not None and node.op_type == "Where" else None

    def _concatenated(self, node: ir.Node) -> Image | None:
        images = [self.of(value, node) for value in node.inputs]
        known = [image for image in images if image is not None]
        if len(known) != len(images) or any(len(image.terms) != 1 for image in known):
            return None
        first = known[0]
        for image in known:
            (term,) = image.terms
            same = image.is_uniform and term.factor is None
            if not same or float(term.scale.reshape(())) != float(
                first.terms[0].scale.reshape(-1)[0]
            ):
                return None
            if float(image.offset.reshape(())) != float(first.offset.reshape(-1)[0]):
                return None
        signs = [image.terms[0].sign for image in known]
        value = node.outputs[0]
        if any(sign is not own for sign, own in zip(signs, node.inputs, strict=True)):
            value = self._again(node, list(signs), value, node)
        sign = self._signs_again(value, node)
        return Image((Term(sign, first.terms[0].scale),), first.offset)

    def _padded(self, node: ir.Node) -> Image | None:
        image = self.of(node.inputs[0], node)
        if image is None or not image.is_uniform or any(t.factor is not None for t in image.terms):
            return None
        if text(node, "mode", "constant") != "constant":
            if len(image.terms) != 1:
                return None
            (term,) = image.terms
            value = node.outputs[0]
            if term.sign is not node.inputs[0]:
                value = self._again(node, [term.sign, *node.inputs[1:]], value, node)
            return Image((replace(term, sign=self._signs_again(value, node)),), image.offset)
        fill = uniform_constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(())
        if node.inputs[2:3] == (None,):
            fill = np.zeros(())
        borders = self.borders(image, None if fill is None else float(fill.reshape(())))
        if borders is None:
            return None
        terms = []
        for term, border in zip(image.terms, borders, strict=True):
            value = node.outputs[0]
            unchanged = term.sign is node.inputs[0] and fill is not None and border == fill
            if not unchanged:
                number = self.edit.constant(np.array(border, np.float32), "border")
                inputs = [term.sign, node.inputs[1], number, *node.inputs[3:]]
                value = self._again(node, inputs, value, node)
            terms.append(replace(term, sign=value))
        return Image(tuple(terms), image.offset)

    def borders(self, image: Image, fill: float | None) -> list[float] | None:
        """What each term's sign is where the value is `fill`: -1, 0 or +1, if that can be."""
        if fill is None or not image.is_uniform:
            return None
        rest = fill - float(image.offset.reshape(()))
        if rest == 0:
            return [0.0] * len(image.terms)
        (term, *others) = image.terms
        scale = float(term.scale.reshape(()))
        if others or abs(rest) != abs(scale):
            return None
        return [rest / scale]

    def _pooled(self, node: ir.Node) -> Image | None:
        image = self.of(node.inputs[0], node)
        if image is None or len(image.terms) != 1 or len(node.outputs) != 1:
            return None
        (term,) = image.terms
        if not image.is_uniform or term.factor is not None:
            return None
        scale, sign = term.scale, term.sign
        if float(scale.reshape(())) < 0:
            minus = self.edit.constant(np.array(-1, np.float32), "minus_one")
            shape = list(sign.shape or [])
            sign = self.edit.node(
                "Mul", [sign, minus], node, "negated", dtype=ir.DataType.FLOAT, shape=shape
            )
            inherit(sign, node)
            scale = -scale
        value = node.outputs[0]
        if sign is not node.inputs[0]:
            value = self._again(node, [sign], value, node)
        if not chains.is_plain_pool(node):
            value = self._signs_again(value, node)
        return Image((Term(value, scale),), image.offset)

    def _signs_again(self, value: ir.Value, node: ir.Node) -> ir.Value:
        """The signs of signs: lets them be packed again where they cannot be moved as bits."""
        following = self._next(node)
        made = self._canonical(value, False, node, following)
        return made

    def _next(self, node: ir.Node) -> ir.Node:
        """The node in front of which values made from `node` may stand."""
        graph = node.graph
        assert graph is not None
        nodes = iter(graph)
        for other in nodes:
            if other is node:
                break
        following = next(nodes, None)
        if following is None:
            following = ir.Node("", "Identity", [node.outputs[0]])
            graph.append(following)
        return following

    def _again(
        self,
        node: ir.Node,
        inputs: list[ir.Value | None] | list[ir.Value],
        like: ir.Value,
        before: ir.Node,
        index: int = 0,
    ) -> ir.Value:
        """The node once more, of other inputs."""
        made = self.edit.node(
            node.op_type,
            inputs,
            before,
            node.name or node.op_type,
            dtype=ir.DataType.FLOAT,
            shape=list(like.shape or []),
            num_outputs=len(node.outputs),
        )
        new = made.producer()
        assert new is not None
        for name, attribute in node.attributes.items():
            new.attributes[name] = attribute
        inherit(made, node)
        output = new.outputs[index]
        if index:
            output.name = self.edit.unique(f"{made.name}.{index}")
            output.dtype, output.shape = ir.DataType.FLOAT, like.shape
        return output


def _times(image: Image, number: NDArray[Any] | np.float64) -> Image:
    terms = tuple(replace(t, scale=np.asarray(t.scale * number)) for t in image.terms)
    return Image(terms, np.asarray(image.offset * number))


def _same_shape(node: ir.Node, index: int) -> bool:
    """Whether an operand has the shape of the result, and nothing is repeated along it."""
    operand = node.inputs[index]
    return operand is not None and dims(operand) == dims(node.outputs[0])


def _is_flattening(node: ir.Node) -> bool:
    return (
        node.op_type == "Flatten" and integer(node, "axis", 1) == 1
    ) or node.op_type == "Reshape"


def _is_flattened(result: ir.Value, node: ir.Node) -> bool:
    """Whether the node puts channels last, and what it gives is only reshaped."""
    return (
        node.op_type == "Transpose"
        and CHANNELS_LAST.is_perm(ints(node, "perm", []))
        and not result.is_graph_output()
        and all(use.node.op_type in ("Reshape", "Flatten") for use in result.uses())
    )


def _keeps_images(node: ir.Node) -> bool:
    """Whether the first axis stays the batch and a factor [N, 1, ...] still fits."""
    first = node.inputs[0]
    return first is not None and len(dims(first)) == len(dims(node.outputs[0]))
