"""Running an imported model in every way there is, against the reference and LCE."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from sbn_converters.onnx import lower, write
from sbn_converters.onnx.layers import Layer
from sbn_converters.tflite.model import Model
from sbn_converters.tflite.schema import OPERATORS, Kind, Padding
from sbn_converters.tflite.to_onnx import to_onnx
from sbn_converters.tflite.write import write as write_tflite
from sbn_deploy.lce.interpreter import interpreter, is_installed
from sbn_runtime.engines.onnxruntime import session_options
from sbn_runtime.errors import UnsupportedLayerError

from . import reference

Array = NDArray[Any]


def check(
    model: Model, *images: Array, exact: bool = False, lce: bool = True, rtol: float = 1e-5
) -> list[Layer]:
    """Compares standard ONNX, packed ONNX and LCE with the reference, image by image and together.

    exact: whether results are whole numbers, which agree to the last bit. lce: whether LCE
    runs the model in the way that is expected. Returns what the layers became.
    """
    fill_in(model)
    converted = to_onnx(model)
    free = isinstance(converted.graph.inputs[0].shape[0], ir.SymbolicDim)  # type: ignore[index]
    standard = ir.serde.serialize_model(converted)
    layers = lower.lower(converted).layers
    packed = write.finish(converted, {})
    expected = [
        np.concatenate(parts) if free else parts[0]
        for parts in zip(*(reference.run(model, x) for x in images), strict=True)
    ]
    together = np.concatenate(images) if free else images[0]
    for proto in (standard, packed):
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
        )
        compare(session.run(None, {"input": together}), expected, exact=exact, rtol=rtol)
    if lce and is_installed():
        compare(
            lce_outputs(model, images[0]), reference.run(model, images[0]), exact=exact, rtol=rtol
        )
    return layers


def compare(found: list[Array], expected: list[Array], *, exact: bool, rtol: float) -> None:
    """Differences are measured against the largest expected number, or 1."""
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            scale = max(1.0, float(np.abs(b).max(initial=0)))
            np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=rtol)


def lce_outputs(model: Model, image: Array) -> list[Array]:
    """What LCE's interpreter gives."""
    outputs = interpreter(write_tflite(model), "indirect").predict([image])
    return outputs if isinstance(outputs, list) else [outputs]


def fill_in(model: Model) -> None:
    """Sets the options that are left out, as the reader does."""
    for operator in model.operators:
        for field in OPERATORS[operator.name].options.fields:
            default = () if field.kind is Kind.INTS else field.default
            operator.options.setdefault(field.name, default)


def refusal(model: Model) -> str:
    """What the import says of a model that it cannot convert."""
    fill_in(model)
    with pytest.raises(UnsupportedLayerError) as caught:
        to_onnx(model)
    return str(caught.value)


def window_size(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """Outputs of a window; below 1 where it does not fit."""
    if padding == Padding.SAME:
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1
