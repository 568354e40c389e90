"""Float convolutions and average pools that work on [N, H, W, C]."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..ops import BY_NAME
from .emit import FLOAT, Emitter
from .graph import Attributes, Dim, constant, dims, integer, ints, layer_name, macs, text
from .layers import Layer
from .layout import CHANNELS_LAST

_END = np.iinfo(np.int64).max


class WindowForms:
    """Writes the channels-last forms of windows, and notes the layers among them.

    why: for float layers, the reason that they are not binary.
    """

    def __init__(self, emit: Emitter, why: dict[ir.Node, str]) -> None:
        self.emit = emit
        self.why = why

    def convolution(self, node: ir.Node, x: ir.Value) -> ir.Value | None:
        """A depthwise convolution, or one with one pixel; None for others."""
        weights = constant(node.inputs[1])
        bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if weights is None or weights.ndim != 4 or (bias is None and len(node.inputs) > 2):
            return None
        if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            return None
        outputs = len(weights)
        if bias is None:
            bias = np.zeros(outputs, np.float32)
        strides, pads = ints(node, "strides", [1, 1]), ints(node, "pads", [0, 0, 0, 0])
        group = integer(node, "group", 1)
        if group == outputs == dims(node.outputs[0])[1] and weights.shape[1] == 1 and group > 1:
            if group != dims_last(x):
                return None
            filters = weights[:, 0].transpose(1, 2, 0)
            dilations = ints(node, "dilations", [1, 1])
            value = self._depthwise(node, x, filters, bias, strides, dilations, pads)
            if value is not None:
                self._note(value, node)
            return value
        if group != 1 or weights.shape[2:] != (1, 1) or any(pads):
            return None
        return self._pointwise(node, x, weights[:, :, 0, 0].T, bias, strides)

    def _pointwise(
        self,
        node: ir.Node,
        x: ir.Value,
        weights: NDArray[np.generic],
        bias: NDArray[np.generic],
        strides: list[int],
    ) -> ir.Value:
        """A convolution with one pixel as a matrix product."""
        edit, name = self.emit.edit, layer_name(node)
        shape = self.shape(node)
        inputs, outputs = weights.shape
        if strides != [1, 1]:
            bounds = [[0, 0], [_END, _END], [1, 2], strides]
            operands = [
                edit.constant(np.array(bound, np.int64), f"{name}.slice") for bound in bounds
            ]
            x = edit.node(
                "Slice", [x, *operands], node, name, dtype=FLOAT, shape=[*shape[:3], inputs]
            )
        w = edit.constant(np.ascontiguousarray(weights, np.float32), f"{name}.weight.transposed")
        b = edit.constant(np.ascontiguousarray(bias, np.float32), f"{name}.bias.folded")
        if not all(isinstance(size, int) for size in shape[1:]):
            product = self.node("MatMul", [x, w], node)
            self._note(product, node)
            return self.node("Add", [product, b], node)
        # onnxruntime adds the bias within Gemm, but after MatMul in a pass of its own.
        rows = self._reshape(x, [-1, inputs], node, [None, inputs])
        product = edit.node("Gemm", [rows, w, b], node, name, dtype=FLOAT, shape=[None, outputs])
        self._note(product, node)
        return self._reshape(product, [-1, *shape[1:]], node, shape)

    def _reshape(
        self, value: ir.Value, target: list[Dim], node: ir.Node, shape: list[Dim]
    ) -> ir.Value:
        to = self.emit.edit.constant(np.array(target, np.int64), "shape")
        return self.emit.edit.node(
            "Reshape", [value, to], node, "reshape", dtype=FLOAT, shape=shape
        )

    def _depthwise(
        self,
        node: ir.Node,
        x: ir.Value,
        filters: NDArray[np.generic],
        bias: NDArray[np.generic],
        strides: list[int],
        dilations: list[int],
        pads: list[int],
    ) -> ir.Value | None:
        """None where the operator does not take numbers like these."""
        attributes: Attributes = {
            "channels": len(bias),
            "strides": strides,
            "dilations": dilations,
            "pads": pads,
        }
        height, width = dims(x)[1:3]
        if BY_NAME["FloatDepthwiseConv"].problem(attributes, (height, width)):
            return None
        edit, name = self.emit.edit, layer_name(node)
        w = edit.constant(np.ascontiguousarray(filters, np.float32), f"{name}.weight.last")
        b = edit.constant(np.ascontiguousarray(bias, np.float32), f"{name}.bias.folded")
        return edit.sbn(
            "FloatDepthwiseConv",
            [x, w, b],
            node,
            name,
            dtype=FLOAT,
            shape=self.shape(node),
            attributes=attributes,
        )

    def average_pool(self, node: ir.Node, x: ir.Value) -> ir.Value | None:
        """An average pool as a depthwise convolution, divided by counts at borders."""
        kernel, pads = ints(node, "kernel_shape", []), ints(node, "pads", [0, 0, 0, 0])
        channels = dims_last(x)
        if len(kernel) != 2 or channels is None or integer(node, "ceil_mode", 0):
            return None
        if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            return None
        strides, dilations = ints(node, "strides", [1, 1]), ints(node, "dilations", [1, 1])
        counts = None
        if any(pads) and not integer(node, "count_include_pad", 0):
            if dilations != [1, 1] or None in dims(x)[1:3]:
                return None
            counts = self._counts(node, x, kernel, strides, pads)
        share = 1.0 if counts is not None else 1 / (kernel[0] * kernel[1])
        filters = np.full((*kernel, channels), share, np.float32)
        bias = np.zeros(channels, np.float32)
        value = self._depthwise(node, x, filters, bias, strides, dilations, pads)
        if value is None:
            return None
        self.emit.note(value, layer_name(node), "pool", [])
        return value if counts is None else self.node("Div", [value, counts], node)

    def _counts(
        self, node: ir.Node, x: ir.Value, kernel: list[int], strides: list[int], pads: list[int]
    ) -> ir.Value:
        """How many elements of the image each window has, float32 [H, W, 1]."""
        numbers = []
        for axis in (0, 1):
            size, outputs = dims(x)[1 + axis], dims(node.outputs[0])[2 + axis]
            assert size is not None
            assert outputs is not None
            first = np.arange(outputs) * strides[axis] - pads[axis]
            last = np.minimum(first + kernel[axis], size)
            numbers.append((last - np.maximum(first, 0)).astype(np.float32))
        array = (numbers[0][:, None] * numbers[1])[..., None]
        return self.emit.edit.constant(array, f"{layer_name(node)}.counts")

    def shape(self, node: ir.Node) -> list[Dim]:
        """The shape of a node's output, channels last."""
        shape = node.outputs[0].shape
        assert shape is not None
        return CHANNELS_LAST.of(list(shape))

    def node(
        self,
        op_type: str,
        inputs: list[ir.Value | None],
        node: ir.Node,
        attributes: list[ir.Attr] | None = None,
    ) -> ir.Value:
        """A node whose output is that of `node`, channels last."""
        made = self.emit.edit.node(
            op_type, inputs, node, layer_name(node), dtype=FLOAT, shape=self.shape(node)
        )
        producer = made.producer()
        assert producer is not None
        for attribute in attributes or []:
            producer.attributes[attribute.name] = attribute
        return made

    def _note(self, value: ir.Value, traced: ir.Node) -> None:
        node = value.producer()
        assert node is not None
        name = layer_name(traced)
        why = self.why.get(traced, "")
        layer = Layer(name, node.op_type, node.name or "", "float", why=why)
        layer.macs, layer.candidate = macs(traced), traced in self.emit.candidates
        self.emit.layers[node] = layer


def dims_last(value: ir.Value) -> int | None:
    """The number of channels of a channels-last value."""
    return dims(value)[-1]
