"""What keeps signs packed between where they arise and the layers that read them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from .. import chains
from ..graph import constant, dims, layer_name, spatial, text
from ..layers import Packed
from ..layout import UNCHANGED
from ..packing import words
from .state import State


class PackedMoves:
    """Borders, pools and flattening of packed signs; `moves` has whole words."""

    def __init__(self, state: State) -> None:
        self.state = state

    def pad(self, node: ir.Node) -> None:
        packed = self.state.input(node)
        if packed is None or packed.height is None or any(packed.pads):
            return
        pads = constant(node.inputs[1])
        fill = constant(node.inputs[2]) if len(node.inputs) > 2 else np.float32(0)
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 else np.arange(4)
        if pads is None or fill is None or axes is None:
            return
        if text(node, "mode", "constant") != "constant":
            return
        count = len(axes)
        full = {int(a) % 4: (int(pads[i]), int(pads[i + count])) for i, a in enumerate(axes)}
        border = float(np.asarray(fill).reshape(()))
        if any(any(full.get(a, (0, 0))) for a in (0, 1)) or border not in (-1.0, 0.0, 1.0):
            self._fill(node, packed, full, border)
            return
        (top, bottom), (left, right) = full.get(2, (0, 0)), full.get(3, (0, 0))
        if min(top, bottom, left, right) < 0:
            return
        self.state.packed[node.outputs[0]] = Packed(
            packed.value,
            packed.channels,
            packed.height,
            packed.width,
            pads=(top, left, bottom, right),
            pad_value=int(border),
        )

    def _fill(
        self, node: ir.Node, packed: Packed, pads: dict[int, tuple[int, int]], border: float
    ) -> None:
        """More channels of +1 that fit into the last word, where clear bits are such."""
        before, after = pads.pop(1, (0, 0))
        channels = packed.channels + after
        fits = before == 0 <= after and words(channels) == words(packed.channels)
        if fits and border == 1 and not any(map(any, pads.values())):
            self.state.packed[node.outputs[0]] = replace(packed, channels=channels)

    def max_pool(self, node: ir.Node) -> None:
        packed = self.state.input(node)
        if packed is None or any(packed.pads) or not chains.is_plain_pool(node):
            return
        mask = np.zeros(packed.channels, np.bool_)
        value = self.state.emit.pool(node, packed.value, mask, node)
        self.state.packed[node.outputs[0]] = Packed(
            value, packed.channels, *spatial(node.outputs[0])
        )

    def flatten(self, node: ir.Node) -> None:
        packed = self.state.input(node)
        shape = dims(node.outputs[0])
        if packed is None:
            # The tracer computes the batch size; one free dimension says it too.
            if node.op_type == "Reshape" and shape[:1] == [None] and None not in shape[1:]:
                target = np.array([-1, *shape[1:]], np.int64)
                name = f"{layer_name(node)}.shape"
                node.replace_input_with(1, self.state.emit.edit.constant(target, name))
            return
        if any(packed.pads) or packed.flattened:
            return
        if len(shape) != 2 or shape[1] != packed.products:
            return
        if packed.height is None or packed.width is None:
            self.state.packed[node.outputs[0]] = packed
        else:
            self.state.packed[node.outputs[0]] = self.state.emit.flatten(packed, UNCHANGED, node)

    def pass_through(self, node: ir.Node) -> None:
        packed = self.state.input(node)
        if packed is not None:
            self.state.packed[node.outputs[0]] = packed
