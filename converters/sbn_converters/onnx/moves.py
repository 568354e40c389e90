"""Moving and turning packed signs without unpacking them, where whole words move."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .emit import UINT64, Emitter
from .graph import Dim, constant, dims, integer, ints, layer_name, spatial
from .layers import Packed
from .layout import CHANNELS_FIRST, CHANNELS_LAST
from .packing import pack_bits, words

_WORD = 64


class Moves:
    """Finds the packed form of what operators make of packed signs.

    packed: the packed signs that are known; what is found is added.
    """

    def __init__(self, emit: Emitter, packed: dict[ir.Value, Packed]) -> None:
        self.emit = emit
        self.packed = packed
        # Values that lie as their packed signs do, channels last.
        self.last: dict[ir.Value, Packed] = {}

    def visit(self, node: ir.Node) -> None:
        """Looks at one node; nodes come in the order of the graph."""
        match node.op_type:
            case "Concat":
                self._concat(node)
            case "Mul":
                self._flip(node)
            case "Transpose":
                self._transpose(node)
            case "Reshape":
                self._reshape(node)

    def _image(self, value: ir.Value | None) -> Packed | None:
        found = self.packed.get(value) if value is not None else None
        return found if found and found.is_image and not any(found.pads) else None

    def _concat(self, node: ir.Node) -> None:
        parts = [self._image(value) for value in node.inputs]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts):
            return
        result, channels = node.outputs[0], [part.channels for part in known]
        axis = integer(node, "axis", 0) % 4
        if axis == 0 or (axis == 1 and any(count % _WORD for count in channels[:-1])):
            return
        total = sum(channels) if axis == 1 else channels[0]
        value = self.emit.edit.node(
            "Concat",
            [part.value for part in known],
            node,
            layer_name(node),
            dtype=UINT64,
            shape=[_batch(result), *spatial(result), words(total)],
            attributes={"axis": CHANNELS_LAST.axis(axis)},
        )
        self.packed[result] = Packed(value, total, *spatial(result))

    def _flip(self, node: ir.Node) -> None:
        for index in (0, 1):
            packed, factor = self._image(node.inputs[index]), constant(node.inputs[1 - index])
            if packed is None or factor is None or not np.isin(factor, (-1, 1)).all():
                continue
            full = factor.reshape((1,) * (4 - factor.ndim) + factor.shape).astype(np.float32)
            if full.shape[0] != 1:
                return
            shape = [1, packed.channels, *full.shape[2:]]
            bits = pack_bits(CHANNELS_LAST.array(np.broadcast_to(full, shape) < 0))
            name = layer_name(node)
            mask = self.emit.edit.constant(bits, f"{name}.mask")
            value = self.emit.edit.node(
                "BitwiseXor",
                [packed.value, mask],
                node,
                name,
                dtype=UINT64,
                shape=list(packed.value.shape or []),
            )
            result = node.outputs[0]
            self.packed[result] = Packed(value, packed.channels, *spatial(result))
            return

    def _transpose(self, node: ir.Node) -> None:
        source, result, order = node.inputs[0], node.outputs[0], ints(node, "perm", [])
        image = self._image(source)
        if image is not None and CHANNELS_LAST.is_perm(order):
            self.last[result] = image
        elif source in self.last and CHANNELS_FIRST.is_perm(order):
            moved = self.last[source]
            self.packed[result] = Packed(moved.value, moved.channels, *spatial(result))

    def _reshape(self, node: ir.Node) -> None:
        source, result = node.inputs[0], node.outputs[0]
        packed = self.last.get(source) if source is not None else None
        shape = dims(result)
        if packed is None or len(shape) < 2:
            return
        inner = [size for size in shape[1:] if size is not None]
        channels = inner[-1] if len(inner) == len(shape) - 1 else 0
        if not channels or _elements(packed) != int(np.prod(inner)):
            return
        if channels != packed.channels and (channels % _WORD or packed.channels % _WORD):
            if len(shape) == 2 and packed.height is not None:
                self.packed[result] = self.emit.flatten(packed, CHANNELS_LAST, node)
            return
        rows: list[Dim] = [*inner[:-1], words(channels)]
        target = self.emit.edit.constant(np.array([-1, *rows], np.int64), "shape")
        value = self.emit.edit.node(
            "Reshape",
            [packed.value, target],
            node,
            layer_name(node),
            dtype=UINT64,
            shape=[_batch(result), *rows],
        )
        self.last[result] = Packed(value, channels)
        if len(shape) == 2:
            self.packed[result] = self.last[result]


def _elements(packed: Packed) -> int:
    """Signs of one image, 0 if its size is not known."""
    inner = dims(packed.value)[1:-1]
    return packed.channels * int(np.prod([size or 0 for size in inner]))


def _batch(value: ir.Value) -> Dim:
    return value.shape[0] if value.shape is not None else None
