"""ONNX files in the reference evaluator of onnx, which is written for clarity and is very slow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

from sbn_deploy.engines.engine import Feed
from sbn_runtime import TensorInfo
from sbn_runtime.errors import MissingDependencyError


class ReferenceEngine:
    """A model in onnx.reference. Raises MissingDependencyError if this onnx has none."""

    name = "onnx reference"
    threads = 1

    def __init__(self, model: bytes) -> None:
        try:
            from onnx.reference import ReferenceEvaluator
        except ImportError as error:
            raise MissingDependencyError(
                "this onnx has no reference evaluator; update onnx"
            ) from error
        graph = onnx.load_model_from_string(model).graph
        self._evaluator = ReferenceEvaluator(onnx.load_model_from_string(model))
        self.inputs = [_described(value) for value in graph.input]
        self.outputs = [value.name for value in graph.output]

    def run(self, feed: Feed) -> Mapping[str, NDArray[Any]]:
        found = list(self._evaluator.run(self.outputs, dict(feed)))
        return dict(zip(self.outputs, found, strict=True))


def _described(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    sizes = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
    return TensorInfo(value.name, dtype.name, sizes)
