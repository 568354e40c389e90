"""The operators that can be imported."""

from __future__ import annotations

from sbn_runtime.errors import ModelError

from ..model import Operator
from . import float_ops, lce_ops, movement_ops
from .onnx_graph import OnnxGraph, Op

_HANDLERS = float_ops.OPERATORS | lce_ops.OPERATORS | movement_ops.OPERATORS
SUPPORTED = tuple(sorted(_HANDLERS))


def convert(onnx: OnnxGraph, number: int, operator: Operator) -> None:
    """Adds one operator, the file's `number`, to the graph; it must be supported.

    Raises UnsupportedLayerError if it has no exact counterpart, ModelError if its
    tensors do not fit together, BatchIsMixed if the batch is to be free and cannot be.
    """
    try:
        _HANDLERS[operator.name](Op(onnx, number, operator))
    except (AssertionError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(
            f"operator {number} ({operator.name}): its tensors do not fit together: {error};"
            " the file is damaged"
        ) from error
