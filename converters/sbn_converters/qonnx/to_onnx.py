"""From a model that was read to standard ONNX of one opset, as the lowering takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx import version_converter
from onnx_ir.passes import common
from onnxscript import optimizer

from sbn_runtime.errors import ModelError, UnsupportedLayerError
from sbn_runtime.tasks import CLASSIFICATION, TASKS, find, infer_task

from ..onnx.graph import Editor, dims
from ..onnx.last_activation import before_activation
from ..ops import IR_VERSION, ONNX_OPSET
from .op import Op
from .operators import DOMAINS, OPERATORS
from .shapes import first_line, forget_shapes, infer_shapes

INPUT = "input"
_INPUTS = (ir.DataType.FLOAT, ir.DataType.UINT8)
# A gigabyte of floats.
_MAX_ELEMENTS = 1 << 28
_OTHER_FLOATS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True)
class Standard:
    """A model in standard ONNX, with the task that it has by its outputs, and its nodes before."""

    model: ir.Model
    task: str
    operators: int


def to_onnx(model: ir.Model) -> Standard:
    """The model, as `read` gives it, in standard ONNX of the opset that is lowered.

    A single input is called `input`. A network with one output that ends as a task does
    gives what the task's softmax or sigmoid is taken of, under the task's name for it;
    other outputs keep their names.

    Raises UnsupportedLayerError for what cannot be written so or is not computed in
    float32, ModelError where tensors do not fit together.
    """
    operators = len(model.graph)
    for value in model.graph.inputs:
        _check_input(value)
    model = _of_our_opset(model)
    forget_shapes(model.graph)
    _fold(model)
    edit = Editor(model.graph)
    for node in list(model.graph):
        if node.domain == DOMAINS[0]:
            op = Op(node, edit, lambda: infer_shapes(model, strict=False))
            op.become(OPERATORS[node.op_type](op))
    common.RemoveUnusedNodesPass()(model)
    model.opset_imports.clear()
    model.opset_imports[""] = ONNX_OPSET
    model.ir_version = IR_VERSION
    infer_shapes(model, strict=True)
    _check_values(model.graph)
    return Standard(model, _name_ends(model), operators)


def _fold(model: ir.Model) -> None:
    """Computes small constants, such as bit widths."""
    try:
        with np.errstate(all="ignore"):
            optimizer.fold_constants(model, onnx_shape_inference=False)
    except Exception as error:  # of an operator that cannot be computed
        raise ModelError(f"{first_line(error)}; the file is damaged") from error


def _of_our_opset(model: ir.Model) -> ir.Model:
    opset = model.opset_imports[""]
    if opset == ONNX_OPSET:
        return model
    try:
        return ir.from_proto(version_converter.convert_version(ir.to_proto(model), ONNX_OPSET))
    except Exception as error:  # the converter knows RuntimeError only, and others by accident
        raise UnsupportedLayerError(
            f"the file is of opset {opset} and cannot be written in opset {ONNX_OPSET}:"
            f" {first_line(error)}; export it with opset_version={ONNX_OPSET}"
        ) from error


def _check_input(value: ir.Value) -> None:
    shape = dims(value)
    if value.dtype not in _INPUTS:
        found = value.dtype.name.lower() if value.dtype is not None else "no tensor"
        raise UnsupportedLayerError(
            f"the input {value.name} is {found}; float32 and uint8 are supported"
        )
    sizes = [1 if size is None else size for size in shape]
    if not shape or None in shape[1:] or min(sizes) < 1:
        raise UnsupportedLayerError(
            f"the input {value.name} is {value.shape or 'of unknown rank'}; only the first size,"
            " of the batch, may be free: export the network with a fixed image size"
        )
    if math.prod(sizes) > _MAX_ELEMENTS:
        raise UnsupportedLayerError(f"the input {value.name} is larger than a gigabyte")


def _check_values(graph: ir.Graph) -> None:
    for node in graph:
        for value in node.outputs:
            if value.dtype in _OTHER_FLOATS:
                raise UnsupportedLayerError(
                    f"{node.name} ({node.op_type}) computes in {value.dtype.name.lower()};"
                    " export the network in float32"
                )
            elements = math.prod(size or 1 for size in dims(value))
            if elements > _MAX_ELEMENTS:
                raise UnsupportedLayerError(
                    f"{node.name} ({node.op_type}) computes {elements:,} numbers for one image;"
                    f" at most {_MAX_ELEMENTS:,} are supported"
                )


def _name_ends(model: ir.Model) -> str:
    """Names inputs and outputs; returns the task."""
    graph = model.graph
    task = infer_task([list(value.shape or ()) for value in graph.outputs])
    if task == CLASSIFICATION and before_activation(graph.outputs[0], TASKS["multilabel"])[1]:
        task = "multilabel"
    kind = find(task)
    if kind is not None:
        end, _ = before_activation(graph.outputs[0], kind)
        graph.outputs[0] = end
        end.name = kind.raw or kind.answer
    if len(graph.inputs) == 1:
        graph.inputs[0].name = INPUT
    common.RemoveUnusedNodesPass()(model)
    common.NameFixPass()(model)
    return task
