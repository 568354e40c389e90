"""Models that take any number of images."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from sbn_runtime.errors import ModelError

from ..onnx.graph import Editor, dims
from .shapes import forget_shapes, infer_shapes

BATCH = "N"


def with_free_batch(model: ir.Model) -> ir.Model | None:
    """A copy that takes any number N of images, or None where shapes are against it.

    A size that is fixed becomes free, also where tensors are reshaped. That images are
    computed independently of each other is not looked at.
    """
    copy = ir.from_proto(ir.to_proto(model))
    sizes = {dims(value)[0] for value in copy.graph.inputs}
    if len(sizes) != 1:
        return None
    (batch,) = sizes
    if batch is not None:
        _free_reshapes(copy.graph, batch)
    return _with_batch(copy, BATCH)


def with_fixed_batch(model: ir.Model) -> ir.Model:
    """A copy that takes as many images as the file, or one where the file leaves it open."""
    copy = ir.from_proto(ir.to_proto(model))
    if all(dims(value)[0] is not None for value in copy.graph.inputs):
        return copy
    fixed = _with_batch(copy, 1)
    if fixed is None:
        raise ModelError("the tensors do not fit together for a batch of 1; the file is damaged")
    return fixed


def _free_reshapes(graph: ir.Graph, batch: int) -> None:
    """Lets a Reshape to [batch, ...] take any number of images."""
    edit = Editor(graph)
    for node in graph:
        shape = dims(node.outputs[0])
        if node.op_type != "Reshape" or not shape or shape[0] != batch or not all(shape):
            continue
        target = np.array([-1, *shape[1:]], np.int64)
        node.replace_input_with(1, edit.constant(target, f"{node.name}.shape"))


def _with_batch(model: ir.Model, batch: int | str) -> ir.Model | None:
    """The model with this number of images, if shapes allow for it."""
    ends = model.graph.outputs
    for value in model.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([batch, *list(value.shape)[1:]])
    ranks = [len(value.shape or ()) for value in ends]
    forget_shapes(model.graph)
    try:
        infer_shapes(model, strict=True)
    except ModelError:
        return None
    for value, rank in zip(ends, ranks, strict=True):
        shape = list(value.shape or ())
        if not rank or len(shape) != rank or (batch == BATCH) == isinstance(shape[0], int):
            return None
        value.shape = ir.Shape([batch, *shape[1:]])
    return model
