"""Networks that end in a softmax or sigmoid of their own."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from sbn_runtime.tasks import CLASSIFICATION, TASKS, Task, infer_task

from .graph import integer

_SOFTMAX = ("Softmax", "LogSoftmax")
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


def task_of(outputs: Sequence[ir.Value]) -> str:
    """The task that a network has unless it is said.

    It follows from the outputs' shapes, see `infer_task`; a classifier that ends in a
    sigmoid gives labels, each by itself.
    """
    task = infer_task([list(value.shape or ()) for value in outputs])
    if task == CLASSIFICATION and before_activation(outputs[0], TASKS["multilabel"])[1]:
        return "multilabel"
    return task


def before_activation(value: ir.Value, task: Task) -> tuple[ir.Value, str]:
    """The network's output before the task's activation, and how the network spelled that.

    The task's own activation then gives what the network gave, or its exponential. A
    spelling is Softmax, LogSoftmax, Exp(LogSoftmax), Log(Softmax) or Sigmoid; "" and the
    value itself where the network ends without.
    """
    node = _source(value)
    around = ""
    if task.activation == "softmax" and node is not None and node.op_type in ("Exp", "Log"):
        around = node.op_type
        node = _source(node.inputs[0])
    if node is None or node.domain != "" or node.inputs[0] is None:
        return value, ""
    inner, name = node.inputs[0], node.op_type
    if task.activation == "sigmoid":
        return (inner, name) if name == "Sigmoid" else (value, "")
    if task.activation != "softmax" or name not in _SOFTMAX or not _over(node, task.axis):
        return value, ""
    if around == "":
        return inner, name
    if (around, name) in (("Exp", "LogSoftmax"), ("Log", "Softmax")):
        return inner, f"{around}({name})"
    return value, ""


def _source(value: ir.Value | None) -> ir.Node | None:
    """What computes the value, seen through copies and casts between floats."""
    node = value.producer() if value is not None else None
    while node is not None and (node.op_type == "Identity" or _between_floats(node)):
        first = node.inputs[0]
        node = first.producer() if first is not None else None
    return node


def _between_floats(node: ir.Node) -> bool:
    first = node.inputs[0] if node.inputs else None
    return (
        node.op_type == "Cast"
        and first is not None
        and first.dtype in _FLOATS
        and node.outputs[0].dtype in _FLOATS
    )


def _over(node: ir.Node, axis: int) -> bool:
    """Whether a softmax is over this axis."""
    found = integer(node, "axis", -1)
    rank = len(node.outputs[0].shape or ())
    return found == axis or found + rank == axis
