"""Which convolutions and dense layers are binary."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...ops import BY_NAME, MAX_PRODUCTS
from .. import chains
from ..eight_bits import coded_layer
from ..graph import constant, dims, integer, ints, spatial, text
from ..layers import Accumulator
from ..pixels import pixel_layer
from .state import State


class Accumulators:
    """Enters layers of packed signs and +1 and -1, and says why others are none."""

    def __init__(self, state: State) -> None:
        self.state = state

    def convolution(self, node: ir.Node) -> None:
        weights = constant(node.inputs[1])
        if weights is None or weights.ndim != 4:
            self.state.why.setdefault(
                node, "its weights are not constant, or have other than four axes"
            )
            return
        packed = self.state.input(node)
        if packed is None or not packed.is_image:
            layer = pixel_layer(node, self.state.graph.inputs[0])
            problem = ""
            if layer is not None:
                problem = BY_NAME["PixelConvThreshold"].problem(
                    layer.attributes, spatial(self.state.graph.inputs[0])
                )
            if problem:
                self.state.why[node] = f"no operator takes it: {problem}"
            elif layer is not None and not self.state.may_take_pixels:
                self.state.why[node] = (
                    "its images are not (2 p - 255) / 255 for 8-bit pixels p, as their"
                    " preprocessing says"
                )
            elif layer is not None:
                self.state.pixel_layers[node.outputs[0]] = layer
            self._coded(node)
            self.state.why.setdefault(node, "its input is not a tensor of signs")
            return
        if not self._all_signs(node, weights):
            return
        if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            self.state.why.setdefault(node, "automatic padding; export with explicit pads")
            return
        own = ints(node, "pads", [0, 0, 0, 0])
        if any(packed.pads) and any(own):
            self.state.why.setdefault(node, "its input is padded twice")
            return
        attributes: dict[str, int | list[int]] = {
            "channels": packed.channels,
            "strides": ints(node, "strides", [1, 1]),
            "dilations": ints(node, "dilations", [1, 1]),
            "pads": list(packed.pads) if any(packed.pads) else own,
            "group": integer(node, "group", 1),
            "pad_value": packed.pad_value if any(packed.pads) else 0,
        }
        problem = BY_NAME["ConvThreshold"].problem(attributes, (packed.height, packed.width))
        if problem:
            self.state.why.setdefault(node, f"no operator takes it: {problem}")
            return
        self.state.accumulators[node.outputs[0]] = Accumulator(
            node, packed, weights.astype(np.float32), _bias(node), attributes
        )

    def dense(self, node: ir.Node) -> None:
        weights = constant(node.inputs[1])
        if weights is None or weights.ndim != 2:
            self.state.why.setdefault(node, "only matrix products with constant weights are binary")
            return
        packed = self.state.input(node)
        if packed is None or any(packed.pads) or packed.is_image:
            self._coded(node)
            self.state.why.setdefault(node, "its input is not a tensor of signs")
            return
        if not self._all_signs(node, weights):
            return
        if not chains.is_plain_gemm(node):
            self.state.why.setdefault(node, "a scaled or transposed matrix product")
            return
        if integer(node, "transB", 0) == 0:
            weights = weights.T
        self.state.accumulators[node.outputs[0]] = Accumulator(
            node,
            packed,
            np.ascontiguousarray(weights, dtype=np.float32),
            _bias(node),
            {"channels": packed.products},
        )

    def _coded(self, node: ir.Node) -> None:
        """Enters a layer that was trained in 8 bits."""
        layer = coded_layer(node)
        if layer is not None:
            self.state.pixel_layers[node.outputs[0]] = layer

    def _all_signs(self, node: ir.Node, weights: NDArray[np.generic]) -> bool:
        if not np.isin(weights, (-1, 1)).all():
            self.state.why.setdefault(node, "its weights are not all +1 or -1")
            return False
        if np.prod(weights.shape[1:]) > MAX_PRODUCTS:
            self.state.why.setdefault(node, f"more than {MAX_PRODUCTS} products in one sum")
            return False
        return True


def _bias(node: ir.Node) -> NDArray[np.float32] | None:
    array = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if array is None or not array.any():
        return None
    channels = dims(node.outputs[0])[1] or array.size
    return np.broadcast_to(array.astype(np.float32).reshape(-1), (channels,))
