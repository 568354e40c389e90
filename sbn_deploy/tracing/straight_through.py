"""Drops terms that a recorded network adds and subtracts again, before torch's exporter sees them.

The exporter takes most of its time for such terms: the straight-through polynomial of
Bi-Real Net is two thirds of its operations. `sbn_converters.onnx.normalise.straight_through`
does the same for graphs that come from elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

aten = torch.ops.aten

_MOST_TERMS = 64
_Term = tuple[fx.Node, int]


def drop_straight_through(graph: fx.Graph) -> None:
    """Rewrites sums `s - c + c` in place; nodes have their shape as `meta["shape"]`.

    A graph with operations that write into tensors stays as it is: order matters there.
    """
    if any(is_writing(node) for node in graph.nodes):
        return
    same = equal_nodes(graph)
    for node in list(graph.nodes):
        if node.target in (aten.add.Tensor, aten.sub.Tensor):
            made = _rewritten(node, same)
            if made is not None:
                node.replace_all_uses_with(made)


def is_writing(node: fx.Node) -> bool:
    """Whether a node changes a tensor in place."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def equal_nodes(graph: fx.Graph) -> dict[fx.Node, fx.Node]:
    """By node, the first one that computes the same from the same."""
    first: dict[Any, fx.Node] = {}
    found: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        key: Any = node
        if node.op == "call_function" and not is_writing(node):
            args = fx.node.map_arg((node.args, node.kwargs), lambda n: found[n])
            key = (node.target, repr(args))
        elif node.op == "get_attr":
            key = node.target
        found[node] = first.setdefault(key, node)
    return found


def _rewritten(node: fx.Node, same: dict[fx.Node, fx.Node]) -> fx.Node | None:
    """The sum without the terms that cancel, or None if none does."""
    terms = _terms(node, 1)
    if terms is None:
        return None
    kept: list[_Term] = []
    for value, sign in terms:
        opposite = next((t for t in kept if same[t[0]] is same[value] and t[1] == -sign), None)
        if opposite is not None:
            kept.remove(opposite)
        else:
            kept.append((value, sign))
    if len(kept) == len(terms) or not kept:
        return None
    kept.sort(key=lambda term: -term[1])
    (value, sign), *rest = kept
    whole = node.meta.get("shape")
    if sign < 0 or all(term.meta.get("shape") != whole for term, _ in kept):
        return None
    with node.graph.inserting_before(node):
        for other, sign in rest:
            target = aten.add.Tensor if sign > 0 else aten.sub.Tensor
            value = node.graph.call_function(target, (value, other))
            value.meta.update(node.meta)
            same[value] = value
    return value


def _terms(node: fx.Node, sign: int) -> list[_Term] | None:
    """The sum's terms and their signs; None if there are too many."""
    signs: dict[Any, tuple[int, ...]] = {
        aten.add.Tensor: (1, 1),
        aten.sub.Tensor: (1, -1),
        aten.neg.default: (-1,),
    }
    own = signs.get(node.target) if not node.kwargs else None
    if own is None or not all(isinstance(operand, fx.Node) for operand in node.args):
        return [(node, sign)]
    found: list[_Term] = []
    for operand, factor in zip(node.args, own, strict=True):
        assert isinstance(operand, fx.Node)
        inner = _terms(operand, sign * factor)
        if inner is None or len(found) + len(inner) > _MOST_TERMS:
            return None
        found += inner
    return found
