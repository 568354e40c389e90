"""Fuses what surrounds a shortcut into the binary layer before it.

A block of a residual network is, as a rule, a binary layer, perhaps an activation, the addition
of the shortcut, another activation, and a sign whose threshold may be shifted. On float tensors,
channels last, each of these is a pass over memory; `ConvActivate` does all of them where the
layer's results are still in registers, with the same steps in the same order, so that no bit
differs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..ops import DOMAIN
from .channels import per_channel
from .emit import FLOAT, Emitter
from .graph import constant, dims, ints, real, sole_consumer

Float32 = NDArray[np.float32]
_NEUTRAL = (0.0, 1.0, 1.0, 0.0, -np.inf, np.inf)
_SHIFT, _SLOPE, _GAIN, _OFFSET, _LOW, _HIGH = range(6)
_KINDS = ("Scale", "ScaleClamp", "ScalePRelu", "Residual")
# How many inputs are the binary layer itself, with its scale and bias.
_OWN_INPUTS = 4


def fuse_activations(graph: ir.Graph, emit: Emitter) -> None:
    """Rewrites binary layers whose floats go through activations and a shortcut."""
    for node in list(graph):
        if node.graph is not None and node.domain == DOMAIN:
            prefix = "Conv" if node.op_type.startswith("Conv") else "Dense"
            if node.op_type.removeprefix(prefix) in _KINDS:
                _fuse(node, prefix, emit)
    # A sign may have been read before what now makes it.
    graph.sort()


@dataclass
class _Activation:
    """The rows of an activation of `channels` channels, and the next that may be set."""

    channels: int
    rows: Float32 = field(init=False)
    free: int = 0

    def __post_init__(self) -> None:
        self.rows = np.repeat(np.array(_NEUTRAL, np.float32)[:, None], self.channels, axis=1)

    def put(self, row: int, values: Float32) -> None:
        self.rows[row] = values
        self.free = row + 1

    def follow(self, value: ir.Value, names: list[str]) -> ir.Value:
        """Takes what it can of the steps that alone read the value; returns what they give."""
        while True:
            node = sole_consumer(value)
            if node is None or node.domain != "" or not self._take(node, value):
                return value
            names.append(node.op_type.lower())
            value = node.outputs[0]

    def _take(self, node: ir.Node, value: ir.Value) -> bool:
        """Whether the step could be added behind those that are there."""
        match node.op_type:
            case "Add" | "Mul":
                other = node.inputs[node.inputs[0] is value]
                values = per_channel(other, self.channels)
                if values is None or dims(node.outputs[0]) != dims(value):
                    return False
                if node.op_type == "Mul":
                    return self._scale(values, values)
                return self._add(values)
            case "Sub":
                values = per_channel(node.inputs[1], self.channels)
                if values is None or node.inputs[0] is not value:
                    return False
                return dims(node.outputs[0]) == dims(value) and self._add(-values)
            case "PRelu":
                slope = per_channel(node.inputs[1], self.channels)
                return slope is not None and self._scale(slope, None)
            case "LeakyRelu":
                slope = np.full(self.channels, real(node, "alpha", 0.01), np.float32)
                return self._scale(slope, None)
            case "Relu":
                return self._clamp(np.zeros(self.channels, np.float32), None)
            case "Clip":
                given = (*node.inputs, None, None)[1:3]
                low, high = (per_channel(bound, self.channels) for bound in given)
                known = (low is None) == (given[0] is None) and (high is None) == (given[1] is None)
                return known and self._clamp(low, high)
        return False

    def _add(self, values: Float32) -> bool:
        row = _SHIFT if self.free <= _SHIFT else _OFFSET
        if self.free > row:
            return False
        self.put(row, values)
        return True

    def _scale(self, slope: Float32, gain: Float32 | None) -> bool:
        if self.free > _SLOPE:
            return False
        self.put(_SLOPE, slope)
        if gain is not None:
            self.put(_GAIN, gain)
        self.free = _OFFSET
        return True

    def _clamp(self, low: Float32 | None, high: Float32 | None) -> bool:
        if self.free > _LOW:
            return False
        if low is not None:
            self.put(_LOW, low)
        if high is not None:
            self.put(_HIGH, high)
        self.free = _HIGH + 1
        return True

    def keeps_signs(self) -> bool:
        """Whether results are negative where the arguments are: it only clamps, across 0."""
        neutral = np.array(_NEUTRAL, np.float32)[: _OFFSET + 1, None]
        only_clamps = bool((self.rows[: _OFFSET + 1] == neutral).all())
        return only_clamps and bool((self.rows[_LOW] < 0).all() and (self.rows[_HIGH] >= 0).all())


def _fuse(node: ir.Node, prefix: str, emit: Emitter) -> None:
    value = node.outputs[0]
    channels = dims(value)[-1] if dims(value) else None
    if channels is None:
        return
    kind = node.op_type.removeprefix(prefix)
    names: list[str] = []
    inner, outer = _Activation(channels), _Activation(channels)
    # Signs of the sum itself, before the outer activation.
    signs = node.outputs[1] if kind == "Residual" and node.outputs[1].uses() else None
    if kind == "Residual":
        shortcut = node.inputs[4]
    else:
        _begin(inner, kind, node)
        value = inner.follow(value, names)
        added = sole_consumer(value)
        if added is None or added.op_type != "Add" or added.domain != "":
            return
        shortcut = added.inputs[added.inputs[0] is value]
        if shortcut is value or shortcut is None or constant(shortcut) is not None:
            return
        if dims(shortcut) != dims(value) or None in dims(value)[1:]:
            return
        value = added.outputs[0]
        names.append("add")
    end = outer.follow(value, names)
    if signs is not None and not outer.keeps_signs():
        return
    packs = [use.node for use in end.uses() if use.node.op_type in ("Pack", "PackThreshold")]
    packs = [pack for pack in packs if pack.domain == DOMAIN and pack.inputs[0] is end]
    if end is node.outputs[0] and (signs is not None or not packs):
        return
    if signs is not None:
        packs = []
    last = end.producer()
    assert last is not None
    before = last if last is not node else packs[0]
    made = _emit(node, prefix, (inner, outer), shortcut, _bounds(packs, channels), before, emit)
    _note(node, made, names, packs, emit)
    if signs is not None:
        signs.replace_all_uses_with(made.outputs[1])
    for pack in packs:
        if _same(pack, packs[0]):
            pack.outputs[0].replace_all_uses_with(made.outputs[1])
    emit.edit.replace(end, made.outputs[0])
    for old in (*packs, last, node):
        emit.edit.prune(old)


def _begin(inner: _Activation, kind: str, node: ir.Node) -> None:
    """What the layer itself did after its scale and bias."""
    more = [constant(value) for value in node.inputs[_OWN_INPUTS:]]
    if kind == "ScalePRelu":
        inner.put(_SLOPE, _float32(more[0]))
        inner.free = _OFFSET
    if kind == "ScaleClamp":
        inner.put(_LOW, _float32(more[0]))
        inner.put(_HIGH, _float32(more[1]))


def _float32(array: NDArray[np.generic] | None) -> Float32:
    assert array is not None
    return array.astype(np.float32)


def _bounds(packs: list[ir.Node], channels: int) -> Float32:
    """[2, O]: between which results the sign is +1, as the first of those who pack them says."""
    if packs and packs[0].op_type == "PackThreshold":
        return np.stack([_float32(constant(value)) for value in packs[0].inputs[1:3]])
    return np.repeat(np.array([[0], [np.inf]], np.float32), channels, axis=1)


def _same(pack: ir.Node, other: ir.Node) -> bool:
    """Whether two nodes pack alike."""
    if pack is other or pack.op_type != other.op_type:
        return pack is other
    pairs = zip(pack.inputs[1:], other.inputs[1:], strict=True)
    return all(np.array_equal(_float32(constant(a)), _float32(constant(b))) for a, b in pairs)


def _emit(
    node: ir.Node,
    prefix: str,
    activations: tuple[_Activation, _Activation],
    shortcut: ir.Value | None,
    bounds: Float32,
    before: ir.Node,
    emit: Emitter,
) -> ir.Node:
    name = emit.layers[node].name
    own = [value for value in node.inputs[:_OWN_INPUTS] if value is not None]
    assert shortcut is not None
    tables = {"inner": activations[0].rows, "outer": activations[1].rows, "bounds": bounds}
    shape = node.outputs[0].shape
    assert shape is not None
    value = emit.edit.sbn(
        f"{prefix}Activate",
        [*own, *(emit.edit.constant(t, f"{name}.{key}") for key, t in tables.items()), shortcut],
        before,
        name,
        dtype=FLOAT,
        shape=list(shape),
        num_outputs=2,
        attributes={
            key: attribute.as_int()
            if attribute.type == ir.AttributeType.INT
            else ints(node, key, [])
            for key, attribute in node.attributes.items()
        },
    )
    made = value.producer()
    assert made is not None
    emit.second_signs(value, name)
    return made


def _note(
    node: ir.Node, made: ir.Node, names: list[str], packs: list[ir.Node], emit: Emitter
) -> None:
    """The new node is the old one's layer, and holds the signs of the node that packed them."""
    layer = emit.layers.pop(node)
    fused = [*layer.fused, *names]
    layer = replace(layer, op=made.op_type, node=made.name or "", fused=fused)
    if packs:
        pack = emit.layers.pop(packs[0])
        fused = [*fused, *pack.fused]
        layer = replace(layer, fused=fused, source=pack.source, rounded=pack.rounded, output=1)
    emit.layers[made] = layer
