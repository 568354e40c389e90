"""TFLite models of one operator, and LCE's interpreter taken away."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sbn_converters.tflite.model import Model, Operator, Option, Tensor

FLOAT, WORDS = np.dtype(np.float32), np.dtype(np.int32)
BINARY_OPTIONS: dict[str, Option] = {
    "channels_in": 40,
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "fused_activation_function": 0,
    "pad_values": 0,
    "padding": 1,
    "stride_height": 1,
    "stride_width": 1,
}


def binary_layer(rng: np.random.Generator) -> Model:
    """Signs of a float image [1, 4, 4, 40], and a 1×1 binary convolution to 8 channels."""
    weights = rng.integers(0, 2, (8, 40)).astype(np.bool_)
    packed = np.zeros((8, 64), np.bool_)
    packed[:, :40] = weights
    words = np.packbits(packed, axis=1, bitorder="little").view("<i4").reshape(8, 1, 1, 2)
    return Model(
        [
            Tensor("input", (1, 4, 4, 40), FLOAT),
            Tensor("signs", (1, 4, 4, 2), WORDS),
            Tensor("weights", words.shape, WORDS, words),
            Tensor("scale", (8,), FLOAT, np.ones(8, np.float32)),
            Tensor("bias", (8,), FLOAT, np.zeros(8, np.float32)),
            Tensor("sums", (1, 4, 4, 8), FLOAT),
        ],
        [
            Operator("LceQuantize", [0], [1]),
            Operator("LceBconv2d", [1, 2, 3, 4, -1], [5], dict(BINARY_OPTIONS)),
        ],
        [0],
        [5, 1],
    )


def grouped_layer() -> Model:
    """Signs of a float image [1, 4, 4, 64], and a 1×1 binary convolution of two groups."""
    return Model(
        [
            Tensor("input", (1, 4, 4, 64), FLOAT),
            Tensor("signs", (1, 4, 4, 2), WORDS),
            Tensor("weights", (8, 1, 1, 1), WORDS, np.arange(8, dtype="<i4").reshape(8, 1, 1, 1)),
            Tensor("scale", (8,), FLOAT, np.ones(8, np.float32)),
            Tensor("bias", (8,), FLOAT, np.zeros(8, np.float32)),
            Tensor("sums", (1, 4, 4, 8), FLOAT),
        ],
        [
            Operator("LceQuantize", [0], [1]),
            Operator("LceBconv2d", [1, 2, 3, 4, -1], [5], {**BINARY_OPTIONS, "channels_in": 64}),
        ],
        [0],
        [5],
    )


def binary_sums(model: Model, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `binary_layer` computes, [N, 4, 4, 8]."""
    words = model.tensors[2].data
    assert words is not None
    bits = np.unpackbits(words.view(np.uint8).reshape(8, 8), axis=1, bitorder="little")[:, :40]
    signs = np.where(x < 0, -1.0, 1.0)
    return (signs @ (1.0 - 2.0 * bits).T).astype(np.float32)


def without_lce() -> dict[str, str]:
    """Environment variables of a process that does not find larq-compute-engine.

    Skips the test where it is installed among all other packages.
    """
    spec = find_spec("larq_compute_engine")
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if spec is not None:
        (package,) = spec.submodule_search_locations or [""]
        folder = str(Path(package).parent)
        if folder not in paths:
            pytest.skip("larq-compute-engine is installed")
        paths = [path for path in paths if path != folder]
    return {"PYTHONPATH": os.pathsep.join(paths)}
