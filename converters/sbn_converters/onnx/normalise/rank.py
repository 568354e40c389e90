"""One-dimensional layers as two-dimensional ones of height 1, dense layers on rows.

The packed operators take [N, H, W, C] and [N, C]. A convolution of [N, C, L] is
one of [N, C, 1, L]; the added axis is carried on through whatever follows, so
that what stands between two layers keeps one shape. A matrix product of
[N, T, C] is one of [N * T, C].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from ..graph import Editor, constant, dims, inherit, integer, ints, layer_name, text

_ELEMENTWISE = (
    "Abs", "Add", "And", "BatchNormalization", "Cast", "Clip", "Div", "Elu", "Equal", "Erf",
    "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Less", "LessOrEqual", "Max", "Min", "Mish", "Mul", "Neg", "Not", "Or", "PRelu",
    "Pow", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Sub",
    "Tanh", "Where", "Xor",
)  # fmt: skip
_WINDOWS = ("MaxPool", "AveragePool", "Conv")
_AXIS = 2


def lift_rank(model: ir.Model) -> None:
    """Rewrites one-dimensional convolutions and dense layers on sequences in place."""
    _Lift(model.graph).run()


class _Lift:
    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.edit = Editor(graph)
        # The [N, C, 1, L] form of values [N, C, L].
        self.lifted: dict[ir.Value, ir.Value] = {}

    def run(self) -> None:
        for node in list(self.graph):
            if node.domain or node.graph is None:
                continue
            if node.op_type == "Conv" and len(dims(node.outputs[0])) == 3:
                self._window(node)
            elif node.op_type == "MatMul":
                self._rows(node)
            elif node.op_type in ("Unsqueeze", "Squeeze"):
                self._view(node)
            elif any(value in self.lifted for value in node.inputs):
                self._carry(node)

    def _view(self, node: ir.Node) -> None:
        """Axes that the network itself adds and takes away, as torch does around 1-D pools."""
        value, result = node.inputs[0], node.outputs[0]
        axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if value is None or axes is None or axes.tolist() not in ([_AXIS], [-2]):
            return
        if node.op_type == "Squeeze" and len(dims(value)) == 4 and dims(value)[_AXIS] == 1:
            self.lifted[result] = value
        elif node.op_type == "Unsqueeze" and value in self.lifted and not result.is_graph_output():
            self.edit.replace(result, self.lifted[value])
            self.edit.prune(node)

    def _carry(self, node: ir.Node) -> None:
        """Lets a node that reads lifted values work on four axes."""
        if node.op_type in _ELEMENTWISE and len(dims(node.outputs[0])) == 3:
            self._elementwise(node)
        elif node.op_type in _WINDOWS and len(dims(node.outputs[0])) == 3:
            self._window(node)
        elif node.op_type == "Pad":
            self._pad(node)
        elif node.op_type == "Concat" and all(v is not None for v in node.inputs):
            axis = integer(node, "axis", 0) % 3
            inputs = [self._lift(value, node) for value in node.inputs if value is not None]
            self._replace(node, inputs, {"axis": axis + (axis >= _AXIS)})
        elif node.op_type in ("Reshape", "Flatten") and integer(node, "axis", 1) == 1:
            self._flatten(node)

    def _flatten(self, node: ir.Node) -> None:
        """Lets a node that rearranges elements in their order read the form of four axes."""
        first, shape = node.inputs[0], dims(node.outputs[0])
        if first not in self.lifted or None in shape[1:]:
            return
        if node.op_type == "Reshape":
            target = np.array([-1, *[size or 0 for size in shape[1:]]], np.int64)
            node.replace_input_with(1, self.edit.constant(target, "shape"))
        node.replace_input_with(0, self.lifted[first])

    def _elementwise(self, node: ir.Node) -> None:
        inputs: list[ir.Value | None] = []
        for index, value in enumerate(node.inputs):
            fixed = node.op_type in ("BatchNormalization", "Clip") and index > 0
            inputs.append(value if fixed or value is None else self._lift(value, node))
        self._replace(node, inputs, {})

    def _window(self, node: ir.Node) -> None:
        """A convolution or pool with a window of height 1."""
        first = node.inputs[0]
        if first is None or text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            return
        inputs: list[ir.Value | None] = [self._lift(first, node), *node.inputs[1:]]
        kernel = ints(node, "kernel_shape", [])
        if node.op_type == "Conv" and inputs[1] is not None:
            kernel = [dims(inputs[1])[2] or 0]
            inputs[1] = self._lift(inputs[1], node)
        pads = ints(node, "pads", [0, 0])
        changed: dict[str, int | list[int]] = {
            "kernel_shape": [1, *kernel],
            "strides": [1, *ints(node, "strides", [1])],
            "dilations": [1, *ints(node, "dilations", [1])],
            "pads": [0, pads[0], 0, pads[1]],
        }
        self._replace(node, inputs, changed)

    def _pad(self, node: ir.Node) -> None:
        pads = constant(node.inputs[1])
        if pads is None or (len(node.inputs) > 3 and node.inputs[3] is not None) or pads.size != 6:
            return
        changed = np.insert(pads, [_AXIS, 3 + _AXIS], 0)
        amounts = self.edit.constant(changed.astype(np.int64), "pads")
        first = node.inputs[0]
        assert first is not None
        self._replace(node, [self._lift(first, node), amounts, *node.inputs[2:3]], {})

    def _lift(self, value: ir.Value, before: ir.Node) -> ir.Value:
        """[N, C, L] as [N, C, 1, L]; constants that broadcast to it likewise."""
        if value in self.lifted:
            return self.lifted[value]
        array, shape = constant(value), dims(value)
        if array is not None:
            if array.ndim < 2:
                return value
            return self.edit.constant(
                np.expand_dims(array, array.ndim - 1), value.name or "constant"
            )
        if len(shape) < 3:
            return value
        axes = self.edit.constant(np.array([_AXIS], np.int64), "axis")
        known = list(value.shape or [])
        made = self.edit.node(
            "Unsqueeze",
            [value, axes],
            before,
            "lifted",
            dtype=value.dtype or ir.DataType.FLOAT,
            shape=[*known[:_AXIS], 1, *known[_AXIS:]],
        )
        inherit(made, before)
        self.lifted[value] = made
        return made

    def _replace(
        self, node: ir.Node, inputs: Sequence[ir.Value | None], changed: dict[str, int | list[int]]
    ) -> None:
        """The node on four axes, and its old output as a view of the new one."""
        old = node.outputs[0]
        shape = list(old.shape or [])
        made = self.edit.node(
            node.op_type,
            inputs,
            node,
            node.name or node.op_type,
            dtype=old.dtype or ir.DataType.FLOAT,
            shape=[*shape[:_AXIS], 1, *shape[_AXIS:]],
        )
        new = made.producer()
        assert new is not None
        for name, attribute in node.attributes.items():
            if name not in changed:
                new.attributes[name] = attribute
        for attribute in ir.convenience.convert_attributes(changed):
            new.attributes[attribute.name] = attribute
        inherit(made, node)
        axes = self.edit.constant(np.array([_AXIS], np.int64), "axis")
        back = self.edit.node(
            "Squeeze",
            [made, axes],
            node,
            f"{node.name}.flat",
            dtype=old.dtype or ir.DataType.FLOAT,
            shape=shape,
        )
        inherit(back, node)
        self.edit.replace(old, back)
        # Validation looks values up under the names that they were traced with.
        made.name, old.name = old.name, made.name
        self.lifted[back] = made
        self.edit.prune(node)

    def _rows(self, node: ir.Node) -> None:
        """A product of [N, ..., K] and constant [K, O] as one of rows."""
        first, second = node.inputs[0], node.inputs[1]
        weights = constant(second)
        maker = second.producer() if second is not None else None
        if weights is None and maker is not None and maker.op_type == "Expand":
            # A batch of equal matrices.
            one = constant(maker.inputs[0])
            if one is not None and (one.ndim == 2 or (one.ndim == 3 and len(one) == 1)):
                name = maker.inputs[0].name if maker.inputs[0] is not None else None
                weights = one.reshape(one.shape[-2:])
                second = self.edit.constant(weights, name or "matrix")
        shape = list(first.shape or []) if first is not None else []
        if weights is None or weights.ndim != 2 or len(shape) < 3 or first is None:
            return
        inner = dims(first)[1:]
        if None in inner:
            return
        inputs, outputs = weights.shape
        rows = self._reshape(first, [-1, inputs], [None, inputs], node)
        product = self.edit.node(
            "MatMul",
            [rows, second],
            node,
            layer_name(node),
            dtype=ir.DataType.FLOAT,
            shape=[None, outputs],
        )
        inherit(product, node)
        back = self._reshape(product, [-1, *inner[:-1], outputs], [*shape[:-1], outputs], node)
        self.edit.replace(node.outputs[0], back)
        self.edit.prune(node)

    def _reshape(
        self, value: ir.Value, target: list[int | None], shape: list[object], node: ir.Node
    ) -> ir.Value:
        to = self.edit.constant(np.array(target, np.int64), "rows")
        made = self.edit.node(
            "Reshape",
            [value, to],
            node,
            "rows",
            dtype=ir.DataType.FLOAT,
            shape=shape,  # type: ignore[arg-type]
        )
        inherit(made, node)
        return made
