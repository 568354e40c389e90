"""From a module to a graph in standard ONNX, with the weights of one member or another."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator

import onnx_ir as ir
import torch

from sbn_converters import ops
from sbn_runtime.errors import ConfigError, UnsupportedLayerError


def trace_program(module: torch.nn.Module, example: torch.Tensor) -> torch.onnx.ONNXProgram:
    """Traces the module to an inference graph in standard ONNX, unoptimised.

    The input is called `input`, its first dimension `N` is free, the output
    `logits`. Initializers keep the names of the module's state.

    Raises UnsupportedLayerError if torch cannot trace it.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                module.eval(),
                (torch.cat([example, example])[:2],),
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=ops.ONNX_OPSET,
                input_names=["input"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            )
    except Exception as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UnsupportedLayerError(
            f"torch cannot trace {type(module).__name__}: {reason}; "
            "use operations that torch.onnx.export(dynamo=True) accepts"
        ) from error
    assert program is not None
    return program


def with_weights(traced: ir.Model, module: torch.nn.Module) -> ir.Model:
    """A copy of the traced graph with the state of another module of the same shape.

    Raises ConfigError if the module has other shapes.
    """
    model = copy.deepcopy(ir.serde.serialize_model(traced))
    copied = ir.serde.deserialize_model(model)
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, value in copied.graph.initializers.items():
        if name in state:
            array = state[name].detach().to(torch.float32).contiguous().numpy()
            expected = tuple(value.shape or ())
            if array.shape != expected:
                raise ConfigError(
                    f"members must be of one architecture: {name} of one has shape"
                    f" {list(expected)}, of another {list(array.shape)}"
                )
            value.const_value = ir.tensor(array, name=name)
    return copied


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
