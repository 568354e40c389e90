"""Reads ONNX files of other tools, and refuses early what cannot be imported."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx import external_data_helper
from onnx_ir.passes import common

from sbn_runtime.errors import ModelError, UnsupportedLayerError

from ..ops import DOMAIN
from .operators import DOMAINS, OPERATORS
from .shapes import first_line

# protobuf writes no larger messages.
_MAX_BYTES = (1 << 31) - 1
_STANDARD = ("", "ai.onnx")


def is_onnx(data: bytes) -> bool:
    """Whether the bytes are those of an ONNX file."""
    return _parsed(data) is not None


def read(data: bytes, name: str, folder: Path | None = None) -> ir.Model:
    """The bytes of an ONNX file as one flat graph of operators that are known.

    Functions of the file are inlined, and operators of QONNX are in QONNX's domain,
    whichever of its older names the file uses. Inputs that have a value of their own
    are constants.

    name: what messages call the file. folder: where weights lie that the file keeps
        in files beside it.

    Raises ModelError for a file that is damaged, too large or incomplete,
    UnsupportedLayerError for operators that are not known, and for branches and loops.
    """
    proto = _parsed(data)
    if proto is None:
        raise ModelError(f"{name}: not an ONNX file, or damaged")
    if any(node.domain == DOMAIN for node in proto.graph.node):
        raise UnsupportedLayerError(f"{name} is already a file of sbn-deploy; use it as it is")
    _check_order(proto.graph, name)
    _load_weights(proto, name, folder)
    try:
        model = ir.serde.deserialize_model(proto)
        if model.functions:
            common.InlinePass()(model)
        common.RemoveInitializersFromInputsPass()(model)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        common.NameFixPass()(model)
        for value in model.graph.initializers.values():
            if value.const_value is not None:
                value.const_value.numpy()
    except Exception as error:  # onnx_ir's errors have no base class of their own
        raise ModelError(f"{name}: a damaged ONNX file: {first_line(error)}") from error
    opset = next((model.opset_imports[d] for d in _STANDARD if d in model.opset_imports), None)
    if opset is None:
        raise ModelError(f"{name} does not declare its opset; export it again")
    for node in model.graph:
        _check(node, opset)
    model.opset_imports.clear()
    model.opset_imports.update({"": opset, DOMAINS[0]: 1})
    checked = ir.to_proto(model)
    for value in checked.graph.output:
        value.type.tensor_type.shape.SetInParent()  # onnx insists on shapes, which we infer
    try:
        onnx.checker.check_model(checked)
    except Exception as error:  # the checker's ValidationError, and others by accident
        raise ModelError(f"{name}: a damaged ONNX file: {first_line(error)}") from error
    return model


def _parsed(data: bytes) -> onnx.ModelProto | None:
    try:
        proto = onnx.load_model_from_string(data)
    except DecodeError:
        return None
    return proto if proto.ir_version and proto.graph.output else None


def _check_order(graph: onnx.GraphProto, name: str) -> None:
    """Nodes read what is given before."""
    given = {"", *(value.name for value in (*graph.input, *graph.initializer))}
    given.update(tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        for value in node.input:
            if value not in given:
                where = node.name or node.op_type
                raise ModelError(
                    f"{name}: {where} reads {value!r}, which nothing before it computes"
                )
        given.update(node.output)


def _load_weights(proto: onnx.ModelProto, name: str, folder: Path | None) -> None:
    """Loads weights from files beside the model."""
    if proto.graph.sparse_initializer:
        raise UnsupportedLayerError(f"{name} has sparse weights; export it with dense ones")
    beside = [
        tensor
        for tensor in proto.graph.initializer
        if external_data_helper.uses_external_data(tensor)
    ]
    if beside and folder is None:
        raise ModelError(f"{name} keeps weights in files beside it; give the path of the file")
    lengths = [external_data_helper.ExternalDataInfo(tensor).length or 0 for tensor in beside]
    if proto.ByteSize() + sum(lengths) > _MAX_BYTES:
        raise ModelError(f"{name} is larger than 2 GB, the most that an ONNX file may have")
    if beside:
        try:
            onnx.load_external_data_for_model(proto, str(folder))
        except Exception as error:  # also onnx's ValidationError, which is no ValueError
            raise ModelError(
                f"{name}: cannot read the weights beside it: {first_line(error)};"
                " keep the files together"
            ) from error


def _check(node: ir.Node, opset: int) -> None:
    """Gives QONNX's operators its domain. Raises UnsupportedLayerError for others."""
    where = f"{node.name} ({node.op_type})" if node.name else node.op_type
    if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in _own(node)):
        raise UnsupportedLayerError(
            f"{where} contains subgraphs; export the network without branches and loops"
        )
    if node.domain in _STANDARD and onnx.defs.has(node.op_type):
        node.domain = ""
    elif node.domain in ("", *DOMAINS) and node.op_type in OPERATORS:
        node.domain = DOMAINS[0]
    else:
        owner = f" of {node.domain}" if node.domain else ""
        raise UnsupportedLayerError(
            f"{where}: the operator{owner} is not known; export the network with operators of"
            f" ONNX itself or {', '.join(OPERATORS)} of {DOMAINS[0]}"
        )
    if node.domain == "":
        try:
            onnx.defs.get_schema(node.op_type, opset)
        except onnx.defs.SchemaError as error:
            raise UnsupportedLayerError(
                f"{where} is not an operator of opset {opset}, in which the file is written"
            ) from error


def _own(node: ir.Node) -> list[ir.Attr]:
    return [attribute for attribute in node.attributes.values() if not attribute.is_ref()]
