"""How much memory one sample's activations take while the graph runs."""

from __future__ import annotations

import math

import onnx_ir as ir

from .graph import dims


def working_set(graph: ir.Graph) -> int:
    """Bytes of inputs and outputs of the largest node, for one sample.

    Dimensions that are not known, the batch among them, count as 1.
    """
    return max((_activations(node) for node in graph), default=0)


def _activations(node: ir.Node) -> int:
    values = [*(value for value in node.inputs if value is not None), *node.outputs]
    return sum(_bytes(value) for value in values if not value.is_initializer())


def _bytes(value: ir.Value) -> int:
    if value.dtype is None:
        return 0
    return math.prod(dim or 1 for dim in dims(value)) * value.dtype.bitwidth // 8
