"""From a module to a graph in standard ONNX, with the weights of one member or another."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, fx, nn

from sbn_converters import ops
from sbn_runtime.errors import ConfigError, UnsupportedLayerError

from .record import Recording, record
from .run import state_of

_log = logging.getLogger(__name__)
_REGISTRIES: dict[Any, Any] = {}


@dataclass(frozen=True)
class Traced:
    """A module's computation twice, under the same names.

    module: what was traced. recording: as torch operations, in the order in which they ran.
    program: the same without changes in place, what `model` was made from.
    model: in standard ONNX, unoptimised. The first dimension `N` is free, initializers
        have the names of the module's state where they are that state.
    """

    module: nn.Module
    recording: Recording
    program: torch.export.ExportedProgram
    model: ir.Model

    def network(self, module: nn.Module) -> fx.GraphModule:
        """The program with the state of a module of the same shape, ready to interpret."""
        with _quiet():
            network = copy.deepcopy(self.program).module()
        assert isinstance(network, fx.GraphModule)
        network.load_state_dict(self.constants(module), strict=False)
        return network

    def onnx(self, module: nn.Module) -> ir.Model:
        """A copy of the model with the state of a module of the same shape.

        Raises ConfigError if the module has other shapes.
        """
        copied = self.model.clone()
        state = self.constants(module)
        for name, value in copied.graph.initializers.items():
            if name in state:
                value.const_value = ir.tensor(state[name].numpy(), name=name)
        return copied

    def constants(self, module: nn.Module) -> dict[str, Tensor]:
        """By name, what the graph's constants are for a module of the same shape.

        Raises ConfigError if the module has other shapes.
        """
        own = self.recording.constants
        if module is self.module:
            return own
        state = {name: as_float(tensor) for name, tensor in state_of(module).items()}
        if not all(name in state and name in self.recording.state for name in own):
            # Some are computed from the state, by code that only running it can follow.
            state = record(module, self.recording.example).constants
        for name, tensor in own.items():
            if name not in state or state[name].shape != tensor.shape:
                found = list(state[name].shape) if name in state else "none"
                raise ConfigError(
                    f"members must be of one architecture: {name} of one has shape"
                    f" {list(tensor.shape)}, of another {found}"
                )
        return {name: state[name] for name in own}


def as_float(tensor: Tensor) -> Tensor:
    """The tensor's values, detached; floats as float32."""
    detached = tensor.detach()
    return (detached.float() if detached.is_floating_point() else detached).contiguous()


def trace(module: nn.Module, example: Tensor | Sequence[Tensor]) -> Traced:
    """Runs the module and records what it computes, see `record`.

    Raises what `record` does, and UnsupportedLayerError if torch has no ONNX form of
    an operation.
    """
    _log.info("running %s twice, to see what it computes", type(module).__name__)
    recording = record(module, example)
    _log.info("writing %d operations as ONNX", len(recording.graph_module.graph.nodes))
    batch = torch.export.Dim("N", min=1)
    try:
        with _quiet(), _spared():
            made = torch.onnx.export(
                recording.graph_module,
                recording.example,
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=ops.ONNX_OPSET,
                input_names=recording.inputs,
                output_names=recording.outputs,
                dynamic_shapes=tuple({0: batch} for _ in recording.inputs),
            )
    except Exception as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UnsupportedLayerError(
            f"torch cannot write {type(module).__name__} as ONNX: {_shortened(reason)};"
            " use operations that torch.onnx.export(dynamo=True) accepts"
        ) from error
    assert made is not None
    assert made.exported_program is not None
    return Traced(module, recording, made.exported_program, made.model)


def _shortened(reason: str) -> str:
    """torch's reason without the graph's notation of the operation that it is about."""
    found = re.search(r"call_function\[target=torch\.ops\.([\w.]+)\]", reason)
    return f"there is no ONNX form of {found[1]} with these arguments" if found else reason


@contextlib.contextmanager
def _spared() -> Iterator[None]:
    """Spares exports what torch does again each time, to the same effect.

    They share torch's table of ONNX forms, which takes seconds to make. Within an export torch also
    asks more than fifty times for all operators that it can decompose; once is enough. And programs
    that need no decomposition are not traced for it once more.
    """
    try:
        from torch._export import utils
        from torch.onnx._internal.exporter import _fx_passes
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        materialize = utils._materialize_cpp_cia_ops
        decompose = _fx_passes.decompose_with_registry
        is_registered = ONNXRegistry.is_registered
    except (AttributeError, ImportError):  # internal to torch; without it exports are only slower
        yield
        return
    made = ONNXRegistry.__dict__["from_torchlib"]

    def shared(cls: Any, *args: Any, **kwargs: Any) -> Any:
        key = (args, tuple(sorted(kwargs.items())))
        if key not in _REGISTRIES:
            _REGISTRIES[key] = made.__func__(cls, *args, **kwargs)
        return _REGISTRIES[key]

    def decomposed(exported_program: torch.export.ExportedProgram, registry: Any) -> Any:
        nodes = exported_program.graph.nodes
        called = [node.target for node in nodes if node.op == "call_function"]
        if all(is_registered(registry, target) and _stays(target) for target in called):
            return exported_program
        return decompose(exported_program, registry)

    setattr(ONNXRegistry, "from_torchlib", classmethod(shared))  # noqa: B010
    utils._materialize_cpp_cia_ops = functools.cache(materialize)
    _fx_passes.decompose_with_registry = decomposed
    try:
        yield
    finally:
        setattr(ONNXRegistry, "from_torchlib", made)  # noqa: B010
        utils._materialize_cpp_cia_ops = materialize
        _fx_passes.decompose_with_registry = decompose


def _stays(target: Any) -> bool:
    """Whether decomposing leaves an operation as it is.

    It does if the operation changes no argument, and torch has no code in Python to trace in its
    place, as for interpolation.
    """
    if not isinstance(target, torch._ops.OpOverload):
        return True
    kernels: set[Any] = set(getattr(target, "py_kernels", {None}))
    return not target._schema.is_mutable and kernels <= {torch._C.DispatchKey.Meta}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the tracer's remarks on its own internals off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
