"""Keeping float operators between packed ones channels-last.

Packed operators give and take floats as [N, H, W, C], the traced graph has
them as [N, C, H, W]. Where every operator between two packed ones has a form
that works on [N, H, W, C], that form is used and no transposition is left;
elsewhere the graph stays as it was traced.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .chains import channel_step, is_plain_pool, pool_attributes
from .channelwise import BatchNorm
from .emit import FLOAT, Emitter
from .graph import Dim, constant, dims, integer, ints, layer_name, sole_consumer
from .layout import CHANNELS_FIRST, CHANNELS_LAST
from .window_forms import WindowForms

# One input that varies with the image; any others are constants that hold for all elements.
_UNARY = [
    "Abs",
    "Clip",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Mish",
    "Neg",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tanh",
]
_BROADCASTING = ["Add", "Div", "Max", "Min", "Mul", "PRelu", "Sub"]


def keep_channels_last(graph: ir.Graph, emit: Emitter, why: dict[ir.Node, str]) -> None:
    """Rewrites float operators that read channels-last values; notes them as layers.

    why: for float layers, the reason that they are not binary.
    """
    _ChannelsLast(graph, emit, why).run()


class _ChannelsLast:
    def __init__(self, graph: ir.Graph, emit: Emitter, why: dict[ir.Node, str]) -> None:
        self.graph = graph
        self.emit = emit
        self.forms = WindowForms(emit, why)
        # The channels-last form of values [N, C, H, W].
        self.last: dict[ir.Value, ir.Value] = {}
        # That of values which are computed as [N, C, H, W], for those who read both forms.
        self.permuted: dict[ir.Value, ir.Value] = {}

    def run(self) -> None:
        for node in list(self.graph):
            if node.domain == "" and node.graph is not None:
                self._visit(node)
        for old, new in reversed(self.last.items()):
            traced = old.producer()
            if traced is None or traced.graph is None or traced.op_type == "Transpose":
                continue
            if old.uses() or old.is_graph_output():
                first = self.emit.channels_first(new, traced, new.name or "")
                self.emit.edit.replace(old, first)
            self.emit.edit.prune(traced)
        for left in reversed(list(self.graph)):
            if left.op_type == "Transpose" and left.graph is not None:
                self.emit.edit.prune(left)

    def _visit(self, node: ir.Node) -> None:
        if not node.inputs or node.inputs[0] is None:
            return
        value, result = node.inputs[0], node.outputs[0]
        if node.op_type == "Transpose":
            order = ints(node, "perm", [])
            if CHANNELS_FIRST.is_perm(order):
                self.last[result] = value
            elif CHANNELS_LAST.is_perm(order):
                known = self.last.get(value) or self.permuted.setdefault(value, result)
                if known is not result:
                    self._forget(node, known)
            return
        if not any(operand in self.last for operand in node.inputs):
            return
        if node.op_type in ("Reshape", "Flatten"):
            self._flatten(node, value)
            return
        if len(dims(result)) != 4 or len(node.outputs) != 1:
            self._mean_of_rows(node, value)
            return
        made = self._converted(node)
        if made is not None:
            self.last[result] = made

    def _forget(self, turning: ir.Node, value: ir.Value) -> None:
        """Lets all who read a transposition to channels last read its source."""
        result = turning.outputs[0]
        if result.is_graph_output() and (value.is_graph_output() or value.is_graph_input()):
            return
        self.emit.edit.replace(result, value)
        self.emit.edit.prune(turning)

    def _converted(self, node: ir.Node) -> ir.Value | None:
        """The channels-last form of the node's output, if it has one."""
        if node.op_type in _BROADCASTING:
            return self._broadcasting(node)
        if node.op_type == "Concat":
            return self._concat(node)
        source = node.inputs[0]
        x = self.last.get(source) if source is not None else None
        if x is None:
            return None
        if node.op_type in _UNARY:
            rest = list(node.inputs[1:])
            return self.forms.node(node.op_type, [x, *rest], node, list(node.attributes.values()))
        match node.op_type:
            case "BatchNormalization":
                return self._batch_norm(node, x)
            case "Conv":
                return self.forms.convolution(node, x)
            case "Pad":
                return self._pad(node, x)
            case "Slice":
                return self._slice(node, x)
            case "MaxPool":
                return self._max_pool(node, x)
            case "AveragePool":
                return self.forms.average_pool(node, x)
            case "GlobalAveragePool" | "ReduceMean":
                return self._mean(node, x, keepdims=1)
        return None

    # Elementwise

    def _broadcasting(self, node: ir.Node) -> ir.Value | None:
        operands: list[ir.Value | None] = []
        for value in node.inputs:
            array = constant(value)
            if value is not None and array is not None and array.ndim <= 4:
                operands.append(value if array.size == 1 else self._permuted(array, value))
            elif value is not None and len(dims(value)) == 4:
                operands.append(self._as_last(value, node))
            else:
                return None
        return self.forms.node(node.op_type, operands, node, list(node.attributes.values()))

    def _as_last(self, value: ir.Value, node: ir.Node) -> ir.Value:
        """The channels-last form of a value, transposed in front of `node` if need be."""
        if value in self.last:
            return self.last[value]
        if value not in self.permuted:
            self.permuted[value] = self.emit.channels_last(value, node, layer_name(node))
        return self.permuted[value]

    def _permuted(self, array: NDArray[np.generic], value: ir.Value) -> ir.Value:
        """A constant that broadcasts to [N, C, H, W] as one that broadcasts to [N, H, W, C]."""
        full = CHANNELS_LAST.array(array.reshape((1,) * (4 - array.ndim) + array.shape))
        while full.shape[0] == 1:
            full = full[0]
        return self.emit.edit.constant(np.ascontiguousarray(full), value.name or "constant")

    def _batch_norm(self, node: ir.Node, x: ir.Value) -> ir.Value | None:
        found = channel_step(node)
        if found is None or not isinstance(found[2], BatchNorm):
            return None
        name = layer_name(node)
        alpha = self.emit.edit.constant(found[2].alpha, f"{name}.scale")
        beta = self.emit.edit.constant(found[2].beta, f"{name}.bias")
        return self.forms.node("Add", [self.forms.node("Mul", [x, alpha], node), beta], node)

    # Moving elements

    def _concat(self, node: ir.Node) -> ir.Value | None:
        operands = [value for value in node.inputs if value is not None]
        if len(operands) != len(node.inputs) or any(len(dims(v)) != 4 for v in operands):
            return None
        values: list[ir.Value | None] = [self._as_last(value, node) for value in operands]
        axis = CHANNELS_LAST.axis(integer(node, "axis", 0))
        return self.forms.node("Concat", values, node, [ir.AttrInt64("axis", axis)])

    def _pad(self, node: ir.Node, x: ir.Value) -> ir.Value | None:
        amounts = constant(node.inputs[1])
        if amounts is None or amounts.size != 8:
            return None
        permuted = amounts.reshape(2, 4)[:, CHANNELS_LAST.perm].reshape(-1)
        pads = self.emit.edit.constant(np.ascontiguousarray(permuted), f"{layer_name(node)}.pads")
        inputs: list[ir.Value | None] = [x, pads, *node.inputs[2:3]]
        return self.forms.node("Pad", inputs, node, list(node.attributes.values()))

    def _slice(self, node: ir.Node, x: ir.Value) -> ir.Value | None:
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 else None
        if axes is None:
            return None
        permuted = np.array([CHANNELS_LAST.axis(int(axis)) for axis in axes], np.int64)
        where = self.emit.edit.constant(permuted, f"{layer_name(node)}.axes")
        inputs: list[ir.Value | None] = [x, *node.inputs[1:3], where, *node.inputs[4:]]
        return self.forms.node("Slice", inputs, node)

    def _max_pool(self, node: ir.Node, x: ir.Value) -> ir.Value | None:
        if not is_plain_pool(node):
            return None
        attributes = pool_attributes(node)
        kernel, pads = attributes["kernel_shape"], attributes["pads"]
        if any(p >= k for p, k in zip(pads, kernel * 2, strict=True)):
            return None
        source = node.inputs[0]
        assert source is not None
        relu, before, clamped = 0, source.producer(), x.producer()
        if before is not None and before.op_type == "Relu" and sole_consumer(source) is node:
            assert clamped is not None
            assert clamped.inputs[0] is not None
            x, relu = clamped.inputs[0], 1
        value = self.emit.edit.sbn(
            "FloatMaxPool",
            [x],
            node,
            layer_name(node),
            dtype=FLOAT,
            shape=self.forms.shape(node),
            attributes={**attributes, "relu": relu},
        )
        if relu:
            assert clamped is not None
            self.emit.edit.prune(clamped)
            self.last.pop(source)
        self.emit.note(value, layer_name(node), "pool", ["relu"] * relu)
        return value

    # Means over the image

    def _mean(self, node: ir.Node, x: ir.Value, *, keepdims: int) -> ir.Value | None:
        if not _is_global_mean(node):
            return None
        axes = self.emit.edit.constant(np.array([1, 2], np.int64), f"{layer_name(node)}.axes")
        shape = x.shape
        assert shape is not None
        kept: list[Dim] = [1, 1] if keepdims else []
        return self.emit.edit.node(
            "ReduceMean",
            [x, axes],
            node,
            "mean",
            dtype=FLOAT,
            shape=[shape[0], *kept, shape[3]],
            attributes={"keepdims": keepdims},
        )

    def _mean_of_rows(self, node: ir.Node, value: ir.Value) -> None:
        """A mean whose result is [N, C]."""
        if node.op_type != "ReduceMean" or value not in self.last:
            return
        made = self._mean(node, self.last[value], keepdims=0)
        if made is not None:
            self.emit.edit.replace(node.outputs[0], made)
            self.emit.edit.prune(node)

    def _flatten(self, node: ir.Node, value: ir.Value) -> None:
        """[N, C, 1, 1] as [N, C], which is the same in both layouts."""
        shape, result = dims(value), dims(node.outputs[0])
        if value not in self.last or shape[2:] != [1, 1] or result[1:] != shape[1:2]:
            return
        mean = value.producer()
        if mean is not None and _is_global_mean(mean) and mean.inputs[0] in self.last:
            source = self.last[mean.inputs[0]]
            made = self._mean(mean, source, keepdims=0)
            if made is not None:
                self.emit.edit.replace(node.outputs[0], made)
                self.emit.edit.prune(node)
            return
        node.replace_input_with(0, self.last[value])


def _is_global_mean(node: ir.Node) -> bool:
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean" or len(node.inputs) < 2:
        return False
    axes = constant(node.inputs[1])
    return axes is not None and sorted(int(axis) % 4 for axis in axes) == [2, 3]
