"""Putting the members of an ensemble into one graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from .samples import ROWS, Samples, is_sampled


def with_probabilities(
    members: list[ir.Model], names: list[str], samples: Samples | None = None
) -> ir.Model:
    """One model that answers with the averaged probabilities of its members.

    Each member has one float32 input of the same shape and one output of
    logits [N, K], or [S * N, K], sample by sample, where signs are drawn with
    `samples`. The result has the outputs `probabilities` [N, K], the mean of
    all softmax, and `logits` [N, K] for one member that draws nothing, else
    `member_logits` [M * S, N, K], member by member. What members have in common
    is kept once. `names` prefix the members' nodes and values where there are
    several.
    """
    model = members[0]
    graph = model.graph
    logits = [graph.outputs[0]]
    if len(members) > 1:
        _prefix(graph, names[0])
        for member, name in zip(members[1:], names[1:], strict=True):
            logits.append(_merge(graph, member.graph, name))
    batch = (graph.inputs[0].shape or [None])[0]
    classes = (logits[0].shape or (None, None))[1]
    sampled = is_sampled(logits[0])

    def add(
        op_type: str,
        inputs: list[ir.Value],
        name: str,
        shape: list[ir.SymbolicDim | int | str | None],
        dtype: ir.DataType = ir.DataType.FLOAT,
        **attributes: int,
    ) -> ir.Value:
        node = ir.Node(
            "", op_type, inputs, ir.convenience.convert_attributes(attributes), name=name
        )
        value = node.outputs[0]
        value.name, value.dtype, value.shape = name, dtype, ir.Shape(shape)
        graph.append(node)
        return value

    def constant(numbers: list[int], name: str) -> ir.Value:
        array = np.array(numbers, np.int64)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.INT64),
            const_value=ir.tensor(array, name=name),
        )
        graph.register_initializer(value)
        return value

    graph.outputs.clear()
    if len(members) == 1 and not sampled:
        logits[0].name = "logits"
        probabilities = add("Softmax", logits, "probabilities", [batch, classes], axis=-1)
        graph.outputs.extend([logits[0], probabilities])
    else:
        axis = constant([0], "member_axis")
        each: str | int = ROWS if sampled else 1
        shape: list[ir.SymbolicDim | int | str | None] = [each, batch, classes]
        if sampled:
            assert samples is not None
            int64 = ir.DataType.INT64
            count = add("Unsqueeze", [samples.count, axis], "sample_count", [1], int64)
            assert isinstance(classes, int)
            rest = constant([-1, classes], "images_and_classes")
            target = add("Concat", [count, rest], "samples_first", [3], int64, axis=0)
            rows = [
                add("Reshape", [value, target], f"{name}/rows", shape)
                for value, name in zip(logits, names, strict=True)
            ]
        else:
            rows = [
                add("Unsqueeze", [value, axis], f"{name}/row", shape)
                for value, name in zip(logits, names, strict=True)
            ]
        shape = ["members" if sampled else len(rows), batch, classes]
        stacked = add("Concat", rows, "member_logits", shape, axis=0)
        shares = add("Softmax", [stacked], "member_probabilities", shape, axis=-1)
        mean = add("ReduceMean", [shares, axis], "probabilities", [batch, classes], keepdims=0)
        graph.outputs.extend([stacked, mean])
    common.DeduplicateInitializersPass()(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    if sampled:
        assert samples is not None
        graph.inputs.extend(samples.inputs)
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
