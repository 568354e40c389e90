"""Lowering: binary layers of an ONNX graph become packed operators.

The input is an inference graph in standard ONNX whose signs are written
`Where(a < 0, -1, +1)` and whose binary layers have weights of exactly +1 and
-1. The result computes the same function: signs are packed where they arise,
tensors stay packed between binary layers, and everything between a binary
layer's accumulator and the next sign becomes one integer threshold.

What cannot be lowered exactly stays as it was; `Layer.why` says why.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnxscript import optimizer

from . import chains
from .channelwise import ChannelStep, affine, direction_of
from .graph import Dim, Editor, constant, dims, integer, ints, layer_name, sole_consumer, text
from .packing import pack_bits, pack_signs, words
from .thresholds import NotAThreshold, float_intervals, integer_thresholds

FLOAT = ir.DataType.FLOAT
# float32 counts exactly up to here.
_MAX_PRODUCTS = 1 << 24


@dataclass
class Layer:
    """What one layer of the network became.

    `source` is the traced value whose signs the node's packed output holds,
    which lets a validator compare the two bit for bit; empty for float outputs.
    """

    name: str
    op: str
    node: str
    kind: str
    fused: list[str] = field(default_factory=list)
    source: str = ""
    why: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return asdict(self)


@dataclass
class _Packed:
    """The packed form of a value of signs.

    `value` is uint64, channels last. `height` and `width` are set if the float
    value was [N, C, H, W]; `flattened` if it then became [N, C * H * W].
    """

    value: ir.Value
    channels: int
    height: int | None = None
    width: int | None = None
    flattened: bool = False
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0

    @property
    def is_image(self) -> bool:
        """Whether the float value is [N, C, H, W]."""
        return len(dims(self.value)) == 4

    @property
    def products(self) -> int:
        """Elements of one flattened row."""
        return self.channels * (self.height or 1) * (self.width or 1)


@dataclass
class _Accumulator:
    """A binary convolution or dense layer before anything that follows it.

    `weights` are +1 or -1: [O, C / group, kh, kw] or [O, K].
    """

    node: ir.Node
    packed: _Packed
    weights: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    attributes: dict[str, int | list[int]]

    @property
    def is_convolution(self) -> bool:
        return self.weights.ndim == 4

    @property
    def outputs(self) -> int:
        return int(self.weights.shape[0])

    @property
    def products(self) -> int:
        return int(np.prod(self.weights.shape[1:]))


def lower(model: ir.Model) -> list[Layer]:
    """Lowers the graph in place; returns what each layer became, in order.

    The graph must have been traced with a known number of channels; height
    and width may only be unknown where nothing is flattened.
    """
    optimizer.fold_constants(model)
    layers = _Lowering(model.graph).run()
    ir.passes.common.RemoveUnusedNodesPass()(model)
    return layers


class _Lowering:
    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.edit = Editor(graph)
        self.packed: dict[ir.Value, _Packed] = {}
        self.accumulators: dict[ir.Value, _Accumulator] = {}
        self.layers: dict[ir.Node, Layer] = {}
        self.why: dict[ir.Node, str] = {}

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
        for node in reversed(order):
            if node.graph is not None:
                self._finish(node)
        for node in self.graph:
            if node not in self.layers and node.op_type in ("Conv", "Gemm", "MatMul"):
                why = self.why.get(node, "")
                name = layer_name(node)
                self.layers[node] = Layer(name, node.op_type, node.name or "", "float", why=why)
                node.name = self.edit.unique(name)
                self.layers[node].node = node.name
        return [self.layers[node] for node in self.graph if node in self.layers]

    # Where signs arise

    def _sign(self, node: ir.Node) -> None:
        source = chains.sign_input(node)
        if source is None:
            return
        rank = len(dims(source))
        if rank not in (2, 4) or not isinstance(dims(source)[1], int):
            return
        chain = chains.walk(source, self.accumulators)
        accumulator = self.accumulators.get(chain.start)
        if accumulator is not None and sole_consumer(chain.start) is not None:
            packed = self._threshold(node, chain, accumulator)
            if packed is not None:
                self.packed[node.outputs[0]] = packed
                return
        self.packed[node.outputs[0]] = self._pack(node, source, chains.without_pools(source))

    def _threshold(
        self, node: ir.Node, chain: chains.Chain, accumulator: _Accumulator
    ) -> _Packed | None:
        """The accumulator's layer, the chain and the sign as one packed operator."""
        steps = list(chain.steps)
        if accumulator.bias is not None:
            steps.insert(0, chains.bias_step(accumulator.bias))
        outputs = accumulator.outputs
        try:
            found = integer_thresholds(steps, accumulator.products, outputs)
            minimum = [
                self._min_pooled(chain.steps[pool.position :], outputs) for pool in chain.pools
            ]
        except NotAThreshold as reason:
            self.why[accumulator.node] = f"no threshold: {reason}"
            return None
        weights = np.where(
            found.negate.reshape(-1, *[1] * (accumulator.weights.ndim - 1)),
            -accumulator.weights,
            accumulator.weights,
        )
        name = layer_name(accumulator.node)
        fused = [*(["bias"] if accumulator.bias is not None else []), *chain.names, "sign"]
        threshold = self.edit.constant(found.threshold, f"{name}.threshold")
        value = self._binary_layer(accumulator, weights, "Threshold", [threshold], node, name)
        self._record(value, name, "binary", [accumulator.node.op_type, *fused])
        height, width = self._spatial(accumulator.node.outputs[0])
        for pool, mask in zip(chain.pools, minimum, strict=True):
            height, width = self._spatial(pool.node.outputs[0])
            value = self._pool(pool.node, value, mask, outputs, height, width, node)
        self._mark_source(value, node)
        return _Packed(value, outputs, height, width)

    def _min_pooled(self, after: list[ChannelStep], channels: int) -> NDArray[np.bool_]:
        """Channels whose sign falls when the pooled value rises."""
        direction = direction_of(after, channels)
        if direction is None:
            raise NotAThreshold("a step after the pooling is not monotone")
        falling: NDArray[np.bool_] = direction < 0
        return falling

    def _pack(self, node: ir.Node, source: ir.Value, chain: chains.Chain) -> _Packed:
        """Packs the signs of a float value, with the steps before the sign if monotone."""
        channels = dims(source)[1]
        assert isinstance(channels, int)
        name = layer_name(node)
        start, steps = chain.start, list(chain.steps)
        bounds: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        if steps:
            try:
                bounds = float_intervals(steps, channels)
            except NotAThreshold:
                start = source
        last = self._channels_last(start, node, name)
        shape = [*last.shape[:-1], words(channels)] if last.shape is not None else []
        if bounds is None:
            value = self.edit.sbn("Pack", [last], node, name, shape=shape)
            fused = ["sign"]
        else:
            low = self.edit.constant(bounds[0], f"{name}.low")
            high = self.edit.constant(bounds[1], f"{name}.high")
            value = self.edit.sbn("PackThreshold", [last, low, high], node, name, shape=shape)
            fused = [*chain.names, "sign"]
        self._record(value, name, "pack", fused)
        self._mark_source(value, node)
        height, width = self._spatial(source)
        return _Packed(value, channels, height, width)

    # What keeps signs packed

    def _pad(self, node: ir.Node) -> None:
        packed = self._input(node)
        if packed is None or packed.height is None or any(packed.pads):
            return
        pads = constant(node.inputs[1])
        fill = constant(node.inputs[2]) if len(node.inputs) > 2 else np.float32(0)
        axes = constant(node.inputs[3]) if len(node.inputs) > 3 else np.arange(4)
        if (
            pads is None
            or fill is None
            or axes is None
            or text(node, "mode", "constant") != "constant"
        ):
            return
        count = len(axes)
        full = {int(a) % 4: (int(pads[i]), int(pads[i + count])) for i, a in enumerate(axes)}
        border = float(np.asarray(fill).reshape(()))
        if any(any(full.get(a, (0, 0))) for a in (0, 1)) or border not in (-1.0, 0.0, 1.0):
            return
        (top, bottom), (left, right) = full.get(2, (0, 0)), full.get(3, (0, 0))
        if min(top, bottom, left, right) < 0:
            return
        self.packed[node.outputs[0]] = _Packed(
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
        height, width = self._spatial(node.outputs[0])
        mask = np.zeros(packed.channels, np.bool_)
        value = self._pool(node, packed.value, mask, packed.channels, height, width, node)
        self.packed[node.outputs[0]] = _Packed(value, packed.channels, height, width)

    def _flatten(self, node: ir.Node) -> None:
        packed = self._input(node)
        if packed is None or any(packed.pads) or packed.flattened:
            return
        shape = dims(node.outputs[0])
        if packed.height is None:
            if len(shape) == 2 and shape[1] == packed.channels:
                self.packed[node.outputs[0]] = packed
            return
        if packed.width is None or len(shape) != 2 or shape[1] != packed.products:
            return
        length = packed.height * packed.width * words(packed.channels)
        name = layer_name(node)
        target = self.edit.constant(np.array([-1, length], np.int64), f"{name}.shape")
        batch = packed.value.shape[0] if packed.value.shape is not None else None
        value = self.edit.node(
            "Reshape",
            [packed.value, target],
            node,
            name,
            dtype=ir.DataType.UINT64,
            shape=[batch, length],
        )
        self.packed[node.outputs[0]] = _Packed(
            value, packed.channels, packed.height, packed.width, flattened=True
        )

    def _pass_through(self, node: ir.Node) -> None:
        packed = self._input(node)
        if packed is not None:
            self.packed[node.outputs[0]] = packed

    # Where accumulators arise

    def _convolution(self, node: ir.Node) -> None:
        weights = constant(node.inputs[1])
        if weights is None or weights.ndim != 4:
            self.why[node] = "only two-dimensional convolutions with constant weights are binary"
            return
        packed = self._input(node)
        if packed is None or not packed.is_image:
            self.why[node] = "its input is not a tensor of signs"
            return
        if not self._all_signs(node, weights):
            return
        if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            self.why[node] = "automatic padding; export with explicit pads"
            return
        own = ints(node, "pads", [0, 0, 0, 0])
        if any(packed.pads) and any(own):
            self.why[node] = "its input is padded twice"
            return
        self.accumulators[node.outputs[0]] = _Accumulator(
            node,
            packed,
            weights.astype(np.float32),
            self._bias(node),
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
            self.why[node] = "only matrix products with constant weights are binary"
            return
        packed = self._input(node)
        if packed is None or any(packed.pads) or packed.is_image:
            self.why[node] = "its input is not a tensor of signs"
            return
        if not self._all_signs(node, weights):
            return
        if not chains.is_plain_gemm(node):
            self.why[node] = "a scaled or transposed matrix product"
            return
        if integer(node, "transB", 0) == 0:
            weights = weights.T
        self.accumulators[node.outputs[0]] = _Accumulator(
            node,
            packed,
            np.ascontiguousarray(weights, dtype=np.float32),
            self._bias(node),
            {"channels": packed.products},
        )

    def _all_signs(self, node: ir.Node, weights: NDArray[np.generic]) -> bool:
        if not np.isin(weights, (-1, 1)).all():
            self.why[node] = "its weights are not all +1 or -1"
            return False
        if np.prod(weights.shape[1:]) > _MAX_PRODUCTS:
            self.why[node] = f"more than {_MAX_PRODUCTS} products in one sum"
            return False
        return True

    def _bias(self, node: ir.Node) -> NDArray[np.float32] | None:
        array = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if array is None or not array.any():
            return None
        channels = dims(node.outputs[0])[1] or array.size
        return np.broadcast_to(array.astype(np.float32).reshape(-1), (channels,))

    # What still has to be float

    def _finish(self, node: ir.Node) -> None:
        """Lowers what is still read as float; called from the outputs backwards."""
        for value in node.outputs:
            read = bool(value.uses()) or value.is_graph_output()
            if read and value in self.accumulators:
                self._scale(self.accumulators[value])
            elif read and value in self.packed and node.op_type == "Where":
                self._unpack(value, self.packed[value], node)
        self.edit.prune(node)

    def _scale(self, accumulator: _Accumulator) -> None:
        """The accumulator's layer and the affine steps after it, to floats."""
        outputs = accumulator.outputs
        end, steps, names = chains.forward_affine(accumulator.node.outputs[0])
        if accumulator.bias is not None:
            steps.insert(0, chains.bias_step(accumulator.bias))
            names.insert(0, "bias")
        composed = affine(steps, outputs)
        assert composed is not None
        name = layer_name(accumulator.node)
        scale = self.edit.constant(composed[0], f"{name}.scale")
        bias = self.edit.constant(composed[1], f"{name}.bias")
        before = accumulator.node
        value = self._binary_layer(
            accumulator, accumulator.weights, "Scale", [scale, bias], before, name
        )
        self._record(value, name, "binary", [accumulator.node.op_type, *names])
        if accumulator.is_convolution:
            value = self._channels_first(value, before, name)
        self.edit.replace(end, value)
        last = end.producer()
        assert last is not None
        self.edit.prune(last)

    def _unpack(self, old: ir.Value, packed: _Packed, node: ir.Node) -> None:
        name = f"{layer_name(node)}.unpack"
        shape = packed.value.shape
        assert shape is not None
        value = self.edit.sbn(
            "Unpack",
            [packed.value],
            node,
            name,
            dtype=FLOAT,
            shape=[*shape[:-1], packed.channels],
            channels=packed.channels,
        )
        self._record(value, name, "unpack", [])
        if packed.height is not None or len(shape) == 4:
            value = self._channels_first(value, node, name)
        self.edit.replace(old, value)

    # Building blocks

    def _binary_layer(
        self,
        accumulator: _Accumulator,
        weights: NDArray[np.float32],
        epilogue: str,
        constants: list[ir.Value],
        before: ir.Node,
        name: str,
    ) -> ir.Value:
        packed = accumulator.packed
        if accumulator.is_convolution:
            array = pack_signs(weights.transpose(0, 2, 3, 1))
        elif packed.flattened:
            chw = weights.reshape(-1, packed.channels, packed.height or 1, packed.width or 1)
            array = pack_signs(chw.transpose(0, 2, 3, 1)).reshape(len(weights), -1)
        else:
            array = pack_signs(weights)
        last = accumulator.outputs if epilogue == "Scale" else words(accumulator.outputs)
        batch = packed.value.shape[0] if packed.value.shape is not None else None
        shape: list[Dim] = [batch, last]
        if accumulator.is_convolution:
            height, width = self._spatial(accumulator.node.outputs[0])
            shape = [batch, height, width, last]
        return self.edit.sbn(
            ("Conv" if accumulator.is_convolution else "Dense") + epilogue,
            [packed.value, self.edit.constant(array, f"{name}.weight.packed"), *constants],
            before,
            name,
            dtype=FLOAT if epilogue == "Scale" else ir.DataType.UINT64,
            shape=shape,
            **accumulator.attributes,
        )

    def _pool(
        self,
        pool: ir.Node,
        value: ir.Value,
        mask: NDArray[np.bool_],
        channels: int,
        height: int | None,
        width: int | None,
        before: ir.Node,
    ) -> ir.Value:
        name = layer_name(pool)
        minimum = self.edit.constant(pack_bits(mask), f"{name}.minimum")
        batch = value.shape[0] if value.shape is not None else None
        result = self.edit.sbn(
            "MaxPool",
            [value, minimum],
            before,
            name,
            shape=[batch, height, width, words(channels)],
            kernel_shape=ints(pool, "kernel_shape", []),
            strides=ints(pool, "strides", [1, 1]),
            pads=ints(pool, "pads", [0, 0, 0, 0]),
        )
        self._record(result, name, "pool", [])
        return result

    def _channels_last(self, value: ir.Value, before: ir.Node, name: str) -> ir.Value:
        return self._transpose(value, [0, 2, 3, 1], before, f"{name}.channels_last")

    def _channels_first(self, value: ir.Value, before: ir.Node, name: str) -> ir.Value:
        return self._transpose(value, [0, 3, 1, 2], before, f"{name}.channels_first")

    def _transpose(self, value: ir.Value, order: list[int], before: ir.Node, name: str) -> ir.Value:
        if value.shape is None or len(value.shape) != 4:
            return value
        producer = value.producer()
        if producer is not None and producer.op_type == "Transpose":
            inner = ints(producer, "perm", [])
            if [inner[i] for i in order] == [0, 1, 2, 3] and producer.inputs[0] is not None:
                return producer.inputs[0]
        shape = [value.shape[i] for i in order]
        return self.edit.node(
            "Transpose", [value], before, name, dtype=FLOAT, shape=shape, perm=order
        )

    def _spatial(self, value: ir.Value) -> tuple[int | None, int | None]:
        shape = dims(value)
        return (shape[2], shape[3]) if len(shape) == 4 else (None, None)

    def _input(self, node: ir.Node) -> _Packed | None:
        first = node.inputs[0]
        return None if first is None else self.packed.get(first)

    def _record(self, value: ir.Value, name: str, kind: str, fused: list[str]) -> None:
        node = value.producer()
        assert node is not None
        why = ""
        self.layers[node] = Layer(name, node.op_type, node.name or "", kind, fused, why=why)

    def _mark_source(self, value: ir.Value, sign: ir.Node) -> None:
        node = value.producer()
        assert node is not None
        self.layers[node].source = sign.outputs[0].name or ""
