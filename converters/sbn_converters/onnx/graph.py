"""Small questions and edits on onnx_ir graphs that the lowering needs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath
from types import MappingProxyType

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..ops import BY_NAME, DOMAIN

Dim = int | str | ir.SymbolicDim | None
Attributes = Mapping[str, int | list[int]]


def constant(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The value's array if it is an initializer or a Constant node, else None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """The only node that reads the value, or None (several, none, a graph output)."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    return next(iter(uses)).node


def dims(value: ir.Value) -> list[int | None]:
    """The value's shape with None for unknown dimensions; [] if the rank is unknown."""
    if value.shape is None:
        return []
    return [dim if isinstance(dim, int) else None for dim in value.shape]


def spatial(value: ir.Value | None) -> tuple[int | None, int | None]:
    """Height and width of [N, C, H, W], else (None, None)."""
    shape = dims(value) if value is not None else []
    return (shape[2], shape[3]) if len(shape) == 4 else (None, None)


def ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    """An integer-list attribute, or the default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else list(attribute.as_ints())


def integer(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or the default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def real(node: ir.Node, name: str, default: float) -> float:
    """A float attribute, or the default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def text(node: ir.Node, name: str, default: str) -> str:
    """A string attribute, or the default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_string()


def layer_name(node: ir.Node) -> str:
    """The path of the torch module that the node comes from, or the node's own name."""
    for value in node.inputs[1:]:
        if value is not None and value.is_initializer() and value.name:
            module, dot, _ = value.name.rpartition(".")
            if dot:
                return module
    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
    if scopes:
        path = [part for part in ast.literal_eval(scopes)[:-1] if part]
        if path:
            return str(path[-1])
    own = node.inputs[1] if node.op_type in ("Conv", "Gemm", "MatMul") else None
    if own is not None and own.is_initializer() and own.name:
        return own.name
    return node.name or node.outputs[0].name or node.op_type


def source_line(trace: str) -> str:
    """`file.py:line` of the innermost entry of a stack trace, or ''."""
    for line in reversed(trace.splitlines()):
        if line.strip().startswith("File "):
            file, _, rest = line.strip().removeprefix("File ").partition(", line ")
            # Which takes the separators of every system.
            return f"{PureWindowsPath(file.strip(chr(34))).name}:{rest.split(',')[0]}"
    return ""


def traced_line(node: ir.Node) -> str:
    """The line of the user's code that a traced node comes from, or ''."""
    return source_line(node.metadata_props.get("pkg.torch.onnx.stack_trace", ""))


def macs(node: ir.Node) -> int:
    """Multiply-accumulates of a convolution or matrix product for one sample."""
    weights = dims(node.inputs[1]) if node.inputs[1] is not None else []
    outputs = [size or 1 for size in dims(node.outputs[0])[1:]]
    if node.op_type == "Conv":
        return int(np.prod(outputs) * np.prod([size or 1 for size in weights[1:]]))
    return int(np.prod([size or 1 for size in weights])) * int(np.prod(outputs[:-1] or [1]))


def inherit(value: ir.Value, node: ir.Node) -> None:
    """Lets the node that made `value` belong to the module that another node belongs to."""
    made = value.producer()
    if made is not None:
        made.metadata_props.update(node.metadata_props)


class Editor:
    """Adds nodes and constants to a graph under unique, readable names."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._names = {value.name for value in graph.inputs} | set(graph.initializers)
        for node in graph:
            self._names.add(node.name)
            self._names.update(output.name for output in node.outputs)

    def unique(self, name: str) -> str:
        """The name itself, or with a number behind it if it is taken."""
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def constant(self, array: NDArray[np.generic], name: str) -> ir.Value:
        """A new initializer."""
        unique = self.unique(name)
        tensor = ir.tensor(array, name=unique)
        value = ir.Value(
            name=unique,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.graph.register_initializer(value)
        return value

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        before: ir.Node,
        name: str,
        *,
        domain: str = "",
        dtype: ir.DataType,
        shape: Sequence[Dim],
        num_outputs: int = 1,
        attributes: Attributes = MappingProxyType({}),
    ) -> ir.Value:
        """A new node in front of another; returns its first output."""
        unique = self.unique(name)
        node = ir.Node(
            domain,
            op_type,
            inputs,
            ir.convenience.convert_attributes(dict(attributes)),
            name=unique,
            num_outputs=num_outputs,
        )
        output = node.outputs[0]
        output.name = self.unique(f"{unique}.out")
        output.dtype = dtype
        output.shape = ir.Shape(shape)
        self.graph.insert_before(before, node)
        return output

    def sbn(
        self,
        op_type: str,
        inputs: list[ir.Value],
        before: ir.Node,
        name: str,
        *,
        dtype: ir.DataType = ir.DataType.UINT64,
        shape: Sequence[Dim],
        num_outputs: int = 1,
        attributes: Attributes = MappingProxyType({}),
    ) -> ir.Value:
        """A new node of the `sbn` domain, whose attributes must be those of the operator."""
        x = dims(inputs[0])
        BY_NAME[op_type].check(attributes, (x[1], x[2]) if len(x) == 4 else (None, None))
        return self.node(
            op_type,
            inputs,
            before,
            name,
            domain=DOMAIN,
            dtype=dtype,
            shape=shape,
            num_outputs=num_outputs,
            attributes=attributes,
        )

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Lets every reader of `old` read `new`, graph outputs under their old name."""
        if old.is_graph_output():
            name = old.name
            old.name = self.unique(f"{name}.old")
            new.name = name
        old.replace_all_uses_with(new, replace_graph_outputs=True)

    def prune(self, node: ir.Node) -> None:
        """Removes the node if nothing reads it, then what only it read."""
        if node.graph is None:
            return
        if any(output.uses() or output.is_graph_output() for output in node.outputs):
            return
        sources = [value.producer() for value in node.inputs if value is not None]
        self.graph.remove(node, safe=True)
        for source in sources:
            if source is not None:
                self.prune(source)
