"""Dropping from a graph what nothing reads: names and shapes that can be inferred."""

from __future__ import annotations

from itertools import count

import onnx_ir as ir

from ..ops import DOMAIN

# Operators that are layers, whose names `inspect` shows.
FLOAT_LAYERS = ("Conv", "Gemm", "MatMul")


def shorten(graph: ir.Graph) -> None:
    """Numbers all values but inputs and outputs, and drops the names of nodes that are no layer.

    Shapes stay where inference would need a function's body to find them.
    """
    kept = {value.name for value in [*graph.inputs, *graph.outputs]}
    # A name that is about to be given up still belongs to another value until then.
    present = kept.union(graph.initializers, (v.name for node in graph for v in node.outputs))
    numbers = (name for name in map(_letters, count()) if name not in present)
    for value in list(graph.initializers.values()):
        if value.name not in kept:
            value.name = next(numbers)
    for node in graph:
        ours = node.domain == DOMAIN
        if not ours and node.op_type not in FLOAT_LAYERS:
            node.name = ""
        for value in node.outputs:
            if value.name in kept:
                continue
            value.name = next(numbers)
            if not ours:
                value.shape = None
                value.type = None


def _letters(number: int) -> str:
    """0, 1, ... as a, b, ..., z, aa, ab, ..."""
    letters = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        letters = chr(ord("a") + digit) + letters
    return letters
