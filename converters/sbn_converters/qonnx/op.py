"""One operator that is being written in standard ONNX."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sbn_runtime.errors import ModelError, UnsupportedLayerError

from ..onnx.graph import Editor, constant

Array = NDArray[np.generic]


class Op:
    """The operator's inputs and attributes, and the nodes that take its place.

    infer_shapes: finds the shapes of all that comes before the operator.
    """

    def __init__(self, node: ir.Node, edit: Editor, infer_shapes: Callable[[], None]) -> None:
        self.inputs = len(node.inputs)
        self._node = node
        self._edit = edit
        self._infer_shapes = infer_shapes
        self._name = node.name or node.outputs[0].name or node.op_type
        self.where = f"{self._name} ({node.op_type})"

    def input(self, index: int) -> ir.Value:
        """Input number `index`. Raises ModelError if there is none."""
        value = self._node.inputs[index] if index < self.inputs else None
        if value is None:
            raise self.damaged(f"it lacks input {index}")
        return value

    def array(self, index: int) -> Array:
        """An input's constant. Raises UnsupportedLayerError if it is computed."""
        array = constant(self.input(index))
        if array is None:
            raise self.unsupported(f"its input {index} is computed; it must be a constant")
        return array

    def rank(self, index: int) -> int:
        """The number of an input's dimensions. Raises ModelError if it cannot be known."""
        value = self.input(index)
        if value.shape is None:
            self._infer_shapes()
        if value.shape is None:
            raise self.damaged(f"the shape of its input {index} cannot be inferred")
        return len(value.shape)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """An attribute of 0 or 1. Raises ModelError if it is missing without a default."""
        attribute = self._node.attributes.get(name)
        if attribute is None and default is not None:
            return default
        if attribute is None or attribute.type != ir.AttributeType.INT:
            raise self.damaged(f"it needs the integer attribute {name}")
        return bool(attribute.as_int())

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        attribute = self._node.attributes.get(name)
        if attribute is None:
            return default
        if attribute.type == ir.AttributeType.INT:
            return float(attribute.as_int())
        if attribute.type != ir.AttributeType.FLOAT:
            raise self.damaged(f"its attribute {name} is not a number")
        return attribute.as_float()

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        attribute = self._node.attributes.get(name)
        if attribute is None:
            return default
        if attribute.type != ir.AttributeType.STRING:
            raise self.damaged(f"its attribute {name} is not text")
        return attribute.as_string()

    def add(self, op_type: str, *inputs: ir.Value | Array | float, part: str = "") -> ir.Value:
        """A node of standard ONNX in front of the operator, called OPERATOR.part; its output."""
        name = self._edit.unique(f"{self._name}.{part or op_type.lower()}")
        values = [
            given
            if isinstance(given, ir.Value)
            else self._edit.constant(np.asarray(given, np.float32), f"{name}.constant")
            for given in inputs
        ]
        node = ir.Node("", op_type, values, name=name)
        node.outputs[0].name = self._edit.unique(f"{name}.out")
        self._edit.graph.insert_before(self._node, node)
        return node.outputs[0]

    def become(self, result: ir.Value) -> None:
        """Lets the result take the operator's place; quantised weights keep the weights' name."""
        old = self._node.outputs[0]
        result.shape, result.type = old.shape, old.type
        source = self._node.inputs[0]
        self._edit.replace(old, result)
        if source is not None and source.is_initializer() and not result.is_graph_output():
            kept = source.name or ""
            source.name = self._edit.unique(f"{kept}.latent")
            result.name = kept
        self._edit.graph.remove(self._node, safe=True)

    def damaged(self, what: str) -> ModelError:
        """What is wrong with the file, at this operator."""
        return ModelError(f"{self.where}: {what}; the file is damaged")

    def unsupported(self, what: str) -> UnsupportedLayerError:
        """What of this operator is not supported."""
        return UnsupportedLayerError(f"{self.where}: {what}")
