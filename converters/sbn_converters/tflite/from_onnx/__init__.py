"""One of our ONNX files as a TFLite file for Larq Compute Engine.

Every packed operator has a counterpart among LCE's operators, or is composed
of some (`binary_layers`); signs stay packed between them, and thresholds hold
the same whole numbers. First layers on pixels become float convolutions of
whole numbers below 2^24, which floats hold exactly. The batch is one image.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from sbn_runtime.errors import UnsupportedLayerError

from ...onnx.inspect import metadata
from ...onnx.write import METADATA_KEY
from ...ops import DOMAIN
from ..model import Model
from ..words32 import pack_bits32
from . import float_ops, packed_ops
from .build import Builder
from .values import Packed, Plain, Values


def translate(proto: onnx.ModelProto) -> Model:
    """The TFLite model that computes what an exported ONNX file does.

    Images are [1, H, W, C], uint8 where the ONNX file takes pixels, else
    float32; outputs keep their names. The file's metadata becomes the
    metadata "sbn", with one entry more: "packed" tells by the node's name in the
    ONNX file which "tensor" holds a layer's packed signs, of how many
    "channels", and, in hexadecimal, which of them are "turned".

    Raises UnsupportedLayerError for a file that draws noise, and for operators
    without a counterpart.
    """
    recorded: dict[str, Any] = dict(metadata(proto))
    if recorded.get("activations") == "stochastic":
        raise UnsupportedLayerError(
            "LCE has no operator for noise on activations; export this network to a file that"
            " ends in .onnx, or with deterministic activations"
        )
    graph = ir.serde.deserialize_model(proto).graph
    builder = Builder()
    values = Values(builder)
    _input(builder, values, graph.inputs[0], channels_last="imported" in recorded)
    packed: dict[str, dict[str, object]] = {}
    for node in graph:
        if node.op_type == "Constant":
            continue
        name = node.name or node.op_type.lower()
        if node.domain == DOMAIN:
            packed_ops.translate(values, node, name)
        elif node.op_type == "Reshape" and values.is_packed(node.inputs[0]):
            # Rows of an image's words; a dense layer reads the image.
            values[node.outputs[0]] = values.packed(node.inputs[0])
        else:
            float_ops.translate(values, node, name)
        for value in node.outputs:
            if values.is_packed(value) and node.name:
                packed[node.name] = _described(builder, values.packed(value))
    for value in graph.outputs:
        _output(builder, values, value)
    if recorded:
        compact = json.dumps({**recorded, "packed": packed}, sort_keys=True, separators=(",", ":"))
        builder.model.metadata[METADATA_KEY] = compact.encode()
    builder.model.description = "sbn-deploy"
    return builder.model


def _input(builder: Builder, values: Values, value: ir.Value, *, channels_last: bool) -> None:
    sizes = [1, *(value.shape or [])[1:]]
    if any(not isinstance(size, int) for size in sizes):
        raise UnsupportedLayerError(
            f"input {value.name!r} leaves more than its batch size open: {sizes};"
            " TFLite files are written for one size"
        )
    shape = tuple(int(size) for size in sizes)
    assert value.dtype is not None
    dtype = np.dtype(value.dtype.numpy())
    first = len(shape) == 4 and dtype == np.float32 and not channels_last
    held = tuple(shape[i] for i in (0, 2, 3, 1)) if first else shape
    tensor = builder.tensor(value.name or "input", held, dtype)
    builder.model.inputs.append(tensor)
    values[value] = Plain(tensor, shape, first)


def _output(builder: Builder, values: Values, value: ir.Value) -> None:
    name = value.name or "output"
    tensor = values.in_order(values.plain(value), name)
    builder.model.tensors[tensor].name = name
    builder.model.outputs.append(tensor)


def _described(builder: Builder, held: Packed) -> dict[str, object]:
    entry: dict[str, object] = {
        "tensor": builder.model.tensors[held.tensor].name,
        "channels": held.channels,
    }
    if held.turned is not None:
        entry["turned"] = pack_bits32(held.turned).tobytes().hex()
    return entry
