"""Constants that a graph spells as computations on shapes, such as `ones_like(x)`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..graph import constant

_SAME = ("Identity", "Cast", "CastLike", "Expand", "Neg", "Mul", "Add", "Sub")
_RESHAPING = ("Unsqueeze", "Squeeze", "Reshape", "Flatten")


def uniform_constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The value's constant, up to broadcasting: `Expand(c, shape of x)` is c."""
    if value is None:
        return None
    array = constant(value)
    if array is not None:
        return _narrow(array)
    node = value.producer()
    if node is None or node.domain or not node.inputs:
        return None
    if node.op_type == "ConstantOfShape":
        fill = node.attributes.get("value")
        if fill is None:
            return np.zeros((), np.float32)
        return fill.as_tensor().numpy().reshape(())
    if node.op_type in _RESHAPING:
        one = uniform_constant(node.inputs[0])
        return one if one is not None and one.size == 1 else None
    if node.op_type not in _SAME:
        return None
    first = uniform_constant(node.inputs[0])
    if first is None:
        return None
    match node.op_type:
        case "Expand" | "Identity":
            return first
        case "Cast":
            return first.astype(ir.DataType(node.attributes["to"].as_int()).numpy())
        case "CastLike":
            kind = node.inputs[1].dtype if node.inputs[1] is not None else None
            return first if kind is None else first.astype(kind.numpy())
        case "Neg":
            return -first
    second = uniform_constant(node.inputs[1])
    if second is None:
        return None
    if node.op_type == "Mul":
        return np.asarray(first * second)
    return np.asarray(first + second if node.op_type == "Add" else first - second)


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """The array with one element along each axis on which it does not vary."""
    for axis, size in enumerate(array.shape):
        if size > 1 and (array == np.take(array, [0], axis)).all():
            array = np.take(array, [0], axis)
    return array.reshape(()) if array.size == 1 else array
