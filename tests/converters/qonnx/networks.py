"""Small binary networks as ONNX files, with random weights, as their tools write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .models import GENERAL, model, node

IMAGE = (1, 3, 8, 8)
CLASSES = 10
WIDTH = 32


class _Parts:
    """Nodes and constants of a network that is being written; `x` is the input."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {"one": 1.0, "zero": 0.0}

    def add(self, op_type: str, inputs: list[str], name: str, domain: str = "", **more: Any) -> str:
        self.nodes.append(node(op_type, inputs, name, domain, **more))
        return name

    def array(self, name: str, array: NDArray[Any] | float) -> str:
        self.constants[name] = array
        return name

    def normal(self, name: str, *shape: int) -> str:
        return self.array(name, self.random.normal(size=shape).astype(np.float32))

    def batch_norm(self, x: str, name: str) -> str:
        parts = [self.normal(f"{name}.{part}", WIDTH) for part in ("weight", "bias", "mean")]
        variance = self.random.uniform(0.5, 2, WIDTH).astype(np.float32)
        parts.append(self.array(f"{name}.var", variance))
        return self.add("BatchNormalization", [x, *parts], name)

    def finish(self, **options: Any) -> onnx.ModelProto:
        return model(self.nodes, options.pop("shape", IMAGE), self.constants, **options)


def brevitas(end: str = "", batch: int | str = 1) -> onnx.ModelProto:
    """BipolarQuant for signs and weights; scales for each filter; 8-bit first layer."""
    p = _Parts()
    p.array("bits8", 8.0)
    p.array("scale8", 0.02)
    quant = ["scale8", "zero", "bits8"]
    p.add("Quant", ["x", *quant], "pixels", GENERAL, signed=1, narrow=0, rounding_mode="ROUND")
    p.normal("conv0.weight", WIDTH, 3, 3, 3)
    p.add("Quant", ["conv0.weight", *quant], "w0", GENERAL, signed=1, narrow=1)
    y = p.batch_norm(p.add("Conv", ["pixels", "w0"], "c0", pads=[1, 1, 1, 1]), "n0")
    y = p.add("BipolarQuant", [y, "one"], "a0", GENERAL)
    p.normal("conv1.weight", WIDTH, WIDTH, 3, 3)
    scale = p.random.uniform(0.1, 1, (WIDTH, 1, 1, 1)).astype(np.float32)
    p.array("scale1", scale)
    p.add("BipolarQuant", ["conv1.weight", "scale1"], "w1", GENERAL)
    y = p.add("Conv", [y, "w1"], "c1")
    y = p.add("MaxPool", [p.batch_norm(y, "n1")], "p1", kernel_shape=[2, 2], strides=[2, 2])
    p.array("half", 0.5)
    y = p.add("BipolarQuant", [y, "half"], "a1", GENERAL)
    p.array("shape", np.array([1, WIDTH * 9], np.int64))
    y = p.add("Reshape", [y, "shape"], "flat")
    p.normal("fc.weight", CLASSES, WIDTH * 9)
    p.array("bits1", 1.0)
    p.add("Quant", ["fc.weight", "half", "zero", "bits1"], "w2", GENERAL, signed=1, narrow=1)
    p.normal("fc.bias", CLASSES)
    y = p.add("Gemm", [y, "w2", "fc.bias"], "scores", transB=1)
    if end:
        p.add(end, [y], "answer")
    return p.finish(shape=(batch, *IMAGE[1:]))


def finn() -> onnx.ModelProto:
    """MultiThreshold after each layer, one with outputs of 0 and 1, weights of +1 and -1."""
    p = _Parts(1)
    p.normal("w0", WIDTH, 3, 3, 3)
    y = p.add("Conv", ["x", "w0"], "c0")
    p.normal("t0", WIDTH, 1)
    bipolar = {"out_dtype": "BIPOLAR", "out_scale": 2.0, "out_bias": -1.0}
    y = p.add("MultiThreshold", [y, "t0"], "a0", GENERAL, **bipolar)
    p.array("w1", p.random.choice([-1.0, 1.0], (WIDTH, WIDTH, 3, 3)).astype(np.float32))
    y = p.add("Conv", [y, "w1"], "c1")
    p.array("t1", p.random.integers(-20, 20, (WIDTH, 1)).astype(np.float32))
    y = p.add("MultiThreshold", [y, "t1"], "a1", GENERAL, out_dtype="BINARY")
    y = p.add("Flatten", [y], "flat")
    p.array("w2", p.random.choice([0.0, 1.0], (WIDTH * 16, CLASSES)).astype(np.float32))
    y = p.add("XnorPopcountMatMul", [y, "w2"], "dense", GENERAL)
    p.array("scale2", 0.1)
    p.add("Mul", [y, "scale2"], "scores")
    return p.finish(opset=11)


def plain() -> onnx.ModelProto:
    """No custom operators: Greater and Where, float weights of one magnitude in each filter."""
    p = _Parts(2)
    p.normal("stem.weight", WIDTH, 3, 3, 3)
    y = p.batch_norm(p.add("Conv", ["x", "stem.weight"], "c0"), "n0")
    p.array("minus", -1.0)
    y = p.add("GreaterOrEqual", [y, "zero"], "ge0")
    y = p.add("Where", [y, "one", "minus"], "a0")
    signs = p.random.choice([-1.0, 1.0], (WIDTH, WIDTH, 3, 3))
    magnitudes = p.random.uniform(0.1, 1, (WIDTH, 1, 1, 1))
    p.array("body.weight", (signs * magnitudes).astype(np.float32))
    y = p.batch_norm(p.add("Conv", [y, "body.weight"], "c1"), "n1")
    y = p.add("GlobalAveragePool", [p.add("Relu", [y], "r1")], "mean")
    y = p.add("Flatten", [y], "flat")
    p.normal("head.weight", WIDTH, CLASSES)
    p.add("MatMul", [y, "head.weight"], "scores")
    return p.finish(shape=("batch", *IMAGE[1:]))


def mixing() -> onnx.ModelProto:
    """A binary layer, and a mean over the images of a batch."""
    p = _Parts(3)
    y = p.add("BipolarQuant", ["x", "one"], "a0", GENERAL)
    p.array("w", p.random.choice([-1.0, 1.0], (WIDTH, 3, 8, 8)).astype(np.float32))
    y = p.add("Conv", [y, "w"], "c0")
    p.array("axes", np.array([0], np.int64))
    y = p.add("Sub", [y, p.add("ReduceMean", [y, "axes"], "m")], "d")
    p.add("Flatten", [y], "scores")
    return p.finish(shape=(4, *IMAGE[1:]))


def tokens() -> onnx.ModelProto:
    """A dense layer on sequences of signs, with an answer for each step."""
    p = _Parts(4)
    y = p.add("BipolarQuant", ["x", "one"], "a0", GENERAL)
    p.normal("proj.weight", 64, 8)
    p.add("BipolarQuant", ["proj.weight", "one"], "w", GENERAL)
    p.add("MatMul", [y, "w"], "steps")
    return p.finish(shape=(1, 5, 64))


def flattened_channels_last() -> onnx.ModelProto:
    """A binary convolution, flattened as Keras does, and the signs after that."""
    p = _Parts(5)
    y = p.add("BipolarQuant", ["x", "one"], "a0", GENERAL)
    p.array("w0", p.random.choice([-1.0, 1.0], (64, 3, 3, 3)).astype(np.float32))
    y = p.add("Conv", [y, "w0"], "c0")
    y = p.add("Transpose", [y], "t", perm=[0, 2, 3, 1])
    p.array("shape", np.array([1, 36 * 64], np.int64))
    y = p.add("BipolarQuant", [p.add("Reshape", [y, "shape"], "r"), "one"], "a1", GENERAL)
    p.array("w1", p.random.choice([-1.0, 1.0], (36 * 64, CLASSES)).astype(np.float32))
    p.add("MatMul", [y, "w1"], "scores")
    return p.finish()
