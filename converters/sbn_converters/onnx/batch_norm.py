"""Folding batch-norms into the float layers before them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .graph import Editor, constant, integer, layer_name, real, sole_consumer

_LAYERS = ("Conv", "Gemm")


def fold_batch_norms(graph: ir.Graph, edit: Editor) -> None:
    """Folds every batch-norm that only scales a float layer into its weights and bias.

    Computed in float64 and rounded once; the layer's results may round
    otherwise than before.
    """
    for node in list(graph):
        if node.op_type == "BatchNormalization" and node.domain == "":
            _fold(node, edit)


def factors(node: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """scale and shift, float64 [C], of a batch-norm x * scale + shift; None if not constant."""
    statistics = [constant(value) for value in node.inputs[1:5]]
    if any(array is None for array in statistics):
        return None
    weight, bias, mean, variance = (np.asarray(array, np.float64) for array in statistics)
    scale = weight / np.sqrt(variance + real(node, "epsilon", 1e-5))
    return scale, bias - mean * scale


def _fold(node: ir.Node, edit: Editor) -> None:
    source = node.inputs[0]
    layer = source.producer() if source is not None else None
    if source is None or layer is None or sole_consumer(source) is not node:
        return
    if layer.domain != "" or layer.op_type not in _LAYERS or len(node.outputs) != 1:
        return
    if real(layer, "alpha", 1.0) != 1.0 or real(layer, "beta", 1.0) != 1.0:
        return
    weights = constant(layer.inputs[1])
    bias = constant(layer.inputs[2]) if len(layer.inputs) > 2 else np.zeros(1)
    found = factors(node)
    if weights is None or bias is None or found is None:
        return
    scale, shift = found
    outputs = 0 if layer.op_type == "Conv" or integer(layer, "transB", 0) else 1
    along = np.moveaxis(weights.astype(np.float64), outputs, -1) * scale
    folded = np.ascontiguousarray(np.moveaxis(along, -1, outputs), np.float32)
    moved = bias.astype(np.float64).reshape(-1) * scale + shift
    name = layer_name(layer)
    new_weights = edit.constant(folded, f"{name}.folded_weight")
    new_bias = edit.constant(moved.astype(np.float32), f"{name}.folded_bias")
    layer.resize_inputs(3)
    layer.replace_input_with(1, new_weights)
    layer.replace_input_with(2, new_bias)
    edit.replace(node.outputs[0], source)
    edit.prune(node)
