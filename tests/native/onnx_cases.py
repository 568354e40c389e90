"""Files of one operator of ONNX, for the native runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..runtime.one_node import Array

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def one(
    op: str,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array | None],
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one operator of ONNX. A constant that is None is left out."""
    info = helper.make_tensor_value_info
    given = {name: value for name, value in constants.items() if value is not None}
    names = [*inputs, *(name if name in given else "" for name in constants)]
    node = helper.make_node(op, names, ["y"], name="the_node", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [
            info(name, helper.np_dtype_to_tensor_dtype(x.dtype), ["N", *x.shape[1:]])
            for name, x in inputs.items()
        ],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(value, name) for name, value in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def integers(*values: int) -> Array:
    return np.array(values, np.int64)


X = {"x": floats(2, 3, 5, 7)}
ROW = floats(7)
BOOLS = RNG.integers(0, 2, (2, 3, 4)).astype(np.bool_)
PLACES = np.array([[[0, 2], [0, -1]], [[-1, 0], [0, 1]]])
INTEGERS = RNG.integers(-20, 20, (2, 3, 4))
EXACT = {
    "Add": one("Add", X | {"z": floats(2, 3, 5, 7)}, {}),
    "Add to each channel": one("Add", X, {"b": floats(1, 3, 1, 1)}),
    "Clip": one("Clip", X, {"l": np.float32(-0.5), "h": np.float32(1)}),
    "Clip from below": one("Clip", X, {"l": np.float32(0.25)}),
    "Div by a row": one("Div", X, {"b": ROW}),
    "Identity": one("Identity", X, {}),
    "MatMul": one("MatMul", {"x": floats(5, 270)}, {"w": floats(270, 9)}),
    "MatMul of several matrices": one("MatMul", X, {"w": floats(7, 40)}),
    "Mul by a number": one("Mul", X, {"b": np.float32(1.25)}),
    "Mul of row and column": one("Mul", {"x": floats(2, 1, 5)}, {"b": floats(3, 1)}),
    "Relu": one("Relu", X, {}),
    "Squeeze": one("Squeeze", {"x": floats(2, 1, 5, 1)}, {"a": integers(-1)}),
    "Sub of a plane": one("Sub", X, {"b": floats(5, 7)}),
    "Concat": one("Concat", {"x": floats(2, 3), "z": floats(2, 1)}, {}, axis=1),
    "Concat of the first axis": one("Concat", {"x": floats(2, 3), "z": floats(2, 3)}, {}, axis=0),
    "Flatten": one("Flatten", X, {}),
    "Flatten from the last axis": one("Flatten", X, {}, axis=-1),
    "Flatten to one row": one("Flatten", X, {}, axis=0),
    "Gemm": one("Gemm", {"x": floats(9, 300)}, {"w": floats(300, 70), "b": floats(70)}),
    "Gemm without bias": one("Gemm", {"x": floats(1, 7)}, {"w": floats(5, 7)}, transB=1),
    "Pad": one("Pad", X, {"p": integers(0, 0, 1, 2, 0, 0, 0, 3), "v": np.float32(-1.5)}),
    "Pad with zeros": one("Pad", X, {"p": integers(0, 1, 0, 0, 1, 0, 2, 0)}),
    "QuantizeLinear": one("QuantizeLinear", X, {"s": np.float32(0.0123), "z": np.uint8(100)}),
    "QuantizeLinear to int8": one("QuantizeLinear", X, {"s": np.float32(0.0123), "z": np.int8(-3)}),
    "QuantizeLinear at halves": one(
        "QuantizeLinear",
        {"x": np.arange(-20, 21, dtype=np.float32).reshape(-1, 1) / 2},
        {"s": np.float32(1), "z": np.uint8(7)},
    ),
    "Reshape": one("Reshape", X, {"s": integers(0, -1, 7)}),
    "Tile": one("Tile", X, {"r": integers(2, 1, 3, 1)}),
    "Transpose": one("Transpose", X, {}, perm=[0, 2, 3, 1]),
    "Transpose without perm": one("Transpose", {"x": floats(3, 4, 5)}, {}),
    "Transpose of bytes": one(
        "Transpose", {"x": RNG.integers(0, 256, (2, 3, 4), np.uint8)}, {}, perm=[2, 0, 1]
    ),
    "Unsqueeze": one("Unsqueeze", X, {"a": integers(-1, 0)}),
    "Abs": one("Abs", X, {}),
    "ArgMax": one("ArgMax", X, {}, axis=1),
    "ArgMax without its axis": one("ArgMax", X, {}, axis=-1, keepdims=0),
    "Add of numbers to a column": one("Add", {"x": floats(2, 1, 3)}, {"b": floats(4, 1)}),
    "And": one("And", {"x": BOOLS, "z": BOOLS[:, ::-1]}, {}),
    "Cast to bool": one("Cast", X, {}, to=TensorProto.BOOL),
    "Cast to bytes": one("Cast", {"x": BOOLS}, {}, to=TensorProto.UINT8),
    "Cast to float": one("Cast", {"x": INTEGERS}, {}, to=TensorProto.FLOAT),
    "Cast to int32": one("Cast", X, {}, to=TensorProto.INT32),
    "CastLike": one("CastLike", X, {"b": integers(1)}),
    "Ceil": one("Ceil", X, {}),
    "ConstantOfShape": one(
        "ConstantOfShape", {}, {"s": integers(2, 3)}, value=numpy_helper.from_array(floats(1))
    ),
    "DepthToSpace": one("DepthToSpace", {"x": floats(2, 12, 3, 2)}, {}, blocksize=2),
    "DepthToSpace of pixels": one(
        "DepthToSpace", {"x": floats(2, 18, 2, 5)}, {}, blocksize=3, mode="CRD"
    ),
    "Div of int64": one("Div", {"x": INTEGERS}, {"b": integers(-7)}),
    "Dropout": one("Dropout", X, {}),
    "Equal": one("Equal", {"x": INTEGERS}, {"b": INTEGERS[:1]}),
    "Expand": one("Expand", {"x": floats(2, 1, 3, 1)}, {"s": integers(4, 1, 5)}),
    "Floor": one("Floor", X, {}),
    "Gather": one("Gather", X, {"i": integers(2, 0, -1)}, axis=1),
    "Gather one": one("Gather", X, {"i": np.int64(3)}, axis=-1),
    "GatherND": one("GatherND", {"x": floats(2, 3, 4, 5)}, {"i": PLACES}),
    "GlobalMaxPool": one("GlobalMaxPool", X, {}),
    "Greater": one("Greater", X, {"b": ROW}),
    "GreaterOrEqual": one("GreaterOrEqual", X, {"b": np.float32(0)}),
    "LeakyRelu": one("LeakyRelu", X, {}, alpha=0.25),
    "Less": one("Less", X, {"b": floats(3, 1, 1)}),
    "LessOrEqual": one("LessOrEqual", {"x": INTEGERS, "z": INTEGERS[:, ::-1]}, {}),
    "Max": one("Max", X, {"b": floats(5, 7)}),
    "MaxPool": one("MaxPool", X, {}, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
    "MaxPool of a line": one(
        "MaxPool", {"x": floats(2, 3, 11)}, {}, kernel_shape=[3], dilations=[2], strides=[2]
    ),
    "MaxPool of volumes": one("MaxPool", {"x": floats(2, 2, 4, 5, 6)}, {}, kernel_shape=[2, 3, 2]),
    "MaxPool of what is left": one(
        "MaxPool", X, {}, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1
    ),
    "Min": one("Min", {"x": INTEGERS}, {"b": integers(3)}),
    "Mul of int64": one("Mul", {"x": INTEGERS}, {"b": INTEGERS[:1]}),
    "Neg": one("Neg", X, {}),
    "Not": one("Not", {"x": BOOLS}, {}),
    "Or": one("Or", {"x": BOOLS, "z": BOOLS[:, ::-1]}, {}),
    "Pad by its edge": one("Pad", X, {"p": integers(0, 1, 0, 2, 0, 0, 9, 1)}, mode="edge"),
    "Pad of bytes by reflection": one(
        "Pad",
        {"x": RNG.integers(0, 256, (2, 3, 4, 5), np.uint8)},
        {"p": integers(0, 2, 3, 1, 0, 0, 2, 4)},
        mode="reflect",
    ),
    "PRelu": one("PRelu", X, {"b": floats(3, 1, 1)}),
    "ReduceMax": one("ReduceMax", X, {"a": integers(1, 3)}, keepdims=0),
    "ReduceMax of int64": one("ReduceMax", {"x": INTEGERS}, {"a": integers(1)}),
    "ReduceMin of all": one("ReduceMin", X, {}),
    "Resize": one(
        "Resize",
        X,
        {"r": None, "s": np.array([1, 1, 2, 3], np.float32)},
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "Round at halves": one(
        "Round", {"x": np.arange(-20, 21, dtype=np.float32).reshape(-1, 1) / 2}, {}
    ),
    "Shape": one("Shape", X, {}),
    "Shape of the last axes": one("Shape", X, {}, start=-2),
    "Sign": one("Sign", X, {}),
    "Slice": one(
        "Slice",
        X,
        {"s": integers(1, -1), "e": integers(9, -9), "a": integers(2, 3), "t": integers(2, -2)},
    ),
    "Slice of the first axes": one("Slice", X, {"s": integers(0, 1), "e": integers(2**62, -1)}),
    "SpaceToDepth": one("SpaceToDepth", {"x": floats(2, 3, 4, 6)}, {}, blocksize=2),
    "Split": one("Split", {"x": floats(2, 7)}, {}, axis=1, num_outputs=1),
    "Sqrt": one("Sqrt", {"x": np.abs(floats(2, 9))}, {}),
    "Sum": one("Sum", X, {"b": ROW}),
    "Where": one("Where", {"x": BOOLS}, {"a": floats(4), "b": floats(3, 1)}),
    "Xor": one("Xor", {"x": BOOLS}, {"b": BOOLS[:1]}),
}
NEAR = {
    "Conv": one("Conv", X, {"w": floats(4, 3, 3, 3), "b": floats(4)}, pads=[1, 1, 1, 1]),
    "Conv of groups": one(
        "Conv",
        {"x": floats(2, 4, 9, 8)},
        {"w": floats(6, 2, 3, 2)},
        group=2,
        strides=[2, 1],
        dilations=[1, 2],
        pads=[0, 2, 1, 0],
    ),
    "Conv to many channels": one("Conv", X, {"w": floats(100, 3, 2, 2), "b": floats(100)}),
    "ReduceMean": one("ReduceMean", X, {"a": integers(0)}, keepdims=0),
    "ReduceMean of two axes": one("ReduceMean", X, {"a": integers(1, -1)}),
    "Sigmoid": one("Sigmoid", {"x": 5 * floats(3, 10)}, {}),
    "Softmax": one("Softmax", {"x": 20 * floats(3, 10)}, {}),
    "Softmax of the first axis": one("Softmax", {"x": floats(3, 4, 5)}, {}, axis=0),
    "AveragePool": one("AveragePool", X, {}, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "AveragePool with its pads": one(
        "AveragePool",
        X,
        {},
        kernel_shape=[2, 3],
        strides=[2, 2],
        pads=[0, 1, 1, 0],
        count_include_pad=1,
    ),
    "BatchNormalization": one(
        "BatchNormalization",
        X,
        {"s": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3))},
    ),
    "Conv of a line": one("Conv", {"x": floats(2, 3, 20)}, {"w": floats(5, 3, 3)}, strides=[2]),
    "Conv of volumes": one(
        "Conv", {"x": floats(2, 2, 4, 5, 6)}, {"w": floats(3, 2, 2, 3, 2)}, pads=[1, 0, 1, 0, 1, 1]
    ),
    "ConvTranspose": one(
        "ConvTranspose",
        X,
        {"w": floats(3, 4, 3, 2), "b": floats(4)},
        strides=[2, 1],
        pads=[1, 0, 0, 1],
        output_padding=[1, 0],
    ),
    "ConvTranspose of groups": one(
        "ConvTranspose", {"x": floats(2, 4, 9)}, {"w": floats(4, 3, 3)}, group=2, dilations=[2]
    ),
    "Elu": one("Elu", X, {}, alpha=0.5),
    "Erf": one("Erf", X, {}),
    "Exp": one("Exp", X, {}),
    "Gelu": one("Gelu", X, {}),
    "Gelu by tanh": one("Gelu", X, {}, approximate="tanh"),
    "GlobalAveragePool": one("GlobalAveragePool", X, {}),
    "HardSigmoid": one("HardSigmoid", X, {}, alpha=0.3),
    "HardSwish": one("HardSwish", X, {}),
    "InstanceNormalization": one(
        "InstanceNormalization", X, {"s": floats(3), "b": floats(3)}, epsilon=0.01
    ),
    "LayerNormalization": one("LayerNormalization", X, {"s": floats(7), "b": floats(7)}),
    "LayerNormalization of a plane": one(
        "LayerNormalization", X, {"s": floats(5, 7)}, axis=2, epsilon=0.1
    ),
    "Log": one("Log", {"x": np.abs(floats(2, 30))}, {}),
    "LogSoftmax": one("LogSoftmax", X, {}, axis=1),
    "MatMul of what is computed": one("MatMul", {"x": floats(2, 3, 5), "z": floats(2, 5, 4)}, {}),
    "MatMul of one with several": one("MatMul", {"x": floats(2, 3, 1, 5)}, {"b": floats(3, 5, 4)}),
    "Mish": one("Mish", X, {}),
    "Pow": one("Pow", {"x": np.abs(floats(2, 30))}, {"b": np.float32(1.7)}),
    "Pow of two": one("Pow", X, {"b": np.float32(2)}),
    "Reciprocal": one("Reciprocal", {"x": 1 + np.abs(floats(2, 9))}, {}),
    "ReduceL1": one("ReduceL1", X, {"a": integers(2)}),
    "ReduceL2": one("ReduceL2", X, {"a": integers(1, 2, 3)}),
    "ReduceSum": one("ReduceSum", X, {"a": integers(-1)}, keepdims=0),
    "ReduceSum of inner axes": one("ReduceSum", X, {"a": integers(1, 2)}),
    "ReduceSumSquare": one("ReduceSumSquare", X, {"a": integers(1)}),
    "Resize between pixels": one(
        "Resize", X, {"r": None, "s": np.array([1, 1, 1.7, 0.6], np.float32)}, mode="linear"
    ),
    "Selu": one("Selu", X, {}),
    "Softplus": one("Softplus", X, {}),
    "Softsign": one("Softsign", X, {}),
    "Tanh": one("Tanh", X, {}),
}
