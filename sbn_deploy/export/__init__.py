"""From a checkpoint to one file: load, materialise, trace, lower, translate, write."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbn_deploy.data.digests import TRAINING_IMAGES, Sketch
from sbn_deploy.engines.table import SBN
from sbn_deploy.names import now_called
from sbn_runtime.engines import find
from sbn_runtime.errors import ConfigError, UnsupportedLayerError
from sbn_runtime.files import check_writable, write_atomically
from sbn_runtime.tasks import CLASSIFICATION

from .noise import Noise
from .report import ExportReport

if TYPE_CHECKING:
    import torch

    from sbn_deploy.materialize import Form
    from sbn_runtime.preprocess import Preprocess, Standardize

__all__ = [
    "ExportReport",
    "Noise",
    "check_target",
    "export_checkpoint",
    "export_model",
]


def export_checkpoint(
    checkpoint: str | Path,
    output: str | Path,
    form: Form | None = None,
    *,
    int8: str | None = None,
    engine: str | None = None,
) -> ExportReport:
    """Exports a trained checkpoint as one file with bit-packed operators.

    The suffix of `output` says which: .onnx, or .tflite for Larq Compute Engine.
    form: which networks the file holds; by default the one thresholded network.
    int8: the data with which to compute float layers in 8 bits, see
        `sbn_deploy.data.load`; "" for that of training, None to leave them float.
    engine: which an ONNX file is for, see `export_model`.

    Raises ArtifactError for a broken checkpoint, OutputError if the file cannot
    be written, UnsupportedLayerError if the network cannot be traced or
    translated, ConfigError for another suffix, for noise and 8 bits in TFLite, and for data
    that cannot be used.
    """
    from sbn_deploy.materialize import Form

    from .from_checkpoint import materialize_checkpoint

    checkpoint, output, form = Path(checkpoint), Path(output), form or Form()
    check_target(output, stochastic=form.stochastic, int8=int8 is not None, engine=engine)
    made = materialize_checkpoint(checkpoint, form)
    metadata = {
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "arch": made.meta.arch,
        "config": made.meta.config,
        "data": made.meta.data,
        "weights": form.weights,
        "seed": form.seed,
        "preprocess": made.meta.preprocess.to_json(),
        "classes": list(made.meta.classes),
        "test_accuracy": made.test_accuracy if not form.stochastic else None,
        "test_scores": made.test_scores if not form.stochastic else None,
    }
    if made.digests is not None:
        metadata[TRAINING_IMAGES] = Sketch.of(made.digests, made.meta.split).to_json()
    noise = Noise(made.stochastic, form.samples, form.noise_seed) if form.stochastic else None
    return export_model(
        made.members,
        made.example,
        output,
        task=made.task,
        metadata=metadata,
        noise=noise,
        int8=made.meta.data if int8 == "" else int8,
        engine=engine,
    )


def check_target(
    output: Path, *, stochastic: bool, int8: bool = False, engine: str | None = None
) -> None:
    """Raises ConfigError, before long work, if there can be no such file."""
    if output.suffix not in (".onnx", ".tflite"):
        raise ConfigError(
            f"{output}: its name must end in .onnx, for onnxruntime,"
            " or in .tflite, for Larq Compute Engine"
        )
    if output.suffix == ".tflite" and stochastic:
        raise ConfigError(
            "Larq Compute Engine has no operator that samples noise; export deterministic"
            " activations, or to a name that ends in .onnx"
        )
    if output.suffix == ".tflite" and int8:
        raise ConfigError("--int8 is for ONNX files; give a name that ends in .onnx")
    if engine is not None:
        if output.suffix == ".tflite":
            raise ConfigError("--engine is for ONNX files; give a name that ends in .onnx")
        find(engine)


def export_model(
    model: torch.nn.Module | Sequence[torch.nn.Module],
    example: torch.Tensor | Sequence[torch.Tensor],
    path: str | Path,
    *,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | Standardize | None = None,
    metadata: Mapping[str, object] | None = None,
    noise: Noise | None = None,
    int8: str | None = None,
    engine: str | None = None,
) -> ExportReport:
    """Exports any torch module as one file with bit-packed operators.

    Signs may be written in any way, scaled or {0, 1}; weights may be computed in
    forward; other layers stay float, and the report says why. The module runs
    as it is, in evaluation mode, on a copy: nothing of it is changed.

    Args:
        model: the module, with its weights; or the members of an ensemble, modules of
            one architecture. Stochastic layers of this package must be fixed first,
            see `sbn_deploy.materialize.materialize`.
        example: a valid input, or one for each parameter of forward: [N, ...], with
            any batch size N from 1. That of an ONNX file is free, that of a TFLite file 1.
        path: the file, .onnx or .tflite. It appears only after the model has
            answered the example as torch does.
        task: what the first output means: classification, multilabel, regression,
            segmentation, image (to image) or none; by default what its shape says.
        classes: names of the classes, in order.
        preprocess: how images, or other numbers, become the input.
        metadata: anything else that the file should say, JSON-able.
        noise: what to sample signs with, if they are stochastic.
        int8: the data with which to compute float layers in 8 bits, see
            `sbn_deploy.data.load`; layers that lose too much stay float.
        engine: of `sbn_runtime.engines`, the one that an ONNX file is for: it runs the example.
            By default sbn. Our own runtime, native, lacks operators that some networks need.

    Raises:
        OutputError: the file cannot be written.
        UnsupportedLayerError: the module raises, or cannot be written as a graph; or the engine
            lacks an operator, which the message names.
        ConfigError: an argument that does not fit the network or the kind of file.
        ModelError: the model does not answer as torch does.
        InputError: there is no such engine.
    """
    from sbn_converters.onnx.write import save

    from .onnx_model import build

    output = Path(path)
    check_target(output, stochastic=noise is not None, int8=int8 is not None, engine=engine)
    check_writable(output.parent)
    said = dict(metadata or {})
    if classes is not None:
        said["classes"] = list(classes)
    if preprocess is not None:
        said["preprocess"] = preprocess.to_json()
    members = list(model) if isinstance(model, Sequence) else [model]
    run_in = engine or SBN
    built = build(members, example, task=task, metadata=said, noise=noise, int8=int8, engine=run_in)
    made_with = built.metadata
    if output.suffix == ".onnx":
        save(built.proto, output)
    elif made_with["task"] != CLASSIFICATION:
        raise UnsupportedLayerError(
            f"{output}: TFLite files are written for classes, and the task of this network is"
            f" {made_with['task']}; give a name that ends in .onnx"
        )
    else:
        from .tflite_model import as_tflite, check

        data = as_tflite(built.proto)
        run_in = check(data, members, built.traced)
        write_atomically(output, data)
    return ExportReport(
        output,
        made_with["members"],
        made_with["samples"],
        made_with["weights"],
        output.stat().st_size,
        built.lowered.layers,
        run_in,
        made_with["task"],
        [*built.traced.recording.notes, *built.lowered.notes],
        built.lowered.has_signs,
        built.eight_bits,
    )


def __getattr__(name: str) -> Any:
    if name != "export_members":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(now_called(name, "export_model"), DeprecationWarning, stacklevel=2)
    return export_model
