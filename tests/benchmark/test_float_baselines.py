"""The baselines are as good as they can be: 8 bits cost no accuracy on any CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from sbn_deploy.benchmark.float_baselines import export_fp32, quantise_int8
from sbn_deploy.nn import models


def test_sums_of_eight_bits_do_not_saturate(tmp_path: Path) -> None:
    network = models.create_twin("digits-cnn", width=16).eval()
    for parameter in network.parameters():
        # All products of a sum are the largest.
        torch.nn.init.constant_(parameter, 0.05)
    shape = models.input_shape(network.config)
    fp32, int8 = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    export_fp32(network, shape, fp32)
    images = np.ones((32, *shape), np.float32)
    quantise_int8(fp32, int8, images)
    wanted, found = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
            ["logits"], {"input": images}
        )[0]
        for path in (fp32, int8)
    )
    # Rounding of five layers; saturated, it was 10 % less.
    np.testing.assert_allclose(found, wanted, rtol=0.05)
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in onnx.load(int8).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert weights
    assert max(int(np.abs(weight.astype(np.int16)).max()) for weight in weights) <= 64
