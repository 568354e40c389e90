"""Small graphs as text, run before and after a pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from sbn_converters.onnx.graph import Editor
from sbn_converters.onnx.normalise.levels import LevelFinder

_HEAD = '<ir_version: 9, opset_import: ["" : 20]>\n'


def graph(text: str, **constants: NDArray[Any]) -> ir.Model:
    """A model from onnx's text form: `(float[N, 4] x) => (float[N, 4] y) { ... }`."""
    proto = onnx.parser.parse_model(f"{_HEAD}g {text}")
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    onnx.checker.check_model(inferred)
    return ir.serde.deserialize_model(inferred)


def levels_in(model: ir.Model) -> LevelFinder:
    """The levels and steps of a graph's values."""
    levels = LevelFinder(Editor(model.graph))
    for node in list(model.graph):
        levels.visit(node)
    return levels


def ops(model: ir.Model) -> list[str]:
    """The operators in order, constants left out."""
    return [node.op_type for node in model.graph if node.op_type != "Constant"]


def run(model: ir.Model, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs in onnxruntime."""
    session = onnxruntime.InferenceSession(
        ir.serde.serialize_model(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: list[NDArray[Any]] = session.run(None, dict(inputs))
    return found


def floats(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Random numbers, some of them 0."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    x.reshape(-1)[::7] = 0
    return x


def signs(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    """Random +1 and -1."""
    return np.where(np.random.default_rng(seed).random(shape) < 0.5, -1, 1).astype(np.float32)
