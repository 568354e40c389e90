"""Recording what a module computes, by running it.

Anyone's forward goes through, because it runs as it always does: guards on
values, numpy on weights, `.data` rewritten, old habits. Every tensor operation
that depends on the input is written down; everything else (weights, and what is
computed from weights alone) is a constant with the value it had when it was used.

The module runs twice, with two batch sizes and different numbers. A whole number
that differs between the runs is a multiple of the batch size; anything else that
differs came out of the activations by a way that no graph can follow, and is an
error that names the line.
"""

from __future__ import annotations

import contextlib
import copy
import operator
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from sbn_deploy.networks.cuda import without_cuda
from sbn_runtime.errors import InputError, UnsupportedLayerError

from .straight_through import drop_straight_through, is_writing

aten = torch.ops.aten

_BATCHES = (2, 3)
_SAME = (aten.detach.default, aten.alias.default, aten.lift_fresh.default, aten.detach_.default)
_SQUEEZES = (aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims)
_TORCH = os.path.dirname(torch.__file__)
_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_LAYERS = os.path.join(_PACKAGE, "nn")
_PYTHON = os.path.dirname(os.__file__)


@dataclass(frozen=True)
class Origin:
    """Where an operation comes from: the module's path and the line that called it."""

    module: str
    file: str
    line: int

    def __str__(self) -> str:
        place = f"{Path(self.file).name}:{self.line}" if self.file else ""
        return f"{self.module} ({place})" if self.module and place else self.module or place


@dataclass(frozen=True)
class _Value:
    """The result of a step, by number, in place of a tensor."""

    index: int


@dataclass(frozen=True)
class _Constant:
    name: str


@dataclass
class _Step:
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    origin: Origin
    shape: tuple[int, ...]


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
        UnsupportedLayerError: the module raises, draws random numbers, gives something
            other than tensors, or what it computes depends on the numbers in the
            input in a way that no graph can express.
    """
    inputs = _as_inputs(example)
    first = _run(module, _batch(inputs, _BATCHES[0]), {})
    second = _run(module, _batch(inputs, _BATCHES[1]), first.constants)
    return _Assembly(module, first, second).recording()


def _as_inputs(example: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    if not inputs or any(x.ndim < 1 or not x.numel() for x in inputs):
        raise InputError("an example input needs a batch of at least one, [N, ...]")
    if len({len(x) for x in inputs}) > 1:
        sizes = ", ".join(str(list(x.shape)) for x in inputs)
        raise InputError(f"the inputs of one example have one batch size: {sizes}")
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


@dataclass
class _Run:
    """One run: its steps, constants, inputs and named outputs."""

    inputs: tuple[Tensor, ...]
    steps: list[_Step] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, _Value] = field(default_factory=dict)
    decided: dict[Origin, None] = field(default_factory=dict)


def _run(module: nn.Module, inputs: tuple[Tensor, ...], known: Mapping[str, Tensor]) -> _Run:
    """Runs a copy of the module; known: constants that it may share with an earlier run."""
    run = _Run(inputs)
    copied = _copy(module).eval()
    if any(p.is_floating_point() and p.dtype != torch.float32 for p in state_of(copied).values()):
        copied.float()
    recorder = _Recorder(copied, run, known)
    try:
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
            _plain_attention(),
            recorder.modules(),
            without_cuda(),
            _Spelled(),
            recorder,
        ):
            warnings.simplefilter("ignore")
            result = copied(*inputs)
    except UnsupportedLayerError:
        raise
    except Exception as error:
        raise UnsupportedLayerError(_said(module, error)) from error
    recorder.take_outputs(result)
    return run


def _said(module: nn.Module, error: Exception) -> str:
    message = str(error).strip().splitlines() or [type(error).__name__]
    line = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if _is_users(file):
            line = f" at {Path(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return (
        f"{type(module).__name__} cannot run on the example{line}:"
        f" {type(error).__name__}: {message[0]}"
    )


def _copy(module: nn.Module) -> nn.Module:
    """A copy whose state a forward may rewrite."""
    try:
        inner = module.module if isinstance(module, nn.DataParallel) else module
        return copy.deepcopy(inner)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedLayerError(
            f"{type(module).__name__} cannot be copied: {reason};"
            " keep no computed tensors as attributes, or detach them"
        ) from error


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones under each."""
    parameters = module.named_parameters(remove_duplicate=False)
    buffers = module.named_buffers(remove_duplicate=False)
    return {name: value for group in (parameters, buffers) for name, value in group}


_Key = tuple[Any, ...]


def _key(tensor: Tensor) -> _Key:
    """What tells a view of memory from every other; `.data` and aliases share it."""
    return (
        tensor.untyped_storage().data_ptr(),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
    )


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Lets attention layers compute by ordinary operations."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Spelled(TorchFunctionMode):
    """Replaces functions that torch computes by writing into empty memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.nn.functional.pad, torch._C._nn.pad) and isinstance(args[0], Tensor):
            amounts = args[1] if len(args) > 1 else kwargs["pad"]
            mode = args[2] if len(args) > 2 else kwargs.get("mode")
            if mode == "circular" and min(amounts) >= 0:
                return _circular(args[0], amounts)
        return func(*args, **kwargs)


def _circular(x: Tensor, amounts: Sequence[int]) -> Tensor:
    """The last axes continued periodically; amounts: before and after, last axis first."""
    for index in range(len(amounts) // 2):
        axis = x.ndim - 1 - index
        before, after = amounts[2 * index], amounts[2 * index + 1]
        size = x.shape[axis]
        parts = [x.narrow(axis, size - before, before), x, x.narrow(axis, 0, after)]
        x = torch.cat([part for part in parts if part.shape[axis]], axis)
    return x


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down operations on values that depend on the input."""

    def __init__(self, module: nn.Module, run: _Run, known: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run = run
        self.known = known
        self.paths = {m: name for name, m in module.named_modules()}
        self.names = {id(tensor): name for name, tensor in state_of(module).items()}
        self.memory = {_key(tensor): name for name, tensor in state_of(module).items()}
        self.stack: list[str] = [""]
        self.values: dict[_Key, _Value] = {}
        # By the address of memory that holds recorded values, their keys.
        self.keys: dict[int, set[_Key]] = {}
        self.inputs = {x.untyped_storage().data_ptr() for x in run.inputs}
        for index, x in enumerate(run.inputs):
            self._assign(x, _Value(-index - 1))

    @contextlib.contextmanager
    def modules(self) -> Iterator[None]:
        """Follows which module's forward runs."""

        def enter(module: nn.Module, _: Any) -> None:
            self.stack.append(self.paths.get(module, self.stack[-1]))

        def leave(module: nn.Module, _: Any, __: Any) -> None:
            self.stack.pop()

        handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        operands = [a for a in tree_flatten((args, kwargs))[0] if isinstance(a, Tensor)]
        recorded = any(_key(a) in self.values for a in operands) or _makes(func, operands)
        if not recorded or func in _SAME:
            return func(*args, **kwargs)
        origin = Origin(self.stack[-1], *_caller())
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise UnsupportedLayerError(
                f"{origin} draws random numbers ({func.name().removeprefix('aten::')}) in"
                " evaluation mode; leave its noise out, or build it of our stochastic layers"
            )
        if func is aten._local_scalar_dense.default:
            self.run.decided.setdefault(origin)
            return func(*args, **kwargs)
        taken = tree_map_only(Tensor, self._operand, (args, kwargs))
        alone = self._is_alone(func, operands)
        result = func(*args, **kwargs)
        if func in _SQUEEZES and _key(result) in self.values:
            return result  # of no axis
        target, args, kwargs = _spelled(func, operands, *taken)
        if alone:
            target = _out_of_place(target)
        several = isinstance(result, (tuple, list))
        outputs = list(result) if several else [result]
        shape = () if several or not isinstance(result, Tensor) else tuple(result.shape)
        step = _Step(target, args, kwargs, origin, shape)
        self.run.steps.append(step)
        first = len(self.run.steps) - 1
        if not several:
            if isinstance(result, Tensor):
                self._assign(result, _Value(first))
            return result
        for position, output in enumerate(outputs):
            if isinstance(output, Tensor):
                parts = (_Value(first), position)
                get = _Step(operator.getitem, parts, {}, origin, tuple(output.shape))
                self.run.steps.append(get)
                self._assign(output, _Value(len(self.run.steps) - 1))
        return result

    def _is_alone(self, func: Any, operands: list[Tensor]) -> bool:
        """Whether an operation writes over a recorded value that nothing else is a view of."""
        if not func._schema.is_mutable or not operands:
            return False
        written, *others = operands
        if _key(written) not in self.values or written.untyped_storage().data_ptr() in self.inputs:
            return False
        same = all(other.dtype in (written.dtype, torch.bool) for other in others)
        return same and len(self.keys[written.untyped_storage().data_ptr()]) == 1

    def _assign(self, tensor: Tensor, value: _Value) -> None:
        key, memory = _key(tensor), tensor.untyped_storage()
        address = memory.data_ptr()
        self.values[key] = value
        if address not in self.keys:
            # Other tensors may get the memory as soon as it is free.
            self.keys[address] = set()
            weakref.finalize(memory, self._forget, address).atexit = False
        self.keys[address].add(key)

    def _forget(self, address: int) -> None:
        for key in self.keys.pop(address, ()):
            self.values.pop(key, None)

    def _operand(self, tensor: Tensor) -> _Value | _Constant:
        known = self.values.get(_key(tensor))
        return known if known is not None else self._constant(tensor)

    def _constant(self, tensor: Tensor) -> _Constant:
        """A constant with the tensor's present value, which a forward may change later."""
        base = self.names.get(id(tensor)) or self.memory.get(_key(tensor))
        if base is None:
            base = f"{self.stack[-1]}.constant" if self.stack[-1] else "constant"
        name, count = base, 1
        while name in self.run.constants:
            if _equal(self.run.constants[name], tensor):
                return _Constant(name)
            count += 1
            name = f"{base}_{count}"
        shared = self.known.get(name)
        if shared is None or not _equal(shared, tensor):
            shared = tensor.detach().clone().contiguous()
        self.run.constants[name] = shared
        return _Constant(name)

    def take_outputs(self, result: Any) -> None:
        """Names the outputs: `logits` for one, keys of a dict, else output0, output1 …

        Raises UnsupportedLayerError if one is no tensor.
        """
        found: dict[str, Tensor] = {}
        if isinstance(result, Tensor):
            found["logits"] = result
        elif isinstance(result, Mapping):
            found = {str(name): value for name, value in result.items()}
        elif isinstance(result, (tuple, list)):
            flat, _ = tree_flatten(result)
            found = {f"output{index}": value for index, value in enumerate(flat)}
        if not found or not all(isinstance(value, Tensor) for value in found.values()):
            raise UnsupportedLayerError(
                f"the network returns {type(result).__name__}; it must return a tensor,"
                " a tuple of tensors or a dict of tensors"
            )
        for name, value in found.items():
            known = self.values.get(_key(value))
            if known is None:
                raise UnsupportedLayerError(f"the output {name} does not depend on the input")
            self.run.outputs[name] = known


def _makes(func: Any, operands: list[Tensor]) -> bool:
    """Whether the operation makes a new tensor from nothing, which may be filled later."""
    return not operands and func.name().split("::")[1].split(".")[0] in (
        "zeros",
        "ones",
        "full",
        "empty",
        "arange",
        "eye",
        "scalar_tensor",
    )


def _spelled(
    func: Any, operands: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The operation as torch's ONNX exporter knows it."""
    if func is aten.native_batch_norm.default:
        return aten._native_batch_norm_legit_no_training.default, (*args[:5], *args[6:]), kwargs
    if func in (aten.index_put_.default, aten.index_put.default):
        # s[s == 0] = 1
        indices, value = args[1], operands[-1]
        mask = operands[1] if len(operands) == 3 else None
        single = len(indices) == 1 and mask is not None and mask.dtype == torch.bool
        if single and value.numel() == 1 and mask is not None and mask.shape == operands[0].shape:
            masked = (
                aten.masked_fill_.Tensor
                if func is aten.index_put_.default
                else aten.masked_fill.Tensor
            )
            return masked, (args[0], indices[0], args[2]), {}
    if func is aten.copy_.default:
        return func, args[:2], {}
    if func in _SQUEEZES:
        # torch leaves axes as they are whose size is not 1; ONNX refuses them.
        shape = operands[0].shape
        asked = args[1] if len(args) > 1 else range(len(shape))
        axes = [asked] if isinstance(asked, int) else list(asked)
        return aten.squeeze.dims, (args[0], [axis for axis in axes if shape[axis] == 1]), {}
    return func, args, kwargs


def _is_users(file: str) -> bool:
    """Whether a line may be the user's: not torch's, ours, Python's, or of code without a file."""
    if file.startswith(_PYTHON) and "site-packages" not in file:
        return False
    ours = file.startswith(_PACKAGE) and not file.startswith(_LAYERS)
    return file.endswith(".py") and not ours and not file.startswith(_TORCH)


def _out_of_place(target: Any) -> Any:
    """`add` for `add_`, where torch has it with the same arguments; else the operation itself."""
    name, _, overload = target.name().removeprefix("aten::").partition(".")
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    found = getattr(packet, overload or "default", None)
    return found if found is not None else target


def _caller() -> tuple[str, int]:
    """File and line of the innermost frame that is neither torch's nor ours."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if _is_users(file):
            return file, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return "", 0


class _Assembly:
    """Two runs as one graph with a free batch size."""

    def __init__(self, module: nn.Module, first: _Run, second: _Run) -> None:
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
                raise self._differs(a.origin, "takes another path for another image or batch size")
            self._step(position, a, b)
        if len(first.steps) != len(second.steps) or first.outputs != second.outputs:
            longer = max(first.steps, second.steps, key=len) if first.steps else []
            origin = longer[min(len(first.steps), len(second.steps)) - 1].origin if longer else None
            raise self._differs(origin, "takes another path for another image or batch size")
        self.graph.output(tuple(self.nodes[value.index] for value in first.outputs.values()))
        drop_straight_through(self.graph)
        self.graph.eliminate_dead_code(_is_impure)
        module = fx.GraphModule(self.root, self.graph)
        before = state_of(self.module)
        same = {name for name in self.constants if _is_state(name, before, first.constants[name])}
        notes = [
            f"{origin} decides by a number taken out of activations: the file always computes"
            " what the example made it compute"
            for origin in first.decided
        ]
        outputs = list(first.outputs)
        return Recording(module, names, outputs, first.inputs, frozenset(same), notes)

    def _step(self, position: int, a: _Step, b: _Step) -> None:
        flat_a, spec = tree_flatten((a.args, a.kwargs), is_leaf=_is_reference)
        flat_b, other = tree_flatten((b.args, b.kwargs), is_leaf=_is_reference)
        if spec != other:
            raise self._differs(a.origin, "takes another path for another image or batch size")
        merged = [self._argument(x, y, a) for x, y in zip(flat_a, flat_b, strict=True)]
        args, kwargs = spec.unflatten(merged)
        node = self.graph.call_function(a.target, tuple(args), kwargs)
        node.meta["shape"] = a.shape
        if a.origin.module:
            stack = {a.origin.module: (a.origin.module, "torch.nn.Module")}
            node.meta["nn_module_stack"] = stack
        node.meta["stack_trace"] = f'File "{a.origin.file}", line {a.origin.line}, in forward'
        self.nodes[position] = node

    def _argument(self, x: Any, y: Any, step: _Step) -> Any:
        if isinstance(x, _Value) and x == y:
            return self.nodes[x.index]
        if isinstance(x, _Constant) and isinstance(y, _Constant):
            return self._constant(x, y, step)
        if type(x) is int and type(y) is int and x != y:
            return self._multiple(x, y)
        if x == y or (x != x and y != y):
            return x
        raise self._differs(
            step.origin,
            f"computes with a number taken out of activations ({x} for one image, {y} for another);"
            " keep it a tensor",
        )

    def _constant(self, x: _Constant, y: _Constant, step: _Step) -> fx.Node:
        value, other = self.first.constants[x.name], self.second.constants[y.name]
        if value.shape != other.shape and value.ndim == other.ndim:
            return self._expanded(x, value, other, step)
        if not _equal(value, other):
            raise self._differs(
                step.origin,
                "computes with values that torch cannot follow back to the input"
                " (numpy, or state that each call changes)",
            )
        if x.name not in self.constants:
            _register(self.root, x.name, value)
            self.constants[x.name] = self.graph.get_attr(x.name)
        return self.constants[x.name]

    def _expanded(self, x: _Constant, value: Tensor, other: Tensor, step: _Step) -> fx.Node:
        """A constant that was repeated to the batch size, as by `expand_as`."""
        narrow, sizes = value, []
        for axis, (a, b) in enumerate(zip(value.shape, other.shape, strict=True)):
            sizes.append(a if a == b else self._multiple(a, b))
            first = narrow.narrow(axis, 0, 1)
            if a != b or torch.equal(narrow, first.expand_as(narrow)):
                narrow, other = first, other.narrow(axis, 0, 1)
        name = f"{x.name}_narrow"
        self.first.constants[name], self.second.constants[name] = narrow.clone(), other.clone()
        constant = self._constant(_Constant(name), _Constant(name), step)
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


def _is_reference(item: Any) -> bool:
    return isinstance(item, (_Value, _Constant))


def _is_impure(node: fx.Node) -> bool:
    return node.op in ("placeholder", "output") or is_writing(node)


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a is b or torch.equal(a, b) or torch.equal(a.nan_to_num(), b.nan_to_num())


def _is_state(name: str, state: dict[str, Tensor], value: Tensor) -> bool:
    return name in state and _equal(state[name].detach().to(value.dtype), value)


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
