"""A model with every operator, each on inputs of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sbn_converters import ops
from sbn_converters.onnx.functions import function_protos

from ..runtime.one_node import FULL_RANGE, epilogue, packed, words

Array = NDArray[Any]

BATCH, HEIGHT, WIDTH, CHANNELS, OUTPUTS = 2, 7, 6, 70, 37
# What the kernels must not take for constant.
CHANGING = ("X", "R", "seed", "first_sample", "samples")
WINDOW = {"strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1]}
POOL = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 0, 1]}
# Of a window of 3 × 2 with these.
OUT = (BATCH, 4, 5)


def inputs_of(name: str, rng: np.random.Generator) -> tuple[dict[str, Array], dict[str, Any]]:
    """Inputs by name, and attributes, for an operator."""
    pixels = (BATCH, HEIGHT, WIDTH)
    floats = rng.standard_normal((*pixels, CHANNELS)).astype(np.float32)
    integers = rng.integers(-999, 999, (*pixels, CHANNELS)).astype(np.int16)
    minimum = packed(rng, CHANNELS)
    low, high = np.full(CHANNELS, -0.5, np.float32), np.full(CHANNELS, 0.75, np.float32)
    full = {"dot_range": FULL_RANGE, "dot_offset": 3}
    window = {**WINDOW, "channels": CHANNELS}
    if name.startswith("Conv"):
        values = {"X": packed(rng, *pixels, CHANNELS), "W": packed(rng, OUTPUTS, 3, 2, CHANNELS)}
        more = {} if name.endswith("Threshold") else full
        attributes = {**window, "group": 1, "pad_value": -1, **more}
        return values | epilogue(rng, name, OUTPUTS, OUT), attributes
    if name.startswith("Dense"):
        values = {"X": packed(rng, BATCH, CHANNELS), "W": packed(rng, OUTPUTS, CHANNELS)}
        more = {} if name.endswith("Threshold") else full
        return values | epilogue(rng, name, OUTPUTS, (BATCH,)), {"channels": CHANNELS, **more}
    if name.startswith("PixelConv"):
        values = {
            "X": rng.integers(0, 256, (*pixels, 3)).astype(np.uint8),
            "W": rng.integers(-128, 128, (OUTPUTS, 3, 2, 3)).astype(np.int8),
        }
        return values | epilogue(rng, name, OUTPUTS, OUT), {**WINDOW, "pad_value": 128}
    cases: dict[str, tuple[dict[str, Array], dict[str, Any]]] = {
        "Pack": ({"X": floats}, {}),
        "PackThreshold": ({"X": floats, "low": low, "high": high}, {}),
        "Unpack": ({"X": packed(rng, *pixels, CHANNELS)}, {"channels": CHANNELS}),
        "Quantize": ({"X": floats, "scale": high * 999, "bias": low}, {}),
        "MaxPool": ({"X": packed(rng, *pixels, CHANNELS), "minimum": minimum}, POOL),
        "QuantizedMaxPool": ({"X": integers, "minimum": minimum}, POOL),
        "FloatMaxPool": ({"X": floats}, {**POOL, "relu": 1}),
        "FloatDepthwiseConv": ({"X": floats, "W": floats[0, :3, :2], "B": low}, window),
        "StochasticSign": (
            {
                "X": integers,
                "table": np.stack([np.arange(32768, 65536, 512), np.full(64, 512)]).astype(
                    np.int32
                ),
                "seed": np.array(7),
                "first_sample": np.array(2),
                "samples": np.array(3),
            },
            {"layer": 5, "fan_out": 1},
        ),
    }
    assert minimum.shape == (words(CHANNELS),)
    return cases[name]


def write(path: Path) -> dict[str, Array]:
    """Writes the model and returns what it takes, by name."""
    rng = np.random.default_rng(0)
    nodes, initializers, changing, outputs = [], [], [], []
    taken: dict[str, Array] = {}
    for name, operator in ops.BY_NAME.items():
        values, attributes = inputs_of(name, rng)
        assert list(values) == [tensor.name for tensor in operator.inputs]
        results = [f"{name}_{tensor.name}" for tensor in operator.outputs]
        node = onnx.helper.make_node(
            name, [f"{name}_{key}" for key in values], results, name=f"one/{name}", domain="sbn"
        )
        for key, value in attributes.items():
            node.attribute.append(onnx.helper.make_attribute(key, value))
        nodes.append(node)
        for key, value in values.items():
            tensor = onnx.numpy_helper.from_array(value, f"{name}_{key}")
            if key in CHANGING:
                info = onnx.helper.make_tensor_value_info
                changing.append(info(tensor.name, tensor.data_type, value.shape))
                taken[tensor.name] = value
            else:
                initializers.append(tensor)
        outputs += [onnx.ValueInfoProto(name=result) for result in results]
    graph = onnx.helper.make_graph(nodes, "every", changing, outputs, initializers)
    model = onnx.helper.make_model(
        graph,
        opset_imports=[
            onnx.helper.make_opsetid("", ops.ONNX_OPSET),
            onnx.helper.make_opsetid(ops.DOMAIN, ops.VERSION),
        ],
        functions=list(function_protos().values()),
        ir_version=ops.IR_VERSION,
    )
    path.write_bytes(model.SerializeToString())
    return taken
