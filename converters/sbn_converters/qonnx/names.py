"""Names of layers, inputs and outputs, as users know them."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common

from sbn_runtime.tasks import find

from ..onnx.graph import Editor
from ..onnx.last_activation import before_activation, task_of

INPUT = "input"
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def name_layers(graph: ir.Graph) -> None:
    """Gives weights that are called after no layer the name of the one that reads them.

    A layer is called as its weights are, see `layer_name`.
    """
    edit = Editor(graph)
    for node in graph:
        weights = node.inputs[1] if node.op_type in _LAYERS else None
        if weights is not None and weights.is_initializer() and "." not in (weights.name or ""):
            weights.name = edit.unique(f"{_module(node)}.weight")


def _module(node: ir.Node) -> str:
    """The path of a torch module from a name such as /layer2/layer2.0/conv1/Conv."""
    name = node.name or node.op_type
    path: list[str] = []
    for part in name.split("/")[1:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path) if name.startswith("/") and path else name


def name_ends(model: ir.Model) -> str:
    """Names inputs and outputs; returns the task, which follows from the outputs.

    A single input is called `input`. If the network ends as a task does, it gives what the
    task's softmax or sigmoid is taken of, under the task's name for that.
    """
    graph = model.graph
    task = task_of(graph.outputs)
    kind = find(task)
    if kind is not None:
        end, _ = before_activation(graph.outputs[0], kind)
        graph.outputs[0] = end
        end.name = kind.raw or kind.answer
    if len(graph.inputs) == 1:
        graph.inputs[0].name = INPUT
    common.RemoveUnusedNodesPass()(model)
    common.NameFixPass()(model)
    return task
