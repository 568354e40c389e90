"""How fast this machine multiplies bits: a binary convolution whose shape suits every kernel."""

from __future__ import annotations

import numpy as np
import onnx

from sbn_converters import ops

SIZE = 28
CHANNELS = 256
KERNEL = 3
MACS = SIZE * SIZE * KERNEL * KERNEL * CHANNELS * CHANNELS
DESCRIPTION = (
    f"one {KERNEL}×{KERNEL} convolution of {CHANNELS} to {CHANNELS} channels on {SIZE}×{SIZE}"
    " pixels with our kernels, whose data stay in the level-2 cache"
)


def peak_model() -> bytes:
    """The convolution as an ONNX file, with an input X; `MACS` multiply-accumulates a call."""
    words = CHANNELS // 64
    tensor = onnx.helper.make_tensor_value_info
    image = (1, SIZE, SIZE, words)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 2**64, (CHANNELS, KERNEL, KERNEL, words), np.uint64)
    node = onnx.helper.make_node(
        "ConvThreshold",
        ["X", "W", "T"],
        ["Y"],
        domain=ops.DOMAIN,
        channels=CHANNELS,
        strides=[1, 1],
        dilations=[1, 1],
        pads=[1, 1, 1, 1],
        group=1,
        pad_value=0,
    )
    graph = onnx.helper.make_graph(
        [node],
        "peak",
        [tensor("X", onnx.TensorProto.UINT64, image)],
        [tensor("Y", onnx.TensorProto.UINT64, image)],
        [
            onnx.numpy_helper.from_array(weights, "W"),
            onnx.numpy_helper.from_array(np.zeros(CHANNELS, np.int32), "T"),
        ],
    )
    opsets = [onnx.helper.make_opsetid(ops.DOMAIN, ops.VERSION)]
    opsets.append(onnx.helper.make_opsetid("", ops.ONNX_OPSET))
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    serialized: bytes = model.SerializeToString()
    return serialized
