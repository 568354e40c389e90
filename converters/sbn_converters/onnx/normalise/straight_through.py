"""Dropping what a network adds and takes away again.

Straight-through estimators leave `s - c + c` in the forward: by algebra it is s,
in floats it is s but for rounding. Sums are taken apart, and terms that stand in
them with both signs go.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common

from ..graph import Editor, dims, inherit

_MOST_TERMS = 64


def drop_straight_through(model: ir.Model) -> list[ir.Value]:
    """Rewrites sums in place; returns the values that took the place of others."""
    edit = Editor(model.graph)
    found = []
    for node in list(model.graph):
        if node.op_type in ("Add", "Sub") and node.domain == "" and node.graph is not None:
            made = _rewritten(node, edit)
            if made is not None:
                edit.replace(node.outputs[0], made)
                edit.prune(node)
                found.append(made)
    common.RemoveUnusedNodesPass()(model)
    return found


def _rewritten(node: ir.Node, edit: Editor) -> ir.Value | None:
    """The sum without the terms that cancel, or None if none does."""
    terms = _terms(node.outputs[0], 1)
    if terms is None:
        return None
    kept: list[tuple[ir.Value, int]] = []
    for value, sign in terms:
        if (value, -sign) in kept:
            kept.remove((value, -sign))
        else:
            kept.append((value, sign))
    if len(kept) == len(terms) or not kept:
        return None
    kept.sort(key=lambda term: -term[1])
    (value, sign), *rest = kept
    shape = dims(node.outputs[0])
    if all(dims(term) != shape for term, _ in kept):
        return None
    if sign < 0 or (node.outputs[0].is_graph_output() and not rest):
        return None
    for other, sign in rest:
        value = edit.node(
            "Add" if sign > 0 else "Sub",
            [value, other],
            node,
            "sum",
            dtype=node.outputs[0].dtype or ir.DataType.FLOAT,
            shape=list(node.outputs[0].shape or []),
        )
        inherit(value, node)
    return value


def _terms(value: ir.Value, sign: int) -> list[tuple[ir.Value, int]] | None:
    """The sum's terms and their signs; None if there are too many."""
    node = value.producer()
    if node is None or node.domain or node.op_type not in ("Add", "Sub", "Neg"):
        return [(value, sign)]
    found: list[tuple[ir.Value, int]] = []
    for index, operand in enumerate(node.inputs):
        if operand is None:
            return [(value, sign)]
        negated = node.op_type == "Neg" or (node.op_type == "Sub" and index == 1)
        inner = _terms(operand, -sign if negated else sign)
        if inner is None or len(found) + len(inner) > _MOST_TERMS:
            return None
        found += inner
    return found
