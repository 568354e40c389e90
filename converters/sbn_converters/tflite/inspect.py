"""What a TFLite file contains, operator by operator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..layer_info import LayerInfo
from .metadata import metadata
from .model import Model, Operator

# Operators with weights as their second input.
_WEIGHTED = ("LceBconv2d", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
# Operators that rearrange words, or combine those of the same channels.
_KEEPING_CHANNELS = ("LceBMaxPool2d", "PAD", "PADV2", "BITWISE_XOR", "STRIDED_SLICE", "SLICE")


def inspect_model(model: Model, name: str) -> list[LayerInfo]:
    """Lists the operators of a model in the order in which they run.

    The names are those of their results. The last size of packed signs is that
    of their channels where it is known, else of the words that hold them.

    name: what errors call the file. Raises ModelError if its metadata is damaged.
    """
    notes = _notes(metadata(model, name))
    channels: dict[int, int] = {}

    def logical(index: int) -> tuple[int, ...]:
        shape = model.tensors[index].shape[1:]
        return (*shape[:-1], channels[index]) if shape and index in channels else shape

    layers = []
    for operator in model.operators:
        _note_channels(model, operator, channels)
        computed = [i for i in operator.inputs if i >= 0 and model.tensors[i].data is None]
        constants = [
            tensor
            for i in operator.inputs
            if i >= 0 and (tensor := model.tensors[i]).data is not None
        ]
        kind = _kind(model, operator)
        macs = _macs(model, operator)
        packed = _packed_bytes(model, operator)
        size = sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in constants)
        result = model.tensors[operator.outputs[0]].name
        note = notes.get(result, {})
        layers.append(
            LayerInfo(
                name=result,
                op=operator.name,
                kind=kind,
                input_shape=logical(computed[0]) if computed else (),
                output_shape=logical(operator.outputs[0]),
                binary_macs=macs if kind == "binary" else 0,
                int8_macs=macs if kind == "int8" else 0,
                float_macs=macs if kind == "float" else 0,
                packed_bytes=packed,
                float_bytes=size - packed,
                fused=tuple(map(str, note.get("fused", ()))),
                why=str(note.get("why", "")),
            )
        )
    return layers


def working_memory(model: Model) -> int:
    """Bytes of inputs and outputs of the largest operator, without constants."""
    return max(
        (
            sum(
                math.prod(tensor.shape) * tensor.dtype.itemsize
                for index in {*operator.inputs, *operator.outputs}
                if index >= 0 and (tensor := model.tensors[index]).data is None
            )
            for operator in model.operators
        ),
        default=0,
    )


def _notes(meta: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By the result's name, what our exporter says of a layer; what is damaged is left out."""
    layers, packed = meta.get("layers"), meta.get("packed")
    if not isinstance(layers, list):
        return {}
    held = packed if isinstance(packed, dict) else {}
    found = {}
    for layer in layers:
        if isinstance(layer, dict) and isinstance(node := layer.get("node"), str):
            entry = held.get(node)
            result = entry.get("tensor") if isinstance(entry, dict) else node
            if isinstance(result, str) and isinstance(layer.get("fused", []), list):
                found[result] = layer
    return found


def _kind(model: Model, operator: Operator) -> str:
    if operator.name == "LceBconv2d":
        return "binary"
    if operator.name not in _WEIGHTED:
        return "other"
    return "int8" if model.tensors[operator.inputs[1]].dtype == np.int8 else "float"


def _macs(model: Model, operator: Operator) -> int:
    """Multiply-accumulates for one sample."""
    if operator.name not in _WEIGHTED:
        return 0
    weights = model.tensors[operator.inputs[1]].shape
    output = model.tensors[operator.outputs[0]].shape
    if operator.name == "FULLY_CONNECTED":
        return math.prod(output) * math.prod(weights[1:])
    if operator.name == "TRANSPOSE_CONV":
        output = model.tensors[operator.inputs[2]].shape  # each of its inputs meets all weights
    area = math.prod(output[1:3])
    if operator.name == "LceBconv2d":
        return math.prod(weights[:3]) * _channels_of_a_group(model, operator) * area
    return math.prod(weights) * area


def _channels_of_a_group(model: Model, operator: Operator) -> int:
    """Channels that one filter of a binary convolution sees."""
    channels = operator.options["channels_in"]
    assert isinstance(channels, int)
    words = model.tensors[operator.inputs[1]].shape[3]
    groups = model.tensors[operator.inputs[0]].shape[3] // words
    return channels // groups


def _packed_bytes(model: Model, operator: Operator) -> int:
    if operator.name != "LceBconv2d":
        return 0
    return 4 * math.prod(model.tensors[operator.inputs[1]].shape)


def _note_channels(model: Model, operator: Operator, channels: dict[int, int]) -> None:
    """Remembers how many of a packed result's bits are channels."""
    source, result = operator.inputs[0], operator.outputs[0]
    if model.tensors[result].dtype != np.int32 or source < 0:
        return
    if operator.name == "LceQuantize":
        channels[result] = model.tensors[source].shape[-1]
    elif operator.name == "LceBconv2d":
        channels[result] = model.tensors[operator.inputs[1]].shape[0]
    elif operator.name in _KEEPING_CHANNELS and source in channels:
        channels[result] = channels[source]
