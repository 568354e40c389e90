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

from ..onnx.graph import Editor, dims
from ..ops import IR_VERSION, ONNX_OPSET
from .names import name_ends, name_layers
from .op import Op
from .operators import DOMAINS, OPERATORS
from .pads import give_pads
from .shapes import first_line, forget_shapes, infer_shapes

_INPUTS = (ir.DataType.FLOAT, ir.DataType.UINT8)
# Bit widths, and what else is read before shapes are known.
_SMALL = 1024
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
    _fold(model, _SMALL)
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
    _fold(model, _MAX_ELEMENTS)
    infer_shapes(model, strict=True)
    _check_values(model.graph)
    give_pads(model.graph)
    name_layers(model.graph)
    return Standard(model, name_ends(model), operators)


def _fold(model: ir.Model, largest: int) -> None:
    """Computes what depends on constants only, up to this many elements."""
    try:
        with np.errstate(all="ignore"):
            optimizer.fold_constants(
                model,
                input_size_limit=largest,
                output_size_limit=largest,
                should_fold=lambda node: node.op_type == "ConstantOfShape" or None,
            )
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
