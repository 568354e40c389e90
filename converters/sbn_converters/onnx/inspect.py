"""What an exported file contains, layer by layer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from sbn_runtime.errors import ModelError

from ..layer_info import LayerInfo
from ..ops import DOMAIN
from .shorten import FLOAT_LAYERS
from .working_set import working_set
from .write import METADATA_KEY


def load_model(path: Path) -> onnx.ModelProto:
    """Reads and parses an ONNX file.

    Raises ModelError if it is missing or is no ONNX file.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except DecodeError as error:
        raise ModelError(f"{path} is not an ONNX file, or is truncated; export it again") from error
    if not model.graph.node:
        raise ModelError(f"{path} is not an ONNX file, or is truncated; export it again")
    return model


def metadata(model: onnx.ModelProto) -> dict[str, object]:
    """The metadata that the exporter wrote; {} for a file from elsewhere.

    Raises ModelError if it is damaged.
    """
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            try:
                loaded = json.loads(entry.value)
            except (ValueError, RecursionError):
                loaded = None
            if not isinstance(loaded, dict):
                raise ModelError("the model's sbn metadata is damaged; export it again")
            return loaded
    return {}


def working_memory(path: Path) -> int:
    """Bytes that one sample's activations take at most, as the file's shapes say; see working_set.

    Raises what `load_model` does.
    """
    inferred = onnx.shape_inference.infer_shapes(load_model(path))
    return working_set(ir.from_proto(inferred).graph)


def inspect_model(path: Path) -> list[LayerInfo]:
    """Lists the layers of an exported file in graph order.

    Raises ModelError if the file is missing, truncated or no ONNX file.
    """
    model = load_model(path)
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes: dict[str, tuple[int, ...]] = {}
    for value in [*graph.value_info, *graph.input, *graph.output]:
        shapes[value.name] = tuple(
            dim.dim_value if dim.HasField("dim_value") else -1
            for dim in value.type.tensor_type.shape.dim
        )
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    recorded = metadata(model).get("layers", [])
    notes = (
        {entry["node"]: entry for entry in recorded if isinstance(entry, dict)}
        if isinstance(recorded, list)
        else {}
    )
    layers = []
    channels: dict[str, int] = {}

    # Images [H, W, C] of which a value holds the pixels as rows.
    images: dict[str, tuple[int, ...]] = {}

    def logical(name: str) -> tuple[int, ...]:
        """The shape without batch, a packed value's last dimension in channels."""
        if name in images:
            return images[name]
        shape = shapes.get(name, ())[1:]
        return (*shape[:-1], channels[name]) if shape and name in channels else shape

    for node in graph.node:
        if node.op_type == "Reshape" and node.input[0] in channels:
            channels[node.output[0]] = math.prod(logical(node.input[0]))
        _note_rows(node, shapes, images)
        _note_channels(node, arrays, shapes, channels)
        ours = node.domain == DOMAIN
        if not ours and node.op_type not in FLOAT_LAYERS:
            continue
        weights = arrays.get(node.input[1]) if len(node.input) > 1 else None
        output = shapes.get(node.output[0], ())
        macs = _macs(node, weights, output) * math.prod(images.get(node.output[0], (1,))[:-1])
        kind = _kind(node)
        constants = [arrays[name] for name in node.input if name in arrays]
        packed = [t for t in constants if t.data_type == onnx.TensorProto.UINT64]
        note = notes.get(node.name, {})
        layers.append(
            LayerInfo(
                name=node.name,
                op=f"{DOMAIN}.{node.op_type}" if ours else node.op_type,
                kind=kind,
                input_shape=logical(node.input[0]),
                output_shape=logical(node.output[0]),
                binary_macs=macs if kind == "binary" else 0,
                int8_macs=macs if kind == "int8" else 0,
                float_macs=macs if kind == "float" else 0,
                packed_bytes=sum(8 * int(np.prod(t.dims)) for t in packed),
                float_bytes=sum(_bytes(t) for t in constants if t not in packed),
                fused=tuple(note.get("fused", ())),
                why=str(note.get("why", "")),
            )
        )
    return layers


def _kind(node: onnx.NodeProto) -> str:
    if node.domain != DOMAIN:
        return "float"
    if node.op_type.startswith("Pixel"):
        return "int8"
    if node.op_type == "FloatDepthwiseConv":
        return "float"
    return "binary" if node.op_type.startswith(("Conv", "Dense")) else "other"


def _note_rows(
    node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]], images: dict[str, tuple[int, ...]]
) -> None:
    """Remembers the image behind rows of pixels, which matrix products work on."""
    source, result = node.input[0] if node.input else "", node.output[0]
    if node.op_type == "Reshape" and len(shapes.get(source, ())) == 4:
        if shapes.get(result, ())[1:] == shapes[source][3:]:
            images[result] = shapes[source][1:]
    elif node.op_type == "Gemm" and source in images and len(shapes.get(result, ())) == 2:
        images[result] = (*images[source][:2], shapes[result][1])


def _note_channels(
    node: onnx.NodeProto,
    arrays: dict[str, onnx.TensorProto],
    shapes: dict[str, tuple[int, ...]],
    channels: dict[str, int],
) -> None:
    """Remembers how many of a packed output's bits are channels."""
    if node.domain != DOMAIN:
        return
    if node.op_type.endswith("Threshold") and node.op_type != "PackThreshold":
        channels[node.output[0]] = arrays[node.input[1]].dims[0]
    elif node.op_type.startswith("Pack") and shapes.get(node.input[0]):
        channels[node.output[0]] = shapes[node.input[0]][-1]
    elif node.op_type == "MaxPool" and node.input[0] in channels:
        channels[node.output[0]] = channels[node.input[0]]


def _bytes(tensor: onnx.TensorProto) -> int:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(np.prod(tensor.dims)) * np.dtype(dtype).itemsize


def _macs(node: onnx.NodeProto, weights: onnx.TensorProto | None, output: tuple[int, ...]) -> int:
    """Multiply-accumulates for one input; 0 where the shape is not known."""
    if weights is None or not output:
        return 0
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    dims = list(weights.dims)
    if node.op_type.startswith("PixelConv"):
        return int(np.prod(dims)) * output[1] * output[2] if min(output[1:3]) > 0 else 0
    if node.op_type == "FloatDepthwiseConv":
        return int(np.prod(dims)) * output[0] * output[1] if min(output[:2]) > 0 else 0
    if node.domain == DOMAIN and node.op_type.startswith("Conv"):
        area = output[1] * output[2] if min(output[1:3]) > 0 else 0
        per_group = attributes["channels"] // attributes["group"]
        return int(dims[0] * dims[1] * dims[2] * per_group * area)
    if node.domain == DOMAIN and node.op_type.startswith("Dense"):
        return int(dims[0] * attributes["channels"])
    if node.op_type == "Conv":
        area = int(np.prod(output[2:])) if min(output[2:], default=0) > 0 else 0
        return int(np.prod(dims)) * area
    if node.op_type in FLOAT_LAYERS:
        return int(np.prod(dims))
    return 0
