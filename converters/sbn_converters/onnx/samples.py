"""Samples of a network whose signs are drawn: which to draw, and what they share.

From the first drawn signs on, values have one row for each sample and image,
sample by sample; what comes before is computed once for each image.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..ops import DOMAIN
from .graph import Dim, Editor

SEED, FIRST, COUNT = "seed", "first_sample", "samples"
ROWS = "rows"


class Samples:
    """The graph inputs that say which samples to draw, shared by all members.

    `inputs` are int64 scalars: the seed, the first sample and how many.
    """

    def __init__(self) -> None:
        self.inputs = [
            ir.Value(name=name, shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT64))
            for name in (SEED, FIRST, COUNT)
        ]
        self._layers = 0

    @property
    def count(self) -> ir.Value:
        """How many samples, int64 []."""
        return self.inputs[2]

    def next_layer(self) -> int:
        """A number that no other layer has."""
        self._layers += 1
        return self._layers - 1


def is_sampled(value: ir.Value | None) -> bool:
    """Whether the value has one row for each sample and image."""
    shape = value.shape if value is not None else None
    first = shape[0] if shape is not None and len(shape) else None
    return isinstance(first, ir.SymbolicDim) and first.value == ROWS


def repeat_shared(graph: ir.Graph, edit: Editor, samples: Samples) -> None:
    """Lets the first drawn signs fan out, and repeats what is read both before and after."""
    sampled: set[ir.Value] = set()
    repeated: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        drawn = node.domain == DOMAIN and node.op_type == "StochasticSign"
        if not drawn and not any(value in sampled for value in node.inputs):
            continue
        if drawn:
            fan_out = int(node.inputs[0] not in sampled)
            node.attributes["fan_out"] = ir.AttrInt64("fan_out", fan_out)
        else:
            for index, value in enumerate(node.inputs):
                if value is None or value in sampled or not _has_rows(value, graph):
                    continue
                if value not in repeated:
                    repeated[value] = _repeat(value, node, edit, samples)
                node.replace_input_with(index, repeated[value])
        for value in node.outputs:
            sampled.add(value)
            if value.shape is not None and len(value.shape):
                value.shape = ir.Shape([ROWS, *value.shape[1:]])


def _has_rows(value: ir.Value, graph: ir.Graph) -> bool:
    """Whether the value varies with the image."""
    if value in graph.inputs:
        return True
    node = value.producer()
    return node is not None and any(
        operand is not None and _has_rows(operand, graph) for operand in node.inputs
    )


def _repeat(value: ir.Value, before: ir.Node, edit: Editor, samples: Samples) -> ir.Value:
    """All rows of the value once for each sample."""
    shape: list[Dim] = list(value.shape or [])
    assert value.dtype is not None
    int64 = ir.DataType.INT64
    axis = edit.constant(np.zeros(1, np.int64), "axis")
    ones = edit.constant(np.ones(max(len(shape) - 1, 0), np.int64), "ones")
    count = edit.node("Unsqueeze", [samples.count, axis], before, "count", dtype=int64, shape=[1])
    times = edit.node(
        "Concat",
        [count, ones],
        before,
        "times",
        dtype=int64,
        shape=[len(shape)],
        attributes={"axis": 0},
    )
    return edit.node(
        "Tile", [value, times], before, "repeated", dtype=value.dtype, shape=[ROWS, *shape[1:]]
    )
