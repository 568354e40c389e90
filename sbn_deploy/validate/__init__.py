"""Proving that an exported file computes what the trained network computes.

torch and every engine that runs the file get the same inputs: for ONNX our
kernels under every instruction set of this machine, stock onnxruntime (which
runs the embedded functions) and onnx's own reference evaluator; for TFLite each
kind of kernels of Larq Compute Engine. Packed tensors are compared bit for bit
with the signs inside torch, labels exactly, logits to a stated tolerance.

Where a network has float layers, engines may add in different orders, and a
sum that is zero but for rounding may get either sign. A sample in which nothing
but such ties differ at first is counted as tied, and what follows from the
other sign is not compared. Signs of whole-number sums are never ties.

Where signs are drawn, torch draws with the same random numbers, see `replay`; the
file may differ only where the stated error of its table decides a draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbn_converters.onnx.inspect import load_model
from sbn_converters.onnx.inspect import metadata as onnx_metadata
from sbn_converters.tflite.metadata import metadata as tflite_metadata
from sbn_converters.tflite.read import read
from sbn_deploy.lce.interpreter import check_installed
from sbn_deploy.materialize import Materialized, materialize_checkpoint
from sbn_runtime.errors import ArtifactError, ModelError

from .lce_engines import validate_lce
from .onnx_engines import validate_members
from .report import TOLERANCE, EngineResult, ValidationReport

__all__ = ["EngineResult", "ValidationReport", "validate", "validate_lce", "validate_members"]

_NEEDED = {
    "activations": str,
    "arch": str,
    "config": dict,
    "layers": list,
    "members": int,
    "seed": int,
    "weights": str,
}


def validate(
    model: Path, checkpoint: Path, *, samples: int = 32, seed: int = 0
) -> ValidationReport:
    """Compares an exported file with the checkpoint that it came from.

    A file whose name ends in .tflite is read as TFLite, any other as ONNX. Inputs
    are `samples` images of the checkpoint's test data, or random ones where the
    data is not at hand.

    Raises ModelError or ArtifactError for files that cannot be compared,
    MissingDependencyError for TFLite without larq-compute-engine.
    """
    compare = _validate_tflite if model.suffix == ".tflite" else _validate_onnx
    inputs, results = compare(model, checkpoint, samples, seed)
    return ValidationReport(str(model), str(checkpoint), inputs, TOLERANCE, results)


def _validate_onnx(
    model: Path, checkpoint: Path, samples: int, seed: int
) -> tuple[str, list[EngineResult]]:
    proto = load_model(model)
    made = _materialise(onnx_metadata(proto), model, checkpoint)
    images, inputs = made.sample_inputs(samples, seed)
    results = validate_members(proto, made.members, images, draws=made.draws, name=str(model))
    return inputs, results


def _validate_tflite(
    model: Path, checkpoint: Path, samples: int, seed: int
) -> tuple[str, list[EngineResult]]:
    check_installed()
    name = str(model)
    network = read(model.read_bytes(), name)
    made = _materialise(tflite_metadata(network, name), model, checkpoint)
    images, inputs = made.sample_inputs(samples, seed)
    return inputs, validate_lce(network, made.members, images, name=name)


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
    made = materialize_checkpoint(
        checkpoint,
        weights=meta["weights"],
        members=meta["members"],
        seed=meta["seed"],
        activations=meta["activations"],
    )
    if (made.meta["arch"], made.meta["config"]) != (meta["arch"], meta["config"]):
        raise ArtifactError(
            f"{checkpoint} holds {made.meta['arch']} {made.meta['config']}, but {model} was"
            f" exported from {meta['arch']} {meta['config']}; give the checkpoint it came from"
        )
    return made
