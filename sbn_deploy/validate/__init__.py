"""Whether an exported file computes the same as its network.

The comparison itself is in `sbn_deploy.oracle`; here is what it compares: a file with the
checkpoint of `sbn train` that it was exported from, or with the network of a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbn_converters.onnx.inspect import load_model
from sbn_converters.onnx.inspect import metadata as onnx_metadata
from sbn_converters.tflite.metadata import metadata as tflite_metadata
from sbn_converters.tflite.read import read
from sbn_deploy.export.from_checkpoint import Materialized, materialize_checkpoint
from sbn_deploy.lce.interpreter import check_installed
from sbn_deploy.materialize import Form
from sbn_deploy.oracle import EngineResult, ValidationReport, validate_lce, validate_members
from sbn_runtime.errors import ArtifactError, ModelError

from .network import validate_network

__all__ = ["EngineResult", "ValidationReport", "validate", "validate_network"]

_NEEDED = {
    "activations": str,
    "arch": str,
    "config": dict,
    "layers": list,
    "members": int,
    "seed": int,
    "weights": str,
}


def validate(model: Path, checkpoint: Path, *, count: int = 32, seed: int = 0) -> ValidationReport:
    """Compares an exported file with the checkpoint that it came from.

    A file whose name ends in .tflite is read as TFLite, any other as ONNX. Inputs
    are `count` images of the checkpoint's test data, or random ones where the
    data is not available.

    Raises ModelError or ArtifactError for files that cannot be compared,
    MissingDependencyError for TFLite without larq-compute-engine.
    """
    compare = _validate_tflite if model.suffix == ".tflite" else _validate_onnx
    return compare(model, checkpoint, count, seed)


def _validate_onnx(model: Path, checkpoint: Path, count: int, seed: int) -> ValidationReport:
    proto = load_model(model)
    said = onnx_metadata(proto)
    made = _materialise(said, model, checkpoint)
    images, inputs = made.sample_inputs(count, seed)
    results = validate_members(
        proto, made.members, images, stochastic=made.stochastic, name=str(model)
    )
    return ValidationReport.of(model, checkpoint, said, inputs, results)


def _validate_tflite(model: Path, checkpoint: Path, count: int, seed: int) -> ValidationReport:
    check_installed()
    name = str(model)
    network = read(model.read_bytes(), name)
    said = tflite_metadata(network, name)
    made = _materialise(said, model, checkpoint)
    images, inputs = made.sample_inputs(count, seed)
    results = validate_lce(network, made.members, images, name=name)
    return ValidationReport.of(model, checkpoint, said, inputs, results)


def _materialise(meta: Mapping[str, Any], model: Path, checkpoint: Path) -> Materialized:
    """The modules that the file should have been made from."""
    if "layers" not in meta:
        raise ModelError(f"{model} was not exported by sbn-deploy; export it from {checkpoint}")
    for key, kind in _NEEDED.items():
        if not isinstance(meta.get(key), kind):
            raise ModelError(
                f"{model} has damaged metadata: {key!r} is {meta.get(key)!r};"
                f" export it again from {checkpoint}"
            )
    form = Form(meta["weights"], meta["members"], meta["seed"], meta["activations"])
    made = materialize_checkpoint(checkpoint, form)
    if (made.meta.arch, made.meta.config) != (meta["arch"], meta["config"]):
        raise ArtifactError(
            f"{checkpoint} holds {made.meta.arch} {made.meta.config}, but {model} was"
            f" exported from {meta['arch']} {meta['config']}; give the checkpoint it came from"
        )
    return made
