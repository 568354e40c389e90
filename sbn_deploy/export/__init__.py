"""From a checkpoint to one file: load, materialise, trace, lower, translate, write."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from sbn_runtime.errors import ConfigError
from sbn_runtime.files import check_writable, write_atomically

from .noise import Noise
from .report import ExportReport

if TYPE_CHECKING:
    import torch

    from sbn_deploy.materialize import Activations, Weights

    from .onnx_model import Built

__all__ = [
    "ExportReport",
    "Noise",
    "check_target",
    "export_checkpoint",
    "export_members",
    "export_onnx",
]


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
    """Exports a trained checkpoint as one file with bit-packed operators.

    The suffix of `output` says which: .onnx, or .tflite for Larq Compute Engine.
    weights: "threshold" takes the more probable sign of each weight, "sample"
    draws `members` networks from the trained probabilities with `seed`.
    activations: "stochastic" keeps the noise that signs were trained with; the
    file then draws `samples` networks from each member with `noise_seed`, which
    are defaults that whoever runs it may change.

    Raises ArtifactError for a broken checkpoint, OutputError if the file cannot
    be written, UnsupportedLayerError if the network cannot be traced or
    translated, ConfigError for another suffix and for noise in TFLite.
    """
    from sbn_deploy.materialize import materialize_checkpoint

    check_target(output, activations)
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
    return export_members(made.members, made.example, output, metadata=metadata, noise=noise)


def check_target(output: Path, activations: Activations) -> None:
    """Raises ConfigError, before long work, if there can be no such file."""
    if output.suffix not in (".onnx", ".tflite"):
        raise ConfigError(
            f"{output}: its name must end in .onnx, for onnxruntime,"
            " or in .tflite, for Larq Compute Engine"
        )
    if output.suffix == ".tflite" and activations == "stochastic":
        raise ConfigError(
            "Larq Compute Engine has no operator that draws noise; export deterministic"
            " activations, or to a name that ends in .onnx"
        )


def export_members(
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
    an ONNX file is free, that of a TFLite file 1. output: its suffix says which;
    it appears only after the model has answered the example as torch does.
    noise: what to draw signs with, if with anything.

    Raises OutputError if the file cannot be written, UnsupportedLayerError if
    torch cannot trace the module, ConfigError if members differ in shape or
    there can be no such file.
    """
    check_target(output, "stochastic" if noise is not None else "deterministic")
    if output.suffix == ".onnx":
        return export_onnx(members, example, output, metadata=metadata, noise=noise)
    return _export_tflite(members, example, output, metadata)


def export_onnx(
    members: list[torch.nn.Module],
    example: torch.Tensor,
    output: Path,
    *,
    metadata: dict[str, object] | None = None,
    noise: Noise | None = None,
) -> ExportReport:
    """Like `export_members`, as ONNX whatever the name."""
    from sbn_converters.onnx.write import save

    from .onnx_model import build

    check_writable(output.parent)
    built = build(members, example, metadata=metadata, noise=noise)
    save(built.proto, output)
    return _report(output, built, "onnxruntime")


def _export_tflite(
    members: list[torch.nn.Module],
    example: torch.Tensor,
    output: Path,
    metadata: dict[str, object] | None,
) -> ExportReport:
    from .onnx_model import build
    from .tflite_model import as_tflite, check

    check_writable(output.parent)
    built = build(members, example, metadata=metadata)
    data = as_tflite(built.proto)
    run_in = check(data, members, example)
    write_atomically(output, data)
    return _report(output, built, run_in)


def _report(output: Path, built: Built, run_in: str) -> ExportReport:
    said = built.metadata
    return ExportReport(
        output,
        said["members"],
        said["samples"],
        said["weights"],
        output.stat().st_size,
        built.layers,
        run_in,
    )
