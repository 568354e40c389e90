"""What follows the members of an ensemble: activation, averages and named outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sbn_runtime.tasks import STANDARD_DEVIATION, Task, member_name

from .graph import Dim
from .samples import ROWS, Samples, is_sampled

FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
_FLOAT, _INT64 = ir.DataType.FLOAT, ir.DataType.INT64


class Tail:
    """Gives a graph new outputs, computed from those of its members.

    Args:
        graph: with the nodes of all members, and no outputs.
        own_names: of the members' outputs.
        members: names of the members, for the names of nodes.
        samples: what signs are drawn with, if any are.
        task: of the first output, None for none.
    """

    def __init__(
        self,
        graph: ir.Graph,
        own_names: Sequence[str],
        members: Sequence[str],
        samples: Samples | None,
        task: Task | None,
    ) -> None:
        self._graph, self._members, self._samples, self._task = graph, members, samples, task
        self._axis: ir.Value | None = None
        # The task's names come first, then those of inputs, then those of other outputs.
        of_task = {*task.output_names(True), *task.output_names(False)} if task else set()
        for value in graph.inputs:
            if value.name in of_task:
                value.name = f"{value.name}_input"
        self._taken = of_task | {value.name or "" for value in graph.inputs}
        _free(graph, {*of_task, *own_names, *map(member_name, own_names)})

    def add(self, own: str, values: Sequence[ir.Value]) -> None:
        """The next output, which is called `own` in each member."""
        task, self._task = self._task, None
        alone = len(values) == 1 and not is_sampled(values[0])
        if task is not None:
            (self._alone if alone else self._averaged)(task, values)
        elif alone:
            self._output(values[0], self._unique(own))
        else:
            is_float = values[0].dtype in FLOATS
            name = self._unique(own)
            rows = self._rows(values, self._unique(member_name(own)))
            if is_float:
                self._graph.outputs.append(self._mean(rows, name))

    def _alone(self, task: Task, values: Sequence[ir.Value]) -> None:
        raw = self._output(self._float(values[0]), task.raw or task.answer)
        if task.activation:
            self._graph.outputs.append(self._activated(task, raw, task.answer, task.axis))

    def _averaged(self, task: Task, values: Sequence[ir.Value]) -> None:
        rows = self._rows([self._float(value) for value in values], task.rows)
        shares = rows
        if task.activation:
            shares = self._activated(task, rows, f"member_{task.answer}", task.axis + 1)
        average = self._mean(shares, task.answer)
        self._graph.outputs.append(average)
        if task.spread:
            deviation = self._node("Sub", [rows, average], "deviation", _shape(rows))
            square = self._node("Mul", [deviation, deviation], "square", _shape(rows))
            variance = self._mean(square, "variance")
            root = self._node("Sqrt", [variance], STANDARD_DEVIATION, _shape(average))
            self._graph.outputs.append(root)

    def _activated(self, task: Task, value: ir.Value, name: str, axis: int) -> ir.Value:
        shape = _shape(value)
        if task.activation == "sigmoid":
            return self._node("Sigmoid", [value], name, shape)
        # The last axis is the one that onnxruntime computes fastest, and says so as -1.
        return self._node(
            "Softmax", [value], name, shape, axis=axis if axis + 1 < len(shape) else -1
        )

    def _rows(self, values: Sequence[ir.Value], name: str) -> ir.Value:
        """The output [R, N, ...] of what each member and sample gives."""
        drawn = is_sampled(values[0])
        batch = (self._graph.inputs[0].shape or [None])[0] if drawn else None
        rows = []
        for value, member in zip(values, self._members, strict=True):
            label = f"{member}/{name}/rows".lstrip("/")
            shape = [batch, *_shape(value)[1:]] if drawn else _shape(value)
            if drawn:
                operands = [value, self._samples_first(value, label)]
                rows.append(self._node("Reshape", operands, label, [ROWS, *shape]))
            else:
                operands = [value, self._member_axis()]
                rows.append(self._node("Unsqueeze", operands, label, [1, *shape]))
        stacked_shape = ["members" if drawn else len(rows), *_shape(rows[0])[1:]]
        stacked = self._node("Concat", rows, name, stacked_shape, axis=0)
        self._graph.outputs.append(stacked)
        return stacked

    def _samples_first(self, value: ir.Value, label: str) -> ir.Value:
        """The shape [S, N, ...] of a value [S * N, ...]."""
        assert self._samples is not None
        axis = self._member_axis()
        count = self._node(
            "Unsqueeze", [self._samples.count, axis], f"{label}/samples", [1], dtype=_INT64
        )
        rest = _shape(value)[1:]
        sizes = [size for size in rest if isinstance(size, int)]
        parts = [count, self._constant([-1, *sizes], f"{label}/sizes")]
        if len(sizes) < len(rest):
            image = self._node(
                "Shape", [value], f"{label}/image", [len(rest)], dtype=_INT64, start=1
            )
            parts = [count, self._constant([-1], f"{label}/sizes"), image]
        target = [len(rest) + 2]
        return self._node("Concat", parts, f"{label}/shape", target, dtype=_INT64, axis=0)

    def _mean(self, rows: ir.Value, name: str) -> ir.Value:
        operands = [rows, self._member_axis()]
        return self._node("ReduceMean", operands, name, _shape(rows)[1:], keepdims=0)

    def _output(self, value: ir.Value, name: str) -> ir.Value:
        """Makes the value an output of this name."""
        if value.producer() is None or value.is_graph_output():
            value = self._node("Identity", [value], name, _shape(value))
        value.name = name
        self._graph.outputs.append(value)
        return value

    def _float(self, value: ir.Value) -> ir.Value:
        """The value as float32."""
        if value.dtype in (None, _FLOAT):
            return value
        return self._node(
            "Cast", [value], f"{value.name}/float", _shape(value), dtype=_FLOAT, to=int(_FLOAT)
        )

    def _member_axis(self) -> ir.Value:
        if self._axis is None:
            self._axis = self._constant([0], "member_axis")
        return self._axis

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate

    def _constant(self, numbers: list[int], name: str) -> ir.Value:
        array = np.array(numbers, np.int64)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(_INT64),
            const_value=ir.tensor(array, name=name),
        )
        self._graph.register_initializer(value)
        return value

    def _node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        name: str,
        shape: Sequence[Dim],
        *,
        dtype: ir.DataType | None = None,
        **attributes: int,
    ) -> ir.Value:
        """A new node at the end, of the type of its first input unless `dtype` says another."""
        node = ir.Node(
            "", op_type, inputs, ir.convenience.convert_attributes(attributes), name=name
        )
        value = node.outputs[0]
        value.name, value.shape = name, ir.Shape(shape)
        value.dtype = dtype or inputs[0].dtype or _FLOAT
        self._graph.append(node)
        return value


def _free(graph: ir.Graph, names: set[str]) -> None:
    """Renames whatever has one of these names inside the graph."""
    inner = [output for node in graph for output in node.outputs]
    for value in (*graph.initializers.values(), *inner):
        if value.name in names:
            value.name = f"{value.name}.inner"


def _shape(value: ir.Value) -> list[Dim]:
    return list(value.shape or ())
