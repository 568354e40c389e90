"""Lowering: binary layers of an ONNX graph become packed operators.

The input is an inference graph in standard ONNX whose signs are written
`Where(a < 0, -1, +1)` and whose binary layers have weights of exactly +1 and
-1. The result computes the same function: signs are packed where they arise,
tensors stay packed between binary layers, and everything between a binary
layer's accumulator and the next sign becomes one integer threshold. Where
floats are needed, what follows the accumulator is computed together with it.
Signs that are to be drawn are drawn from whole numbers, see `noise`.

What cannot be lowered exactly stays as it was; `Layer.why` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from . import chains
from .batch_norm import fold_batch_norms
from .channels_last import keep_channels_last
from .channelwise import ChannelStep, affine, direction_of
from .emit import Emitter, spatial, transposed_from
from .epilogue import Epilogue, follow
from .float_forms import use_cheap_forms
from .graph import constant, dims, integer, ints, layer_name, macs, sole_consumer, text
from .layers import Accumulator, Layer, Packed, PixelLayer
from .moves import Moves
from .noise import Draw
from .normalise import Normalised, normalise
from .pixels import floats_from, pixel_layer, pixel_scale, pixel_thresholds, pixels_like
from .samples import Samples, repeat_shared
from .thresholds import NotAThreshold, float_intervals, integer_thresholds

# float32 counts exactly up to here.
_MAX_PRODUCTS = 1 << 24
_REAL_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Lowered:
    """What a graph became.

    layers: in order. notes: what holds but for rounding, or costs time. has_signs:
    whether the network has any value that depends on a float by its sign alone.
    """

    layers: list[Layer]
    notes: list[str]
    has_signs: bool


def lower(
    model: ir.Model,
    draws: Mapping[str, Draw] = MappingProxyType({}),
    samples: Samples | None = None,
) -> Lowered:
    """Lowers the graph in place; returns what each layer became, in order.

    draws: how to draw the signs of the named modules; other signs are not drawn.
    samples: what says which samples to draw, where any are.

    The graph must have been traced with a known number of channels; height
    and width may only be unknown where nothing is flattened. If its first
    layer computes on 8-bit pixels, its input becomes uint8 [N, H, W, C].
    """
    found = normalise(model, draws.keys())
    layers = _Lowering(model.graph, draws, samples or Samples(), found).run()
    common.RemoveUnusedNodesPass()(model)
    return Lowered(layers, found.notes, found.has_signs)


class _Lowering:
    def __init__(
        self, graph: ir.Graph, draws: Mapping[str, Draw], samples: Samples, found: Normalised
    ) -> None:
        self.graph = graph
        self.draws = draws
        self.samples = samples
        self.emit = Emitter(graph, found.candidates)
        self.packed: dict[ir.Value, Packed] = {}
        self.accumulators: dict[ir.Value, Accumulator] = {}
        self.pixel_layers: dict[ir.Value, PixelLayer] = {}
        # Packed signs that an operator gives beside its floats.
        self.signs: dict[ir.Value, Packed] = {}
        self.pixels: ir.Value | None = None
        self.found = found
        self.why: dict[ir.Node, str] = dict(found.why)
        self.moves = Moves(self.emit, self.packed)

    def run(self) -> list[Layer]:
        order = list(self.graph)
        for node in order:
            match node.op_type if node.domain == "" else "":
                case "Where":
                    self._sign(node)
                case "Pad":
                    self._pad(node)
                case "MaxPool":
                    self._max_pool(node)
                case "Reshape" | "Flatten":
                    self._flatten(node)
                case "Identity" | "Dropout":
                    self._pass_through(node)
                case "Conv":
                    self._convolution(node)
                case "Gemm" | "MatMul":
                    self._dense(node)
                case "Add":
                    self._residual(node)
            if node.domain == "":
                self.moves.visit(node)
        for node in reversed(order):
            if node.graph is not None:
                self._finish(node)
        self._cancel_transposes()
        if self.pixels is not None:
            floats_from(self.pixels, self.graph, self.emit.edit)
        fold_batch_norms(self.graph, self.emit.edit)
        keep_channels_last(self.graph, self.emit, self.why)
        use_cheap_forms(self.graph, self.emit)
        repeat_shared(self.graph, self.emit.edit, self.samples)
        self._note_real_layers()
        layers = self.emit.layers
        return [layers[node] for node in self.graph if node in layers]

    # Where signs arise

    def _sign(self, node: ir.Node) -> None:
        source = chains.sign_input(node)
        if source is None:
            return
        channels = dims(source)[1] if len(dims(source)) in (2, 4) else None
        if channels is None:
            return
        draw = self.draws.get(layer_name(node))
        if draw is not None:
            self.packed[node.outputs[0]] = self._drawn(node, source, channels, draw)
            return
        if source in self.packed and not any(self.packed[source].pads):
            self.packed[node.outputs[0]] = self.packed[source]
            return
        known = self.signs.get(source)
        if known is not None:
            self._note_source(known.value, node)
            self.packed[node.outputs[0]] = known
            return
        chain = chains.walk(source, self.accumulators.keys() | self.pixel_layers.keys())
        packed = None
        if sole_consumer(chain.start) is not None:
            if chain.start in self.accumulators:
                packed = self._threshold(node, chain, self.accumulators[chain.start])
            elif chain.start in self.pixel_layers:
                packed = self._pixel_threshold(node, chain, self.pixel_layers[chain.start])
        self.packed[node.outputs[0]] = packed or self._pack(node, source, channels)

    def _threshold(
        self, node: ir.Node, chain: chains.Chain, accumulator: Accumulator
    ) -> Packed | None:
        """A binary layer, the chain and the sign as one packed operator."""
        steps, names = list(chain.steps), [*chain.names, "sign"]
        if accumulator.bias is not None:
            steps.insert(0, chains.bias_step(accumulator.bias))
            names.insert(0, "bias")
        try:
            found = integer_thresholds(steps, accumulator.products, accumulator.outputs)
            masks = _min_pooled(chain, accumulator.outputs)
        except NotAThreshold as reason:
            self.why[accumulator.node] = f"no threshold: {reason}"
            return None
        weights = _negated(accumulator.weights, found.negate)
        value = self.emit.threshold(accumulator, weights, found.threshold, node, names)
        return self._pools(value, accumulator.node, chain, masks, node)

    def _pixel_threshold(
        self, node: ir.Node, chain: chains.Chain, layer: PixelLayer
    ) -> Packed | None:
        """A first layer on pixels, the chain and the sign as one packed operator."""
        try:
            threshold, negate = pixel_thresholds(chain.steps, layer.weights)
            masks = _min_pooled(chain, layer.outputs)
        except NotAThreshold as reason:
            self.why[layer.node] = f"no threshold: {reason}"
            return None
        weights = _negated(layer.weights, negate)
        constants: dict[str, NDArray[np.generic]] = {"threshold": threshold}
        names = [*chain.names, "sign"]
        value = self.emit.pixels(
            layer, self._pixels(), weights, "Threshold", constants, node, names
        )
        return self._pools(value, layer.node, chain, masks, node)

    def _drawn(self, node: ir.Node, source: ir.Value, channels: int, draw: Draw) -> Packed:
        """Signs drawn from what a layer and the affine steps after it give as integers."""
        chain = chains.walk(source, self.accumulators.keys() | self.pixel_layers.keys())
        value = self._quantized(node, chain, channels, draw)
        if value is None:
            # Any other floats, as they are.
            scale = np.full(channels, draw.scale * draw.table.codes, np.float32)
            bias = np.zeros(channels, np.float32)
            value = self.emit.quantize(source, scale, bias, node)
        value = self.emit.draw(value, draw, self.samples, channels, node)
        self._note_source(value, node)
        return Packed(value, channels, *spatial(source))

    def _quantized(
        self, node: ir.Node, chain: chains.Chain, channels: int, draw: Draw
    ) -> ir.Value | None:
        """A binary or pixel layer and its chain as integer codes, if the chain is affine."""
        start = chain.start
        layer = self.accumulators.get(start) or self.pixel_layers.get(start)
        if layer is None or sole_consumer(start) is None:
            return None
        steps, names = list(chain.steps), list(chain.names)
        if isinstance(layer, Accumulator) and layer.bias is not None:
            steps.insert(0, chains.bias_step(layer.bias))
            names.insert(0, "bias")
        composed = affine(steps, channels)
        if composed is None:
            return None
        codes = draw.scale * draw.table.codes
        scale, bias = ((array.astype(np.float64) * codes).astype(np.float32) for array in composed)
        masks = _min_pooled(chain, channels)
        if isinstance(layer, Accumulator):
            value = self.emit.quantized(layer, scale, bias, node, names)
        else:
            scale, bias = pixel_scale(layer.weights, scale, bias)
            constants: dict[str, NDArray[np.generic]] = {"scale": scale, "bias": bias}
            value = self.emit.pixels(
                layer, self._pixels(), layer.weights, "Quantize", constants, node, names
            )
        for pool, mask in zip(chain.pools, masks, strict=True):
            value = self.emit.pool(pool.node, value, mask, node)
        return value

    def _pools(
        self,
        value: ir.Value,
        layer: ir.Node,
        chain: chains.Chain,
        masks: list[NDArray[np.bool_]],
        sign: ir.Node,
    ) -> Packed:
        """The chain's max-pools, on packed signs."""
        size = spatial(layer.outputs[0])
        channels = dims(layer.outputs[0])[1]
        assert channels is not None
        for pool, mask in zip(chain.pools, masks, strict=True):
            size = spatial(pool.node.outputs[0])
            value = self.emit.pool(pool.node, value, mask, sign)
        self._note_source(value, sign, layer)
        return Packed(value, channels, *size)

    def _note_source(self, value: ir.Value, sign: ir.Node, layer: ir.Node | None = None) -> None:
        """Records whose signs a value holds, computed from that layer's sums if from any."""
        source = self.found.sources.get(sign.outputs[0], "")
        self.emit.note_source(value, source, rounded=layer in self.found.rounded)

    def _pack(self, node: ir.Node, source: ir.Value, channels: int) -> Packed:
        """Packs the signs of a float value, with the steps before the sign if monotone."""
        chain = chains.without_pools(source)
        start, names = chain.start, chain.names
        bounds = None
        if chain.steps:
            try:
                bounds = float_intervals(chain.steps, channels)
            except NotAThreshold:
                start, names = source, []
        value = self.emit.pack(start, bounds, channels, node, names)
        self._note_source(value, node)
        return Packed(value, channels, *spatial(source))

    # What keeps signs packed

    def _pad(self, node: ir.Node) -> None:
        packed = self._input(node)
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
            return
        (top, bottom), (left, right) = full.get(2, (0, 0)), full.get(3, (0, 0))
        if min(top, bottom, left, right) < 0:
            return
        self.packed[node.outputs[0]] = Packed(
            packed.value,
            packed.channels,
            packed.height,
            packed.width,
            pads=(top, left, bottom, right),
            pad_value=int(border),
        )

    def _max_pool(self, node: ir.Node) -> None:
        packed = self._input(node)
        if packed is None or any(packed.pads) or not chains.is_plain_pool(node):
            return
        mask = np.zeros(packed.channels, np.bool_)
        value = self.emit.pool(node, packed.value, mask, node)
        self.packed[node.outputs[0]] = Packed(value, packed.channels, *spatial(node.outputs[0]))

    def _flatten(self, node: ir.Node) -> None:
        packed = self._input(node)
        shape = dims(node.outputs[0])
        if packed is None:
            # The tracer computes the batch size; one free dimension says it too.
            if node.op_type == "Reshape" and shape[:1] == [None] and None not in shape[1:]:
                target = np.array([-1, *shape[1:]], np.int64)
                name = f"{layer_name(node)}.shape"
                node.replace_input_with(1, self.emit.edit.constant(target, name))
            return
        if any(packed.pads) or packed.flattened:
            return
        if len(shape) != 2 or shape[1] != packed.products:
            return
        if packed.height is None or packed.width is None:
            self.packed[node.outputs[0]] = packed
        else:
            self.packed[node.outputs[0]] = self.emit.flatten(packed, node)

    def _pass_through(self, node: ir.Node) -> None:
        packed = self._input(node)
        if packed is not None:
            self.packed[node.outputs[0]] = packed

    # Where accumulators arise

    def _convolution(self, node: ir.Node) -> None:
        weights = constant(node.inputs[1])
        if weights is None or weights.ndim != 4:
            self.why.setdefault(node, "its weights are not constant, or have other than four axes")
            return
        packed = self._input(node)
        if packed is None or not packed.is_image:
            layer = pixel_layer(node, self.graph.inputs[0])
            if layer is not None:
                self.pixel_layers[node.outputs[0]] = layer
            self.why.setdefault(node, "its input is not a tensor of signs")
            return
        if not self._all_signs(node, weights):
            return
        if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            self.why.setdefault(node, "automatic padding; export with explicit pads")
            return
        own = ints(node, "pads", [0, 0, 0, 0])
        if any(packed.pads) and any(own):
            self.why.setdefault(node, "its input is padded twice")
            return
        self.accumulators[node.outputs[0]] = Accumulator(
            node,
            packed,
            weights.astype(np.float32),
            _bias(node),
            {
                "channels": packed.channels,
                "strides": ints(node, "strides", [1, 1]),
                "dilations": ints(node, "dilations", [1, 1]),
                "pads": list(packed.pads) if any(packed.pads) else own,
                "group": integer(node, "group", 1),
                "pad_value": packed.pad_value if any(packed.pads) else 0,
            },
        )

    def _dense(self, node: ir.Node) -> None:
        weights = constant(node.inputs[1])
        if weights is None or weights.ndim != 2:
            self.why.setdefault(node, "only matrix products with constant weights are binary")
            return
        packed = self._input(node)
        if packed is None or any(packed.pads) or packed.is_image:
            self.why.setdefault(node, "its input is not a tensor of signs")
            return
        if not self._all_signs(node, weights):
            return
        if not chains.is_plain_gemm(node):
            self.why.setdefault(node, "a scaled or transposed matrix product")
            return
        if integer(node, "transB", 0) == 0:
            weights = weights.T
        self.accumulators[node.outputs[0]] = Accumulator(
            node,
            packed,
            np.ascontiguousarray(weights, dtype=np.float32),
            _bias(node),
            {"channels": packed.products},
        )

    def _all_signs(self, node: ir.Node, weights: NDArray[np.generic]) -> bool:
        if not np.isin(weights, (-1, 1)).all():
            self.why.setdefault(node, "its weights are not all +1 or -1")
            return False
        if np.prod(weights.shape[1:]) > _MAX_PRODUCTS:
            self.why.setdefault(node, f"more than {_MAX_PRODUCTS} products in one sum")
            return False
        return True

    # Where floats are needed

    def _residual(self, node: ir.Node) -> None:
        """A binary layer, a shortcut and the sign of their sum as one operator."""
        for operand in node.inputs:
            if operand is None:
                continue
            start = chains.without_pools(operand, self.accumulators).start
            accumulator = self.accumulators.get(start)
            if accumulator is None:
                continue
            epilogue = follow(start, accumulator.bias, accumulator.outputs)
            if epilogue.shortcut is None or epilogue.end is not node.outputs[0]:
                continue
            value, signs = self.emit.scale(accumulator, epilogue, node)
            assert signs is not None
            size = spatial(node.outputs[0])
            result = self._replace(epilogue.end, value, node)
            self.signs[result] = Packed(signs, accumulator.outputs, *size)
            return

    def _finish(self, node: ir.Node) -> None:
        """Lowers what is still read as float; called from the outputs backwards."""
        for value in node.outputs:
            if not (value.uses() or value.is_graph_output()):
                continue
            if value in self.accumulators:
                accumulator = self.accumulators[value]
                epilogue = follow(value, accumulator.bias, accumulator.outputs, shortcut=False)
                made, _ = self.emit.scale(accumulator, epilogue, node)
                self._replace(epilogue.end, made, node)
            elif value in self.pixel_layers:
                self._pixel_scale(value, self.pixel_layers[value])
            elif value in self.packed and node.op_type == "Where":
                made = self.emit.unpack(self.packed[value], node)
                self.emit.edit.replace(value, made)
        self.emit.edit.prune(node)

    def _pixel_scale(self, value: ir.Value, layer: PixelLayer) -> None:
        """A first layer on pixels and the affine steps and clamp after it, to floats."""
        steps: Epilogue = follow(value, None, layer.outputs, pixels=True)
        scale, bias = pixel_scale(layer.weights, steps.scale, steps.bias)
        constants: dict[str, NDArray[np.generic]] = {
            "scale": scale,
            "bias": bias,
            **steps.parameters,
        }
        made = self.emit.pixels(
            layer, self._pixels(), layer.weights, steps.kind, constants, layer.node, steps.names
        )
        self._replace(steps.end, made, layer.node)

    def _replace(self, end: ir.Value, value: ir.Value, before: ir.Node) -> ir.Value:
        """Lets all read the new value, laid out like the old; drops what computed that."""
        value = self.emit.channels_first(value, before, value.name or "")
        self.emit.edit.replace(end, value)
        last = end.producer()
        assert last is not None
        self.emit.edit.prune(last)
        return value

    def _pixels(self) -> ir.Value:
        """The graph's future input."""
        if self.pixels is None:
            self.pixels = pixels_like(self.graph.inputs[0])
        return self.pixels

    def _cancel_transposes(self) -> None:
        for node in list(self.graph):
            if node.op_type != "Transpose":
                continue
            original = transposed_from(node.inputs[0], ints(node, "perm", []))
            if original is not None and not node.outputs[0].is_graph_output():
                node.outputs[0].replace_all_uses_with(original)
                self.emit.edit.prune(node)

    def _note_real_layers(self) -> None:
        """Names the layers that stayed float and why."""
        for node in self.graph:
            if node in self.emit.layers or node.op_type not in _REAL_LAYERS:
                continue
            name = layer_name(node)
            node.name = self.emit.edit.unique(name)
            why = self.why.get(node, "")
            self.emit.layers[node] = Layer(
                name,
                node.op_type,
                node.name,
                "float",
                why=why,
                macs=macs(node),
                candidate=node in self.found.candidates,
            )

    def _input(self, node: ir.Node) -> Packed | None:
        first = node.inputs[0]
        return None if first is None else self.packed.get(first)


def _bias(node: ir.Node) -> NDArray[np.float32] | None:
    array = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if array is None or not array.any():
        return None
    channels = dims(node.outputs[0])[1] or array.size
    return np.broadcast_to(array.astype(np.float32).reshape(-1), (channels,))


def _negated(weights: NDArray[np.float32], negate: NDArray[np.bool_]) -> NDArray[np.float32]:
    turned = negate.reshape(-1, *[1] * (weights.ndim - 1))
    return np.where(turned, -weights, weights)


def _min_pooled(chain: chains.Chain, channels: int) -> list[NDArray[np.bool_]]:
    """For each max-pool, the channels whose sign falls when the pooled value rises."""
    masks: list[NDArray[np.bool_]] = []
    for pool in chain.pools:
        after: list[ChannelStep] = chain.steps[pool.position :]
        direction = direction_of(after, channels)
        if direction is None:
            raise NotAThreshold("a step after the pooling is not monotone")
        masks.append(direction < 0)
    return masks
