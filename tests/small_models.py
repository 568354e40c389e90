"""Small ONNX files with sbn operators, written without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sbn_converters import ops
from sbn_converters.onnx.functions import function_protos, reachable

CLASSES = ("circle", "cross", "line")
SIZE = 4
PREPROCESS = {
    "channels": 1,
    "height": SIZE,
    "width": SIZE,
    "pixel_max": 16,
    "mean": [0.5],
    "std": [0.5],
}
GRAPH = """
<ir_version: 9, opset_import: ["": 20, "sbn": 1]>
classifier (float[N, 1, 4, 4] input) => (float[N, K] logits, float[N, K] probabilities)
{
    rows = Flatten <axis = 1> (input)
    packed = sbn.Pack (rows)
    logits = sbn.DenseScale <channels = {channels}, dot_range = [-2147483648, 2147483647],
        dot_offset = 0>
        (packed, W, scale, bias)
    probabilities = Softmax <axis = 1> (logits)
}
"""
PIXEL_GRAPH = """
<ir_version: 9, opset_import: ["": 20, "sbn": 1]>
pixels (uint8[N, 4, 4, 1] input) => (float[N, 2, 2, 3] sums)
{
    sums = sbn.PixelConvScale <strides = [2, 2], dilations = [1, 1], pads = [0, 0, 0, 0],
        pad_value = 0> (input, W, scale, bias)
}
"""
PIXEL_CLASSIFIER_GRAPH = """
<ir_version: 9, opset_import: ["": 20, "sbn": 1]>
classifier (uint8[N, 4, 4, {channels}] input) => (float[N, 3] probabilities)
{
    sums = sbn.PixelConvScale <strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0],
        pad_value = 0> (input, W, scale, bias)
    logits = Flatten <axis = 1> (sums)
    probabilities = Softmax <axis = 1> (logits)
}
"""
STOCHASTIC_HEAD = """
<ir_version: 9, opset_import: ["": 20, "sbn": 1]>
stochastic (float[N, 1, 4, 4] input, int64 seed, int64 samples, int64 first_sample)
    => (float[R, N, 3] member_logits, float[N, 3] probabilities)
{
    rows = Flatten <axis = 1> (input)
    axis = Constant <value_ints = [0]> ()
    classes = Shape <start = 0> (bias)
    images = Shape <start = 0, end = 1> (input)
    row = Constant <value_ints = [-1]> ()
    shape = Concat <axis = 0> (row, images, classes)
    scaled = Mul (rows, gain)
    floor = Round (scaled)
    codes = Cast <to = 5> (floor)
"""
STOCHASTIC_MEMBER = """
    signs{m} = sbn.StochasticSign <layer = {m}, fan_out = 1>
        (codes, table, seed, first_sample, samples)
    flat{m} = sbn.DenseScale <channels = 16, dot_range = [-2147483648, 2147483647], dot_offset = 0>
        (signs{m}, W{m}, scale, bias)
    logits{m} = Reshape (flat{m}, shape)
"""
STOCHASTIC_TAIL = """
    member_logits = Concat <axis = 0> ({rows})
    shares = Softmax <axis = -1> (member_logits)
    probabilities = ReduceMean <keepdims = 0> (shares, axis)
}
"""
FLOAT_GRAPH = """
<ir_version: 9, opset_import: ["": 20]>
plain (float[N, 1, 4, 4] input) => (float[N, 1, 4, 4] logits)
{
    logits = Relu (input)
}
"""
FLOAT_CLASSIFIER_GRAPH = """
<ir_version: 9, opset_import: ["": 20]>
plain (float[{batch}, 1, {size}, {size}] input)
    => (float[{batch}, 3] logits, float[{batch}, 3] probabilities)
{
    rows = Flatten <axis = 1> (input)
    logits = MatMul (rows, W)
    probabilities = Softmax <axis = 1> (logits)
}
"""


@dataclass(frozen=True)
class Classifier:
    """One binary dense layer: signs of a 4×4 image to three classes."""

    signs: NDArray[np.float32]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def random(cls, seed: int = 0) -> Classifier:
        rng = np.random.default_rng(seed)
        signs = rng.choice(np.float32([-1, 1]), (len(CLASSES), SIZE * SIZE))
        # Powers of two: every logit is exact in float32.
        scale = rng.choice(np.float32([0.25, 0.5, -0.125]), len(CLASSES))
        return cls(signs, scale, rng.integers(-3, 4, len(CLASSES)).astype(np.float32))

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model means, float32 [N, K]."""
        activations = np.where(x.reshape(len(x), -1) < 0, np.float32(-1), np.float32(1))
        return activations @ self.signs.T * self.scale + self.bias

    def packed(self) -> NDArray[np.uint64]:
        """The signs as the operators take them, [3, 1]."""
        bits = (self.signs < 0).astype(np.uint64) << np.arange(SIZE * SIZE, dtype=np.uint64)
        return bits.sum(axis=1, keepdims=True, dtype=np.uint64)

    def write(
        self,
        path: Path,
        *,
        metadata: dict[str, Any] | str | None = None,
        channels: int = SIZE * SIZE,
        words: int = 1,
    ) -> Path:
        """Writes the model; `channels` and `words` other than the defaults break it."""
        packed = np.pad(self.packed(), ((0, 0), (0, words - 1)))
        model = onnx.parser.parse_model(GRAPH.replace("{channels}", str(channels)))
        values = {"W": packed, "scale": self.scale, "bias": self.bias}
        for name, value in values.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        model.functions.extend(_functions(model))
        if metadata is None:
            metadata = {"classes": CLASSES, "preprocess": PREPROCESS, "members": 1}
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        onnx.helper.set_model_props(model, {ops.DOMAIN: text})
        onnx.save(model, path)
        return path


@dataclass(frozen=True)
class StochasticClassifier:
    """Noisy signs of a 4×4 image, then one binary dense layer for each member.

    The noise is triangular on [-2, 2]: a pixel is positive with a probability that
    is a smooth function of it.
    """

    members: tuple[Classifier, ...]

    @classmethod
    def random(cls, members: int = 1) -> StochasticClassifier:
        first = Classifier.random()
        others = (Classifier.random(seed).signs for seed in range(1, members))
        return cls((first, *(Classifier(signs, first.scale, first.bias) for signs in others)))

    def write(
        self, path: Path, *, samples: int = 4, metadata: dict[str, Any] | None = None
    ) -> Path:
        """Writes the model; `metadata` is added to what an exported file says."""
        numbers = range(len(self.members))
        text = STOCHASTIC_HEAD + "".join(STOCHASTIC_MEMBER.format(m=m) for m in numbers)
        rows = ", ".join(f"logits{m}" for m in numbers)
        model = onnx.parser.parse_model(text + STOCHASTIC_TAIL.replace("{rows}", rows))
        knots = np.arange(65) / 32
        values = np.rint((0.5 + knots / 2 - knots**2 / 8) * 65536).astype(np.int32)
        initializers: dict[str, Any] = {
            "seed": np.array(7, np.int64),
            "samples": np.array(samples, np.int64),
            "first_sample": np.array(0, np.int64),
            "gain": np.array(16384, np.float32),
            "table": np.stack([values[:-1], np.diff(values)]),
            "scale": self.members[0].scale,
            "bias": self.members[0].bias,
        }
        for m, member in enumerate(self.members):
            initializers[f"W{m}"] = member.packed()
        for name, value in initializers.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        model.functions.extend(_functions(model))
        said = {
            "classes": CLASSES,
            "preprocess": PREPROCESS,
            "members": len(self.members),
            "samples": samples,
            "noise_seed": 7,
            "activations": "stochastic",
        }
        onnx.helper.set_model_props(model, {ops.DOMAIN: json.dumps(said | (metadata or {}))})
        onnx.save(model, path)
        return path


def _functions(model: onnx.ModelProto) -> list[onnx.FunctionProto]:
    """Those that the model's nodes need."""
    used = {node.op_type for node in model.graph.node if node.domain == ops.DOMAIN}
    return [function_protos()[name] for name in reachable(used)]


def write_pixel_model(path: Path, weights: NDArray[np.int8]) -> Path:
    """Writes a convolution on pixels, int8 weights [3, 2, 2, 1], stride 2, scale 1, bias 0."""
    return _write_pixels(path, PIXEL_GRAPH, weights, 1, {"preprocess": PREPROCESS})


def write_pixel_classifier(
    path: Path, channels: int = 1, *, preprocess: dict[str, Any] | None = None
) -> Path:
    """Writes a classifier of 4×4 images that takes their pixels as they are."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (len(CLASSES), SIZE, SIZE, channels)).astype(np.int8)
    image = PREPROCESS | {"channels": channels, "mean": [0.5] * channels, "std": [0.5] * channels}
    metadata = {"classes": CLASSES, "preprocess": preprocess or image, "members": 1}
    graph = PIXEL_CLASSIFIER_GRAPH.replace("{channels}", str(channels))
    return _write_pixels(path, graph, weights, 2**-10, metadata)


def _write_pixels(
    path: Path, graph: str, weights: NDArray[np.int8], scale: float, metadata: dict[str, Any]
) -> Path:
    model = onnx.parser.parse_model(graph)
    values = {
        "W": weights,
        "scale": np.full(3, scale, np.float32),
        "bias": np.zeros(3, np.float32),
    }
    for name, value in values.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    model.functions.extend(_functions(model))
    onnx.helper.set_model_props(model, {ops.DOMAIN: json.dumps(metadata)})
    onnx.save(model, path)
    return path


def write_float_model(path: Path) -> Path:
    """Writes a model that has nothing to do with sbn."""
    onnx.save(onnx.parser.parse_model(FLOAT_GRAPH), path)
    return path


def write_float_classifier(
    path: Path, *, batch: str = "N", size: str = "4", outputs: tuple[str, ...] = ("probabilities",)
) -> Path:
    """Writes a classifier of 4×4 images with real weights and no metadata.

    Args:
        batch, size: dimensions of the input, numbers or names.
        outputs: which it has of "logits" and "probabilities".
    """
    text = FLOAT_CLASSIFIER_GRAPH.replace("{batch}", batch).replace("{size}", size)
    model = onnx.parser.parse_model(text)
    weights = np.random.default_rng(0).normal(size=(SIZE * SIZE, len(CLASSES))).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "W"))
    for node in [node for node in model.graph.output if node.name not in outputs]:
        model.graph.output.remove(node)
    onnx.save(model, path)
    return path


def random_images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [count, 4, 4, 1], 0 to 16."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 17, (count, SIZE, SIZE, 1)).astype(np.uint8)
