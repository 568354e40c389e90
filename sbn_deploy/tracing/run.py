"""One run of a module, recorded operation by operation."""

from __future__ import annotations

import contextlib
import operator
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from sbn_deploy.networks.copied import copied
from sbn_deploy.networks.cuda import without_cuda
from sbn_runtime.errors import UnsupportedLayerError

from .spelling import SQUEEZES, Spelled, out_of_place, spelled

aten = torch.ops.aten

_SAME = (aten.detach.default, aten.alias.default, aten.lift_fresh.default, aten.detach_.default)
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
class Value:
    """The result of a step, by number, in place of a tensor."""

    index: int


@dataclass(frozen=True)
class Constant:
    name: str


@dataclass
class Step:
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    origin: Origin
    shape: tuple[int, ...]


@dataclass
class Run:
    """One run: its steps, constants, inputs and named outputs."""

    inputs: tuple[Tensor, ...]
    steps: list[Step] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    decided: dict[Origin, None] = field(default_factory=dict)


def run(module: nn.Module, inputs: tuple[Tensor, ...], known: Mapping[str, Tensor]) -> Run:
    """Runs a copy of the module; known: constants that it may share with an earlier run."""
    made = Run(inputs)
    with copied(module) as inner:
        state = state_of(inner).values()
        if any(value.is_floating_point() and value.dtype != torch.float32 for value in state):
            inner.float()
        recorder = _Recorder(inner, made, known)
        try:
            with (
                torch.no_grad(),
                warnings.catch_warnings(),
                torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
                _plain_attention(),
                recorder.modules(),
                without_cuda(),
                Spelled(),
                recorder,
            ):
                warnings.simplefilter("ignore")
                result = inner(*inputs)
        except UnsupportedLayerError:
            raise
        except Exception as error:
            raise UnsupportedLayerError(_said(module, error)) from error
    recorder.take_outputs(result)
    return made


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


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, shared ones under each."""
    parameters = module.named_parameters(remove_duplicate=False)
    buffers = module.named_buffers(remove_duplicate=False)
    return {name: value for group in (parameters, buffers) for name, value in group}


_Key = tuple[Any, ...]


def _key(tensor: Tensor) -> _Key:
    """What distinguishes a view of memory from every other; `.data` and aliases share it."""
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


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations on values that depend on the input."""

    def __init__(self, module: nn.Module, run: Run, known: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run = run
        self.known = known
        self.paths = {m: name for name, m in module.named_modules()}
        self.names = {id(tensor): name for name, tensor in state_of(module).items()}
        self.memory = {_key(tensor): name for name, tensor in state_of(module).items()}
        self.stack: list[str] = [""]
        self.values: dict[_Key, Value] = {}
        # By the address of memory that holds recorded values, their keys.
        self.keys: dict[int, set[_Key]] = {}
        self.inputs = {x.untyped_storage().data_ptr() for x in run.inputs}
        for index, x in enumerate(run.inputs):
            self._assign(x, Value(-index - 1))

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
                f"{origin} uses random numbers ({func.name().removeprefix('aten::')}) in"
                " evaluation mode; remove the noise, or use the stochastic layers of sbn_deploy.nn"
            )
        if func is aten._local_scalar_dense.default:
            self.run.decided.setdefault(origin)
            return func(*args, **kwargs)
        taken = tree_map_only(Tensor, self._operand, (args, kwargs))
        alone = self._is_alone(func, operands)
        result = func(*args, **kwargs)
        if func in SQUEEZES and _key(result) in self.values:
            return result  # of no axis
        target, args, kwargs = spelled(func, operands, *taken)
        if alone:
            target = out_of_place(target)
        several = isinstance(result, (tuple, list))
        outputs = list(result) if several else [result]
        shape = () if several or not isinstance(result, Tensor) else tuple(result.shape)
        step = Step(target, args, kwargs, origin, shape)
        self.run.steps.append(step)
        first = len(self.run.steps) - 1
        if not several:
            if isinstance(result, Tensor):
                self._assign(result, Value(first))
            return result
        for position, output in enumerate(outputs):
            if isinstance(output, Tensor):
                parts = (Value(first), position)
                get = Step(operator.getitem, parts, {}, origin, tuple(output.shape))
                self.run.steps.append(get)
                self._assign(output, Value(len(self.run.steps) - 1))
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

    def _assign(self, tensor: Tensor, value: Value) -> None:
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

    def _operand(self, tensor: Tensor) -> Value | Constant:
        known = self.values.get(_key(tensor))
        return known if known is not None else self._constant(tensor)

    def _constant(self, tensor: Tensor) -> Constant:
        """A constant with the tensor's present value, which a forward may change later."""
        base = self.names.get(id(tensor)) or self.memory.get(_key(tensor))
        if base is None:
            base = f"{self.stack[-1]}.constant" if self.stack[-1] else "constant"
        name, count = base, 1
        while name in self.run.constants:
            if same_values(self.run.constants[name], tensor):
                return Constant(name)
            count += 1
            name = f"{base}_{count}"
        shared = self.known.get(name)
        if shared is None or not same_values(shared, tensor):
            shared = tensor.detach().clone().contiguous()
        self.run.constants[name] = shared
        return Constant(name)

    def take_outputs(self, result: Any) -> None:
        """Names the outputs: `logits` for one, keys of a dict, else output0, output1 …

        Raises UnsupportedLayerError if one is not a tensor.
        """
        found: dict[str, Tensor] = {}
        if isinstance(result, Tensor):
            found["logits"] = result
        elif isinstance(result, Mapping):
            found = {str(name): value for name, value in result.items()}
        elif isinstance(result, (tuple, list)):
            flat, _ = tree_flatten(result)
            found = {f"output{index}": value for index, value in enumerate(flat)}
        found = {name: value for name, value in found.items() if value is not None}
        wrong = {name: v for name, v in found.items() if not isinstance(v, Tensor)}
        if wrong or not found:
            what = type(result).__name__
            if isinstance(result, (Mapping, tuple, list)):
                inside = [f"{type(value).__name__} as {name}" for name, value in wrong.items()]
                what += f" with {inside[0]}" if inside else " without a tensor"
            raise UnsupportedLayerError(
                f"the network returns {what}; it must return a tensor, a tuple of tensors or a"
                " dict of tensors"
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


def _is_users(file: str) -> bool:
    """Whether a line may be the user's: not torch's, ours, Python's, or of code without a file."""
    if file.startswith(_PYTHON) and "site-packages" not in file:
        return False
    ours = file.startswith(_PACKAGE) and not file.startswith(_LAYERS)
    return file.endswith(".py") and not ours and not file.startswith(_TORCH)


def _caller() -> tuple[str, int]:
    """File and line of the innermost frame that is neither torch's nor ours."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if _is_users(file):
            return file, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return "", 0


def same_values(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a is b or torch.equal(a, b) or torch.equal(a.nan_to_num(), b.nan_to_num())
