"""Putting the members of an ensemble into one graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common


def with_probabilities(members: list[ir.Model], names: list[str]) -> ir.Model:
    """One model that answers with the averaged probabilities of its members.

    Each member has one float32 input of the same shape and one output of
    logits [N, K]. The result has the outputs `probabilities` [N, K], the mean
    of the members' softmax, and `logits` [N, K] for one member or
    `member_logits` [M, N, K] for several. What members have in common is kept
    once. `names` prefix the members' nodes and values where there are several.
    """
    model = members[0]
    graph = model.graph
    logits = [graph.outputs[0]]
    if len(members) > 1:
        _prefix(graph, names[0])
        for member, name in zip(members[1:], names[1:], strict=True):
            logits.append(_merge(graph, member.graph, name))
    batch, classes = (logits[0].shape or (None, None))[:2]

    def add(
        op_type: str,
        inputs: list[ir.Value],
        name: str,
        shape: list[ir.SymbolicDim | int | None],
        **attributes: int,
    ) -> ir.Value:
        node = ir.Node(
            "", op_type, inputs, ir.convenience.convert_attributes(attributes), name=name
        )
        value = node.outputs[0]
        value.name, value.dtype, value.shape = name, ir.DataType.FLOAT, ir.Shape(shape)
        graph.append(node)
        return value

    graph.outputs.clear()
    if len(members) == 1:
        logits[0].name = "logits"
        probabilities = add("Softmax", logits, "probabilities", [batch, classes], axis=-1)
        graph.outputs.extend([logits[0], probabilities])
    else:
        axis = ir.Value(
            name="member_axis",
            shape=ir.Shape([1]),
            type=ir.TensorType(ir.DataType.INT64),
            const_value=ir.tensor(np.zeros(1, np.int64), name="member_axis"),
        )
        graph.register_initializer(axis)
        rows = [
            add("Unsqueeze", [value, axis], f"{name}/row", [1, batch, classes])
            for value, name in zip(logits, names, strict=True)
        ]
        stacked = add("Concat", rows, "member_logits", [len(rows), batch, classes], axis=0)
        shares = add(
            "Softmax", [stacked], "member_probabilities", [len(rows), batch, classes], axis=-1
        )
        mean = add("ReduceMean", [shares, axis], "probabilities", [batch, classes], keepdims=0)
        graph.outputs.extend([stacked, mean])
    common.DeduplicateInitializersPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    return model


def _prefix(graph: ir.Graph, prefix: str) -> None:
    for value in list(graph.initializers.values()):
        value.name = f"{prefix}/{value.name}"
    for node in graph:
        node.name = f"{prefix}/{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}/{value.name}"


def _merge(graph: ir.Graph, other: ir.Graph, prefix: str) -> ir.Value:
    """Moves the other graph's nodes and constants over; returns its logits."""
    _prefix(other, prefix)
    output = other.outputs[0]
    other.outputs.clear()
    other.inputs[0].replace_all_uses_with(graph.inputs[0])
    nodes = list(other)
    other.remove(nodes)
    initializers = list(other.initializers.values())
    other.initializers.clear()
    for value in initializers:
        graph.register_initializer(value)
    graph.extend(nodes)
    return output
