"""Writing packed operators into a graph."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .chains import pool_attributes
from .epilogue import INT32, Epilogue
from .graph import Dim, Editor, dims, ints, layer_name, macs, spatial
from .layers import Accumulator, Layer, Packed, PixelLayer
from .layout import CHANNELS_FIRST, CHANNELS_LAST, Layout
from .noise import Draw
from .packing import pack_bits, pack_signs, words
from .samples import Samples

FLOAT = ir.DataType.FLOAT
UINT64 = ir.DataType.UINT64
INT16 = ir.DataType.INT16
UINT8 = ir.DataType.UINT8


class Emitter:
    """Adds `sbn` nodes and notes for each what layer it is."""

    def __init__(self, graph: ir.Graph, candidates: Collection[ir.Node] = ()) -> None:
        self.edit = Editor(graph)
        self.candidates = candidates
        self.layers: dict[ir.Node, Layer] = {}

    def threshold(
        self,
        accumulator: Accumulator,
        weights: NDArray[np.float32],
        threshold: NDArray[np.int32],
        before: ir.Node,
        steps: list[str],
    ) -> ir.Value:
        """A binary layer to packed signs."""
        name = layer_name(accumulator.node)
        constants = [self.edit.constant(threshold, f"{name}.threshold")]
        value = self.edit.sbn(
            _prefix(accumulator) + "Threshold",
            [*self._operands(accumulator, weights, name), *constants],
            before,
            name,
            shape=_result_shape(accumulator, words(accumulator.outputs)),
            attributes=accumulator.attributes,
        )
        self.note(value, name, "binary", [accumulator.node.op_type, *steps], accumulator.node)
        return value

    def scale(
        self, accumulator: Accumulator, epilogue: Epilogue, before: ir.Node
    ) -> tuple[ir.Value, ir.Value | None]:
        """A binary layer to floats, channels last; with a shortcut also their packed signs."""
        name = layer_name(accumulator.node)
        arrays = {"scale": epilogue.scale, "bias": epilogue.bias, **epilogue.parameters}
        inputs = self._operands(accumulator, accumulator.weights, name)
        inputs += [self.edit.constant(array, f"{name}.{key}") for key, array in arrays.items()]
        if epilogue.shortcut is not None:
            inputs.append(self.channels_last(epilogue.shortcut, before, f"{name}.shortcut"))
        value = self.edit.sbn(
            _prefix(accumulator) + epilogue.kind,
            inputs,
            before,
            name,
            dtype=FLOAT,
            shape=_result_shape(accumulator, accumulator.outputs),
            num_outputs=1 if epilogue.shortcut is None else 2,
            attributes={
                **accumulator.attributes,
                "dot_range": epilogue.dot_range,
                "dot_offset": epilogue.dot_offset,
            },
        )
        self.note(
            value, name, "binary", [accumulator.node.op_type, *epilogue.names], accumulator.node
        )
        return value, None if epilogue.shortcut is None else self.second_signs(value, name)

    def second_signs(self, value: ir.Value, name: str) -> ir.Value:
        """The packed signs of floats [..., C], which the node that made them gives as well."""
        node = value.producer()
        assert node is not None
        channels = dims(value)[-1]
        assert value.shape is not None
        assert channels is not None
        signs = node.outputs[1]
        signs.name = self.edit.unique(f"{name}.signs")
        signs.dtype = UINT64
        signs.shape = ir.Shape([*value.shape[:-1], words(channels)])
        return signs

    def quantized(
        self,
        accumulator: Accumulator,
        scale: NDArray[np.float32],
        bias: NDArray[np.float32],
        before: ir.Node,
        steps: list[str],
    ) -> ir.Value:
        """A binary layer to integer codes, from which signs are drawn."""
        name = layer_name(accumulator.node)
        value = self.edit.sbn(
            _prefix(accumulator) + "Quantize",
            [
                *self._operands(accumulator, accumulator.weights, name),
                self.edit.constant(scale, f"{name}.scale"),
                self.edit.constant(bias, f"{name}.bias"),
            ],
            before,
            name,
            dtype=INT16,
            shape=_result_shape(accumulator, accumulator.outputs),
            attributes={
                **accumulator.attributes,
                "dot_range": [INT32.min, INT32.max],
                "dot_offset": 0,
            },
        )
        self.note(value, name, "binary", [accumulator.node.op_type, *steps], accumulator.node)
        return value

    def quantize(
        self,
        value: ir.Value,
        scale: NDArray[np.float32],
        bias: NDArray[np.float32],
        before: ir.Node,
    ) -> ir.Value:
        """Floats as integer codes, channels last."""
        name = f"{layer_name(before)}.quantize"
        last = self.channels_last(value, before, name)
        result = self.edit.sbn(
            "Quantize",
            [
                last,
                self.edit.constant(scale, f"{name}.scale"),
                self.edit.constant(bias, f"{name}.bias"),
            ],
            before,
            name,
            dtype=INT16,
            shape=list(last.shape or []),
        )
        self.note(result, name, "quantize", [])
        return result

    def draw(
        self, codes: ir.Value, draw: Draw, samples: Samples, channels: int, before: ir.Node
    ) -> ir.Value:
        """Packed signs drawn from integer codes; for each image once, see `repeat_shared`."""
        name = layer_name(before)
        shape = codes.shape
        assert shape is not None
        result = self.edit.sbn(
            "StochasticSign",
            [codes, self.edit.constant(draw.table.values, f"{name}.noise"), *samples.inputs],
            before,
            name,
            shape=[*shape[:-1], words(channels)],
            attributes={"layer": samples.next_layer(), "fan_out": 0},
        )
        self.note(result, name, "draw", ["sign"])
        return result

    def pixels(
        self,
        layer: PixelLayer,
        pixels: ir.Value,
        weights: NDArray[np.float32],
        kind: str,
        constants: dict[str, NDArray[np.generic]],
        before: ir.Node,
        steps: list[str],
    ) -> ir.Value:
        """A layer on bytes with the epilogue of that kind and its constants."""
        name = layer_name(layer.node)
        array = CHANNELS_LAST.array(weights).astype(np.int8)
        image = len(dims(layer.node.outputs[0])) == 4
        height, width = spatial(layer.node.outputs[0]) if image else (1, 1)
        value = self.edit.sbn(
            f"PixelConv{kind}",
            [
                pixels,
                self.edit.constant(np.ascontiguousarray(array), f"{name}.weight.int8"),
                *(self.edit.constant(item, f"{name}.{key}") for key, item in constants.items()),
            ],
            before,
            name,
            dtype={"Threshold": UINT64, "Quantize": INT16}.get(kind, FLOAT),
            shape=[
                _batch(pixels),
                height,
                width,
                words(layer.outputs) if kind == "Threshold" else layer.outputs,
            ],
            attributes=layer.attributes,
        )
        kind = "pixels" if layer.source is None else "int8"
        self.note(value, name, kind, [layer.node.op_type, *steps], layer.node)
        self.note_codes(value, layer.codes)
        result = dims(layer.node.outputs[0])
        if len(result) == 4:
            return value
        size = [*result[1:-1], dims(value)[-1]]
        rows: list[Dim] = [_batch(pixels) if len(size) == 1 else None, *size]
        return self.reshaped(value, [-1, *(n or 0 for n in size)], rows, before)

    def pack(
        self,
        value: ir.Value,
        bounds: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
        channels: int,
        before: ir.Node,
        steps: list[str],
    ) -> ir.Value:
        """Packs the signs of floats, or whether they lie outside an interval."""
        name = layer_name(before)
        last = self.channels_last(value, before, name)
        shape = [*last.shape[:-1], words(channels)] if last.shape is not None else []
        if bounds is None:
            packed = self.edit.sbn("Pack", [last], before, name, shape=shape)
        else:
            low = self.edit.constant(bounds[0], f"{name}.low")
            high = self.edit.constant(bounds[1], f"{name}.high")
            packed = self.edit.sbn("PackThreshold", [last, low, high], before, name, shape=shape)
        self.note(packed, name, "pack", [*steps, "sign"])
        return packed

    def unpack(self, packed: Packed, before: ir.Node) -> ir.Value:
        """Packed signs as floats, laid out as in the traced graph."""
        name = f"{layer_name(before)}.unpack"
        shape = packed.value.shape
        assert shape is not None
        value = self.edit.sbn(
            "Unpack",
            [packed.value],
            before,
            name,
            dtype=FLOAT,
            shape=[*shape[:-1], packed.channels],
            attributes={"channels": packed.channels},
        )
        self.note(value, name, "unpack", [])
        return self.channels_first(value, before, name)

    def pool(
        self, pool: ir.Node, value: ir.Value, mask: NDArray[np.bool_], before: ir.Node
    ) -> ir.Value:
        """A max-pool of packed signs or codes; a min-pool in the channels of the mask."""
        name = layer_name(pool)
        minimum = self.edit.constant(pack_bits(mask), f"{name}.minimum")
        height, width = spatial(pool.outputs[0])
        packed = value.dtype == UINT64
        result = self.edit.sbn(
            "MaxPool" if packed else "QuantizedMaxPool",
            [value, minimum],
            before,
            name,
            dtype=UINT64 if packed else INT16,
            shape=[_batch(value), height, width, words(mask.size) if packed else mask.size],
            attributes=pool_attributes(pool),
        )
        self.note(result, name, "pool", [])
        return result

    def flatten(self, packed: Packed, layout: Layout, before: ir.Node) -> Packed:
        """Packed images as rows of words.

        layout: in which the floats are flattened. Layers that read the rows have their
        weights in it.
        """
        name = layer_name(before)
        assert packed.height is not None
        assert packed.width is not None
        length = packed.height * packed.width * words(packed.channels)
        target = self.edit.constant(np.array([-1, length], np.int64), f"{name}.shape")
        value = self.edit.node(
            "Reshape",
            [packed.value, target],
            before,
            name,
            dtype=UINT64,
            shape=[_batch(packed.value), length],
        )
        return Packed(value, packed.channels, packed.height, packed.width, flattened=layout)

    def channels_last(self, value: ir.Value, before: ir.Node, name: str) -> ir.Value:
        """[N, C, H, W] as [N, H, W, C]; any other rank as it is."""
        return self._transpose(value, CHANNELS_LAST, before, f"{name}.channels_last")

    def channels_first(self, value: ir.Value, before: ir.Node, name: str) -> ir.Value:
        """[N, H, W, C] as [N, C, H, W]; any other rank as it is."""
        return self._transpose(value, CHANNELS_FIRST, before, f"{name}.channels_first")

    def _transpose(self, value: ir.Value, layout: Layout, before: ir.Node, name: str) -> ir.Value:
        if value.shape is None or len(value.shape) != 4:
            return value
        original = transposed_from(value, layout.perm)
        if original is not None:
            return original
        return self.edit.node(
            "Transpose",
            [value],
            before,
            name,
            dtype=FLOAT,
            shape=layout.of(list(value.shape)),
            attributes={"perm": layout.perm},
        )

    def note(
        self,
        value: ir.Value,
        name: str,
        kind: str,
        steps: list[str],
        traced: ir.Node | None = None,
    ) -> None:
        """Records what the value's node is, and which layer it was if it was one."""
        node = value.producer()
        assert node is not None
        layer = Layer(name, node.op_type, node.name or "", kind, steps)
        if traced is not None:
            layer.macs, layer.candidate = macs(traced), traced in self.candidates
        self.layers[node] = layer

    def codes(
        self, value: ir.Value, step: float, zero: int, layer: ir.Node, before: ir.Node
    ) -> ir.Value:
        """Floats as bytes round(x / step) + zero, as an image [N, H, W, C] for a layer."""
        name = layer_name(layer)
        x = self.channels_last(value, before, name)
        shape = list(x.shape or [])
        inputs = [
            x,
            self.edit.constant(np.array(step, np.float32), f"{name}.step"),
            self.edit.constant(np.array(zero, np.uint8), f"{name}.zero"),
        ]
        made = self.edit.node(
            "QuantizeLinear", inputs, before, f"{name}.quantize", dtype=UINT8, shape=shape
        )
        if len(shape) == 4:
            return made
        rows: list[Dim] = [shape[0] if len(shape) == 2 else None, 1, 1, shape[-1]]
        return self.reshaped(made, [-1, 1, 1, dims(x)[-1] or 0], rows, before)

    def reshaped(
        self, value: ir.Value, target: list[int], shape: list[Dim], before: ir.Node
    ) -> ir.Value:
        """The same elements in another shape; one number of `target` may be -1."""
        assert value.dtype is not None
        sizes = self.edit.constant(np.array(target, np.int64), "shape")
        return self.edit.node(
            "Reshape", [value, sizes], before, "rows", dtype=value.dtype, shape=shape
        )

    def note_codes(self, value: ir.Value, traced: str) -> None:
        """Records which traced value the codes of the value's node are compared with."""
        node = value.producer()
        assert node is not None
        self.layers[node].codes = traced

    def note_source(self, value: ir.Value, source: str, *, rounded: bool = False) -> None:
        """Records whose signs a packed value holds."""
        node = value.producer()
        if node is not None and node not in self.layers and node.inputs[0] is not None:
            node = node.inputs[0].producer()  # of rows, which only have another shape
        assert node is not None
        layer = self.layers[node]
        layer.source, layer.rounded = source, rounded
        layer.output = value.index() or 0

    def _operands(
        self, accumulator: Accumulator, weights: NDArray[np.float32], name: str
    ) -> list[ir.Value]:
        packed = accumulator.packed
        if accumulator.is_convolution:
            array = pack_signs(CHANNELS_LAST.array(weights))
        elif packed.flattened is not None:
            layout = packed.flattened
            sizes = [len(weights), packed.channels, packed.height or 1, packed.width or 1]
            images = layout.inverse.array(weights.reshape(layout.of(sizes)))
            array = pack_signs(CHANNELS_LAST.array(images)).reshape(len(weights), -1)
        else:
            array = pack_signs(weights)
        return [packed.value, self.edit.constant(array, f"{name}.weight.packed")]


def transposed_from(value: ir.Value | None, order: list[int]) -> ir.Value | None:
    """What the value was before a transposition that `order` undoes, if there was one."""
    producer = value.producer() if value is not None else None
    if producer is None or producer.op_type != "Transpose":
        return None
    inner = ints(producer, "perm", [])
    undone = len(inner) == len(order) and [inner[i] for i in order] == sorted(order)
    return producer.inputs[0] if undone else None


def _prefix(accumulator: Accumulator) -> str:
    return "Conv" if accumulator.is_convolution else "Dense"


def _batch(value: ir.Value) -> Dim:
    return value.shape[0] if value.shape is not None else None


def _result_shape(accumulator: Accumulator, last: int) -> list[Dim]:
    batch = _batch(accumulator.packed.value)
    if not accumulator.is_convolution:
        return [batch, last]
    return [batch, *spatial(accumulator.node.outputs[0]), last]
