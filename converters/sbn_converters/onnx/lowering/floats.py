"""What is read as float: layers with what follows them, and unpacked signs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .. import chains
from ..epilogue import Epilogue, follow
from ..graph import layer_name, macs, spatial
from ..layers import Layer, Packed, PixelLayer
from ..pixels import pixel_scale
from .state import State

_REAL_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Floats:
    """Lowers what no sign follows."""

    def __init__(self, state: State) -> None:
        self.state = state

    def residual(self, node: ir.Node) -> None:
        """A binary layer, a shortcut and the sign of their sum as one operator."""
        for operand in node.inputs:
            if operand is None:
                continue
            start = chains.without_pools(operand, self.state.accumulators).start
            accumulator = self.state.accumulators.get(start)
            if accumulator is None:
                continue
            epilogue = follow(start, accumulator.bias, accumulator.outputs)
            if epilogue.shortcut is None or epilogue.end is not node.outputs[0]:
                continue
            value, signs = self.state.emit.scale(accumulator, epilogue, node)
            assert signs is not None
            size = spatial(node.outputs[0])
            result = self.state.replace(epilogue.end, value, node)
            self.state.signs[result] = Packed(signs, accumulator.outputs, *size)
            return

    def finish(self, node: ir.Node) -> None:
        """Lowers what is still read as float; called from the outputs backwards."""
        for value in node.outputs:
            if not (value.uses() or value.is_graph_output()):
                continue
            if value in self.state.accumulators:
                accumulator = self.state.accumulators[value]
                epilogue = follow(value, accumulator.bias, accumulator.outputs, shortcut=False)
                made, _ = self.state.emit.scale(accumulator, epilogue, node)
                self.state.replace(epilogue.end, made, node)
            elif value in self.state.pixel_layers:
                self._pixel_scale(value, self.state.pixel_layers[value])
            elif value in self.state.packed and node.op_type == "Where":
                packed, source = self.state.packed[value], chains.sign_input(node)
                if packed.flattened is not None and source is not None:
                    self.state.emit.edit.replace(value, source)  # signs of flattened signs
                else:
                    made = self.state.emit.unpack(packed, node)
                    self.state.emit.edit.replace(value, made)
        self.state.emit.edit.prune(node)

    def _pixel_scale(self, value: ir.Value, layer: PixelLayer) -> None:
        """A first layer on pixels and the affine steps and clamp after it, to floats."""
        steps: Epilogue = follow(value, None, layer.outputs, pixels=True)
        scale, bias = pixel_scale(layer, steps.scale, steps.bias)
        constants: dict[str, NDArray[np.generic]] = {
            "scale": scale,
            "bias": bias,
            **steps.parameters,
        }
        made = self.state.emit.pixels(
            layer,
            self.state.bytes_of(layer, layer.node),
            layer.weights,
            steps.kind,
            constants,
            layer.node,
            steps.names,
        )
        self.state.replace(steps.end, made, layer.node)

    def note_real_layers(self) -> None:
        """Names the layers that stayed float and why."""
        for node in self.state.graph:
            if node in self.state.emit.layers or node.op_type not in _REAL_LAYERS:
                continue
            name = layer_name(node)
            node.name = self.state.emit.edit.unique(name)
            why = self.state.why.get(node, "")
            self.state.emit.layers[node] = Layer(
                name,
                node.op_type,
                node.name,
                "float",
                why=why,
                macs=macs(node),
                candidate=node in self.state.found.candidates,
            )
