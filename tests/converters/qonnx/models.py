"""Small ONNX files, as exporters write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sbn_converters.qonnx.read import read
from sbn_converters.qonnx.to_onnx import to_onnx

GENERAL = "qonnx.custom_op.general"
FLOAT = onnx.TensorProto.FLOAT


def node(op_type: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any):  # type: ignore[no-untyped-def]
    return helper.make_node(
        op_type, list(inputs), [output], name=output, domain=domain, **attributes
    )


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: Mapping[str, Any],
    *,
    output_shape: Sequence[int | str] | None = None,
    opset: int = 20,
    dtype: int = FLOAT,
) -> onnx.ModelProto:
    """One input `x`; the output is that of the last node. Constants are float32 unless arrays."""
    arrays = {
        name: value if isinstance(value, np.ndarray) else np.array(value, np.float32)
        for name, value in constants.items()
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, output_shape)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    domains = {n.domain for n in nodes} - {""}
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def translated(proto: onnx.ModelProto) -> ir.Model:
    return to_onnx(read(proto.SerializeToString(), "a.onnx")).model


def run(proto: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    """The first output of a model in standard ONNX."""
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (input,) = session.get_inputs()
    found: NDArray[Any] = session.run(None, {input.name: x})[0]
    return found


def computed(proto: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    """What a model with QONNX's operators computes once it is written in standard ONNX."""
    return run(ir.to_proto(translated(proto)), x)
