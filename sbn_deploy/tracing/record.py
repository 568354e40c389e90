"""Records what a module computes, by running it. Any forward works, because it runs normally:
guards on values, numpy on weights, rewriting `.data`, old habits. Every tensor operation that
depends on the input is recorded; everything else (weights, and what is
computed from weights alone) is a constant with the value it had when it was used.

The module runs twice, with two batch sizes and different numbers. A whole number
that differs between the runs is a multiple of the batch size; anything else that
differs came out of the activations in a way that no graph can express, and is an
error that names the line.
"""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten

from sbn_runtime.errors import InputError, UnsupportedLayerError

from .run import Constant, Origin, Run, Step, Value, run, same_values, state_of
from .straight_through import drop_straight_through, is_writing

aten = torch.ops.aten

_BATCHES = (2, 3)


@dataclass
class Recording:
    """A module as a flat graph of torch operations.

    graph_module: takes the inputs in order, gives a tuple of outputs; its buffers
        are the constants, under the names of the module's state where they are
        that state. The first dimension of inputs is free.
    inputs, outputs: their names.
    example: what the graph was recorded with.
    state: names of constants that are the module's state as it was before it ran.
    notes: where a number taken out of activations decided what was computed.
    """

    graph_module: fx.GraphModule
    inputs: list[str]
    outputs: list[str]
    example: tuple[Tensor, ...]
    state: frozenset[str]
    notes: list[str]

    @property
    def constants(self) -> dict[str, Tensor]:
        """The constants by name."""
        return dict(self.graph_module.named_buffers())


def record(module: nn.Module, example: Tensor | Sequence[Tensor]) -> Recording:
    """Records the module in evaluation mode; it is left as it was.

    example: inputs [N, ...] of one batch size N, at least 1; floats are taken
        as float32.

    Raises:
        InputError: no example, or examples of different batch sizes.
        UnsupportedLayerError: the module raises, uses random numbers, gives something
            other than tensors, or what it computes depends on the numbers in the
            input in a way that no graph can express.
        FileNotFoundError: there is no temporary folder, which torch needs.
    """
    inputs = _as_inputs(example)
    # torch would say so within the module's run, as if that had failed.
    tempfile.gettempdir()
    first = run(module, _batch(inputs, _BATCHES[0]), {})
    second = run(module, _batch(inputs, _BATCHES[1]), first.constants)
    return _Assembly(module, first, second).recording()


def _as_inputs(example: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    if not inputs or any(x.ndim < 1 or not x.numel() for x in inputs):
        raise InputError("an example input needs a batch of at least one, [N, ...]")
    if len({len(x) for x in inputs}) > 1:
        sizes = ", ".join(str(list(x.shape)) for x in inputs)
        raise InputError(f"all inputs of an example must have the same batch size: {sizes}")
    return tuple(x.detach().float() if x.is_floating_point() else x.detach() for x in inputs)


def _batch(inputs: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    """The example with another batch size; all but the first size also with other numbers."""
    found = []
    for x in inputs:
        rows = x[torch.arange(size) % len(x)].clone()
        if size != _BATCHES[0]:
            order = torch.randperm(rows[0].numel(), generator=torch.Generator().manual_seed(0))
            rows = rows.reshape(size, -1)[:, order].reshape(rows.shape)
            if rows.is_floating_point():
                rows = rows * 0.96875
        # Sizes of 1 leave strides open, from which torch guesses a memory format.
        found.append(torch.empty(rows.shape, dtype=rows.dtype).copy_(rows))
    return tuple(found)


class _Assembly:
    """Two runs as one graph with a free batch size."""

    def __init__(self, module: nn.Module, first: Run, second: Run) -> None:
        self.module = module
        self.first, self.second = first, second
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.nodes: dict[int, fx.Node] = {}
        self.constants: dict[str, fx.Node] = {}
        self.size: fx.Node | None = None

    def recording(self) -> Recording:
        first, second = self.first, self.second
        names = _input_names(self.module, len(first.inputs))
        for index, name in enumerate(names):
            self.nodes[-index - 1] = self.graph.placeholder(name)
        for position, (a, b) in enumerate(zip(first.steps, second.steps, strict=False)):
            if a.target is not b.target:
                raise self._differs(
                    a.origin, "takes a different path for another image or batch size"
                )
            self._step(position, a, b)
        if len(first.steps) != len(second.steps) or first.outputs != second.outputs:
            longer = max(first.steps, second.steps, key=len) if first.steps else []
            origin = longer[min(len(first.steps), len(second.steps)) - 1].origin if longer else None
            raise self._differs(origin, "takes a different path for another image or batch size")
        self.graph.output(tuple(self.nodes[value.index] for value in first.outputs.values()))
        drop_straight_through(self.graph)
        self.graph.eliminate_dead_code(_is_impure)
        module = fx.GraphModule(self.root, self.graph)
        before = state_of(self.module)
        same = {name for name in self.constants if _is_state(name, before, first.constants[name])}
        notes = [
            f"{origin} branches on a number taken out of activations: the file always takes the"
            " branch of the example"
            for origin in first.decided
        ]
        outputs = list(first.outputs)
        return Recording(module, names, outputs, first.inputs, frozenset(same), notes)

    def _step(self, position: int, a: Step, b: Step) -> None:
        flat_a, spec = tree_flatten((a.args, a.kwargs), is_leaf=_is_reference)
        flat_b, other = tree_flatten((b.args, b.kwargs), is_leaf=_is_reference)
        if spec != other:
            raise self._differs(a.origin, "takes a different path for another image or batch size")
        merged = [self._argument(x, y, a) for x, y in zip(flat_a, flat_b, strict=True)]
        args, kwargs = spec.unflatten(merged)
        if a.target is aten.convolution.default and isinstance(args[-1], fx.Node):
            raise self._differs(
                a.origin,
                "convolves each image with its own weights (groups that grow with the batch); in"
                " an ONNX file groups are constant",
            )
        node = self.graph.call_function(a.target, tuple(args), kwargs)
        node.meta["shape"] = a.shape
        if a.origin.module:
            stack = {a.origin.module: (a.origin.module, "torch.nn.Module")}
            node.meta["nn_module_stack"] = stack
        if a.origin.file:
            node.meta["stack_trace"] = f'File "{a.origin.file}", line {a.origin.line}, in forward'
        self.nodes[position] = node

    def _argument(self, x: Any, y: Any, step: Step) -> Any:
        if isinstance(x, Value) and x == y:
            return self.nodes[x.index]
        if isinstance(x, Constant) and isinstance(y, Constant):
            return self._constant(x, y, step)
        if type(x) is int and type(y) is int and x != y:
            return self._multiple(x, y)
        if _is_plain(x) and (x == y or (x != x and y != y)):
            return x
        if not _is_plain(x):
            raise self._differs(
                step.origin,
                f"computes with a {type(x).__name__.rpartition('.')[2]}, as quantised layers do,"
                " which ONNX cannot express; export the network before it was quantised",
            )
        raise self._differs(
            step.origin,
            f"computes with a number taken out of activations ({x} for one image, {y} for another);"
            " keep it a tensor",
        )

    def _constant(self, x: Constant, y: Constant, step: Step) -> fx.Node:
        value, other = self.first.constants[x.name], self.second.constants[y.name]
        if value.shape != other.shape and value.ndim == other.ndim:
            return self._expanded(x, value, other, step)
        if not same_values(value, other):
            raise self._differs(
                step.origin,
                "computes with values that torch cannot follow back to the input"
                " (numpy, or state that each call changes)",
            )
        if x.name not in self.constants:
            _register(self.root, x.name, value)
            self.constants[x.name] = self.graph.get_attr(x.name)
        return self.constants[x.name]

    def _expanded(self, x: Constant, value: Tensor, other: Tensor, step: Step) -> fx.Node:
        """A constant that was repeated to the batch size, as by `expand_as`."""
        narrow, sizes = value, []
        for axis, (a, b) in enumerate(zip(value.shape, other.shape, strict=True)):
            sizes.append(a if a == b else self._multiple(a, b))
            first = narrow.narrow(axis, 0, 1)
            if a != b or torch.equal(narrow, first.expand_as(narrow)):
                narrow, other = first, other.narrow(axis, 0, 1)
        name = f"{x.name}_narrow"
        self.first.constants[name], self.second.constants[name] = narrow.clone(), other.clone()
        constant = self._constant(Constant(name), Constant(name), step)
        return self.graph.call_function(aten.expand.default, (constant, sizes))

    def _multiple(self, x: int, y: int) -> fx.Node:
        """A whole number that is x and y for the two batch sizes."""
        factor, rest = divmod(y - x, _BATCHES[1] - _BATCHES[0])
        assert rest == 0
        offset = x - factor * _BATCHES[0]
        if self.size is None:
            first = next(iter(self.graph.nodes))
            with self.graph.inserting_after(self.nodes[min(self.nodes)]):
                self.size = self.graph.call_function(aten.sym_size.int, (first, 0))
        value = self.size
        if factor != 1:
            value = self.graph.call_function(operator.mul, (value, factor))
        if offset:
            value = self.graph.call_function(operator.add, (value, offset))
        return value

    def _differs(self, origin: Origin | None, what: str) -> UnsupportedLayerError:
        return UnsupportedLayerError(f"{origin or type(self.module).__name__} {what}")


def _is_plain(item: Any) -> bool:
    """Whether an argument is a number, a word or a setting of torch."""
    settings = (torch.dtype, torch.device, torch.layout, torch.memory_format)
    return item is None or isinstance(item, (bool, int, float, complex, str, *settings))


def _is_reference(item: Any) -> bool:
    return isinstance(item, (Value, Constant))


def _is_impure(node: fx.Node) -> bool:
    return node.op in ("placeholder", "output") or is_writing(node)


def _is_state(name: str, state: dict[str, Tensor], value: Tensor) -> bool:
    return name in state and same_values(state[name].detach().to(value.dtype), value)


def _register(root: nn.Module, name: str, value: Tensor) -> None:
    """A buffer under a dotted name."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    root.register_buffer(last, value)


def _input_names(module: nn.Module, count: int) -> list[str]:
    """`input` for one, else the names of forward's parameters."""
    if count == 1:
        return ["input"]
    code = getattr(type(module).forward, "__code__", None)
    names = list(code.co_varnames[1 : code.co_argcount]) if code is not None else []
    return [names[i] if i < len(names) else f"input{i}" for i in range(count)]
