"""From a checkpoint to one ONNX file: load, materialise, trace, lower, write."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime import __version__
from sbn_runtime.errors import ConfigError, ModelError, UnsupportedLayerError
from sbn_runtime.files import check_writable

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
    import torch

    from sbn_converters.onnx.layers import Layer
    from sbn_converters.onnx.noise import Draw
    from sbn_deploy.materialize import Activations, Weights


@dataclass(frozen=True)
class Noise:
    """What signs are drawn with: by module name how, and the defaults of the file.

    `samples` networks are drawn with `seed`, 0 to 2^63 - 1.
    """

    draws: dict[str, Draw]
    samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.draws:
            raise ConfigError(
                "this network has no noise on its activations;"
                " export it with deterministic activations"
            )
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise ConfigError(f"samples is {self.samples}; it must be 1 to {MAX_SAMPLES}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"the noise's seed is {self.seed}; it must be 0 to 2^63 - 1")


# Beyond it answers no longer change, and a file asks for more memory than it should.
MAX_SAMPLES = 65536


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    `samples` is how many networks are drawn from each member by default, 1
    where activations are deterministic. `layers` lists each layer of one member
    and what it became; `float_layers` names those that stayed float and why.
    """

    path: Path
    members: int
    samples: int
    weights: str
    file_bytes: int
    layers: list[Layer]

    @property
    def float_layers(self) -> dict[str, str]:
        """Layers that stayed float, each with the reason."""
        return {layer.name: layer.why for layer in self.layers if layer.kind == "float"}

    def to_json(self) -> dict[str, object]:
        """A JSON-able form."""
        return {
            "path": str(self.path),
            "members": self.members,
            "samples": self.samples,
            "weights": self.weights,
            "file_bytes": self.file_bytes,
            "layers": [asdict(layer) for layer in self.layers],
            "float_layers": self.float_layers,
        }


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    *,
    weights: Weights = "threshold",
    members: int = 1,
    seed: int = 0,
    activations: Activations = "deterministic",
    samples: int = 1,
    noise_seed: int = 0,
) -> ExportReport:
    """Exports a trained checkpoint as one ONNX file with bit-packed operators.

    weights: "threshold" takes the more probable sign of each weight, "sample"
    draws `members` networks from the trained probabilities with `seed`.
    activations: "stochastic" keeps the noise that signs were trained with; the
    file then draws `samples` networks from each member with `noise_seed`, which
    are defaults that whoever runs it may change.

    Raises ArtifactError for a broken checkpoint, OutputError if the file cannot
    be written, UnsupportedLayerError if the network cannot be traced.
    """
    from sbn_deploy.materialize import materialize_checkpoint

    made = materialize_checkpoint(
        checkpoint, weights=weights, members=members, seed=seed, activations=activations
    )
    metadata = {
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "arch": made.meta["arch"],
        "config": made.meta["config"],
        "data": made.meta.get("data"),
        "weights": weights,
        "seed": seed,
        "preprocess": made.meta["preprocess"],
        "classes": made.meta["classes"],
        "test_accuracy": made.test_accuracy if activations == "deterministic" else None,
    }
    noise = None
    if activations == "stochastic":
        noise = Noise(made.draws, samples, noise_seed)
    return export_onnx(made.members, made.example, output, metadata=metadata, noise=noise)


def export_onnx(
    members: list[torch.nn.Module],
    example: torch.Tensor,
    output: Path,
    *,
    metadata: dict[str, object] | None = None,
    noise: Noise | None = None,
) -> ExportReport:
    """Exports deterministic modules of one architecture as one file.

    members: modules in evaluation mode whose binary layers hold fixed weights
    of +1 and -1. example: float32 [N, ...], a valid input; the batch size of
    the exported file is free. noise: what to draw signs with, if with anything.

    Raises OutputError if the file cannot be written, UnsupportedLayerError if
    torch cannot trace the module, ConfigError if members differ in shape.
    """
    from sbn_converters.onnx import ensemble, lower, write
    from sbn_converters.onnx.samples import COUNT, FIRST, SEED, Samples
    from sbn_converters.onnx.working_set import working_set

    check_writable(output.parent)
    traced = trace_program(members[0], example).model
    lowered, layers = [], []
    samples = Samples()
    draws = noise.draws if noise is not None else {}
    for index, member in enumerate(members):
        model = with_weights(traced, member)
        found = lower.lower(model, draws, samples)
        if index == 0:
            layers = found
        lowered.append(model)
    names = [f"member{index}" for index in range(len(members))]
    recorded = [layer.to_json() for layer in layers]
    if len(members) > 1:
        for entry in recorded:
            entry["node"] = f"{names[0]}/{entry['node']}"
    _check_drawn(draws, layers)
    model = ensemble.with_probabilities(lowered, names, samples)
    count = noise.samples if noise is not None else 1
    proto = write.finish(
        model,
        {
            "weights": "threshold",
            **(metadata or {}),
            "sbn_deploy": __version__,
            "members": len(members),
            "layers": recorded,
            "working_set": working_set(model.graph),
            "activations": "stochastic" if noise is not None else "deterministic",
            "samples": count,
            **({"noise_seed": noise.seed} if noise is not None else {}),
        },
        {SEED: noise.seed, FIRST: 0, COUNT: count} if noise is not None else {},
    )
    if noise is None:
        _check(proto, members, example)
    else:
        _check_draws(proto, members, example, noise)
    write.save(proto, output)
    return ExportReport(
        output,
        len(members),
        count,
        str((metadata or {}).get("weights", "threshold")),
        output.stat().st_size,
        layers,
    )


def trace_program(module: torch.nn.Module, example: torch.Tensor) -> torch.onnx.ONNXProgram:
    """Traces the module to an inference graph in standard ONNX, unoptimised.

    The input is called `input`, its first dimension `N` is free, the output
    `logits`. Initializers keep the names of the module's state.

    Raises UnsupportedLayerError if torch cannot trace it.
    """
    import torch

    from sbn_converters import ops

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
    import onnx_ir as ir
    import torch

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


def _check(proto: onnx.ModelProto, members: list[torch.nn.Module], example: torch.Tensor) -> None:
    """Runs the finished model on the example and compares its logits with torch's.

    Raises ModelError if they differ; no file is written then.
    """
    import numpy as np
    import onnxruntime
    import torch

    from sbn_deploy.validate import LOGITS_TOLERANCE, as_input, validate_members
    from sbn_runtime.session import session_options

    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    found = session.run([proto.graph.output[0].name], {"input": as_input(proto, example.numpy())})[
        0
    ]
    with torch.no_grad():
        expected = torch.stack([member(example) for member in members]).numpy()
    difference = float(np.abs(found.reshape(expected.shape) - expected).max())
    if difference <= LOGITS_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        return
    # Float layers may decide a tie the other way; a close look tells.
    (result,) = validate_members(proto, members, example.numpy(), every_engine=False)
    if not result.ok:
        raise ModelError(
            f"the exported network differs from torch's from {result.first_layer} on;"
            " no file was written; `sbn doctor` shows the kernels in use"
        )


def _check_draws(
    proto: onnx.ModelProto, members: list[torch.nn.Module], example: torch.Tensor, noise: Noise
) -> None:
    """Runs the finished model on the example and compares what it draws with torch.

    Raises ModelError if they differ; no file is written then.
    """
    from sbn_deploy.validate import validate_members

    (result,) = validate_members(
        proto, members, example.numpy(), draws=noise.draws, every_engine=False
    )
    if not result.ok:
        raise ModelError(
            f"the exported network draws otherwise than torch from {result.first_layer} on;"
            " no file was written; `sbn doctor` shows the kernels in use"
        )


def _check_drawn(draws: dict[str, Draw], layers: list[Layer]) -> None:
    """Raises UnsupportedLayerError if the noise of a module found no operator."""
    drawn = {layer.name for layer in layers if layer.kind == "draw"}
    missing = sorted(set(draws) - drawn)
    if missing:
        raise UnsupportedLayerError(
            f"the noise of {missing[0]} cannot be exported: it follows no value of shape [N, C]"
            " or [N, C, H, W]; export with deterministic activations"
        )


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
