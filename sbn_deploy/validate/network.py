"""An exported file against the network that a reference names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sbn_converters.onnx.inspect import load_model
from sbn_converters.onnx.inspect import metadata as onnx_metadata
from sbn_converters.tflite.metadata import metadata as tflite_metadata
from sbn_converters.tflite.read import read
from sbn_deploy import data
from sbn_deploy.export.network import fixed
from sbn_deploy.lce.interpreter import check_installed
from sbn_deploy.materialize import Form, stochastic_signs
from sbn_deploy.networks import example, loading, trial
from sbn_deploy.oracle import EngineResult, ValidationReport, validate_lce, validate_members
from sbn_runtime.errors import ConfigError, ModelError
from sbn_runtime.preprocess import preprocess_from

if TYPE_CHECKING:
    from sbn_converters.onnx.noise import Draw

    Inputs = Sequence[NDArray[np.float32]]
    Compare = Callable[[list[nn.Module], Inputs, Mapping[str, Draw]], list[EngineResult]]


def validate_network(
    model: Path,
    reference: str,
    *,
    checkpoint: Path | None = None,
    images: str | None = None,
    count: int = 32,
    seed: int = 0,
) -> ValidationReport:
    """Compares an exported file with the network that it was made from, on the same inputs.

    Args:
        model: the file, .onnx or .tflite.
        reference, checkpoint: what it was exported from, as `export_network` takes them.
        images: a data set, whose test images are the inputs; random ones without.
        count: how many inputs.
        seed: of the choice of images, or of the random inputs.

    Raises:
        ConfigError: the reference names no network, or one that does not take what the
            file takes; or the file does not say how images are normalised.
        ArtifactError, ModelError: a file that cannot be used.
        MissingDependencyError: TFLite without larq-compute-engine.
    """
    file = _tflite(model) if model.suffix == ".tflite" else _onnx(model)
    said = file.metadata
    if "layers" not in said:
        raise ModelError(f"{model} was not exported by sbn-deploy; export it from {reference}")
    built = loading.load(reference, checkpoint, seed=said["seed"])
    inputs, what = _inputs(file, model, images, count, seed)
    trial.answer(built, [torch.from_numpy(x[:1]) for x in inputs])
    members = fixed(built, Form(said["weights"], said["members"], said["seed"]))
    stochastic = stochastic_signs(built.module) if said["activations"] == "stochastic" else {}
    results = file.compare(members, inputs, stochastic)
    return ValidationReport.of(model, reference, said, what, results)


@dataclass(frozen=True)
class _File:
    """What a file says, the shapes of its inputs, channels first, and how it is compared."""

    metadata: dict[str, Any]
    shapes: list[example.Shape]
    compare: Compare


def _onnx(path: Path) -> _File:
    proto = load_model(path)
    defaults = {tensor.name for tensor in proto.graph.initializer}
    shapes = [
        tuple(max(1, dim.dim_value) for dim in value.type.tensor_type.shape.dim)
        for value in proto.graph.input
        if value.name not in defaults
    ]

    def compare(
        members: list[nn.Module], inputs: Inputs, stochastic: Mapping[str, Draw]
    ) -> list[EngineResult]:
        return validate_members(proto, members, inputs, stochastic=stochastic, name=str(path))

    return _File(onnx_metadata(proto), shapes, compare)


def _tflite(path: Path) -> _File:
    check_installed()
    name = str(path)
    network = read(path.read_bytes(), name)
    # LCE has channels last.
    shapes = [(n, c, *rest) for n, *rest, c in (network.tensors[i].shape for i in network.inputs)]

    def compare(
        members: list[nn.Module], inputs: Inputs, _: Mapping[str, Draw]
    ) -> list[EngineResult]:
        return validate_lce(network, members, inputs[0], name=name)

    return _File(tflite_metadata(network, name), shapes, compare)


def _inputs(
    file: _File, model: Path, images: str | None, count: int, seed: int
) -> tuple[list[NDArray[np.float32]], str]:
    """Inputs as the network takes them, and what they are."""
    fields = file.metadata.get("preprocess")
    preprocess = preprocess_from(fields) if fields else None
    if images is None:
        made = example.inputs(file.shapes, preprocess, count=count, seed=seed)
        return [x.numpy() for x in made], f"{count} random inputs"
    if preprocess is None:
        raise ConfigError(
            f"{model} does not record how images are normalised; export it with --preprocess, or"
            " leave out --data"
        )
    test = data.load(images, "test", data.ImageForm.of(preprocess))
    chosen = test.sample(count, seed)
    return [preprocess.apply(chosen.images)], f"{len(chosen)} test images of {test.name}"
