"""Layers of scaled signs and scaled sign weights, as layers of signs and what follows them.

(scale_x s + offset_x) * (scale_w b + offset_w) is a layer of s and b times one number
for each filter, plus one number for each filter; at a border padded with 0 the
latter varies. Where `s` is a sum of signs there is one layer for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..chains import is_plain_gemm
from ..graph import (
    Dim,
    Editor,
    constant,
    dims,
    inherit,
    integer,
    ints,
    layer_name,
    text,
    traced_line,
)
from .accumulators import Accumulators
from .images import Image, ImageFinder, Term
from .uniform import uniform_constant
from .weights import ScaledSigns, scaled_signs

Float64 = NDArray[np.float64]
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")

# Move numbers, or put a border around them.
_ARRANGING = ("Transpose", "Unsqueeze", "Squeeze", "Reshape", "Pad", "Identity", "Cast")


@dataclass(frozen=True)
class _Layer:
    """A convolution or dense layer; weights [O, ...]."""

    node: ir.Node
    weights: NDArray[Any]
    bias: Float64
    group: int

    @property
    def is_convolution(self) -> bool:
        return self.node.op_type == "Conv"

    @property
    def outputs(self) -> int:
        return len(self.weights)


class BinaryLayers:
    """Rewrites layers, and says of the others why they stay float.

    why: by node. rounded: layers written otherwise than they were. zeros: by layer name,
        how many weights are exactly 0.
    """

    def __init__(self, edit: Editor, images: ImageFinder, accumulators: Accumulators) -> None:
        self.edit = edit
        self.images = images
        self.accumulators = accumulators
        self.why: dict[ir.Node, str] = {}
        self.candidates: set[ir.Node] = set()
        self.rounded: set[ir.Node] = set()
        self.zeros: dict[str, int] = {}

    def visit(self, node: ir.Node) -> None:
        """Looks at one node of the kinds in `LAYERS`."""
        layer = self._layer(node)
        image = self.images.of(node.inputs[0], node)
        if isinstance(layer, str):
            self.why[node] = layer
            if image is not None:
                self.candidates.add(node)
            return
        parts = scaled_signs(layer.weights)
        if isinstance(parts, ScaledSigns) and _are_binary(layer):
            self.candidates.add(node)
        if image is None:
            self.why[node] = f"its input is not made of signs: {self._described(node.inputs[0])}"
            return
        if isinstance(parts, str):
            self.why[node] = parts
            return
        reason = self._refused(layer, image, parts)
        if reason:
            self.why[node] = reason
            return
        self.candidates.add(node)
        if parts.zeros:
            self.zeros[layer_name(node)] = parts.zeros
        if image.is_sign and parts.is_plain and image.terms[0].sign is node.inputs[0]:
            self._enter(node.outputs[0], layer, node)
            return
        self._rewrite(layer, image, parts)

    def _layer(self, node: ir.Node) -> _Layer | str:
        """The layer's weights and bias, or why it cannot be binary."""
        weights = constant(node.inputs[1])
        bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
            bias = uniform_constant(node.inputs[2])
            if bias is None:
                return "its bias depends on the input"
        if node.op_type == "ConvTranspose":
            return "a transposed convolution, which has no packed form"
        if weights is None:
            if self.images.knows(node.inputs[1]) and self.images.knows(node.inputs[0]):
                return "a product of two activations: only layers with constant weights are packed"
            return "its weights depend on the input; only constant ones are packed"
        if node.op_type == "Conv":
            if weights.ndim != 4:
                return f"a {weights.ndim - 2}-dimensional convolution; those of 1 and 2 are packed"
            if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
                return "automatic padding; give the padding as numbers"
        else:
            if weights.ndim != 2 or not is_plain_gemm(node):
                return "a scaled or transposed matrix product, or one with other than 2-D weights"
            if integer(node, "transB", 0) == 0:
                weights = weights.T
        outputs = len(weights)
        numbers = np.zeros(outputs) if bias is None else bias.astype(np.float64).reshape(-1)
        if numbers.size not in (1, outputs):
            return "its bias is not one number for each output"
        group = integer(node, "group", 1) if node.op_type == "Conv" else 1
        return _Layer(node, weights, np.broadcast_to(numbers, (outputs,)), group)

    def _described(self, value: ir.Value | None) -> str:
        """What computed a value, for the author of the network."""
        node = value.producer() if value is not None else None
        begin = node
        while begin is not None and begin.op_type in _ARRANGING and begin.inputs[0] is not None:
            begin = begin.inputs[0].producer()
        if node is None or begin is None:
            return "it is the network's input"
        name = layer_name(node)
        place = traced_line(node)
        what = f"{node.op_type} of {name}" if name and name != node.name else node.op_type
        return f"it comes from {what}{f' at {place}' if place else ''}"

    def _refused(self, layer: _Layer, image: Image, parts: ScaledSigns) -> str:
        depthwise = layer.group > 1 and layer.weights.shape[1] == 1
        if not depthwise and any(term.scale.size > 1 for term in image.terms):
            return (
                "its input is scaled for each channel, which integer sums cannot represent;"
                " scale after the layer, or by one number"
            )
        if depthwise and any(term.scale.size > 1 for term in image.terms):
            return "its input is scaled for each channel; scale after the layer"
        if parts.offset.any() and layer.group > 1:
            return "the two values of its weights are not opposite, in a convolution of groups"
        if image.offset.size > 1 and image.offset.ndim > 1 and layer.is_convolution:
            spatial = image.offset.reshape((1,) * (4 - image.offset.ndim) + image.offset.shape)
            if spatial.shape[0] > 1 or spatial.shape[2:] != (1, 1):
                return "its input has an offset for each position"
        if layer.is_convolution and len(dims(image.terms[0].sign)) != 4:
            return "its input is not of shape [N, C, H, W]"
        if not layer.is_convolution and len(dims(image.terms[0].sign)) != 2:
            return "its input is not of shape [N, C]"
        return ""

    # Rewriting

    def _rewrite(self, layer: _Layer, image: Image, parts: ScaledSigns) -> None:
        node = layer.node
        pads = ints(node, "pads", [0, 0, 0, 0]) if layer.is_convolution else []
        terms = list(image.terms)
        if any(pads) and image.offset.any():
            borders = self.images.borders(image, 0.0)
            if borders is not None:
                terms = [
                    Term(self._bordered(term.sign, border, pads, node), term.scale, term.factor)
                    for term, border in zip(terms, borders, strict=True)
                ]
                pads = [0, 0, 0, 0]
        total: ir.Value | None = None
        name = layer_name(node)
        for term in terms:
            for value in self._products(layer, term, parts, pads, name):
                total = value if total is None else self._node("Add", [total, value], node)
        assert total is not None
        shift = self._constant_part(layer, image, pads)
        if shift.any():
            total = self._node("Add", [total, self._number(shift, layer, name, "bias")], node)
        self.edit.replace(node.outputs[0], total)
        self.edit.prune(node)

    def _products(
        self, layer: _Layer, term: Term, parts: ScaledSigns, pads: list[int], name: str
    ) -> list[ir.Value]:
        """The layer of one term's sign and each part of the weights, scaled."""
        node = layer.node
        scale = float(term.scale.reshape(-1)[0]) * parts.scale
        found = []
        for signs in parts.signs:
            # A negative scale is part of the signs: what follows then keeps its direction.
            factor = np.where(scale < 0, -1.0, 1.0)
            negated = signs * factor.reshape(-1, *[1] * (signs.ndim - 1)).astype(np.float32)
            value = self._layer_of(layer, term.sign, negated, pads, name, layer.group)
            self._enter(value, layer, node, pads)
            if not (np.abs(scale) == 1).all():
                number = self._number(np.abs(scale), layer, name, "scale")
                value = self._node("Mul", [value, number], node)
            found.append(value)
        if parts.offset.any():
            ones = np.ones((1, *parts.signs[0].shape[1:]), np.float32)
            value = self._layer_of(layer, term.sign, ones, pads, name, 1)
            self._enter(value, layer, node, pads, 1)
            offset = float(term.scale.reshape(-1)[0]) * parts.offset
            number = self._number(offset, layer, name, "offset")
            shape = list(node.outputs[0].shape or [])
            found.append(self._node("Mul", [value, number], node, shape))
        if term.factor is None:
            return found
        total = found[0]
        for value in found[1:]:
            total = self._node("Add", [total, value], node)
        return [self._node("Mul", [total, term.factor], node)]

    def _layer_of(
        self,
        layer: _Layer,
        sign: ir.Value,
        signs: NDArray[np.float32],
        pads: list[int],
        name: str,
        group: int,
    ) -> ir.Value:
        node = layer.node
        weights = self.edit.constant(np.ascontiguousarray(signs), f"{name}.signs")
        shape = list(node.outputs[0].shape or [])
        shape[1] = len(signs)
        attributes: dict[str, int | list[int]] = {"transB": 1}
        if layer.is_convolution:
            attributes = {
                "kernel_shape": list(signs.shape[2:]),
                "strides": ints(node, "strides", [1, 1]),
                "dilations": ints(node, "dilations", [1, 1]),
                "pads": pads,
                "group": group,
            }
        made = self.edit.node(
            "Conv" if layer.is_convolution else "Gemm",
            [sign, weights],
            node,
            name,
            dtype=ir.DataType.FLOAT,
            shape=shape,
            attributes=attributes,
        )
        inherit(made, node)
        maker = made.producer()
        assert maker is not None
        if layer.node in self.candidates:
            self.candidates.add(maker)
        self.rounded.add(maker)
        return made

    def _bordered(self, sign: ir.Value, border: float, pads: list[int], node: ir.Node) -> ir.Value:
        top, left, bottom, right = pads
        amounts = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        height, width = dims(sign)[2:]
        shape: list[Dim] = [*(sign.shape or [])][:2]
        shape += [
            None if height is None else height + top + bottom,
            None if width is None else width + left + right,
        ]
        inputs = [
            sign,
            self.edit.constant(amounts, "pads"),
            self.edit.constant(np.array(border, np.float32), "border"),
        ]
        made = self.edit.node("Pad", inputs, node, "border", dtype=ir.DataType.FLOAT, shape=shape)
        inherit(made, node)
        return made

    def _constant_part(self, layer: _Layer, image: Image, pads: list[int]) -> Float64:
        """What the input's offset and the bias give: [O], or [O, H, W] where a border matters."""
        bias = layer.bias
        if not image.offset.any():
            return bias
        weights = layer.weights.astype(np.float64)
        channels = weights.shape[1] * layer.group
        if not layer.is_convolution:
            offset = np.broadcast_to(image.offset, (1, channels)).reshape(-1)
            return bias + weights @ offset
        if image.offset.size > 1:
            offset = image.offset.reshape(-1)
        else:
            offset = np.full(channels, float(image.offset.reshape(())))
        grouped = offset.reshape(layer.group, -1).repeat(layer.outputs // layer.group, axis=0)
        windows = np.einsum("oihw,oi->ohw", weights, grouped)
        if not any(pads):
            return np.asarray(bias + windows.sum(axis=(1, 2)))
        at_borders = self._at_borders(layer.node, windows, pads)
        return np.asarray(bias[:, None, None] + at_borders, np.float64)

    def _at_borders(self, node: ir.Node, windows: Float64, pads: list[int]) -> Float64:
        """The part of each window that lies in the image, summed: [O, H, W]."""
        size = dims(node.inputs[0])[2:]  # type: ignore[arg-type]
        strides, dilations = ints(node, "strides", [1, 1]), ints(node, "dilations", [1, 1])
        inside = []
        for axis in (0, 1):
            length, kernel = size[axis] or 0, windows.shape[1 + axis]
            reach = (kernel - 1) * dilations[axis] + 1
            count = (length + pads[axis] + pads[axis + 2] - reach) // strides[axis] + 1
            first = np.arange(count) * strides[axis] - pads[axis]
            where = first[:, None] + np.arange(kernel) * dilations[axis]
            inside.append(((where >= 0) & (where < length)).astype(np.float64))
        return np.asarray(np.einsum("okl,yk,xl->oyx", windows, *inside))

    def _number(self, array: Float64, layer: _Layer, name: str, what: str) -> ir.Value:
        """Numbers [O] or [O, H, W], one for each output, as a constant."""
        if layer.is_convolution:
            array = array.reshape(1, len(array), *(array.shape[1:] or (1, 1)))
        else:
            array = array.reshape(1, -1)
        return self.edit.constant(array.astype(np.float32), f"{name}.{what}")

    def _node(
        self, op: str, inputs: list[ir.Value], node: ir.Node, shape: list[Any] | None = None
    ) -> ir.Value:
        made = self.edit.node(
            op,
            inputs,
            node,
            op.lower(),
            dtype=ir.DataType.FLOAT,
            shape=shape or list(node.outputs[0].shape or []),
        )
        inherit(made, node)
        return made

    def _enter(
        self,
        value: ir.Value,
        layer: _Layer,
        node: ir.Node,
        pads: list[int] | None = None,
        outputs: int | None = None,
    ) -> None:
        if pads is None:
            pads = ints(node, "pads", [0, 0, 0, 0]) if layer.is_convolution else []
            bias = layer.bias.astype(np.float32) if layer.bias.any() else None
        else:
            bias = None
        source = node.inputs[0]
        maker = source.producer() if source is not None else None
        padded = any(pads) or (maker is not None and maker.op_type == "Pad")
        self.accumulators.add(
            value,
            int(np.prod(layer.weights.shape[1:])),
            outputs or layer.outputs,
            padded=padded,
            bias=bias,
        )


def _are_binary(layer: _Layer) -> bool:
    """Whether weights have two values not by chance, and not one value like a mean's."""
    several = int(np.prod(layer.weights.shape[1:])) >= 8
    return several and layer.weights.min() != layer.weights.max()
