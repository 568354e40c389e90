"""Folding what depends on no input, and dropping what changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common
from onnxscript import optimizer

from ..graph import Editor, constant, dims, inherit, ints
from .uniform import uniform_constant

# onnxscript keeps results above 8,192 elements unless told otherwise: 31 channels of 3x3.
_ANY_SIZE = 1 << 40
# Equal bounds are shared, so that equal computations are seen as such; weights keep their names.
_ONE_ELEMENT = 1
_BROADCASTING = (
    "Add", "Sub", "Mul", "Div", "Where", "Less", "LessOrEqual", "Greater", "GreaterOrEqual",
    "Equal", "Max", "Min", "PRelu", "Pow",
)  # fmt: skip


def fold(model: ir.Model) -> None:
    """Folds constants of any size, shares equal values, and drops neutral operations."""
    optimizer.fold_constants(model, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE)
    common.DeduplicateInitializersPass(size_limit=_ONE_ELEMENT)(model)
    common.CommonSubexpressionEliminationPass()(model)
    # The parts of what one operation became have no shapes yet.
    common.ShapeInferencePass()(model)
    edit = Editor(model.graph)
    for node in list(model.graph):
        if node.domain == "" and node.graph is not None:
            _narrow_operands(node, edit)
            _join_moves(node, edit)
            _drop_neutral(node, edit)
            _limit(node, edit)
    common.RemoveUnusedNodesPass()(model)


def _narrow_operands(node: ir.Node, edit: Editor) -> None:
    """Lets an operation that broadcasts read a constant instead of its expansion.

    Files of other exporters hold some constants expanded to the size of the image.
    """
    if node.op_type not in _BROADCASTING:
        return
    whole = dims(node.outputs[0])
    for index, value in enumerate(node.inputs):
        others = [v for i, v in enumerate(node.inputs) if i != index and v is not None]
        if value is None or not any(dims(other) == whole for other in others):
            continue
        own, maker, name = constant(value), value.producer(), value.name
        array: NDArray[Any] | None = None
        if own is not None and len(whole) == 4:
            array = _same_everywhere(own)
        elif own is None and maker is not None and maker.op_type == "Expand":
            array = uniform_constant(value)
            name = maker.inputs[0].name if maker.inputs[0] is not None else None
        if array is not None:
            node.replace_input_with(index, edit.constant(np.asarray(array), name or "constant"))


def _same_everywhere(array: NDArray[Any]) -> NDArray[Any] | None:
    """One pixel of a constant [..., H, W] that is the same in all; None if it is not."""
    narrow = array
    for axis in range(-min(2, array.ndim), 0):
        first = narrow.take([0], axis)
        if (narrow == first).all():
            narrow = first
    return narrow if narrow.size < array.size else None


def _join_moves(node: ir.Node, edit: Editor) -> None:
    """Lets a transposition read what another transposed, and a reshaping what another reshaped."""
    before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if before is None or before.op_type != node.op_type or before.domain:
        return
    if node.op_type == "Transpose":
        first, second = ints(before, "perm", []), ints(node, "perm", [])
        order = [first[axis] for axis in second] if len(first) == len(second) else []
        if not order:
            return
        if order == sorted(order) and not node.outputs[0].is_graph_output():
            assert before.inputs[0] is not None
            edit.replace(node.outputs[0], before.inputs[0])
            return
        node.attributes["perm"] = ir.AttrInt64s("perm", order)
    elif node.op_type == "Reshape":
        target = constant(node.inputs[1])
        if target is None or 0 in target:  # a size that is copied from the input
            return
    else:
        return
    node.replace_input_with(0, before.inputs[0])


def _drop_neutral(node: ir.Node, edit: Editor) -> None:
    """x + 0, x * 1, x - 0, x / 1, casts to the own type, and products with nothing but 0."""
    result, first = node.outputs[0], node.inputs[0] if node.inputs else None
    if first is None:
        return
    if node.op_type in ("Identity", "Dropout") and len(node.outputs) == 1:
        # An output must stay another value than an input.
        if not (result.is_graph_output() and (first.is_graph_input() or first.is_graph_output())):
            edit.replace(result, first)
        return
    if node.op_type == "Cast" and first.dtype is not None and first.dtype == result.dtype:
        if not result.is_graph_output():
            edit.replace(result, first)
        return
    if result.is_graph_output():
        return
    if node.op_type == "Reshape" and dims(first) and dims(first) == dims(result):
        if dims(first).count(None) <= 1:
            edit.replace(result, first)
        return
    if node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return
    for index in (1, 0):
        array, other = uniform_constant(node.inputs[index]), node.inputs[1 - index]
        if array is None or other is None or (index == 0 and node.op_type in ("Sub", "Div")):
            continue
        if node.op_type == "Mul" and not array.any() and len(dims(result)) > 0:
            zero = edit.constant(np.zeros((1,) * len(dims(result)), np.float32), "zero")
            _read_constant(result, zero, edit)
            return
        neutral = 0 if node.op_type in ("Add", "Sub") else 1
        if (array == neutral).all() and dims(other) == dims(result):
            edit.replace(result, other)
            return


def _limit(node: ir.Node, edit: Editor) -> None:
    """Max and Min with one number as Clip, two that follow each other as one."""
    if node.op_type not in ("Max", "Min") or len(node.inputs) != 2:
        return
    result = node.outputs[0]
    for index in (0, 1):
        number, value = uniform_constant(node.inputs[index]), node.inputs[1 - index]
        if number is None or number.size != 1 or value is None or dims(value) != dims(result):
            continue
        if value.dtype != ir.DataType.FLOAT or uniform_constant(value) is not None:
            return
        before = value.producer()
        low: ir.Value | None = edit.constant(number.reshape(()).astype(np.float32), "limit")
        high: ir.Value | None = None
        if node.op_type == "Min":
            low, high = None, low
            lower = before.inputs[1:2] if before is not None and before.op_type == "Clip" else ()
            known = constant(lower[0]) if lower else None
            alone = before is not None and len(before.inputs) == 2
            if alone and known is not None and float(known) <= float(number.reshape(())):
                assert before is not None
                value, low = before.inputs[0], lower[0]
        made = edit.node(
            "Clip", [value, low, high] if high is not None else [value, low],
            node, "clip", dtype=ir.DataType.FLOAT, shape=list(result.shape or []),
        )  # fmt: skip
        inherit(made, node)
        edit.replace(result, made)
        edit.prune(node)
        return


def _read_constant(value: ir.Value, array: ir.Value, edit: Editor) -> None:
    """Lets sums read a broadcasting constant instead of the value."""
    for use in list(value.uses()):
        others = [v for i, v in enumerate(use.node.inputs) if i != use.idx and v is not None]
        sum_of = use.node.op_type in ("Add", "Sub") and not use.node.domain
        if sum_of and any(dims(v) == dims(use.node.outputs[0]) for v in others):
            use.node.replace_input_with(use.idx, array)
            _drop_neutral(use.node, edit)
