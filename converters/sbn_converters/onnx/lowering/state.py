"""What the lowering knows of a graph's values."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ..emit import Emitter
from ..layers import Accumulator, Packed, PixelLayer
from ..noise import Draw
from ..normalise import Normalised
from ..pixels import pixels_like
from ..samples import Samples


class State:
    """What is known so far; each part of the lowering adds to it.

    packed: by traced value, its packed signs. accumulators, pixel_layers: by output, the
    layers whose results are sums of whole numbers. signs: packed signs that an operator
    gives beside its floats. why: by layer, why it is not binary. pixels: the graph's
    future input, if its first layer takes pixels. may_take_pixels: whether images are
    (2 p - 255) / 255 for pixels p.
    """

    def __init__(
        self,
        graph: ir.Graph,
        draws: Mapping[str, Draw],
        samples: Samples,
        found: Normalised,
        may_take_pixels: bool,
    ) -> None:
        self.graph = graph
        self.draws = draws
        self.samples = samples
        self.found = found
        self.emit = Emitter(graph, found.candidates)
        self.packed: dict[ir.Value, Packed] = {}
        self.accumulators: dict[ir.Value, Accumulator] = {}
        self.pixel_layers: dict[ir.Value, PixelLayer] = {}
        self.signs: dict[ir.Value, Packed] = {}
        self.why: dict[ir.Node, str] = dict(found.why)
        self.may_take_pixels = may_take_pixels
        self.pixels: ir.Value | None = None

    def input(self, node: ir.Node) -> Packed | None:
        """The packed signs that a node reads first, if it does."""
        first = node.inputs[0]
        return None if first is None else self.packed.get(first)

    def future_pixels(self) -> ir.Value:
        """The input of pixels that the graph will have."""
        if self.pixels is None:
            self.pixels = pixels_like(self.graph.inputs[0])
        return self.pixels

    def bytes_of(self, layer: PixelLayer, before: ir.Node) -> ir.Value:
        """What a layer on bytes reads: the image, or codes of floats."""
        if layer.source is None:
            return self.future_pixels()
        return self.emit.codes(layer.source, layer.step, layer.offset, layer.node, before)

    def replace(self, end: ir.Value, value: ir.Value, before: ir.Node) -> ir.Value:
        """Lets all read the new value, laid out like the old; drops what computed that."""
        value = self.emit.channels_first(value, before, value.name or "")
        self.emit.edit.replace(end, value)
        last = end.producer()
        assert last is not None
        self.emit.edit.prune(last)
        return value
