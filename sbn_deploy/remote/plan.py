"""The plan of a model: its sbn operators, for a machine without onnxruntime.

A plan is a file of little-endian 64-bit integers, texts and bytes:

    "sbnplan1", number of tensors, number of operators
    each tensor: origin (0 written by an operator, 1 constant, 2 given), ONNX's number of its
        type, rank, sizes; then the CRC-32 of its bytes if it is written, else these bytes, at a
        multiple of 64
    each operator: name of its type, name, number of inputs, the tensors, number of outputs, the
        tensors, number of attributes; each attribute: name, 0 for a number and 1 for a list,
        number of values, values

A text is its length, its bytes, and a zero. runtime/phone/plan.cc reads the file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from sbn_converters.layer_info import LayerInfo
from sbn_converters.onnx.inspect import inspect_model, load_model
from sbn_converters.onnx.shorten import FLOAT_LAYERS
from sbn_converters.ops import DOMAIN
from sbn_deploy.engines.engine import Feed
from sbn_deploy.engines.onnx import kernel_engine
from sbn_deploy.records.benchmark import Operator

WRITTEN, CONSTANT, GIVEN = range(3)
_ALIGNMENT = 64


@dataclass(frozen=True)
class Plan:
    """What a phone is to run.

    Attributes:
        data: the file.
        timed: the sbn operators, in their order.
        not_timed: the others that compute something of the input, which onnxruntime would run.
    """

    data: bytes
    timed: tuple[Operator, ...]
    not_timed: tuple[Operator, ...]


def make_plan(path: Path, feed: Feed) -> Plan:
    """The plan of an exported model for a batch of its inputs.

    The model is run here once: what its operators read from others is given as it was, and
    what they wrote is noted, to be compared. Raises ModelError if the file cannot be read.
    """
    model = load_model(path)
    nodes = list(model.graph.node)
    depending = _depending(model.graph)
    operators = _operators(nodes, inspect_model(path))
    ours = [node for node in nodes if node.domain == DOMAIN]
    written = {name for node in ours for name in node.output if name}
    read = dict.fromkeys(name for node in ours for name in node.input)
    values = _values(model, feed, [*read, *written])
    file = _File()
    file.bytes(b"sbnplan1")
    tensors = list(dict.fromkeys([*read, *(name for node in ours for name in node.output)]))
    file.numbers(len(tensors), len(ours))
    for name in tensors:
        origin = WRITTEN if name in written else GIVEN if name in depending else CONSTANT
        file.tensor(origin, values[name])
    number = {name: index for index, name in enumerate(tensors)}
    for node in ours:
        file.operator(node, number)
    return Plan(
        data=bytes(file.content),
        timed=tuple(operators[id(node)] for node in ours),
        not_timed=tuple(
            operators[id(node)]
            for node in nodes
            if node.domain != DOMAIN and not depending.isdisjoint(node.output)
        ),
    )


class _File:
    """A plan that grows."""

    def __init__(self) -> None:
        self.content = bytearray()

    def bytes(self, data: bytes) -> None:
        self.content += data

    def numbers(self, *values: int) -> None:
        self.content += struct.pack(f"<{len(values)}q", *values)

    def text(self, text: str) -> None:
        data = text.replace("\0", "").encode()
        self.numbers(len(data))
        self.content += data + b"\0"

    def tensor(self, origin: int, value: NDArray[Any]) -> None:
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        self.numbers(origin, kind, value.ndim, *value.shape)
        data = value.astype(value.dtype.newbyteorder("<")).tobytes()
        if origin == WRITTEN:
            self.numbers(zlib.crc32(data))
        else:
            self.content += bytes(-len(self.content) % _ALIGNMENT) + data

    def operator(self, node: onnx.NodeProto, number: Mapping[str, int]) -> None:
        self.text(node.op_type)
        self.text(_name(node))
        for names in (node.input, node.output):
            self.numbers(len(names), *(number[name] for name in names))
        self.numbers(len(node.attribute))
        for attribute in node.attribute:
            value = onnx.helper.get_attribute_value(attribute)
            values = list(value) if isinstance(value, Iterable) else [value]
            self.text(attribute.name)
            self.numbers(int(isinstance(value, Iterable)), len(values), *values)


def _name(node: onnx.NodeProto) -> str:
    return node.name or node.output[0]


def _depending(graph: onnx.GraphProto) -> set[str]:
    """The values that follow from the inputs, among which are initializers with the name of one."""
    found = {value.name for value in graph.input}
    for node in graph.node:
        if not found.isdisjoint(node.input):
            found.update(node.output)
    return found


def _operators(nodes: Iterable[onnx.NodeProto], layers: Iterable[LayerInfo]) -> dict[int, Operator]:
    """By the identity of its node; `layers` are those of our nodes and of float layers."""
    remaining = iter(layers)
    found = {}
    for node in nodes:
        if node.domain == DOMAIN or node.op_type in FLOAT_LAYERS:
            layer = next(remaining)
            macs = layer.binary_macs + layer.int8_macs + layer.float_macs
            found[id(node)] = Operator(name=_name(node), op=layer.op, kind=layer.kind, macs=macs)
        else:
            found[id(node)] = Operator(name=_name(node), op=node.op_type, kind="other", macs=0)
    return found


def _values(model: onnx.ModelProto, feed: Feed, names: list[str]) -> dict[str, NDArray[Any]]:
    """What values the model computes from its inputs, and its initializers."""
    values = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name in names
    }
    values.update(feed)
    wanted = [name for name in dict.fromkeys(names) if name not in values]
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in wanted if name not in present
    )
    found = kernel_engine(model.SerializeToString(), threads=1).run(feed)
    values.update((name, found[name]) for name in wanted)
    return values
