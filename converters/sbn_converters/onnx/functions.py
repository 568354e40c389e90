"""The functions of the `sbn` domain that an exported file carries.

They define every operator in standard ONNX, so that the file also runs,
slowly, where our library is not installed.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module

import onnx
import onnx_ir as ir

from .. import op_helpers, ops


@cache
def function_protos() -> dict[str, onnx.FunctionProto]:
    """All operator and helper functions by name."""
    head = (
        f'<domain: "{ops.DOMAIN}", opset_import: ["": {ops.ONNX_OPSET},'
        f' "{ops.DOMAIN}": {ops.VERSION}]>\n'
    )
    texts = [helper.text.strip() for helper in op_helpers.HELPERS]
    texts += [ops.function_text(operator) for operator in ops.OPERATORS]
    parsed = [onnx.parser.parse_function(head + text) for text in texts]
    return {function.name: function for function in parsed}


def reachable(names: set[str]) -> list[str]:
    """The names of these functions and of all they call, callees first."""
    protos = function_protos()
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        for node in protos[name].node:
            if node.domain == ops.DOMAIN:
                visit(node.op_type)
        ordered.append(name)

    for name in sorted(names):
        visit(name)
    return ordered


def attach_functions(model: ir.Model) -> None:
    """Adds the functions that the model's `sbn` nodes need, and the opset imports."""
    used = {node.op_type for node in model.graph.all_nodes() if node.domain == ops.DOMAIN}
    for name in reachable(used):
        function = ir.serde.deserialize_function(function_protos()[name])
        model.functions[function.identifier()] = function
    model.graph.opset_imports[ops.DOMAIN] = ops.VERSION
    model.ir_version = ops.IR_VERSION


def register_schemas() -> None:
    """Tells onnx's checker the operators' schemas; safe to call more than once."""
    # It makes a table of all schemas by name, in which MaxPool may not stand twice.
    with suppress(ImportError):
        import_module("onnx.reference")
    for operator in ops.OPERATORS:
        if not onnx.defs.has(operator.name, ops.DOMAIN):
            onnx.defs.register_schema(_schema(operator))


def _schema(operator: ops.Operator) -> onnx.defs.OpSchema:
    types = {"float32": "tensor(float)"}

    def parameters(tensors: tuple[ops.Tensor, ...]) -> list[onnx.defs.OpSchema.FormalParameter]:
        return [
            onnx.defs.OpSchema.FormalParameter(
                tensor.name,
                types.get(tensor.dtype, f"tensor({tensor.dtype})"),
                f"{tensor.shape}: {tensor.doc}",
            )
            for tensor in tensors
        ]

    kinds = onnx.defs.OpSchema.AttrType
    return onnx.defs.OpSchema(
        operator.name,
        ops.DOMAIN,
        ops.VERSION,
        doc=operator.doc,
        inputs=parameters(operator.inputs),
        outputs=parameters(operator.outputs),
        attributes=[
            onnx.defs.OpSchema.Attribute(
                attribute.name,
                kinds.INT if attribute.length is None else kinds.INTS,
                attribute.doc,
                required=True,
            )
            for attribute in operator.attributes
        ],
    )
