"""Steps for each channel move from behind a concatenation of channels to its parts.

There they meet the binary layers that made the parts, whose epilogue computes them, see
`activations`. What each element goes through stays the same.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..ops import DOMAIN
from .channels import per_channel
from .emit import FLOAT, Emitter
from .graph import constant, dims, integer, sole_consumer

_STEPS = ("Add", "Clip", "Mul", "PRelu", "Relu", "Sub")


def move_before_concats(graph: ir.Graph, emit: Emitter) -> None:
    """Rewrites concatenations, channels last, of results of binary layers."""
    for node in list(graph):
        if node.op_type != "Concat" or node.domain != "" or not _joins_channels(node):
            continue
        concat: ir.Node | None = node
        while concat is not None:
            concat = _move_one(concat, emit)


def _joins_channels(node: ir.Node) -> bool:
    rank = len(dims(node.outputs[0]))
    parts = [value for value in node.inputs if value is not None]
    makers = [value.producer() for value in parts]
    return (
        integer(node, "axis", 0) in (rank - 1, -1)
        and all(dims(value) and dims(value)[-1] is not None for value in parts)
        and all(maker is not None and maker.domain == DOMAIN for maker in makers)
    )


def _move_one(concat: ir.Node, emit: Emitter) -> ir.Node | None:
    """The concatenation behind the step that was moved, if one was."""
    value = concat.outputs[0]
    step = sole_consumer(value)
    channels = dims(value)[-1]
    assert channels is not None
    if step is None or step.op_type not in _STEPS or step.domain != "":
        return None
    if dims(step.outputs[0]) != dims(value):
        return None
    others = [operand for operand in step.inputs if operand is not None and operand is not value]
    if any(per_channel(operand, channels) is None for operand in others):
        return None
    parts, first = [], 0
    for part in concat.inputs:
        assert part is not None
        width = dims(part)[-1]
        assert width is not None
        inputs = [
            part if operand is value else _slice(operand, first, width, emit)
            for operand in step.inputs
        ]
        shape = part.shape
        assert shape is not None
        name = step.name or step.op_type
        parts.append(
            emit.edit.node(step.op_type, inputs, step, name, dtype=FLOAT, shape=list(shape))
        )
        first += width
    whole = value.shape
    assert whole is not None
    joined = emit.edit.node(
        "Concat",
        parts,
        step,
        concat.name or "concat",
        dtype=FLOAT,
        shape=list(whole),
        attributes={"axis": integer(concat, "axis", 0)},
    )
    emit.edit.replace(step.outputs[0], joined)
    emit.edit.prune(step)
    return joined.producer()


def _slice(value: ir.Value | None, first: int, width: int, emit: Emitter) -> ir.Value | None:
    """The constant for some of the channels."""
    array = constant(value)
    if value is None or array is None or array.size == 1:
        return value
    part = np.ascontiguousarray(array[..., first : first + width])
    return emit.edit.constant(part, value.name or "constant")
