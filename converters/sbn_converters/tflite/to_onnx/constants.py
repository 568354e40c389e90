"""Computing, once and for all, what a TFLite model computes from its constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError

from ..model import ABSENT, Model, Operator
from .onnx_graph import OnnxGraph
from .operators import convert

Numbered = tuple[int, Operator]


def split_constants(
    model: Model, operators: list[Numbered]
) -> tuple[list[Numbered], list[Numbered]]:
    """The operators whose inputs are all constants, and the others."""
    known = {index for index, tensor in enumerate(model.tensors) if tensor.data is not None}
    fixed, others = [], []
    for number, operator in operators:
        if known.issuperset(index for index in operator.inputs if index != ABSENT):
            known.update(operator.outputs)
            fixed.append((number, operator))
        else:
            others.append((number, operator))
    return fixed, others


def with_values(
    model: Model,
    fixed: list[Numbered],
    others: list[Numbered],
) -> Model:
    """The model with what operators compute from constants as constants."""
    onnx = OnnxGraph(model, None)
    for number, operator in fixed:
        convert(onnx, number, operator)
    read = {index for _, operator in others for index in operator.inputs} | set(model.outputs)
    found = [index for _, operator in fixed for index in operator.outputs if index in read]
    for index in found:
        onnx.add_output(index, f"tensor_{index}_value")
    tensors = list(model.tensors)
    for index, value in zip(found, _outputs(onnx), strict=True):
        data = _packed(value) if index in onnx.signs else value
        tensors[index] = replace(tensors[index], data=data)
    return replace(model, tensors=tensors)


def _outputs(onnx: OnnxGraph) -> list[NDArray[np.generic]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            ir.serde.serialize_model(onnx.ir_model()).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        outputs: list[NDArray[np.generic]] = session.run(None, {})
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise ModelError(
            f"what the model computes from constants cannot be computed: {error}"
        ) from error
    return outputs


def _packed(signs: NDArray[np.generic]) -> NDArray[np.int32]:
    """Floats [..., C] of +1 and -1 as int32 [..., ceil(C/32)], as TFLite files hold them."""
    channels = signs.shape[-1]
    bits = np.zeros((*signs.shape[:-1], -(-channels // 32) * 32), np.uint8)
    bits[..., :channels] = signs == -1
    return np.packbits(bits, axis=-1, bitorder="little").view("<i4").astype(np.int32)
