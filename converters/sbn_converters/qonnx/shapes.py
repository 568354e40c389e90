"""Shapes of values, as onnx infers them."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from sbn_runtime.errors import ModelError


def forget_shapes(graph: ir.Graph) -> None:
    """Drops all shapes but those of inputs and constants, from which the others follow."""
    for node in graph:
        for value in node.outputs:
            value.shape = None


def infer_shapes(model: ir.Model, *, strict: bool) -> None:
    """Finds shapes and types. Raises ModelError where they do not fit, strict or not."""
    try:
        proto = onnx.shape_inference.infer_shapes(
            ir.to_proto(model), check_type=strict, strict_mode=strict, data_prop=True
        )
    except Exception as error:  # InferenceError, and others by accident
        raise ModelError(
            f"the tensors do not fit together: {first_line(error)}; the file is damaged"
        ) from error
    inferred = {value.name: value for node in ir.from_proto(proto).graph for value in node.outputs}
    for node in model.graph:
        for value in node.outputs:
            found = inferred.get(value.name)
            if found is not None and found.type is not None:
                value.shape, value.type = found.shape, found.type


def first_line(error: Exception) -> str:
    """What an error of another package says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
