"""Running a traced network with the signs that a file holds.

Each sign in torch is compared with the file's, then replaced by it, so that one
that fell the other way changes nothing later: what follows is compared given the
file's own signs. A sign may differ only where its argument is zero but for the
order of sums, or where the error of a noise's table decides a sample. Signs of
integers, and of fractions that floats add without rounding, may never differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from sbn_converters.onnx.graph import source_line
from sbn_converters.onnx.noise import CODES, Draw
from sbn_deploy.tracing.observed import OFTEN
from sbn_deploy.tracing.straight_through import equal_nodes

from .coded import Coded, as_traced, differing, operands, rounded_weights
from .report import TOLERANCE, mismatch

aten = torch.ops.aten

# Multiples of this below this limit are added without rounding in float32, in any order.
_STEP = 2.0**-8
_LIMIT = 2.0**14
# Batch-norms rounded another way move an argument by less than this share of a code.
_ROUNDING = 0.1
_COMPARISONS = (
    *(aten.lt.Scalar, aten.lt.Tensor, aten.le.Scalar, aten.le.Tensor),
    *(aten.gt.Scalar, aten.gt.Tensor, aten.ge.Scalar, aten.ge.Tensor),
    *(aten.eq.Scalar, aten.eq.Tensor),
)


@dataclass(frozen=True)
class Held:
    """The signs that a file holds of one traced value.

    signs: +1 or -1, [N, elements] in the order of the traced value; `negated` signs are
        +1 for arguments up to zero, others from zero on. exact: whether the file takes
        them from integers as torch does, so that there are no ties. noise: how they are
        sampled and with which random numbers [elements], if they are. edge: for a value
        that is rounded, the number halfway from which it is rounded up.
    """

    layer: str
    signs: NDArray[np.float32]
    negated: bool = False
    edge: float = 0.0
    exact: bool = False
    noise: tuple[Draw, NDArray[np.uint16]] | None = None


@dataclass(frozen=True)
class Verdict:
    """Of one layer's signs, which are wrong and which are ties, [N, elements].

    place: the module and line of the user's code that takes the sign. farthest: the
    largest argument, as a share of the layer's root mean square, whose sign differs.
    """

    wrong: NDArray[np.bool_]
    ties: NDArray[np.bool_]
    place: str
    farthest: float


class Forced(fx.Interpreter):
    """Runs a traced network with given signs.

    Args:
        network: of `Traced.network`.
        held: by traced name, the signs of the file.
        coded: by traced name, layers in 8 bits with the codes of the file, uint8 [N, elements].
        answers: names of the values to keep.
        file: what errors call the file.

    Attributes:
        verdicts: by layer.
        kept: by name, the values to keep.
    """

    def __init__(
        self,
        network: fx.GraphModule,
        held: Mapping[str, Sequence[Held]],
        coded: Mapping[str, tuple[Coded, NDArray[np.uint8]]],
        answers: Sequence[str],
        file: str,
    ) -> None:
        super().__init__(network)
        self.coded = coded
        self.held = _with_equals(network.graph, held)
        self.answers = frozenset(answers)
        self.file = file
        self.variable = _variable(network.graph)
        self.whole: set[fx.Node] = set()
        self.verdicts: dict[str, Verdict] = {}
        self.kept: dict[str, Tensor] = {}
        missing = sorted({*held, *coded} - {node.name for node in network.graph.nodes})
        if missing:
            raise mismatch(file, missing[0])

    def run_node(self, node: fx.Node) -> Any:
        """Computes a node; for signs that the file holds, compares and takes the file's."""
        if node.name in self.coded:
            result = self._of_codes(node, *self.coded[node.name])
        else:
            result = super().run_node(node)
        found = self.held.get(node.name)
        if found:
            result = self._forced(node, result, found)
        if found or (self._inputs_are_whole(node) and _is_whole(result)):
            self.whole.add(node)
        if node.name in self.answers:
            self.kept[node.name] = result
        return result

    def _of_codes(self, node: fx.Node, coded: Coded, codes: NDArray[np.uint8]) -> Any:
        """Computes a layer of the file's codes and weights, after comparing the codes."""
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        places = (0, 0) if node.target is aten.div.Tensor else operands(node)
        if places is None or args[places[0]].numel() != codes.size:
            raise mismatch(self.file, node.name)
        if node.target is aten.div.Tensor:
            x = args[0]
            given = as_traced(codes, tuple(x.shape))
            self._compare_codes(node, coded, differing(x, given, coded), codes)
            return torch.from_numpy(given.astype(np.float64) - coded.zero).to(x.dtype)
        x, weights = (args[place] for place in places)
        given = as_traced(codes, tuple(x.shape))
        self._compare_codes(node, coded, differing(x, given, coded), codes)
        made = torch.from_numpy((given.astype(np.float64) - coded.zero) * coded.step)
        changed = list(args)
        changed[places[0]] = made.to(x.dtype)
        changed[places[1]] = rounded_weights(node, weights)
        return self.call_function(node.target, tuple(changed), kwargs)

    def _compare_codes(
        self, node: fx.Node, coded: Coded, wrong: NDArray[np.bool_], codes: NDArray[np.uint8]
    ) -> None:
        wrong = wrong.reshape(len(codes), -1)
        self.verdicts[f"{coded.layer}.codes"] = Verdict(
            wrong, np.zeros_like(wrong), _place(node), 0.0
        )

    def _forced(self, node: fx.Node, result: Tensor, found: Sequence[Held]) -> Tensor:
        argument = self._argument(node, found[0].edge)
        whole = self._inputs_are_whole(node)
        # Not one row for each of the first axis, where a network makes more rows of an image.
        a = argument.double().numpy().reshape(len(found[0].signs), -1)
        # torch.sign of zero is 0, which one bit cannot hold. A zero that is one by chance is a
        # tie; others keep their 0 here, so that what the file makes of them shows.
        is_zero = (a == 0) & (node.target is aten.sign.default)
        keep_zeros = whole or bool(is_zero.mean() > OFTEN)
        up: NDArray[np.bool_] | None = None
        at_least: NDArray[np.bool_] | None = None
        for one in found:
            signs = one.signs.reshape(a.shape) > 0
            expected, close = _expected(a, one, whole or one.exact)
            differs = signs != expected
            known = self.verdicts.get(one.layer)
            wrong, ties = differs & ~close, differs & close
            if len(found) == 1 and not keep_zeros and not one.negated and one.noise is None:
                ties |= is_zero
            spread = float(np.sqrt(np.square(a).mean())) or 1.0
            farthest = float(np.abs(a[differs]).max(initial=0.0)) / spread
            if known is not None:
                wrong, ties = wrong | known.wrong, ties | known.ties
                farthest = max(farthest, known.farthest)
            self.verdicts[one.layer] = Verdict(wrong, ties, _place(node), farthest)
            if one.negated:
                up = ~signs
            else:
                at_least = signs
        wanted = _result(node, argument, result, at_least, up, found[0].edge, keep_zeros)
        if self._is_reversed(node) and ".eq" not in str(node.target):
            return ~wanted
        return wanted

    def _inputs_are_whole(self, node: fx.Node) -> bool:
        """Whether what a node is computed from is the same in every order of sums."""
        return self.whole.issuperset(node.all_input_nodes)

    def _argument(self, node: fx.Node, edge: float) -> Tensor:
        """The float whose sign a node takes."""
        operands: list[Any] = [self.env[x] if isinstance(x, fx.Node) else x for x in node.args]
        if node.target in _COMPARISONS:
            left, right = operands
            if self._is_reversed(node):
                left, right = right, left
            difference: Tensor = left - right if isinstance(left, Tensor) else -(right - left)
            return difference
        if node.target is aten.sign.default and isinstance(operands[0], Tensor):
            return operands[0]
        if node.target is aten.round.default and isinstance(operands[0], Tensor):
            shifted: Tensor = operands[0] - edge
            return shifted
        raise mismatch(self.file, node.name)

    def _is_reversed(self, node: fx.Node) -> bool:
        """Whether a comparison is of a constant with what depends on the input."""
        return node.target in _COMPARISONS and node.args[0] not in self.variable


def _variable(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that depend on the input."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def _is_whole(value: Any) -> bool:
    """Whether floats are such that sums of them are exact in any order."""
    if isinstance(value, list | tuple):
        return all(map(_is_whole, value))
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return True
    steps = value.double() / _STEP
    return bool(((steps == steps.round()) & (value.abs() < _LIMIT)).all())


def _place(node: fx.Node) -> str:
    """The module and line that a node comes from."""
    modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values() if path]
    line = source_line(node.meta.get("stack_trace") or "")
    name = str(modules[-1]) if modules else ""
    return f"{name} ({line})" if name and line else name or line


def _expected(
    a: NDArray[np.float64], held: Held, exact: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which signs are +1, and where either may be."""
    if held.noise is not None:
        return _sampled(a, *held.noise)
    up = a <= 0 if held.negated else ~(a < 0)
    if exact:
        return up, np.zeros(a.shape, np.bool_)
    return up, np.abs(a) <= TOLERANCE * np.sqrt(np.square(a).mean())


def _sampled(
    a: NDArray[np.float64], noise: Draw, numbers: NDArray[np.uint16]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The exact sampled signs, and which of them the table may sample differently."""
    r = numbers.reshape(1, -1).astype(np.float64)
    scaled = a * noise.scale
    table = noise.table
    bound = np.minimum(np.abs(scaled), CODES / table.codes * 2)
    upper = table.cdf(bound)
    limit = np.where(scaled < 0, 1 - upper, upper)
    tolerance = table.error + _ROUNDING / table.codes + 2 / 65536
    return r / 65536 < limit, np.abs(r / 65536 - limit) <= tolerance


def _result(
    node: fx.Node,
    argument: Tensor,
    result: Tensor,
    at_least: NDArray[np.bool_] | None,
    above: NDArray[np.bool_] | None,
    edge: float,
    keep_zeros: bool,
) -> Tensor:
    """What the node gives for an argument that is at least, or above, zero where said."""

    def as_tensor(bits: NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(bits.reshape(tuple(argument.shape)))

    if node.target is aten.sign.default:
        if above is None:
            assert at_least is not None
            signs = torch.where(as_tensor(at_least), 1.0, -1.0).to(result.dtype)
            if keep_zeros:
                return torch.where((argument == 0) & as_tensor(at_least), result, signs)
            return signs
        lower = result.clamp(max=0)
        if at_least is not None:
            lower = torch.where(as_tensor(at_least), 0.0, -1.0).to(result.dtype)
        return torch.where(as_tensor(above), 1.0, lower).to(result.dtype)
    bits = above if above is not None else at_least
    assert bits is not None
    wanted = as_tensor(bits)
    if node.target is aten.round.default:
        nearest = torch.where(wanted, edge + 0.5, edge - 0.5).to(result.dtype)
        return torch.where(wanted == (result > edge), result, nearest)
    name = str(node.target)
    if ".eq" in name:
        return result & (wanted == (argument >= 0))
    return wanted if ".gt" in name or ".ge" in name else ~wanted


def _with_equals(graph: fx.Graph, held: Mapping[str, Sequence[Held]]) -> dict[str, Sequence[Held]]:
    """The same signs for nodes that compute the same; the file computes them once."""
    groups: dict[fx.Node, list[str]] = {}
    for node, first in equal_nodes(graph).items():
        groups.setdefault(first, []).append(node.name)
    found: dict[str, Sequence[Held]] = {}
    for names in groups.values():
        known = next((held[name] for name in names if name in held), None)
        if known is not None:
            found.update(dict.fromkeys(names, known))
    return found
