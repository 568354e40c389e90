"""Where signs arise: packed floats, thresholds on sums, and signs that are drawn."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .. import chains
from ..channelwise import ChannelStep, affine, direction_of
from ..graph import dims, layer_name, sole_consumer, spatial
from ..layers import Accumulator, Packed, PixelLayer
from ..noise import Draw
from ..pixels import pixel_scale, pixel_thresholds
from ..thresholds import NotAThreshold, float_intervals, integer_thresholds
from .state import State


class Signs:
    """Lowers `Where(a < 0, -1, +1)`."""

    def __init__(self, state: State) -> None:
        self.state = state

    def visit(self, node: ir.Node) -> None:
        source = chains.sign_input(node)
        if source is None:
            return
        channels = dims(source)[1] if len(dims(source)) in (2, 4) else None
        if channels is None:
            return
        draw = self.state.draws.get(layer_name(node))
        if draw is not None:
            self.state.packed[node.outputs[0]] = self._drawn(node, source, channels, draw)
            return
        if source in self.state.packed and not any(self.state.packed[source].pads):
            self.state.packed[node.outputs[0]] = self.state.packed[source]
            return
        known = self.state.signs.get(source)
        if known is not None:
            self._note_source(known.value, node)
            self.state.packed[node.outputs[0]] = known
            return
        chain = chains.walk(source, self.state.accumulators.keys() | self.state.pixel_layers.keys())
        packed = None
        if sole_consumer(chain.start) is not None:
            if chain.start in self.state.accumulators:
                packed = self._threshold(node, chain, self.state.accumulators[chain.start])
            elif chain.start in self.state.pixel_layers:
                packed = self._pixel_threshold(node, chain, self.state.pixel_layers[chain.start])
        self.state.packed[node.outputs[0]] = packed or self._pack(node, source, channels)

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
            self.state.why[accumulator.node] = f"no threshold: {reason}"
            return None
        weights = _negated(accumulator.weights, found.negate)
        value = self.state.emit.threshold(accumulator, weights, found.threshold, node, names)
        return self._pools(value, accumulator.node, chain, masks, node)

    def _pixel_threshold(
        self, node: ir.Node, chain: chains.Chain, layer: PixelLayer
    ) -> Packed | None:
        """A first layer on pixels, the chain and the sign as one packed operator."""
        try:
            threshold, negate = pixel_thresholds(chain.steps, layer)
            masks = _min_pooled(chain, layer.outputs)
        except NotAThreshold as reason:
            self.state.why[layer.node] = f"no threshold: {reason}"
            return None
        weights = _negated(layer.weights, negate)
        constants: dict[str, NDArray[np.generic]] = {"threshold": threshold}
        names = [*chain.names, "sign"]
        value = self.state.emit.pixels(
            layer, self.state.bytes_of(layer, node), weights, "Threshold", constants, node, names
        )
        return self._pools(value, layer.node, chain, masks, node)

    def _drawn(self, node: ir.Node, source: ir.Value, channels: int, draw: Draw) -> Packed:
        """Signs drawn from what a layer and the affine steps after it give as integers."""
        chain = chains.walk(source, self.state.accumulators.keys() | self.state.pixel_layers.keys())
        value = self._quantized(node, chain, channels, draw)
        if value is None:
            # Any other floats, as they are.
            scale = np.full(channels, draw.scale * draw.table.codes, np.float32)
            bias = np.zeros(channels, np.float32)
            value = self.state.emit.quantize(source, scale, bias, node)
        value = self.state.emit.draw(value, draw, self.state.samples, channels, node)
        self._note_source(value, node)
        return Packed(value, channels, *spatial(source))

    def _quantized(
        self, node: ir.Node, chain: chains.Chain, channels: int, draw: Draw
    ) -> ir.Value | None:
        """A binary or pixel layer and its chain as integer codes, if the chain is affine."""
        start = chain.start
        layer = self.state.accumulators.get(start) or self.state.pixel_layers.get(start)
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
            value = self.state.emit.quantized(layer, scale, bias, node, names)
        else:
            scale, bias = pixel_scale(layer, scale, bias)
            constants: dict[str, NDArray[np.generic]] = {"scale": scale, "bias": bias}
            pixels = self.state.bytes_of(layer, node)
            value = self.state.emit.pixels(
                layer, pixels, layer.weights, "Quantize", constants, node, names
            )
        for pool, mask in zip(chain.pools, masks, strict=True):
            value = self.state.emit.pool(pool.node, value, mask, node)
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
            value = self.state.emit.pool(pool.node, value, mask, sign)
        self._note_source(value, sign, layer)
        return Packed(value, channels, *size)

    def _note_source(self, value: ir.Value, sign: ir.Node, layer: ir.Node | None = None) -> None:
        """Records whose signs a value holds, computed from that layer's sums if from any."""
        source = self.state.found.sources.get(sign.outputs[0], "")
        if source == "-":  # of no traced value, but a side of a magnitude
            source = ""
        self.state.emit.note_source(value, source, rounded=layer in self.state.found.rounded)

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
        value = self.state.emit.pack(start, bounds, channels, node, names)
        self._note_source(value, node)
        return Packed(value, channels, *spatial(source))


def _negated(weights: NDArray[np.float32], negate: NDArray[np.bool_]) -> NDArray[np.float32]:
    flags = negate.reshape(-1, *[1] * (weights.ndim - 1))
    return np.where(flags, -weights, weights)


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
