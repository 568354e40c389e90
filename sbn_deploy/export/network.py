"""Anyone's network, named by a reference, as one file with bit-packed operators."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from sbn_deploy.export import Noise, check_target, export_model
from sbn_deploy.materialize import Form, materialize, stochastic_signs
from sbn_deploy.networks import example, loading, preprocessing, trial
from sbn_deploy.networks.cuda import without_cuda
from sbn_deploy.networks.reference import Built
from sbn_deploy.nn import InputConv2d
from sbn_deploy.nn.kinds import has_our_layers
from sbn_runtime.errors import ConfigError
from sbn_runtime.preprocess import Preprocess, Standardize

if TYPE_CHECKING:
    from sbn_deploy.export import ExportReport


def export_network(
    reference: str,
    output: Path,
    form: Form = Form(),  # noqa: B008 (frozen)
    *,
    checkpoint: Path | None = None,
    untrained: bool = False,
    shapes: Sequence[example.Shape] = (),
    task: str | None = None,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | Standardize | None = None,
    int8: str | None = None,
    engine: str | None = None,
) -> ExportReport:
    """Exports the network that a reference names.

    Args:
        reference: see `sbn_deploy.networks.reference`.
        output: NAME.onnx, or NAME.tflite for Larq Compute Engine.
        form: which networks the file holds; other than the default, it needs layers of
            `sbn_deploy.nn`.
        checkpoint: its weights; without one, they are as the reference gives them.
        untrained: say in the file that these weights are only good for measuring speed.
        shapes: of the inputs, batch first; not needed where the network says them.
        task, classes, preprocess: what the network answers and takes, for the metadata.
        int8: as in `export_checkpoint`; with "" a checkpoint of `sbn train` says the data.
        engine: as in `export_model`.

    Raises:
        ConfigError: the reference names no network, or arguments contradict it.
        ArtifactError: the checkpoint cannot be read, or belongs to another network.
        UnsupportedLayerError, ModelError, OutputError: as `export_model`.
    """
    check_target(output, stochastic=form.stochastic, int8=int8 is not None, engine=engine)
    built = loading.load(reference, checkpoint, seed=form.seed)
    header = loading.header_of(checkpoint) if checkpoint is not None else None
    if header is not None:
        preprocess = preprocess or header.preprocess
        classes = classes or header.classes
        task = task or header.task
    shapes = shapes or example.shapes_of(built, preprocess)
    preprocess = preprocess or _of_first_layer(built, shapes)
    inputs = example.inputs(shapes, preprocess)
    _check_classes(trial.answer(built, inputs), classes, reference)
    if int8 == "":
        if header is None:
            raise ConfigError(f"--int8 needs data; add --int8-ranges DATA for {reference}")
        int8 = header.data
    metadata: dict[str, object] = {"untrained": True} if untrained else {}
    if checkpoint is not None:
        metadata["checkpoint_sha256"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return export_built(
        built,
        inputs,
        output,
        form,
        task=task,
        classes=classes,
        preprocess=preprocess,
        int8=int8,
        engine=engine,
        metadata=metadata,
    )


def _of_first_layer(built: Built, shapes: Sequence[example.Shape]) -> Preprocess | None:
    """How images are normalised where a layer says it: our first layer in whole numbers."""
    if not any(isinstance(module, InputConv2d) for module in built.module.modules()):
        return None
    return preprocessing.parse(["mean=0.5", "std=0.5"], shapes)


def export_built(
    built: Built,
    inputs: Sequence[Tensor],
    output: Path,
    form: Form,
    *,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | Standardize | None = None,
    calibration: Tensor | None = None,
    int8: str | None = None,
    engine: str | None = None,
    metadata: Mapping[str, object],
) -> ExportReport:
    """`export_network` of a network that is built and checked already.

    Args:
        inputs: examples.
        calibration: inputs from which batch-norm statistics are estimated again.
        metadata: what the file says besides the network's name, its settings and `form`.
    """
    members = fixed(built, form, calibration)
    noise = None
    if form.stochastic:
        noise = Noise(stochastic_signs(built.module), form.samples, form.noise_seed)
    said: dict[str, object] = {
        "arch": built.reference,
        "config": built.config,
        "data": None,
        "weights": form.weights,
        "seed": form.seed,
        "test_accuracy": None,
        **({"source_sha256": built.sha256} if built.sha256 else {}),
        **metadata,
    }
    return export_model(
        members,
        inputs,
        output,
        task=task,
        classes=classes,
        preprocess=preprocess,
        metadata=said,
        noise=noise,
        int8=int8,
        engine=engine,
    )


def fixed(built: Built, form: Form, calibration: Tensor | None = None) -> list[nn.Module]:
    """The network with its stochastic layers fixed; itself where it has none.

    Raises:
        ConfigError: weights are to be sampled, and none are stochastic.
    """
    if has_our_layers(built.module):
        with without_cuda():
            return materialize(
                built.module,
                weights=form.weights,
                members=form.members,
                seed=form.seed,
                calibration=calibration,
            )
    if form.weights == "sample":
        raise ConfigError(
            f"{built.reference} has no stochastic weights to sample (layers of sbn_deploy.nn);"
            " export it with --weights threshold"
        )
    return [built.module]


def _check_classes(found: object, classes: Sequence[str] | None, reference: str) -> None:
    """Raises ConfigError unless the answer has one number for each class."""
    if isinstance(found, Mapping):
        found = next(iter(found.values()), None)
    if isinstance(found, Sequence):
        found = found[0] if found else None
    if classes is None or not isinstance(found, Tensor):
        return
    if found.ndim < 2 or found.shape[1] != len(classes):
        raise ConfigError(
            f"{len(classes)} class names were given, but the output of {reference} has shape"
            f" {list(found.shape)}"
        )
